// The cross entropy of one row of logits, from sums over its pieces (see crossentropy.cc).
#pragma once
#include "kernel.h"

namespace ISA {

// Whether a row with this target counts at all.
inline bool has_target(Index target, Index V, Index ignoreIndex) {
  return target != ignoreIndex && target >= 0 && target < V;
}

// Sums over a row that is seen piece by piece; a piece that raises the maximum rescales the sum before it.
struct RowSums {
  float largest = -__builtin_inff();
  double exponentials = 0;  // Σ e^(logits − largest)
  double logits = 0;        // Σ logits, if asked for

  template <class T>
  void add(const T* row, Index size, bool sums_logits) {
    constexpr Index kPiece = 2048;  // stays in the L1 cache for the second look
    for (Index begin = 0; begin < size; begin += kPiece) {
      const Row<const T> piece{row + begin};
      const Index count = min(kPiece, size - begin);
      const float here = maximum(count, [&](auto i) { return piece[i]; });
      const float before = largest;
      if (here > largest) largest = here;
      // Until something is larger than −∞, any finite number serves: e^(−∞ − 0) = 0.
      const float shift = largest == -__builtin_inff() ? 0 : largest;
      if (before != largest) exponentials *= double(exp<1>(splat<1>(before - shift))[0]);
      exponentials += double(sum(count, [&](auto i) { return exp<i.lanes>(piece[i] - shift); }));
      if (sums_logits) logits += double(sum(count, [&](auto i) { return piece[i]; }));
    }
  }

  double lse() const { return double(largest) + __builtin_log(exponentials); }

  // (1 − ε) (lse − logits[target]) + ε (lse − mean of the logits)
  double loss(float target_logit, Index V, float labelSmoothing) const {
    const double nll = lse() - double(target_logit);
    if (labelSmoothing == 0) return nll;
    return (1 - double(labelSmoothing)) * nll + double(labelSmoothing) * (lse() - logits / double(V));
  }
};

}  // namespace ISA
