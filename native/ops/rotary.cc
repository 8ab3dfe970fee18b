// Rotary positions (Su et al. 2021), halves of a head rotated against each other as in GPT-NeoX and Llama.
//
//   x, y [B, T, H, D]    cos, sin [T, E]    E = D / 2
//
//   y₁ = x₁ · cos − x₂ · sin · direction               x₁ = x[0 : E], x₂ = x[E : D]
//   y₂ = x₂ · cos + x₁ · sin · direction
//
// Direction −1 is the inverse, and so the gradient: the rotation is orthogonal. y may be x. Nothing is done unless
// D = 2E.
#include "kernel.h"

namespace ISA {

void rotary_forward(In x, In32 cos, In32 sin, Out y, float direction) {
  const Index B = x.size[0], T = x.size[1], H = x.size[2], D = x.size[3], E = cos.size[1];
  if (D != 2 * E) return;
  parallel_rows(B * T, H * D, [&](Index n) {
    const Index b = n / T, t = n % T;
    const auto cos_t = cos.row(t), sin_t = sin.row(t);
    for (Index h = 0; h < H; ++h) {
      const auto x_1 = x.row(b, t, h), x_2 = x.row(b, t, h, E);
      const auto y_1 = y.row(b, t, h), y_2 = y.row(b, t, h, E);
      each(E, [&](auto i) {
        const auto a = x_1[i], c = x_2[i], cosine = cos_t[i], sine = sin_t[i] * direction;
        y_1.set(i, a * cosine - c * sine);
        y_2.set(i, c * cosine + a * sine);
      });
    }
  });
}

}  // namespace ISA
