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

// Σᵣ of `count` adjacent rows, eight at a time, `stride` apart.
template <int N>
Vec<N> sum_rows_at(const Real* x, Index stride, Index count) {
  Vec<N> total{};
  Index r = 0;
  for (; r + 8 <= count; r += 8) {
    const Real* const p = x + r * stride;
    const Vec<N> a = load<N>(p) + load<N>(p + stride), b = load<N>(p + 2 * stride) + load<N>(p + 3 * stride);
    const Vec<N> c = load<N>(p + 4 * stride) + load<N>(p + 5 * stride);
    const Vec<N> d = load<N>(p + 6 * stride) + load<N>(p + 7 * stride);
    total += (a + b) + (c + d);
  }
  for (; r < count; ++r) total += load<N>(x + r * stride);
  return total;
}

// y = factor · Σᵣ of `count` rows of `width` ≤ kColumns elements, `stride` apart: kRows of them at a time.
constexpr Index kColumns = 2048, kRows = 16;
void sum_columns(const Real* x, Index stride, Index count, Index width, Real* y, float factor) {
  float total[kColumns];
  const Row<float> all{total};
  const Row<Real> y_0{y};
  each(width, [&](auto i) { all.set(i, splat<i.lanes>(0.f)); });
  for (Index r = 0; r < count; r += kRows)
    each(width,
         [&](auto i) { all.add(i, sum_rows_at<i.lanes>(x + r * stride + i.at, stride, min(kRows, count - r))); });
  each(width, [&](auto i) { y_0.set(i, all[i] * factor); });
}

// How many elements wide the pieces of rows are of which columns are reduced: long reads, and work for every thread.
Index column_width(Index O, Index I) { return min(kColumns, max(64, O * I / 32 / 64 * 64)); }

struct Largest {
  float value = -__builtin_inff();
  Index at = 0;
  // Takes what comes later if it is larger.
  void update(float v, Index place) {
    if (v > value || (v != v && value == value)) value = v, at = place;
  }
};

// The lanes' positions, as numbers: exact below 2²⁴.
template <int N>
Vec<N> positions(Lanes<N> i) {
  Vec<N> position;
  for (int k = 0; k < N; ++k) position[k] = float(k);
  return position + float(i.at);
}

// The first maximum of adjacent elements: of each piece the maximum, and its place where it is larger than all before.
Largest largest_dense(const Real* x, Index count) {
  constexpr Index kPiece = 512;
  Largest best;
  IntVec<kLanes> strange{};
  for (Index begin = 0; begin < count; begin += kPiece) {
    const Row<const Real> piece{x + begin};
    const Index length = min(kPiece, count - begin);
    const float here = maximum(length, [&](auto i) {
      const auto v = piece[i];
      if constexpr (i.lanes == kLanes)
        strange |= v != v;
      else
        strange[0] |= (v != v)[0];
      return v;
    });
    if (!(here > best.value)) continue;
    const float nothing = -__builtin_inff();
    const float place =
        maximum(length, [&](auto i) { return piece[i] == here ? -positions(i) : splat<i.lanes>(nothing); });
    best = {here, begin + Index(-place)};
  }
  if (any<kLanes>(strange)) {
    Index first = 0;
    while (to_float(x[first]) == to_float(x[first])) ++first;
    best = {to_float(x[first]), first};
  }
  return best;
}

Largest largest_of(const Real* x, Index stride, Index count) {
  if (stride == 1) return largest_dense(x, count);
  Largest best;
  for (Index r = 0; r < count; ++r) best.update(to_float(x[r * stride]), r);
  return best;
}

