// Gradients clipped by their norm, as PyTorch's clip_grad_norm_ does, and the root of lanes.
//
//   g = gradient · min(1, maxNorm / (norm + 1e-6)) if there is a norm and maxNorm > 0, else gradient
//
// Norms that are not finite pass through: inf gives factor 0, NaN gives NaN.
#pragma once
#include "kernel.h"

namespace ISA {

struct Clipping {
  float factor = 1;
  Clipping(const In32Opt& norm, double maxNorm) {
    if (!norm || !(maxNorm > 0)) return;
    factor = float(maxNorm) / (*norm.at() + 1e-6f);
    if (factor > 1) factor = 1;
  }
};

template <int N>
inline Vec<N> square_root(Vec<N> x) {
  for (int k = 0; k < N; ++k) x[k] = __builtin_sqrtf(x[k]);
  return x;
}

}  // namespace ISA
