// Sigmoid linear unit (swish).
//
//   x, y [N]
//
//   forward        y  = x · σ(x)    σ(x) = 1 / (1 + e^(−x))
//   backward       dx = dy · (σ + x · σ (1 − σ))
#include "../activation.h"

namespace TABLE {

void silu_forward(In x, Out y) { map(Activation<cuda::kSilu>{}, y.size[0], y.at(), x.at()); }

void silu_backward(In dy, In x, Out dx) {
  map(ActivationGradient<cuda::kSilu>{}, dx.size[0], dx.at(), dy.at(), x.at());
}

}  // namespace TABLE
