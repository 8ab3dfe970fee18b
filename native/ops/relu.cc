// Rectified linear unit.
//
//   x, y [N]
//
//   forward        y  = max(x, 0), NaN for NaN
//   backward       dx = dy where x > 0, else 0
#include "activations.h"
#include "kernel.h"

namespace ISA {

void relu_forward(In x, Out y) {
  const auto from = x.row();
  parallel_map(y, [=](auto i) { return relu<i.lanes>(from[i]); });
}

void relu_backward(In dy, In x, Out dx) {
  const auto up = dy.row(), at = x.row();
  parallel_map(dx, [=](auto i) {
    const auto dy_i = up[i];
    return at[i] > 0.f ? dy_i : splat<i.lanes>(0.f);
  });
}

}  // namespace ISA
