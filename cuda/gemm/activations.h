// Activation functions and their slopes, by the numbers that kernels.def has for them. Formulas, and why
// arguments are held within bounds: ../../native/ops/activations.h.
#pragma once
#include "../prim.h"

namespace cuda {

constexpr int kNoActivation = 0, kGelu = 1, kGeluTanh = 2, kRelu = 3, kSilu = 4;

// Φ(x) for |x| ≤ 14, given e^(−x²/2).
PRIMITIVE float normal_cdf(float x, float bell) {
  const float kx = fabsf(x) * 0.318198052f, w = kx / (1.f + kx);
  float p = 0.0157574006f;
  p = fmaf(p, w, -0.089740664f);
  p = fmaf(p, w, 0.123157822f);
  p = fmaf(p, w, 0.0570131095f);
  p = fmaf(p, w, -0.123644486f);
  p = fmaf(p, w, -0.444341064f);
  p = fmaf(p, w, 1.21546972f);
  p = fmaf(p, w, -1.25375676f);
  const float tail = bell * fmaf(p, w, 0.5f);
  return x < 0.f ? tail : 1.f - tail;
}

// 2u = x · (k + k′ x²)
constexpr float kGeluTanhLinear = 1.5957691216057308f, kGeluTanhCubic = kGeluTanhLinear * 0.044715f;

// x, or the nearer end of [low, high]; NaN stays NaN.
PRIMITIVE float clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

PRIMITIVE float activate(int activation, float x) {
  if (activation == kRelu) return x < 0.f ? 0.f : x;
  if (activation == kGelu) {
    const float near = clamp(x, -14.f, 14.f);
    return (x < -14.f ? -14.f : x) * normal_cdf(near, expf(-0.5f * near * near));
  }
  // x · σ(z)
  if (activation == kGeluTanh) {
    const float near = x < -9.5f ? -9.5f : x;
    return near / (1.f + expf(-near * fmaf(kGeluTanhCubic, near * near, kGeluTanhLinear)));
  }
  if (activation == kSilu) {
    const float near = x < -87.f ? -87.f : x;
    return near / (1.f + expf(-near));
  }
  return x;
}

PRIMITIVE float activation_slope(int activation, float x) {
  if (activation == kRelu) return x > 0.f ? 1.f : 0.f;
  if (activation == kGelu) {
    const float near = clamp(x, -14.f, 14.f), bell = expf(-0.5f * near * near);
    return fmaf(near * bell, 0.39894228040143268f, normal_cdf(near, bell));
  }
  // σ + x · σ (1 − σ) · z′
  const bool tanh = activation == kGeluTanh;
  const float bound = tanh ? 9.5f : 87.f, near = clamp(x, -bound, bound), square = near * near;
  const float z = tanh ? near * fmaf(kGeluTanhCubic, square, kGeluTanhLinear) : near;
  const float e = expf(-z), s = 1.f / (1.f + e);
  return fmaf(near * s * (e * s), tanh ? fmaf(3.f * kGeluTanhCubic, square, kGeluTanhLinear) : 1.f, s);
}

}  // namespace cuda
