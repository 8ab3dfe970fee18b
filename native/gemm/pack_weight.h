// Weights in panels that outlive a call: b [K, N] of a product, all of K in one piece.
//
//   packed [panel][words of K][width]        width: a panel's columns, in whole vectors
#pragma once
#include "pack.h"

namespace ISA {

// Panels of b: full ones, and what remains in whole vectors.
struct ColumnPanels {
  Index N, panels = ceil_div(N, kGemm.columns());
  Index start(Index p) const { return p * kGemm.columns(); }
  Index count(Index p) const { return min(kGemm.columns(), N - start(p)); }
  Index vectors(Index p) const { return ceil_div(count(p), kGemm.lanes); }
  Index width(Index p) const { return vectors(p) * kGemm.lanes; }
  Index available(Index p) const { return count(p); }
  static constexpr Index kGap = 0;
};

// Whether `packed`, if there is one, begins a cache line and has the room for b [K, N]; a fault is reported if not.
inline bool holds_packed(const View& packed, Index K, Index N) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(packed.data) % 64 == 0 && packed.stride[0] == 1;
  if (!packed.data || (aligned && packed.size[0] >= packed_words(K, N))) return true;
  report_index_fault(0, packed_words(K, N), packed.size[0] + 1);
  return false;
}

// Columns [n, n + columns) and rows [k, k + depth) of b into their places in `packed`. n is the first column of a
// panel, k a multiple of kGemm.columns(). `from` starts at row k and column 0. Large copies are streamed: nobody reads
// them before the next step.
constexpr Index kStreamedWords = 1 << 18;
inline void pack_part(const OperandOf<float>& from, Index N, Index K, Index n, Index columns, Index k, Index depth,
                      float* packed) {
  const ColumnPanels panels{N};
  for (Index i = n; i < n + columns; i += kGemm.columns()) {
    const Index p = i / kGemm.columns(), width = panels.width(p);
    float* to = packed + i * words_of(K) + k / kWordElements * width;
    if (N * words_of(K) >= kStreamedWords)
      pack_panel<true>(from.from(i, 0), panels.count(p), panels.count(p), width, depth, to);
    else
      pack_panel(from.from(i, 0), panels.count(p), panels.count(p), width, depth, to);
  }
}

}  // namespace ISA
