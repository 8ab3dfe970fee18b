// Gradients clipped by their norm. Formula: ../native/ops/clipping.h.
#pragma once
#include "floats.h"

namespace TABLE {

struct Clipping {
  const float* norm;
  float max_norm;

  Clipping(const In32Opt& norm, double maxNorm)
      : norm(maxNorm > 0 ? norm.at() : nullptr), max_norm(static_cast<float>(maxNorm)) {}

  PRIMITIVE float factor() const {
    if (!norm) return 1;
    const float factor = max_norm / (*norm + 1e-6f);
    return factor > 1 ? 1 : factor;
  }
};

}  // namespace TABLE