// y, index = the larger of themselves and rows [begin, end), which are `stride` apart, for K vectors of lanes: one
// comparison waits for that of the row before. Where there is NaN, only if it is looked for; else false and nothing.
template <bool kNaN, int K, int N>
bool update_columns(const Real* x, Index stride, Index begin, Index end, Real* y, std::int32_t* index) {
  Vec<N> best[K];
  IntVec<N> found[K], strange[K];
  for (int k = 0; k < K; ++k) {
    best[k] = load<N>(y + k * N), found[k] = read_vector<IntVec<N>>(index + k * N);
    strange[k] = best[k] != best[k];
  }
  for (Index r = begin; r < end; ++r) {
    const IntVec<N> row = IntVec<N>{} + static_cast<std::int32_t>(r);
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k) {
      const Vec<N> v = load<N>(x + r * stride + k * N);
      const IntVec<N> odd = v != v;
      const IntVec<N> better = kNaN ? (v > best[k]) | (odd & (best[k] == best[k])) : v > best[k];
      if (!kNaN) strange[k] |= odd;
      found[k] = better ? row : found[k];
      best[k] = better ? v : best[k];
    }
  }
  if constexpr (!kNaN) {
    for (int k = 1; k < K; ++k) strange[0] |= strange[k];
    if (any<N>(strange[0])) return false;
  }
  for (int k = 0; k < K; ++k) store<N>(y + k * N, best[k]), write_vector(index + k * N, found[k]);
  return true;
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
    const Index width = column_width(O, I), pieces = ceil_div(I, width);
    parallel_rows(O * pieces, min(width, I) * R, [&](Index n) {
      const Index o = n / pieces, begin = n % pieces * width;
      sum_columns(x.at(o, 0, begin), step, R, min(width, I - begin), y.at(o, begin), factor);
    });
  }
}

void max_forward(In x, Out y, OutIds index) {
  const Index O = x.size[0], R = x.size[1], I = x.size[2], step = R > 1 ? x.stride[1] : 1;
  const auto put = [&](Index o, Index i, Largest best) {
    assign(*y.at(o, i), best.value);
    *index.at(o, i) = static_cast<std::int32_t>(best.at);
  };
  if (I == 1 && O == 1) {
    constexpr Index kMaxBlocks = 256;
    Largest partial[kMaxBlocks], best;
    const Index block = max(kGrain, ceil_div(R, kMaxBlocks)), blocks = ceil_div(R, block);
    parallel(blocks, [&](Index b) { partial[b] = largest_of(x.at(0, b * block), step, min(block, R - b * block)); });
    for (Index b = 0; b < blocks; ++b) best.update(partial[b].value, b * block + partial[b].at);
    put(0, 0, best);
  } else if (I == 1) {
    parallel_rows(O, R, [&](Index o) { put(o, 0, largest_of(x.at(o), step, R)); });
  } else if (I > 0) {
    const Index width = column_width(O, I), pieces = ceil_div(I, width);
    parallel_rows(O * pieces, min(width, I) * R, [&](Index n) {
      const Index o = n / pieces, begin = n % pieces * width;
      const Real* const x_0 = x.at(o, 0, begin);
      Real* const y_0 = y.at(o, begin);
      std::int32_t* const index_0 = index.at(o, begin);
      const Index length = min(width, I - begin);
      each(length, [&](auto i) {
        store<i.lanes>(y_0 + i.at, splat<i.lanes>(-__builtin_inff()));
        write_vector(index_0 + i.at, IntVec<i.lanes>{});
      });
      for (Index r = 0; r < R; r += kRows) {
        constexpr int K = 4;
        const Index end = min(R, r + kRows), whole = length / (K * kLanes) * (K * kLanes);
        for (Index i = 0; i < whole; i += K * kLanes)
          update_columns<false, K, kLanes>(x_0 + i, step, r, end, y_0 + i, index_0 + i) ||
              update_columns<true, K, kLanes>(x_0 + i, step, r, end, y_0 + i, index_0 + i);
        each(whole, length,
             [&](auto i) { update_columns<true, 1, i.lanes>(x_0 + i.at, step, r, end, y_0 + i.at, index_0 + i.at); });
      }
    });
  }
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
  if (I == 0) return;
  const Index width = min(kColumns, I), pieces = ceil_div(I, width);  // dy and index stay in the cache for all r
  parallel_rows(O * pieces * R, width, [&](Index n) {
    const Index o = n / (pieces * R), begin = n / R % pieces * width, r = n % R;
    const auto dy_o = dy.row(o);
    const auto dx_r = dx.row(o, r);
    const std::int32_t* const index_o = index.at(o);
    each(begin, min(I, begin + width), [&](auto i) {
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
