// The packed form of a weight b [K, N]: what pack_weight and adamw_packed write, what matmul_packed and
// linearcrossentropy read.
//
//   packed [N, pitch]    row n holds column n of b, k after k; from K to pitch it holds zeros
//   bf16                 pitch = K rounded up to 32, elements rounded to bf16
//   f32                  pitch = K rounded up to 16, elements as they are
//
// The address is that of the view's data, its elements are Real and not the words that the view counts.
// src/ops/packed-weight.ts allocates at least as much. What lies behind row N − 1 is never read. Who changes
// elements of a packed weight need not write the zeros again: pack_weight has.
//
// For a weight [N, K], "forward" is b = weightᵀ, whose rows are those of the weight: element (n, k) goes to
// row n. "backward" is b = weight, with the roles of the sizes exchanged: element (n, k) goes to row k, pitch
// from N.
#pragma once
#include "../../native/contract.h"
#include "../prim.h"

namespace cuda {

template <class Real>
__host__ __device__ constexpr Index packed_pitch(Index K) {
  constexpr Index kUnit = sizeof(Real) == 2 ? 32 : 16;
  return (K + kUnit - 1) / kUnit * kUnit;
}

// How many words of f32 a packed weight takes.
template <class Real>
__host__ __device__ constexpr Index packed_words(Index K, Index N) {
  return packed_pitch<Real>(K) * N * Index(sizeof(Real)) / 4;
}

// Whether `packed` has the room for b [K, N], where kernels can write 16 bytes at once.
template <class Real>
bool holds_packed(const View& packed, Index K, Index N) {
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(packed.data) % 16 == 0;
  return is_aligned && packed.size[0] >= packed_words<Real>(K, N) && packed.stride[0] == 1;
}

// Writes element (k, n) of b.
template <class Real>
PRIMITIVE void store_packed(float* packed, Index pitch, Index k, Index n, float value) {
  Real* const to = reinterpret_cast<Real*>(packed) + n * pitch + k;
  if constexpr (sizeof(Real) == 2)
    *to = prim::to_bf16(value);
  else
    *to = value;
}

}  // namespace cuda
