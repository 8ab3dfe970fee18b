// Gaussian error linear units: gelu (exact) and gelutanh (its approximation by tanh, as in GPT-2).
//
//   x, y [N]
//
//   gelu           y = x · Φ(x) = x · ½ (1 + erf(x / √2))
//   gelutanh       y = x · ½ (1 + tanh u)    u = √(2/π) (x + 0.044715 x³)
//   backward       dx = dy · dy/dx, in ../gemm/activations.h
#include "../activation.h"

namespace TABLE {

void gelu_forward(In x, Out y) { map(Activation<cuda::kGelu>{}, y.size[0], y.at(), x.at()); }

void gelu_backward(In dy, In x, Out dx) {
  map(ActivationGradient<cuda::kGelu>{}, dx.size[0], dx.at(), dy.at(), x.at());
}

void gelutanh_forward(In x, Out y) { map(Activation<cuda::kGeluTanh>{}, y.size[0], y.at(), x.at()); }

void gelutanh_backward(In dy, In x, Out dx) {
  map(ActivationGradient<cuda::kGeluTanh>{}, dx.size[0], dx.at(), dy.at(), x.at());
}

}  // namespace TABLE
