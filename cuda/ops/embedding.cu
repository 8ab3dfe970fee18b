// Rows of a table by number.
//
//   ids [N]    weight [V, C]    y [N, C]
//
//   forward        y[n] = weight[ids[n]]
//   backward       dweight[ids[n]] += dy[n]            n = 0, 1, …
//
// An id outside [0, V) is reported and gives a row of NaN; the backward pass skips it.
//
// The backward pass sorts the ids. Rows with one id are then a run, and a run is summed in its order: by one
// team if it lies within a piece of kPiece sorted rows; else every piece sums its own part, and a second
// kernel adds the parts of the run in order. So no id, however frequent, keeps one team busy for long.
#include "../axes.h"
#include "../fault.h"
#include "../floats.h"
#include "../sort.h"

namespace TABLE {

template <int W>
__global__ void embedding_forward_rows(Ids ids, In32 weight, Out y, cuda::Fault* fault) {
  const Index C = y.size[1], V = weight.size[0];
  Index n, piece;
  cuda::row_grid_place(C / W, &n, &piece);
  if (n >= y.size[0] || piece >= C / W) return;
  const Index id = *ids.at(n), i = piece * W;
  Real* const y_n = y.at(n) + i;
  if (id >= 0 && id < V) return store<W>(y_n, load<W>(weight.at(id) + i));
  if (piece == 0) cuda::report_index_fault(fault, n, id, V);
  store<W>(y_n, splat<W>(NAN));
}

void embedding_forward(Ids ids, In32 weight, Out y) {
  const Index N = y.size[0], C = y.size[1];
  const bool wide = C % kWide == 0 && is_wide(weight, 2) && is_wide(y, 2);
  const cuda::RowGrid cover(N, C / (wide ? kWide : 1));
  launch(wide ? embedding_forward_rows<kWide> : embedding_forward_rows<1>, cover.grid, cover.block, 0, ids,
         weight, y, context().fault);
}

constexpr Index kPiece = 32;

struct SortedRows {
  Sorted by_id;
  Index N, V;
  PRIMITIVE Index id(Index r) const { return by_id.keys[r]; }
  PRIMITIVE bool goes_on_after(Index r) const { return r + 1 < N && id(r + 1) == id(r); }
  PRIMITIVE bool goes_on_from_before(Index r) const { return r > 0 && id(r - 1) == id(r); }
  PRIMITIVE Index end(Index piece) const { return (piece + 1) * kPiece < N ? (piece + 1) * kPiece : N; }
};

template <int W>
PRIMITIVE void add_to(float* p, const Floats<W>& x) {
  Floats<W> sum = load<W>(p);
  UNROLL
  for (int k = 0; k < W; ++k) sum[k] += x[k];
  store<W>(p, sum);
}

// parts [pieces, 2, C]: of the run that came from the piece before, and of the one that goes on after this
// piece.
template <int W>
__global__ void __launch_bounds__(256, 4)
    embedding_backward_pieces(In dy, SortedRows rows, Acc dweight, float* parts) {
  const Index C = dy.size[1];
  Index piece, column;
  cuda::row_grid_place(C / W, &piece, &column);
  if (piece * kPiece >= rows.N || column >= C / W) return;
  const Index i = column * W, begin = piece * kPiece, end = rows.end(piece);
  float* const first = parts + 2 * piece * C + i;
  bool came_from_before = rows.goes_on_from_before(begin);
  Floats<W> sum = splat<W>(0.f);
  constexpr int kAtOnce = 16 / W < 4 ? 16 / W : 4;  // so that registers suffice
  for (Index r = begin; r < end && rows.id(r) < rows.V; r += kAtOnce) {
    Floats<W> dy_r[kAtOnce];
    UNROLL
    for (int k = 0; k < kAtOnce; ++k)
      dy_r[k] = r + k < end ? load<W>(dy.at(rows.by_id.positions[r + k]) + i) : splat<W>(0.f);
    UNROLL
    for (int k = 0; k < kAtOnce; ++k) {
      if (r + k >= end || rows.id(r + k) >= rows.V) continue;
      UNROLL
      for (int j = 0; j < W; ++j) sum[j] += dy_r[k][j];
      const bool goes_on = rows.goes_on_after(r + k);
      if (goes_on && r + k + 1 < end) continue;
      if (came_from_before)
        store<W>(first, sum);
      else if (goes_on)
        store<W>(first + C, sum);
      else
        add_to<W>(dweight.at(rows.id(r + k)) + i, sum);
      came_from_before = false;
      sum = splat<W>(0.f);
    }
  }
}

// The runs that begin in a piece and go on after it.
template <int W>
__global__ void embedding_backward_runs(SortedRows rows, Acc dweight, const float* parts) {
  const Index C = dweight.size[1];
  Index piece, column;
  cuda::row_grid_place(C / W, &piece, &column);
  if (piece * kPiece >= rows.N || column >= C / W) return;
  const Index begin = piece * kPiece, last = rows.end(piece) - 1, id = rows.id(last);
  if (!rows.goes_on_after(last) || id >= rows.V) return;
  if (rows.goes_on_from_before(begin) && rows.id(begin) == id) return;
  // The last piece that begins with this id: ids ascend.
  Index until = piece + 1, beyond = ceil_div(rows.N, kPiece);
  while (beyond - until > 1) {
    const Index middle = (until + beyond) / 2;
    (rows.id(middle * kPiece) == id ? until : beyond) = middle;
  }
  const Index i = column * W;
  Floats<W> sum = load<W>(parts + (2 * piece + 1) * C + i);
  for (Index p = piece + 1; p <= until; ++p) {
    const Floats<W> part = load<W>(parts + 2 * p * C + i);
    UNROLL
    for (int k = 0; k < W; ++k) sum[k] += part[k];
  }
  add_to<W>(dweight.at(id) + i, sum);
}

void embedding_backward(In dy, Ids ids, Acc dweight) {
  const Index N = dy.size[0], C = dy.size[1], V = dweight.size[0], pieces = ceil_div(N, kPiece);
  if (N == 0 || C == 0) return;
  Scratch scratch;
  const SortedRows rows{sort_ids(ids.at(), N, V, scratch), N, V};
  float* const parts = scratch.take<float>(pieces * 2 * C);
  const bool wide = C % kWide == 0 && is_wide(dy, 2) && is_wide(dweight, 2);
  const cuda::RowGrid cover(pieces, C / (wide ? kWide : 1));
  launch(wide ? embedding_backward_pieces<kWide> : embedding_backward_pieces<1>, cover.grid, cover.block, 0,
         dy, rows, dweight, parts);
  if (pieces == 1) return;
  launch(wide ? embedding_backward_runs<kWide> : embedding_backward_runs<1>, cover.grid, cover.block, 0, rows,
         dweight, parts);
}

}  // namespace TABLE
