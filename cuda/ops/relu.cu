// Rectified linear unit.
//
//   x, y [N]
//
//   forward        y  = max(x, 0), NaN for NaN
//   backward       dx = dy where x > 0, else 0
#include "../activation.h"

namespace TABLE {

void relu_forward(In x, Out y) { map(Activation<cuda::kRelu>{}, y.size[0], y.at(), x.at()); }

struct ReluGradient {
  PRIMITIVE float operator()(float dy, float x) const { return x > 0.f ? dy : 0.f; }
};

void relu_backward(In dy, In x, Out dx) { map(ReluGradient{}, dx.size[0], dx.at(), dy.at(), x.at()); }

}  // namespace TABLE
