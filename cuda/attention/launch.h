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

}  // namespace attention
