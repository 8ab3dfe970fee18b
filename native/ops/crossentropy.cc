// Cross entropy of softmax(logits) and integer targets, as PyTorch defines it.
//
//   logits [N, V]    targets [N]    loss, weight [1]    lse [N]
//
//   q     (1 − ε) on the target plus ε / V everywhere, ε = labelSmoothing
//   lse   = ln Σ e^logits
//   loss  = weight · Σₙ (lse − Σᵥ q · logits)          weight = 1 / count if mean, else 1
//   dlogits = dloss · weight · (e^(logits − lse) − q)
//
// Rows whose target is ignoreIndex count nowhere and get no gradient; so do rows whose target is outside [0, V), which
// is reported. The mean of no rows is NaN. A row is read once, the sum rescaled
// whenever the maximum rises. dlogits may be logits.
#include "crossentropy.h"

namespace ISA {

void crossentropy_forward(In logits, Ids targets, Out32 loss, Out32 lse, Out32 weight, Index ignoreIndex,
                          float labelSmoothing, Index mean) {
  constexpr Index kBlocks = 64;
  const Index N = logits.size[0], V = logits.size[1];
  const Index block = max(1, ceil_div(N, kBlocks)), blocks = ceil_div(N, block);
  double losses[kBlocks];
  Index counts[kBlocks];
  parallel(blocks, [&](Index b) {
    losses[b] = 0;
    counts[b] = 0;
    for (Index n = b * block; n < min(N, (b + 1) * block); ++n) {
      const Index target = *targets.at(n);
      *lse.at(n) = 0;
      if (target == ignoreIndex) continue;
      if (!has_target(target, V, ignoreIndex)) {
        report_index_fault(n, target, V);
        continue;
      }
      RowSums row;
      row.add(logits.at(n), V, labelSmoothing != 0);
      *lse.at(n) = float(row.lse());
      losses[b] += row.loss(to_float(*logits.at(n, target)), V, labelSmoothing);
      ++counts[b];
    }
  });
  double total = 0;
  Index count = 0;
  for (Index b = 0; b < blocks; ++b) total += losses[b], count += counts[b];
  *weight.at() = mean ? 1 / float(count) : 1;
  *loss.at() = float(mean ? total / double(count) : total);
}

void crossentropy_backward(In32 dloss, In logits, Ids targets, In32 lse, In32 weight, Out dlogits, Index ignoreIndex,
                           float labelSmoothing) {
  const Index N = logits.size[0], V = logits.size[1];
  const float scale = *dloss.at() * *weight.at(), everywhere = labelSmoothing / float(V);
  parallel_rows(N, V, [&](Index n) {
    const auto dlogits_n = dlogits.row(n);
    const Index target = *targets.at(n);
    if (!has_target(target, V, ignoreIndex)) {
      each(V, [&](auto i) { dlogits_n.set(i, splat<i.lanes>(0.f)); });
      return;
    }
    const auto logits_n = logits.row(n);
    const float lse_n = *lse.at(n), chosen = to_float(*logits.at(n, target));
    each(V, [&](auto i) { dlogits_n.set(i, (exp<i.lanes>(logits_n[i] - lse_n) - everywhere) * scale); });
    const float probability = exp<1>(splat<1>(chosen - lse_n))[0];
    assign(*dlogits.at(n, target), (probability - everywhere - (1 - labelSmoothing)) * scale);
  });
}

}  // namespace ISA
