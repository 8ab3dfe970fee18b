// One matrix product, y [M, N] = a [M, K] · b [K, N], as the files here hand it to each other.
#pragma once
#include "../kernel.h"
#include "blocking.h"

namespace ISA {

// a or b, both seen from the axis that they share with y: i counts rows of a or columns of b.
template <class T>
struct OperandOf {
  const T* data;
  Index stride, k_stride;
  const T* at(Index i, Index k) const { return data + i * stride + k * k_stride; }
  OperandOf from(Index i, Index k) const { return {at(i, k), stride, k_stride}; }
};
using Operand = OperandOf<Real>;

// Packed panels of b: columns of `length` words, of which the product takes those from `word` on.
struct PackedPanels {
  const float* data = nullptr;
  Index length = 0, word = 0;
  explicit operator bool() const { return data != nullptr; }
};

struct Product {
  Index M, N, K;
  Operand a, b;
  bool alone;  // on this thread only: the caller runs others of its kind in parallel
  PackedPanels packed = {};  // in place of b, unless empty
};

// Fetches a tile of y that is about to be overwritten into the cache, while its sums are still being made.
template <class T>
inline void prefetch_tile(const T& y, Index batch, Index m, Index n, Index rows, Index columns) {
  constexpr Index kLine = 64 / sizeof(*y.at());
  for (Index r = 0; r < rows; ++r) {
    const auto* row = y.at(batch, m + r, n);
    for (Index c = 0; c < columns; c += kLine) __builtin_prefetch(row + c, 1);
    __builtin_prefetch(row + columns - 1, 1);
  }
}

// f(i) for i in [0, chunks), in parallel unless alone. f is not inlined: it would be, twice.
template <class F>
inline void for_chunks(Index chunks, bool alone, const F& f) {
  const auto one = [&](Index i) __attribute__((noinline)) { f(i); };
  if (!alone) return parallel(chunks, one);
  for (Index i = 0; i < chunks; ++i) one(i);
}

}  // namespace ISA
