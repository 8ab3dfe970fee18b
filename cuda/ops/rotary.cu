// Rotary positions (Su et al. 2021), halves of a head rotated against each other as in GPT-NeoX and Llama.
//
//   x, y [B, T, H, D]    cos, sin [T, E]    E = D / 2
//
//   y₁ = x₁ · cos − x₂ · sin · direction               x₁ = x[0 : E], x₂ = x[E : D]
//   y₂ = x₂ · cos + x₁ · sin · direction
//
// Direction −1 is the inverse, and so the gradient: the rotation is orthogonal. y may be x. Nothing is done
// unless D = 2E.
#include "../axes.h"
#include "../floats.h"

namespace TABLE {

template <int V>
__global__ void rotary_heads(In x, In32 cos, In32 sin, Out y, float direction) {
  const Index B = x.size[0], T = x.size[1], H = x.size[2], E = cos.size[1];
  Index head, piece, token, b, t, h;
  cuda::row_grid_place(E / V, &head, &piece);
  if (head >= B * T * H || piece >= E / V) return;
  cuda::divide(head, H, &token, &h);
  cuda::divide(token, T, &b, &t);
  const Index i = piece * V;
  const Real* const from = x.at(b, t, h) + i;
  Real* const into = y.at(b, t, h) + i;
  const Floats<V> x_1 = load<V>(from), x_2 = load<V>(from + E);
  const Floats<V> cosine = load<V>(cos.at(t) + i), sine = load<V>(sin.at(t) + i);
  Floats<V> y_1, y_2;
  UNROLL
  for (int k = 0; k < V; ++k) {
    const float s = sine[k] * direction;
    y_1[k] = x_1[k] * cosine[k] - x_2[k] * s;
    y_2[k] = x_2[k] * cosine[k] + x_1[k] * s;
  }
  store<V>(into, y_1);
  store<V>(into + E, y_2);
}

void rotary_forward(In x, In32 cos, In32 sin, Out y, float direction) {
  const Index E = cos.size[1];
  if (x.size[3] != 2 * E || E == 0) return;
  const bool wide = E % kWide == 0 && is_wide(x, 4) && is_wide(y, 4) && is_wide(cos, 2) && is_wide(sin, 2);
  const cuda::RowGrid cover(x.size[0] * x.size[1] * x.size[2], E / (wide ? kWide : 1));
  launch(wide ? rotary_heads<kWide> : rotary_heads<1>, cover.grid, cover.block, 0, x, cos, sin, y, direction);
}

}  // namespace TABLE
