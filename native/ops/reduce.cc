// Sum and maximum over one axis, or over several that are adjacent.
//
//   x [O, R, I]    y [O, I]    index [O, I]            R is reduced
//
//   sum            y = factor · Σᵣ x                   factor = 1 / R makes it the mean
//   max            y = maxᵣ x, index = the first r where it is; NaN counts as the largest
//   max_backward   dx = dy where r = index, else 0
//   sum_rows       y += Σₙ x                           x [N, C]    y [C]
//
// Sums of many terms are sums of short f32 sums, in f64 where a whole row is one sum: the error grows with the length
// of the pieces. Every piece and every order follows from the shape.
#include "kernel.h"

namespace ISA {

namespace {

constexpr Index kShort = 1024;

// Σ of `count` adjacent elements.
double sum_dense(const Real* x, Index count) {
  double total = 0;
  for (Index begin = 0; begin < count; begin += kShort) {
    const Row<const Real> piece{x + begin};
    total += double(sum(min(kShort, count - begin), [&](auto i) { return piece[i]; }));
  }
  return total;
}

// Σᵣ of single elements `stride` apart.
double sum_strided(const Real* x, Index stride, Index count) {
  double total = 0;
  for (Index r = 0; r < count; ++r) total += double(to_float(x[r * stride]));
  return total;
}

// y = factor · Σᵣ of `count` rows of `width` ≤ kColumns elements, `stride` apart: kRows of them at a time.
constexpr Index kColumns = 512, kRows = 32;
void sum_columns(const Real* x, Index stride, Index count, Index width, Real* y, float factor) {
  float partial[kColumns], total[kColumns];
  const Row<float> few{partial}, all{total};
  const Row<Real> y_0{y};
  each(width, [&](auto i) { all.set(i, splat<i.lanes>(0.f)); });
  for (Index n = 0; n < count; n += kRows) {
    const Row<const Real> first{x + n * stride};
    each(width, [&](auto i) { few.set(i, first[i]); });
    for (Index r = n + 1; r < min(count, n + kRows); ++r) {
      const Row<const Real> x_r{x + r * stride};
      each(width, [&](auto i) { few.add(i, x_r[i]); });
    }
    each(width, [&](auto i) { all.add(i, few[i]); });
  }
  each(width, [&](auto i) { y_0.set(i, all[i] * factor); });
}

// max over a row of adjacent or strided elements.
void max_row(const Real* x, Index stride, Index count, Real* y, std::int32_t* index) {
  float best = -__builtin_inff();
  Index found = 0;
  if (stride == 1) {
    const Row<const Real> row{x};
    best = maximum(count, [&](auto i) { return row[i]; });
    const float strange = sum(count, [&](auto i) {  // counts NaN
      const auto v = row[i];
      return v == v ? splat<i.lanes>(0.f) : splat<i.lanes>(1.f);
    });
    while (found < count && (strange != 0 ? to_float(x[found]) == to_float(x[found]) : to_float(x[found]) != best))
      ++found;
  } else {
    for (Index r = 1; r < count; ++r) {
      const float v = to_float(x[r * stride]), held = to_float(x[found * stride]);
      if (v > held || (v != v && held == held)) found = r;
    }
  }
  if (count > 0 && found < count)
    *y = x[found * stride];
  else
    assign(*y, best);
  *index = static_cast<std::int32_t>(found < count ? found : 0);
}

}  // namespace

void sum_forward(In x, Out y, float factor) {
  const Index O = x.size[0], R = x.size[1], I = x.size[2], step = x.stride[1];
  if (I == 1 && O == 1 && (step == 1 || R <= 1)) {
    constexpr Index kMaxBlocks = 256;
    double partial[kMaxBlocks];
    const Index block = max(kGrain, ceil_div(R, kMaxBlocks)), blocks = ceil_div(R, block);
    parallel(blocks, [&](Index b) {
      const Index begin = b * block;
      partial[b] = sum_dense(x.at() + begin, min(block, R - begin));
    });
    double total = 0;
    for (Index b = 0; b < blocks; ++b) total += partial[b];
    assign(*y.at(), float(total * factor));
  } else if (I == 1) {
    parallel_rows(O, R, [&](Index o) {
      const double total = step == 1 || R <= 1 ? sum_dense(x.at(o), R) : sum_strided(x.at(o), step, R);
      assign(*y.at(o), float(total * factor));
    });
  } else if (I > 0) {
    const Index width = min(kColumns, max(64, kGrain / max(R, 1) / 64 * 64)), pieces = ceil_div(I, width);
    parallel_rows(O * pieces, min(width, I) * R, [&](Index n) {
      const Index o = n / pieces, begin = n % pieces * width;
      sum_columns(x.at(o, 0, begin), step, R, min(width, I - begin), y.at(o, begin), factor);
    });
  }
}

void max_forward(In x, Out y, OutIds index) {
  const Index O = x.size[0], R = x.size[1], I = x.size[2], step = x.stride[1];
  if (I == 1) {
    parallel_rows(O, R, [&](Index o) { max_row(x.at(o), step, R, y.at(o), index.at(o)); });
    return;
  }
  if (I == 0) return;
  const Index pieces = ceil_div(I, kColumns);
  parallel_rows(O * pieces, min(kColumns, I) * R, [&](Index n) {
    const Index o = n / pieces, begin = n % pieces * kColumns, width = min(kColumns, I - begin);
    const auto y_0 = y.row(o, begin);
    std::int32_t* const index_0 = index.at(o, begin);
    const auto first = x.row(o, 0, begin);
    each(width, [&](auto i) {
      y_0.set(i, R > 0 ? first[i] : splat<i.lanes>(-__builtin_inff()));
      write_vector(index_0 + i.at, IntVec<i.lanes>{});
    });
    for (Index r = 1; r < R; ++r) {
      const auto x_r = x.row(o, r, begin);
      each(width, [&](auto i) {
        constexpr int N = i.lanes;
        const Vec<N> v = x_r[i], best = y_0[i];
        const IntVec<N> better = (v > best) | ((v != v) & (best == best));
        const IntVec<N> held = read_vector<IntVec<N>>(index_0 + i.at);
        write_vector<IntVec<N>>(index_0 + i.at, better ? IntVec<N>{} + static_cast<std::int32_t>(r) : held);
        y_0.set(i, better ? v : best);
      });
    }
  });
}

void max_backward(In dy, Ids index, Out dx) {
  const Index O = dx.size[0], R = dx.size[1], I = dx.size[2];
  if (I == 1 && (dx.stride[1] == 1 || R <= 1)) {
    parallel_rows(O, R, [&](Index o) {
      const auto dx_o = dx.row(o);
      each(R, [&](auto i) { dx_o.set(i, splat<i.lanes>(0.f)); });
      const Index found = *index.at(o);
      if (found >= 0 && found < R) *dx.at(o, found) = *dy.at(o);
    });
    return;
  }
  parallel_rows(O * R, I, [&](Index n) {
    const Index o = n / R, r = n % R;
    const auto dy_o = dy.row(o);
    const auto dx_r = dx.row(o, r);
    const std::int32_t* const index_o = index.at(o);
    each(I, [&](auto i) {
      const auto found = read_vector<IntVec<i.lanes>>(index_o + i.at);
      dx_r.set(i, found == static_cast<std::int32_t>(r) ? dy_o[i] : splat<i.lanes>(0.f));
    });
  });
}

void sum_rows(In x, Acc y) {
  const Index N = x.size[0], C = x.size[1];
  accumulate_rows(N, C, {y}, [&](Index n, float* partial) {
    const auto x_n = x.row(n);
    const Row<float> sum{partial};
    each(C, [&](auto i) { sum.add(i, x_n[i]); });
  });
}

}  // namespace ISA
