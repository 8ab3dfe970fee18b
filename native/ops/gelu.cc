// Gaussian error linear units: gelu (exact) and gelutanh (its approximation by tanh, as in GPT-2).
//
//   x, y [N]
//
//   gelu           y = x · Φ(x) = x · ½ (1 + erf(x / √2))
//   gelutanh       y = x · ½ (1 + tanh u)    u = √(2/π) (x + 0.044715 x³)
//   backward       dx = dy · dy/dx, in activations.h
#include "activations.h"
#include "kernel.h"

namespace ISA {

void gelu_forward(In x, Out y) {
  const auto from = x.row();
  parallel_map(y, [=](auto i) { return gelu<i.lanes>(from[i]); });
}

void gelu_backward(In dy, In x, Out dx) {
  const auto up = dy.row(), at = x.row();
  parallel_map(dx, [=](auto i) { return up[i] * gelu_slope<i.lanes>(at[i]); });
}

void gelutanh_forward(In x, Out y) {
  const auto from = x.row();
  parallel_map(y, [=](auto i) { return gelutanh<i.lanes>(from[i]); });
}

void gelutanh_backward(In dy, In x, Out dx) {
  const auto up = dy.row(), at = x.row();
  parallel_map(dx, [=](auto i) { return up[i] * gelutanh_slope<i.lanes>(at[i]); });
}

}  // namespace ISA
