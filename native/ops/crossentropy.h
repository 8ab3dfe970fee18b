// The cross entropy of one row of logits, from sums over its pieces (see crossentropy.cc).
#pragma once
#include "kernel.h"

namespace ISA {

// Whether a row with this target counts at all.
inline bool has_target(Index target, Index V, Index ignoreIndex) {
  return target != ignoreIndex && target >= 0 && target < V;
}

// Sums over a row that is seen piece by piece: Σ e^(x − shift), where shift is the largest x so far. What was summed
// before a larger one came is scaled down.
class RowSums {
 public:
  // The next `size` logits; `sums_logits`: Σ x as well.
  template <class T>
  void add(const T* row, Index size, bool sums_logits) {
    sums_logits ? scan<true>(row, size) : scan<false>(row, size);
  }

  double lse() const { return double(shift_) + __builtin_log(total_); }

  // (1 − ε) (lse − logits[target]) + ε (lse − mean of the logits)
  double loss(float target_logit, Index V, float labelSmoothing) const {
    const double nll = lse() - double(target_logit);
    if (labelSmoothing == 0) return nll;
    return (1 - double(labelSmoothing)) * nll + double(labelSmoothing) * (lse() - plain_total_ / double(V));
  }

 private:
  template <bool kPlain, class T>
  void scan(const T* row, Index size) {
    constexpr Index kStep = 4 * kLanes, kShort = 2048;
    Index i = 0;
    while (i + kStep <= size) {
      Vec<kLanes> sum[4] = {}, plain{};
      const Index end = min(i + kShort, size / kStep * kStep);
      for (; i < end; i += kStep) {
        Vec<kLanes> x[4];
        for (int k = 0; k < 4; ++k) x[k] = load<kLanes>(row + i + k * kLanes);
        const Vec<kLanes> top = max<kLanes>(max<kLanes>(x[0], x[1]), max<kLanes>(x[2], x[3]));
        if (any<kLanes>(top > splat<kLanes>(shift_))) {
          const float factor = raise(fold_lanes<kLanes>(top, [](auto a, auto b) { return a > b ? a : b; }));
          for (auto& s : sum) s *= factor;
        }
        for (int k = 0; k < 4; ++k) sum[k] += exp<kLanes>(x[k] - shift_);
        if (kPlain) plain += (x[0] + x[1]) + (x[2] + x[3]);
      }
      total_ += double(add_lanes<kLanes>((sum[0] + sum[1]) + (sum[2] + sum[3])));
      if (kPlain) plain_total_ += double(add_lanes<kLanes>(plain));
    }
    for (; i < size; ++i) {
      const float x = to_float(row[i]);
      if (x > shift_) raise(x);
      total_ += double(exp<1>(splat<1>(x - shift_))[0]);
      plain_total_ += double(x);
    }
  }

  float raise(float to) {
    const float factor = exp<1>(splat<1>(shift_ - to))[0];
    total_ *= double(factor);
    shift_ = to;
    return factor;
  }

  float shift_ = -__FLT_MAX__;  // finite: −∞ gives e^(−∞) = 0
  double total_ = 0, plain_total_ = 0;
};

}  // namespace ISA
