// What the host functions of attention share.
#pragma once
#include "../context.h"
#include "problem.h"

namespace attention {

constexpr int kShort = 32;  // rows, up to which a block of one warp takes sixteen of them

inline dim3 grid(Index blocks) {
  if (blocks > 0x7fffffff) cuda::context().fail("attention: more than 2³¹ blocks of heads and positions");
  return dim3(static_cast<unsigned>(blocks));
}

inline bool is_multiple(Index n, Index of) { return n % of == 0; }

// Whether rows can be read and written 16 bytes at a time.
template <class T>
bool in_chunks(const Heads<T>& x, const Problem& the) {
  constexpr Index kChunk = 16 / sizeof(T);
  return is_multiple(the.D, kChunk) && is_multiple(x.row, kChunk) && is_multiple(x.head, kChunk) &&
         is_multiple(x.batch, kChunk) && is_multiple(reinterpret_cast<std::uintptr_t>(x.data), 16);
}

// The forward pass by the kernels of hopper.cu. False, and nothing was done, where they do not serve: they
// are for capability 9.0 where the context asks for them, 32 < D ≤ 128, T ≥ 64, S > 0, and rows of heads of
// q, k and v that lie in the order [B, T, H, D] (each stride a whole multiple of the next).
bool run_on_hopper(const Problem& the, const Heads<const bf16>& q, const Heads<const bf16>& k,
                   const Heads<const bf16>& v, const Heads<bf16>& y, const Heads<float>& lse);

}  // namespace attention
