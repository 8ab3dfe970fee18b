// The functions of attention weights: exponentials, logarithms and the random numbers of dropout.
#pragma once
#include "attention_tiles.h"
#include "philox.h"

namespace ISA {

namespace {

constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
constexpr float kInfinity = __builtin_inff();

// 2ʳ for |r| ≤ ½: a minimax polynomial, relative error 9.2e-8.
inline Vec<kWidth> exp2_fraction(Vec<kWidth> r) {
  Vec<kWidth> p = splat<kWidth>(1.326472731307149e-3f);
  p = p * r + 9.671512991189957e-3f;
  p = p * r + 5.550733581185341e-2f;
  p = p * r + 2.4022242426872253e-1f;
  p = p * r + 6.931470036506653e-1f;
  return p * r + 1.f;
}

// 2ˣ for x ≤ 127: 2ⁿ · 2ʳ with n = round(x). The constant that rounds also adds the bias of the exponent, so
// that its low bits, shifted, are 2ⁿ. Below 2⁻¹²⁶ it is 0 (a subnormal number, where AVX-512 scales), for −∞
// 0.
inline Vec<kWidth> exp2(Vec<kWidth> x) {
#if defined(__AVX512DQ__)
  const Vec<kWidth> r = (Vec<kWidth>)_mm512_maskz_reduce_ps(0xffff, (__m512)x, 0);
  return (Vec<kWidth>)_mm512_maskz_scalef_ps(0xffff, (__m512)exp2_fraction(r), (__m512)(x - r));
#else
  const Vec<kWidth> magic = splat<kWidth>(12582912.f + 127.f);  // 1.5·2²³ + bias
  const Vec<kWidth> shifted = x + magic;
  const Vec<kWidth> p = exp2_fraction(x - (shifted - magic));
  const Vec<kWidth> power = (Vec<kWidth>)((WordVec<kWidth>)shifted << 23);
  return x < -126.f ? Vec<kWidth>{} : p * power;
#endif
}

// log₂ x of normal numbers: x = m·2ᵉ with m in [√½, √2), log m = 2·artanh(t), t = (m − 1) / (m + 1).
inline Vec<kWidth> log2(Vec<kWidth> x) {
  const WordVec<kWidth> bits = (WordVec<kWidth>)x;
  const IntVec<kWidth> e = (IntVec<kWidth>)(bits - 0x3f3504f3u) >> 23;
  const Vec<kWidth> m = (Vec<kWidth>)(bits - ((WordVec<kWidth>)e << 23));
  const Vec<kWidth> t = (m - 1) / (m + 1), z = t * t;
  const Vec<kWidth> series = 1 + z * (1 / 3.f + z * (1 / 5.f + z * (1 / 7.f + z * (1 / 9.f))));
  return __builtin_convertvector(e, Vec<kWidth>) + t * series * 2.885390081777927f;
}

// The random numbers of dropout: element ((b·H + h)·T + i)·S + j of a stream of uniforms is kept if it is ≥
// p.
struct Dropout {
  float p;
  std::uint64_t seed, position;
  explicit operator bool() const { return p > 0; }
  float scale() const { return p <= 0 ? 1 : p < 1 ? 1 / (1 - p) : 0; }

  // out[0, count) = the uniforms from element `first` on. Writes up to padded(count); count ≤ kMost.
  static constexpr Index kMost = 128;
  void uniforms(std::uint64_t first, Index count, float* out) const {
    std::uint32_t words[kMost + kWidth + 8];
    const Index skip = static_cast<Index>(first & 3);
    philox_blocks(seed, position + first / 4, ceil_div(skip + count, 4), words);
    for (Index i = 0; i < count; i += kWidth) store<kWidth>(out + i, uniform<kWidth>(words + skip + i));
  }
};

}  // namespace

}  // namespace ISA
