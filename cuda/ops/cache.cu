// Keys and values of earlier positions, kept while tokens are generated: written in place, and reordered by
// rows.
//
//   cache_write    cache[b, starts[b] + t] = x[b, t]      x [B, T, G, D], starts [B], cache [B, S, G, D]
//   gather_rows    y[m] = x[ids[m]]                       x [N, C], ids [M], y [M, C]
//
// A start that would write outside of [0, S) is reported, and nothing of its row is written; so is an id
// outside [0, N), whose row becomes NaN. Elements are copied bit by bit.
#include "../axes.h"
#include "../fault.h"
#include "../floats.h"

namespace TABLE {

// Elements [i, i + W), where W is 1 or those of 16 bytes.
template <int W>
PRIMITIVE void copy_elements(const Real* from, Real* to) {
  if constexpr (W > 1)
    prim::store_global16(to, prim::load_global16(from));
  else
    *to = *from;
}

template <int W>
__global__ void cache_write_heads(In x, Ids starts, Out cache, cuda::Fault* fault) {
  const Index B = x.size[0], T = x.size[1], G = x.size[2], D = x.size[3], S = cache.size[1];
  Index head, piece, row, g, b, t;
  cuda::row_grid_place(D / W, &head, &piece);
  if (head >= B * T * G || piece >= D / W) return;
  cuda::divide(head, G, &row, &g);
  cuda::divide(row, T, &b, &t);
  const Index start = *starts.at(b), i = piece * W;
  if (start >= 0 && start + T <= S) return copy_elements<W>(x.at(b, t, g) + i, cache.at(b, start + t, g) + i);
  if (t == 0 && g == 0 && piece == 0) cuda::report_index_fault(fault, b, start, S < T ? 0 : S - T + 1);
}

void cache_write(In x, Ids starts, Out cache) {
  const Index heads = x.size[0] * x.size[1] * x.size[2], D = x.size[3];
  if (D == 0) return;
  const bool wide = D % kWide == 0 && is_wide(x, 4) && is_wide(cache, 4);
  const cuda::RowGrid cover(heads, D / (wide ? kWide : 1));
  launch(wide ? cache_write_heads<kWide> : cache_write_heads<1>, cover.grid, cover.block, 0, x, starts, cache,
         context().fault);
}

template <int W>
__global__ void gather_rows_pieces(In x, Ids ids, Out y, cuda::Fault* fault) {
  const Index N = x.size[0], C = x.size[1];
  Index m, piece;
  cuda::row_grid_place(C / W, &m, &piece);
  if (m >= y.size[0] || piece >= C / W) return;
  const Index id = *ids.at(m), i = piece * W;
  if (id >= 0 && id < N) return copy_elements<W>(x.at(id) + i, y.at(m) + i);
  if (piece == 0) cuda::report_index_fault(fault, m, id, N);
  store<W>(y.at(m) + i, splat<W>(NAN));
}

void gather_rows(In x, Ids ids, Out y) {
  const Index M = y.size[0], C = y.size[1];
  if (C == 0) return;
  const bool wide = C % kWide == 0 && is_wide(x, 2) && is_wide(y, 2);
  const cuda::RowGrid cover(M, C / (wide ? kWide : 1));
  launch(wide ? gather_rows_pieces<kWide> : gather_rows_pieces<1>, cover.grid, cover.block, 0, x, ids, y,
         context().fault);
}

}  // namespace TABLE
