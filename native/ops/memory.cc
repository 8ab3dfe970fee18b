// Filling, copying, converting and accumulating.
//
//   fill           y = value                       y [N]
//   copy           y = x, whatever the strides     x, y [I, J, K, C]
//   to_f32         y = x                           bf16 or f32 → f32
//   from_f32       y = x                           f32 → f32 or bf16, to nearest, ties to even
//   accumulate     y += Σ x over the axes along which y has stride 0 (the gradient of broadcasting)
//
// Axes along which x and y advance alike are first joined into one.
#include "kernel.h"
#include "ops/axes.h"
#include "ops/copy_bytes.h"

namespace ISA {

namespace {

// At least one axis.
Axes<2> joined_or_one(const View& x, const View& y) {
  Axes<2> axes = joined<2>({x, y});
  if (axes.rank == 0) axes.push(1, {1, 1});
  return axes;
}

// The elements of a vector twice as long, those of a and b in turn: its first half, its second half.
template <int N>
inline WordVec<N> zip_first(WordVec<N> a, WordVec<N> b) {
  if constexpr (N == 16)
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  else if constexpr (N == 8)
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  else
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}
template <int N>
inline WordVec<N> zip_second(WordVec<N> a, WordVec<N> b) {
  if constexpr (N == 16)
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  else if constexpr (N == 8)
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  else
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

template <class T>
struct WordsOf {  // 32 bits
  static WordVec<kLanes> load(const T* p) { return read_vector<WordVec<kLanes>>(p); }
  static void store(T* p, WordVec<kLanes> v) { write_vector(p, v); }
};
template <>
struct WordsOf<bf16> {
  static WordVec<kLanes> load(const bf16* p) { return widen<kLanes>(read_vector<HalfVec<kLanes>>(p)); }
  static void store(bf16* p, WordVec<kLanes> v) { write_vector(p, narrow<kLanes>(v)); }
};

// y[j·sy + i] = x[i·sx + j] for kLanes × kLanes elements: log₂ kLanes perfect shuffles.
template <class T>
inline void transpose_square(const T* x, Index sx, T* y, Index sy) {
  WordVec<kLanes> v[kLanes], w[kLanes];
  for (int i = 0; i < kLanes; ++i) v[i] = WordsOf<T>::load(x + i * sx);
  if constexpr (kLanes > 1) {
    for (int step = 1; step < kLanes; step *= 2) {
      for (int i = 0; i < kLanes / 2; ++i) {
        w[2 * i] = zip_first<kLanes>(v[i], v[i + kLanes / 2]);
        w[2 * i + 1] = zip_second<kLanes>(v[i], v[i + kLanes / 2]);
      }
      for (int i = 0; i < kLanes; ++i) v[i] = w[i];
    }
  }
  for (int j = 0; j < kLanes; ++j) WordsOf<T>::store(y + j * sy, v[j]);
}

// y[j·sy + i] = x[i·sx + j], i < rows, j < columns.
template <class T>
void transpose(const T* x, Index sx, T* y, Index sy, Index rows, Index columns) {
  constexpr Index step = kLanes > 1 ? kLanes : 16;
  for (Index j = 0; j < columns; j += step) {
    for (Index i = 0; i < rows; i += step) {
      if (kLanes > 1 && i + step <= rows && j + step <= columns) {
        transpose_square(x + i * sx + j, sx, y + j * sy + i, sy);
        continue;
      }
      for (Index jj = j; jj < min(columns, j + step); ++jj)
        for (Index ii = i; ii < min(rows, i + step); ++ii) y[jj * sy + ii] = x[ii * sx + jj];
    }
  }
}

template <class T>
void copy_strided(const T* x, T* y, const Axes<2>& axes) {
  if (axes.count() == 0) return;
  const int last = axes.rank - 1;
  const Index length = axes.size[last], sx = axes.stride[0][last], sy = axes.stride[1][last];
  if (sx == 1 && sy == 1) {
    const Axes<2> rows = axes.without(last);
    const bool past = streams(y, axes.count(), rows.strides_of(1));
    parallel_walk(rows, length, [&](Index begin, Index end, Index at_x, Index at_y) {
      copy_bytes(x + at_x + begin, y + at_y + begin, (end - begin) * Index{sizeof(T)}, past);
    });
    return;
  }
  if (sx == 0 && sy == 1) {
    parallel_walk(axes.without(last), length, [&](Index begin, Index end, Index at_x, Index at_y) {
      const T value = x[at_x];
      for (Index i = begin; i < end; ++i) y[at_y + i] = value;
    });
    return;
  }
  int other = last - 1;
  while (other >= 0 && axes.stride[0][other] != 1) --other;
  if (sy == 1 && other >= 0) {
    constexpr Index tile = 64;
    const Index columns = axes.size[other], stride_y = axes.stride[1][other];
    const Index down = ceil_div(length, tile), across = ceil_div(columns, tile);
    Axes<2> outer = axes.without(last).without(other);
    outer.push(down, {tile * sx, tile});
    outer.push(across, {tile, tile * stride_y});
    parallel_rows(outer.count(), tile * tile, [&](Index n) {
      const Index i = n / across % down * tile, j = n % across * tile;
      walk(outer, n, n + 1, [&](Index at_x, Index at_y) {
        transpose(x + at_x, sx, y + at_y, stride_y, min(tile, length - i), min(tile, columns - j));
      });
    });
    return;
  }
  parallel_walk(axes.without(last), length, [&](Index begin, Index end, Index at_x, Index at_y) {
    for (Index i = begin; i < end; ++i) y[at_y + i * sy] = x[at_x + i * sx];
  });
}

// y[i] += Σ over `rows` of x, for i in [begin, end). A few rows at a time are summed before they meet the rest.
void add_rows(const Real* x, float* y, const Axes<2>& rows, Index begin, Index end) {
  constexpr Index kColumns = 512, kRows = 32;
  float partial[kColumns], total[kColumns];
  const Index count = rows.count();
  for (Index from = begin; from < end; from += kColumns) {
    const Index width = min(kColumns, end - from);
    const Row<float> sum{total}, few{partial}, y_0{y + from};
    for (Index n = 0; n < count; n += kRows) {
      bool first = true;
      walk(rows, n, min(count, n + kRows), [&](Index at_x, Index) {
        const Row<const Real> x_n{x + at_x + from};
        if (first)
          each(width, [&](auto i) { few.set(i, x_n[i]); });
        else
          each(width, [&](auto i) { few.add(i, x_n[i]); });
        first = false;
      });
      if (n == 0)
        each(width, [&](auto i) { sum.set(i, few[i]); });
      else
        each(width, [&](auto i) { sum.add(i, few[i]); });
    }
    each(width, [&](auto i) { y_0.add(i, sum[i]); });
  }
}

}  // namespace

void fill(Out y, float value) {
  parallel_map(y, [=](auto i) { return splat<i.lanes>(value); });
}

void fill32(Out32 y, float value) {
  parallel_map(y, [=](auto i) { return splat<i.lanes>(value); });
}

void copy(InStrided x, Out y) { copy_strided(x.at(), y.at(), joined_or_one(x, y)); }

void copy_ids(IdsStrided x, OutIds y) { copy_strided(x.at(), y.at(), joined_or_one(x, y)); }

void to_f32(In x, Out32 y) {
  const auto from = x.row();
  parallel_map(y, [=](auto i) { return from[i]; });
}

void from_f32(In32 x, Out y) {
  const auto from = x.row();
  parallel_map(y, [=](auto i) { return from[i]; });
}

void accumulate(In x, Acc y) {
  const Axes<2> axes = joined_or_one(x, y);
  if (axes.count() == 0) return;
  Axes<2> kept, summed;  // the elements of y, and what is added to each
  for (int axis = 0; axis < axes.rank; ++axis)
    (axes.stride[1][axis] ? kept : summed).push(axes.size[axis], {axes.stride[0][axis], axes.stride[1][axis]});
  const int last = kept.rank - 1;
  if (last >= 0 && kept.stride[0][last] == 1 && kept.stride[1][last] == 1) {
    // Rows of y: each is a sum of rows of x.
    const Index length = kept.size[last], rows = summed.count();
    const Index piece = max(128, kGrain / rows), pieces = ceil_div(length, piece);
    const Axes<2> outer = kept.without(last);
    const Index block = max(1, kGrain / (min(piece, length) * rows));
    const Index count = outer.count() * pieces;
    parallel(ceil_div(count, block), [&](Index chunk) {
      for (Index n = chunk * block; n < min(count, (chunk + 1) * block); ++n) {
        const Index begin = n % pieces * piece, end = min(length, begin + piece);
        walk(outer, n / pieces, n / pieces + 1,
             [&](Index at_x, Index at_y) { add_rows(x.at() + at_x, y.at() + at_y, summed, begin, end); });
      }
    });
    return;
  }
  // Single elements of y. The innermost summed axis is a row of lanes where x is dense along it.
  const bool dense = summed.rank > 0 && summed.stride[0][summed.rank - 1] == 1;
  const Axes<2> outer = dense ? summed.without(summed.rank - 1) : summed;
  const Index length = dense ? summed.size[summed.rank - 1] : 1;
  parallel_rows(kept.count(), summed.count(), [&](Index n) {
    walk(kept, n, n + 1, [&](Index at_x, Index at_y) {
      double total = 0;
      walk(outer, 0, outer.count(), [&](Index inner_x, Index) {
        const Row<const Real> x_n{x.at() + at_x + inner_x};
        constexpr Index step = 1024;
        for (Index begin = 0; begin < length; begin += step) {
          const Row<const Real> piece{x_n.p + begin};
          total += double(sum(min(step, length - begin), [&](auto i) { return piece[i]; }));
        }
      });
      *(y.at() + at_y) += float(total);
    });
  });
}

}  // namespace ISA
