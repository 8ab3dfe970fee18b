// The cross entropy of rows of logits, for crossentropy and linearcrossentropy. Formulas, ignored rows and
// faults:
// ../native/ops/crossentropy.cc.
#pragma once
#include "fault.h"
#include "rows.h"

namespace TABLE {

// Whether a row with this target counts at all.
PRIMITIVE bool has_target(Index target, Index V, Index ignoreIndex) {
  return target != ignoreIndex && target >= 0 && target < V;
}

// Σ e^(x − shift), where shift is the largest x so far, and Σ x.
struct ExponentialSum {
  float shift = -3.402823466e38f, total = 0, plain_total = 0;  // finite: −∞ gives e^(−∞) = 0

  template <int W>
  PRIMITIVE void add(const Floats<W>& x) {
    float largest = x[0];
    UNROLL
    for (int k = 1; k < W; ++k) largest = fmaxf(largest, x[k]);
    raise(largest);
    UNROLL
    for (int k = 0; k < W; ++k) {
      total += expf(x[k] - shift);
      plain_total += x[k];
    }
  }
  PRIMITIVE void raise(float x) {
    if (!(x > shift)) return;
    total *= expf(shift - x);
    shift = x;
  }
};

// The loss and the lse of each row of logits [N, V], of T with rows `stride` apart, a team of threads a row.
// Row n is row `first` + n of targets. A row is read once: a thread scales down what it has summed whenever
// its maximum rises. Pieces of 16 bytes are counted from the address before a row that is a multiple of 16:
// the first and the last may hang over.
template <class T>
__global__ void logit_rows(const T* logits, Index stride, Index N, Index V, Ids targets, Index first,
                           float* losses, Out32 lse, Index ignoreIndex, float labelSmoothing,
                           cuda::Fault* fault) {
  constexpr int kPiece = 16 / sizeof(T);
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const Index n = team_row();
  const Index target = n < N ? *targets.at(first + n) : ignoreIndex;
  const bool counts = has_target(target, V, ignoreIndex);
  const T* const row = logits + n * stride;
  ExponentialSum sum;
  if (counts) {
    const Index before = static_cast<Index>(reinterpret_cast<std::uintptr_t>(row) % 16 / sizeof(T));
    for (Index i = Index{threadIdx.x} * kPiece - before; i < V; i += Index{blockDim.x} * kPiece) {
      if (i >= 0 && i + kPiece <= V)
        sum.add(load<kPiece>(row + i));
      else
        for (Index k = i < 0 ? 0 : i; k < i + kPiece && k < V; ++k) sum.add(load<1>(row + k));
    }
  }
  const float largest = team.maximum(sum.shift);
  sum.raise(largest);
  float totals[2] = {sum.total, sum.plain_total};
  team.sum(totals);
  if (n >= N || threadIdx.x != 0) return;
  if (!counts && target != ignoreIndex) cuda::report_index_fault(fault, first + n, target, V);
  // lse − x as (largest − x) + ln Σ: what is large cancels before it is rounded.
  const float log_total = logf(totals[0]);
  float loss = counts ? largest - to_float(row[target]) + log_total : 0;
  if (counts && labelSmoothing != 0) {
    const float mean = totals[1] / static_cast<float>(V);
    loss = (1 - labelSmoothing) * loss + labelSmoothing * (largest - mean + log_total);
  }
  *lse.at(first + n) = counts ? largest + log_total : 0;
  losses[first + n] = loss;
}

// The sum, or the mean, of the losses of rows that count, made by one team; others may be there to fill a
// warp.
template <class Losses>
__global__ void total_of_losses(Losses losses, Ids targets, Index V, Out32 loss, Out32 weight,
                                Index ignoreIndex, Index mean) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  float totals[2] = {};
  for (Index n = threadIdx.x; n < targets.size[0]; n += blockDim.x) {
    totals[0] += losses[n];
    totals[1] += has_target(*targets.at(n), V, ignoreIndex) ? 1 : 0;
  }
  team.sum(totals);
  if (threadIdx.x != 0 || threadIdx.y != 0) return;
  *weight.at() = mean ? 1 / totals[1] : 1;
  *loss.at() = mean ? totals[0] / totals[1] : totals[0];
}

}  // namespace TABLE
