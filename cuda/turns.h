// Sines and cosines of angles of which the quarter turns are known.
#pragma once
#include "prim.h"

namespace cuda {

struct Direction {
  float cosine, sine;
};

// That of `quarters` · π/2 + angle, |angle| ≤ π/4: polynomials of Cephes (Moshier 1989), to a unit in the
// last place.
PRIMITIVE Direction direction_of(int quarters, float angle) {
  const float z = angle * angle;
  const float sine_terms = fmaf(fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f), z, -1.6666654611e-1f);
  const float cosine_terms =
      fmaf(fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f), z, 4.166664568298827e-2f);
  const float sine = fmaf(sine_terms * z, angle, angle),
              cosine = fmaf(cosine_terms * z, z, fmaf(-0.5f, z, 1.f));
  const float x = quarters & 1 ? -sine : cosine, y = quarters & 1 ? cosine : sine;
  return quarters & 2 ? Direction{-x, -y} : Direction{x, y};
}

}  // namespace cuda
