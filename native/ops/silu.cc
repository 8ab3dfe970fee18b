// Sigmoid linear unit (swish).
//
//   x, y [N]
//
//   forward        y  = x · σ(x)    σ(x) = 1 / (1 + e^(−x))
//   backward       dx = dy · (σ + x · σ (1 − σ))
#include "activations.h"
#include "kernel.h"

namespace ISA {

void silu_forward(In x, Out y) {
  const auto from = x.row();
  parallel_map(y, [=](auto i) { return silu<i.lanes>(from[i]); });
}

void silu_backward(In dy, In x, Out dx) {
  const auto up = dy.row(), at = x.row();
  parallel_map(dx, [=](auto i) { return up[i] * silu_slope<i.lanes>(at[i]); });
}

}  // namespace ISA
