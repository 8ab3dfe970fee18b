// Cross entropy of softmax(logits) and integer targets, as PyTorch defines it. Formulas, ignored rows and
// faults:
// ../../native/ops/crossentropy.cc. The forward kernels: ../crossentropy.h.
//
//   logits, dlogits [N, V]    targets [N]    loss, weight [1]    lse [N]
#include "../axes.h"
#include "../crossentropy.h"

namespace TABLE {

void crossentropy_forward(In logits, Ids targets, Out32 loss, Out32 lse, Out32 weight, Index ignoreIndex,
                          float labelSmoothing, Index mean) {
  const Index N = logits.size[0], V = logits.size[1];
  Scratch scratch;
  float* const losses = scratch.take<float>(N);
  const TeamGrid teams(N, V, true, kWide, 128);
  launch(logit_rows<Real>, teams.grid, teams.block, teams.shared_bytes, logits.at(), logits.stride[0], N, V,
         targets, Index{0}, losses, lse, ignoreIndex, labelSmoothing, context().fault);
  const TeamBlock team(N);
  launch(total_of_losses<const float*>, 1, team.threads, team.shared_bytes, losses, targets, V, loss, weight,
         ignoreIndex, mean);
}

// Elements between the address before `row` that is a multiple of 16 bytes, and `row`.
PRIMITIVE Index overhang(const void* row) {
  return static_cast<Index>(reinterpret_cast<std::uintptr_t>(row) % 16 / sizeof(Real));
}

// Pieces of 16 bytes, of which the first and the last of a row may hang over, as in the forward pass.
template <int W>
__global__ void crossentropy_backward_rows(In32 dloss, In logits, Ids targets, In32 lse, In32 weight,
                                           Out dlogits, Index ignoreIndex, float labelSmoothing) {
  const Index V = logits.size[1];
  Index n, piece;
  cuda::row_grid_place(ceil_div(V + W - 1, W), &n, &piece);
  if (n >= logits.size[0]) return;
  const Real* const from = logits.at(n);
  Real* const into = dlogits.at(n);
  const Index i = piece * W - (W > 1 ? overhang(from) : 0), target = *targets.at(n);
  const bool counts = has_target(target, V, ignoreIndex);
  const float scale = *dloss.at() * *weight.at(), everywhere = labelSmoothing / static_cast<float>(V);
  const float lse_n = *lse.at(n);
  const auto gradient = [&](float x, Index v) {
    if (!counts) return 0.f;
    const float q = v == target ? everywhere + (1 - labelSmoothing) : everywhere;
    return (expf(x - lse_n) - q) * scale;
  };
  if (i >= 0 && i + W <= V) {
    Floats<W> x = load<W>(from + i);
    UNROLL
    for (int k = 0; k < W; ++k) x[k] = gradient(x[k], i + k);
    store<W>(into + i, x);
  } else {
    for (Index k = i < 0 ? 0 : i; k < i + W && k < V; ++k) into[k] = to<Real>(gradient(to_float(from[k]), k));
  }
}

void crossentropy_backward(In32 dloss, In logits, Ids targets, In32 lse, In32 weight, Out dlogits,
                           Index ignoreIndex, float labelSmoothing) {
  const Index N = logits.size[0], V = logits.size[1];
  const auto apart =
      reinterpret_cast<std::uintptr_t>(logits.data) - reinterpret_cast<std::uintptr_t>(dlogits.data);
  const Index steps_apart = (logits.stride[0] - dlogits.stride[0]) * Index{sizeof(Real)};
  const bool wide = apart % 16 == 0 && (N <= 1 || steps_apart % 16 == 0);
  const Index width = wide ? kWide : 1;
  const cuda::RowGrid cover(N, ceil_div(V + width - 1, width));
  launch(wide ? crossentropy_backward_rows<kWide> : crossentropy_backward_rows<1>, cover.grid, cover.block, 0,
         dloss, logits, targets, lse, weight, dlogits, ignoreIndex, labelSmoothing);
}

}  // namespace TABLE
