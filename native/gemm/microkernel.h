// The innermost loop of the matrix product: one tile, all of its sums in registers.
//
//   tile[r][c] (+)= Σ_w a[w][r] · b[w][c]        a: packed [words, rows]   b: packed [words, vectors · lanes]
//
// The tile goes to memory, in the L1 cache, whatever becomes of it: the epilogue reads it from there. That
// costs some percent of a short product and nothing of a long one, and keeps ragged edges, activations and
// rounding out of here.
#pragma once
#include "tile_registers.h"

namespace ISA {

// sum + a · b, where a is the same word for all lanes.
template <int N>
inline Vec<N> multiply_add(Vec<N> sum, const float* a, Vec<N> b) {
#if defined(__AVX512BF16__)
  if constexpr (kPairs) {
    std::int32_t pair;
    __builtin_memcpy(&pair, a, sizeof pair);
    if constexpr (N == 16)
      return (Vec<N>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)b);
  }
#endif
  return sum + splat<N>(*a) * b;
}

// Named by its tile: gemm_tile<14, 2> is the 14x32 kernel of AVX-512.
template <int rows, int vectors>
__attribute__((noinline)) void gemm_tile(Index words, const float* a, const float* b, float* tile, bool add) {
  constexpr int lanes = kGemm.lanes;
  Vec<lanes> sum[rows][vectors] = {};
  for (Index w = 0; w < words; ++w) {
    Vec<lanes> b_w[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) b_w[v] = load<lanes>(b + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[r][v] = multiply_add<lanes>(sum[r][v], a + r, b_w[v]);
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
inline void gemm_any_tile(Index rows, Index vectors, Index words, const float* a, const float* b, float* tile,
                          bool add) {
  if constexpr (kAmx) return gemm_tile_registers(vectors, words, a, b, tile, add);
  if (rows == R && vectors == V) return gemm_tile<R, V>(words, a, b, tile, add);
  if constexpr (V > 1)
    if (vectors < V) return gemm_any_tile<R, V - 1>(rows, vectors, words, a, b, tile, add);
  if constexpr (R > 1) gemm_any_tile<R - 1, V>(rows, vectors, words, a, b, tile, add);
}

}  // namespace ISA
