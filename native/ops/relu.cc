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
  const auto to = y.row();
  parallel_each(x.size[0], [&](auto i) { to.set(i, relu<i.lanes>(from[i])); });
}

void relu_backward(In dy, In x, Out dx) {
  const auto up = dy.row(), at = x.row();
  const auto to = dx.row();
  parallel_each(x.size[0], [&](auto i) {
    const auto dy_i = up[i];
    to.set(i, at[i] > 0.f ? dy_i : splat<i.lanes>(0.f));
  });
}

}  // namespace ISA
