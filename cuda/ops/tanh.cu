// Hyperbolic tangent.
//
//   x, y [N]
//
//   forward        y  = tanh x
//   backward       dx = dy · (1 − tanh² x) = dy · 4e / (1 + e)²        e = e^(−2|x|), which does not overflow
#include "../map.h"

namespace TABLE {

struct Tanh {
  PRIMITIVE float operator()(float x) const { return tanhf(x); }
};
struct TanhGradient {
  PRIMITIVE float operator()(float dy, float x) const {
    const float e = expf(-2.f * fabsf(x)), s = 1.f / (1.f + e);
    return dy * (4.f * e * s * s);
  }
};

void tanh_forward(In x, Out y) { map(Tanh{}, y.size[0], y.at(), x.at()); }

void tanh_backward(In dy, In x, Out dx) { map(TanhGradient{}, dx.size[0], dx.at(), dy.at(), x.at()); }

}  // namespace TABLE
