// The innermost loop of the matrix product: one tile, all of its sums in registers.
//
//   tile[r][c] (+)= Σ_k a[k][r] · b[k][c]        a: packed [K, rows]   b: packed [K, vectors · lanes]
//
// The tile goes to memory, in the L1 cache, whatever becomes of it: the epilogue reads it from there. That
// costs some percent of a short product and nothing of a long one, and keeps ragged edges, activations and
// rounding out of here.
#pragma once
#include "blocking.h"

namespace ISA {

// Named by its tile: gemm_tile<14, 2> is the 14x32 kernel of AVX-512.
template <int rows, int vectors>
__attribute__((noinline)) void gemm_tile(Index K, const float* a, const float* b, float* tile, bool add) {
  constexpr int lanes = kGemm.lanes;
  Vec<lanes> sum[rows][vectors] = {};
  for (Index k = 0; k < K; ++k) {
    Vec<lanes> b_k[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) b_k[v] = load<lanes>(b + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[r][v] += splat<lanes>(a[r]) * b_k[v];
    a += rows;
    b += vectors * lanes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      float* to = tile + r * kGemm.columns() + v * lanes;
      store<lanes>(to, add ? load<lanes>(to) + sum[r][v] : sum[r][v]);
    }
}

// The kernel for panels of any height and width up to those of the full tile.
template <int R = kGemm.rows, int V = kGemm.vectors>
inline void gemm_any_tile(Index rows, Index vectors, Index K, const float* a, const float* b, float* tile,
                          bool add) {
  if (rows == R && vectors == V) return gemm_tile<R, V>(K, a, b, tile, add);
  if constexpr (V > 1)
    if (vectors < V) return gemm_any_tile<R, V - 1>(rows, vectors, K, a, b, tile, add);
  if constexpr (R > 1) gemm_any_tile<R - 1, V>(rows, vectors, K, a, b, tile, add);
}

}  // namespace ISA
