// Activation functions of the feed-forward layers and their slopes, on lanes: gelu.cc, relu.cc and silu.cc apply them
// to tensors, the matrix product to its result while that is still in registers.
//
//   gelu      x · Φ(x), Φ(x) = ½ erfc(−x/√2)           Φ(x) + x · φ(x), φ(x) = e^(−x²/2) / √(2π)
//   gelutanh  x · σ(2u), u = √(2/π) (x + 0.044715 x³)  σ + x · σ (1 − σ) · 2u′, u′ = √(2/π) (1 + 0.134145 x²)
//   relu      max(x, 0)                                1 if x > 0, else 0
//   silu      x · σ(x), σ(x) = 1 / (1 + e^(−x))        σ + x · σ (1 − σ)
//
// ½ (1 + tanh u) = σ(2u), which does not cancel for negative u; neither does Φ by erfc. Far from 0 a slope is
// constant to the last bit that counts, so its argument is held there: infinities never meet zeros. 1 − σ = e · σ. NaN stays NaN.
#pragma once
#include "simd.h"

namespace ISA {

// x, or the nearer end of [low, high].
template <int N>
inline Vec<N> clamp(Vec<N> x, float low, float high) { return min<N>(splat<N>(high), max<N>(splat<N>(low), x)); }

// Φ(x) for |x| ≤ 14, given e^(−x²/2), of which Φ(−|x|) is a multiple: by a polynomial in w = kx / (1 + kx), best where
// Φ counts (1 ulp at 0, 4e-6 relative at −14).
template <int N>
inline Vec<N> normal_cdf(Vec<N> x, Vec<N> bell) {
  const Vec<N> kx = abs<N>(x) * 0.318198052f, w = kx * reciprocal<N>(1.f + kx);
  Vec<N> p = splat<N>(0.0157574006f);
  p = p * w + -0.089740664f;
  p = p * w + 0.123157822f;
  p = p * w + 0.0570131095f;
  p = p * w + -0.123644486f;
  p = p * w + -0.444341064f;
  p = p * w + 1.21546972f;
  p = p * w + -1.25375676f;
  const Vec<N> tail = bell * (p * w + 0.5f);
  return x < 0.f ? tail : 1.f - tail;
}

template <int N>
inline Vec<N> gelu(Vec<N> x) {
  const Vec<N> near = clamp<N>(x, -14.f, 14.f);
  return max<N>(splat<N>(-14.f), x) * normal_cdf<N>(near, exp<N>(-0.5f * near * near));
}
template <int N>
inline Vec<N> gelu_slope(Vec<N> x) {
  const Vec<N> near = clamp<N>(x, -14.f, 14.f), bell = exp<N>(-0.5f * near * near);
  return normal_cdf<N>(near, bell) + near * bell * 0.39894228040143268f;
}

// 2u = x · (k + k' x²)
constexpr float kGeluTanh = 1.5957691216057308f, kGeluTanhCubic = kGeluTanh * 0.044715f;
template <int N>
inline Vec<N> gelutanh(Vec<N> x) {
  const Vec<N> near = max<N>(splat<N>(-9.5f), x);
  return near * reciprocal<N>(1.f + exp<N>(-near * (kGeluTanh + kGeluTanhCubic * (near * near))));
}
template <int N>
inline Vec<N> gelutanh_slope(Vec<N> x) {
  const Vec<N> near = clamp<N>(x, -9.5f, 9.5f), square = near * near;
  const Vec<N> e = exp<N>(-near * (kGeluTanh + kGeluTanhCubic * square)), s = reciprocal<N>(1.f + e);
  return s + near * s * (e * s) * (kGeluTanh + 3.f * kGeluTanhCubic * square);
}

template <int N>
inline Vec<N> relu(Vec<N> x) { return x < 0.f ? splat<N>(0.f) : x; }
template <int N>
inline Vec<N> relu_slope(Vec<N> x) { return x > 0.f ? splat<N>(1.f) : splat<N>(0.f); }

template <int N>
inline Vec<N> silu(Vec<N> x) {
  const Vec<N> near = max<N>(splat<N>(-87.f), x);
  return near * reciprocal<N>(1.f + exp<N>(-near));
}
template <int N>
inline Vec<N> silu_slope(Vec<N> x) {
  const Vec<N> near = clamp<N>(x, -87.f, 87.f), e = exp<N>(-near), s = reciprocal<N>(1.f + e);
  return s + near * s * (e * s);
}

}  // namespace ISA
