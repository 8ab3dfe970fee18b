// Filling, copying, converting and accumulating.
//
//   fill           y = value                       y [N]
//   copy           y = x, whatever the strides     x, y [I, J, K, C]
//   to_f32         y = x                           bf16 or f32 → f32
//   from_f32       y = x                           f32 → f32 or bf16, to nearest, ties to even
//   accumulate     y += Σ x over the axes along which y has stride 0 (the gradient of broadcasting)
#include "../map.h"
#include "../reduction.h"

namespace TABLE {

struct Constant {
  float value;
  PRIMITIVE float operator()() const { return value; }
};
struct Same {
  PRIMITIVE float operator()(float x) const { return x; }
};

void fill(Out y, float value) { map(Constant{value}, y.size[0], y.at()); }

void fill32(Out32 y, float value) { map(Constant{value}, y.size[0], y.at()); }

void to_f32(In x, Out32 y) { map(Same{}, y.size[0], y.at(), x.at()); }

void from_f32(In32 x, Out y) { map(Same{}, y.size[0], y.at(), x.at()); }

// Rows of `length` elements, which x and y have step_x and step_y apart (1 if V > 1).
template <int V, class T>
__global__ void copy_rows(const T* x, T* y, Axes<2> rows, Index length, Index step_x, Index step_y) {
  Index row, piece, at[2];
  cuda::row_grid_place(ceil_div(length, V), &row, &piece);
  if (row >= rows.count()) return;
  rows.locate(row, at);
  const Index i = piece * V;
  if (V > 1 && i + V <= length) {
    prim::store_global16(y + at[1] + i, prim::load_global16(x + at[0] + i));
  } else {
    for (Index k = i; k < i + V && k < length; ++k) y[at[1] + k * step_y] = x[at[0] + k * step_x];
  }
}

// y[j·pitch_y + i] = x[i·pitch_x + j], i < rows, j < columns, in tiles: each is read along j and written
// along i.
constexpr int kTile = 32, kTileRows = 8, kTilePitch = kTile + 1;
template <class T>
__global__ void copy_transposed(const T* x, T* y, Axes<2> outer, Index rows, Index columns, Index pitch_x,
                                Index pitch_y) {
  DYNAMIC_SHARED(shared);
  T* const tile = reinterpret_cast<T*>(shared);
  Index rest, across, down, at[2];
  cuda::divide(Index{blockIdx.x}, ceil_div(columns, kTile), &rest, &across);
  cuda::divide(rest, ceil_div(rows, kTile), &rest, &down);
  outer.locate(rest, at);
  const Index i = down * kTile, j = across * kTile;
  for (unsigned k = threadIdx.y; k < kTile; k += kTileRows)
    if (i + k < rows && j + threadIdx.x < columns)
      tile[k * kTilePitch + threadIdx.x] = x[at[0] + (i + k) * pitch_x + j + threadIdx.x];
  __syncthreads();
  for (unsigned k = threadIdx.y; k < kTile; k += kTileRows)
    if (j + k < columns && i + threadIdx.x < rows)
      y[at[1] + (j + k) * pitch_y + i + threadIdx.x] = tile[threadIdx.x * kTilePitch + k];
}

template <class T>
void copy_strided(const T* x, T* y, Axes<2> axes) {
  if (axes.rank == 0) axes.push(1, {1, 1});
  const int last = axes.rank - 1;
  const Index length = axes.size[last], step_x = axes.stride[0][last], step_y = axes.stride[1][last];
  int other = last - 1;
  while (other >= 0 && axes.stride[0][other] != 1) --other;
  if (step_x != 1 && step_x != 0 && step_y == 1 && other >= 0) {
    const Index columns = axes.size[other];
    const Axes<2> outer = axes.without(last).without(other);
    const Index tiles = outer.count() * ceil_div(length, kTile) * ceil_div(columns, kTile);
    launch(copy_transposed<T>, static_cast<unsigned>(tiles), dim3(kTile, kTileRows),
           kTile * kTilePitch * sizeof(T), x, y, outer, length, columns, step_x, axes.stride[1][other]);
    return;
  }
  constexpr int kWideCopy = 16 / sizeof(T);
  const Axes<2> rows = axes.without(last);
  const bool wide = step_x == 1 && step_y == 1 && is_wide(x) && is_wide(y) && rows.steps_by(0, kWideCopy) &&
                    rows.steps_by(1, kWideCopy);
  const cuda::RowGrid cover(rows.count(), ceil_div(length, wide ? kWideCopy : 1));
  launch(wide ? copy_rows<kWideCopy, T> : copy_rows<1, T>, cover.grid, cover.block, 0, x, y, rows, length,
         step_x, step_y);
}

void copy(InStrided x, Out y) { copy_strided(x.at(), y.at(), cuda::joined<2>({x, y})); }

void copy_ids(IdsStrided x, OutIds y) { copy_strided(x.at(), y.at(), cuda::joined<2>({x, y})); }

struct AddTo {
  float* y;
  PRIMITIVE void put(Index at, Index, float sum) const { y[at] += sum; }
};

void accumulate(In x, Acc y) {
  const Axes<2> axes = cuda::joined<2>({x, y});
  if (axes.count() == 0) return;
  Axes<3> kept;
  Axes<1> summed;
  for (int axis = 0; axis < axes.rank; ++axis) {
    const Index step = axes.stride[0][axis];
    if (axes.stride[1][axis])
      kept.push(axes.size[axis], {step, axes.stride[1][axis], 0});
    else
      summed.push(axes.size[axis], {step});
  }
  reduce<Sum>(x.at(), kept, summed, AddTo{y.at()});
}

}  // namespace TABLE
