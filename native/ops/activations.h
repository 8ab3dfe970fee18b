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
inline Vec<N> clamp(Vec<N> x, float low, float high) {
  return x < splat<N>(low) ? splat<N>(low) : (x > splat<N>(high) ? splat<N>(high) : x);
}

// Φ(x), given φ = e^(−x²/2).
template <int N>
inline Vec<N> normal_cdf(Vec<N> x, Vec<N> bell) {
  const Vec<N> tail = 0.5f * bell * erfcx<N>(abs<N>(x) * 0.70710678118654752f);
  return x < 0.f ? tail : 1.f - tail;
}

template <int N>
inline Vec<N> gelu(Vec<N> x) { return x * normal_cdf<N>(x, exp<N>(-0.5f * x * x)); }
template <int N>
inline Vec<N> gelu_slope(Vec<N> x) {
  const Vec<N> near = clamp<N>(x, -20.f, 20.f), bell = exp<N>(-0.5f * near * near);
  return normal_cdf<N>(near, bell) + near * bell * 0.39894228040143268f;
}

// 2u = x · (k + k' x²)
constexpr float kGeluTanh = 1.5957691216057308f, kGeluTanhCubic = kGeluTanh * 0.044715f;
template <int N>
inline Vec<N> gelutanh(Vec<N> x) { return x * sigmoid<N>(x * (kGeluTanh + kGeluTanhCubic * (x * x))); }
template <int N>
inline Vec<N> gelutanh_slope(Vec<N> x) {
  const Vec<N> near = clamp<N>(x, -10.f, 10.f), square = near * near;
  const Vec<N> e = exp<N>(-near * (kGeluTanh + kGeluTanhCubic * square)), s = 1.f / (1.f + e);
  return s + near * s * (e * s) * (kGeluTanh + 3.f * kGeluTanhCubic * square);
}

template <int N>
inline Vec<N> relu(Vec<N> x) { return x < 0.f ? splat<N>(0.f) : x; }
template <int N>
inline Vec<N> relu_slope(Vec<N> x) { return x > 0.f ? splat<N>(1.f) : splat<N>(0.f); }

template <int N>
inline Vec<N> silu(Vec<N> x) { return x * sigmoid<N>(x); }
template <int N>
inline Vec<N> silu_slope(Vec<N> x) {
  const Vec<N> near = clamp<N>(x, -87.f, 87.f), e = exp<N>(-near), s = 1.f / (1.f + e);
  return s + near * s * (e * s);
}

}  // namespace ISA
