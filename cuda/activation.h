// Activation functions and their gradients, for map().
#pragma once
#include "gemm/activations.h"
#include "map.h"

namespace TABLE {

template <int kActivation>
struct Activation {
  PRIMITIVE float operator()(float x) const { return cuda::activate(kActivation, x); }
};
template <int kActivation>
struct ActivationGradient {
  PRIMITIVE float operator()(float dy, float x) const { return dy * cuda::activation_slope(kActivation, x); }
};

}  // namespace TABLE
