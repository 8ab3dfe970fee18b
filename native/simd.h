// Lanes of f32 in the width of the instruction set, and the functions that kernels need on them.
//
// Elementary functions follow Cody & Waite range reduction with minimax polynomials; errors are measured against f64
// over the whole range by test/simd.test.ts.
#pragma once
#include <cstddef>
#include <cstdint>

#include "contract.h"
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(TRAINFORMER_NEON)
#include <arm_neon.h>
#endif

namespace ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#elif defined(TRAINFORMER_NEON)  // not __ARM_NEON: every ARM64 has it, so the scalar kernels are compiled with it too
constexpr int kLanes = 4;
#else
constexpr int kLanes = 1;
#endif

struct bf16 {
  std::uint16_t bits;
};

template <int N>
struct VectorOf {
  typedef float f32 __attribute__((vector_size(4 * N), aligned(4), may_alias));
  typedef std::int32_t i32 __attribute__((vector_size(4 * N), aligned(4), may_alias));
  typedef std::uint32_t u32 __attribute__((vector_size(4 * N), aligned(4), may_alias));
  typedef std::uint16_t u16 __attribute__((vector_size(2 * N), aligned(2), may_alias));
};
template <int N>
using Vec = typename VectorOf<N>::f32;
template <int N>
using IntVec = typename VectorOf<N>::i32;
template <int N>
using WordVec = typename VectorOf<N>::u32;
template <int N>
using HalfVec = typename VectorOf<N>::u16;

// Elements [at, at + N) of a row.
template <int N>
struct Lanes {
  static constexpr int lanes = N;
  Index at;
};

template <int N>
inline Vec<N> splat(float x) { return x - Vec<N>{}; }

// A vector from or to memory of any alignment. (Not through a pointer to a vector type: templates lose its alignment.)
template <class V, class T>
inline V read_vector(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
inline void write_vector(T* p, V v) { __builtin_memcpy(p, &v, sizeof v); }

template <int N>
inline Vec<N> load(const float* p) { return read_vector<Vec<N>>(p); }
template <int N>
inline void store(float* p, Vec<N> v) { write_vector(p, v); }

// Whole vectors to memory that is not read soon: past the caches, without reading the lines first. `p` must be aligned
// to the vector; what another thread reads later needs finish_streams() before this one is done.
template <int N>
inline void stream(float* p, Vec<N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return _mm512_stream_ps(p, (__m512)v);
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return _mm256_stream_ps(p, (__m256)v);
#endif
  store<N>(p, v);
}
inline void finish_streams() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

// Lanes of 16 bits to 32 and back. (GCC 12 converts them in detours.)
template <int N>
inline WordVec<N> widen(HalfVec<N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (WordVec<N>)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)v);
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return (WordVec<N>)_mm256_cvtepu16_epi32((__m128i)v);
#elif defined(TRAINFORMER_NEON)
  if constexpr (N == 4) return (WordVec<N>)vmovl_u16((uint16x4_t)v);
#endif
  return __builtin_convertvector(v, WordVec<N>);
}
template <int N>
inline HalfVec<N> narrow(WordVec<N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (HalfVec<N>)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)v);
#elif defined(TRAINFORMER_NEON)
  if constexpr (N == 4) return (HalfVec<N>)vmovn_u32((uint32x4_t)v);
#endif
  return __builtin_convertvector(v, HalfVec<N>);
}

template <int N>
inline Vec<N> load(const bf16* p) { return (Vec<N>)(widen<N>(read_vector<HalfVec<N>>(p)) << 16); }
// The bits of v in bf16, each in the lower half of a word: to nearest, ties to even; NaN stays NaN.
template <int N>
inline WordVec<N> rounded_bits(Vec<N> v) {
  const WordVec<N> u = (WordVec<N>)v;
  const WordVec<N> rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  const WordVec<N> nan = (u >> 16) | 0x40;
  return (u & 0x7fffffff) > 0x7f800000 ? nan : rounded;
}
template <int N>
inline void store(bf16* p, Vec<N> v) {
#if defined(__AVX512BF16__)
  if constexpr (N == 16) return write_vector(p, _mm512_cvtneps_pbh((__m512)v));
#endif
  write_vector(p, narrow<N>(rounded_bits<N>(v)));
}

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) { return load<1>(&x)[0]; }
inline void assign(float& to, float x) { to = x; }
inline void assign(bf16& to, float x) { store<1>(&to, Vec<1>{x}); }

// f(lanes) over [begin, end): whole vectors, then one element at a time.
template <class F>
inline void each(Index begin, Index end, const F& f) {
  Index i = begin;
  for (; i + kLanes <= end; i += kLanes) f(Lanes<kLanes>{i});
  for (; i < end; ++i) f(Lanes<1>{i});
}
template <class F>
inline void each(Index count, const F& f) { each(0, count, f); }

template <int N>
inline Vec<N> max(Vec<N> a, Vec<N> b) { return a > b ? a : b; }
template <int N>
inline Vec<N> min(Vec<N> a, Vec<N> b) { return a < b ? a : b; }

template <int N>
inline float add_lanes(Vec<N> v) {
  float total = 0;
  for (int k = 0; k < N; ++k) total += v[k];
  return total;
}

// Σ f(i): four independent vector sums, so that the additions overlap and their errors stay small.
template <class F>
inline float sum(Index count, const F& f) {
  Vec<kLanes> a{}, b{}, c{}, d{};
  Index i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    a += f(Lanes<kLanes>{i});
    b += f(Lanes<kLanes>{i + kLanes});
    c += f(Lanes<kLanes>{i + 2 * kLanes});
    d += f(Lanes<kLanes>{i + 3 * kLanes});
  }
  for (; i + kLanes <= count; i += kLanes) a += f(Lanes<kLanes>{i});
  float tail = 0;
  for (; i < count; ++i) tail += f(Lanes<1>{i})[0];
  return add_lanes<kLanes>((a + b) + (c + d)) + tail;
}

// max f(i); -inf for an empty row. NaN is not looked for.
template <class F>
inline float maximum(Index count, const F& f) {
  Vec<kLanes> best = splat<kLanes>(-__builtin_inff());
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) best = max<kLanes>(best, f(Lanes<kLanes>{i}));
  float result = -__builtin_inff();
  for (int k = 0; k < kLanes; ++k) result = best[k] > result ? best[k] : result;
  for (; i < count; ++i) {
    const float x = f(Lanes<1>{i})[0];
    result = x > result ? x : result;
  }
  return result;
}

// eˣ. x = n·ln 2 + r with |r| ≤ ln 2 / 2, eʳ by a polynomial of degree 6, 2ⁿ in two factors, of which only the second
// rounds: subnormal results are right, below them comes 0 and above the largest finite number inf.
template <int N>
inline Vec<N> exp(Vec<N> x) {
  const Vec<N> low = splat<N>(-104.f), high = splat<N>(89.f);
  const Vec<N> clamped = x < low ? low : (x > high ? high : x);
  const Vec<N> magic = splat<N>(12582912.f);  // 1.5·2²³: adding it rounds to an integer
  const Vec<N> shifted = clamped * 1.44269504088896341f + magic;
  const Vec<N> n = shifted - magic;
  const Vec<N> r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec<N> p = splat<N>(1.38144742e-3f);
  p = p * r + 8.3687827e-3f;
  p = p * r + 4.16683927e-2f;
  p = p * r + 1.66665196e-1f;
  p = p * r + 4.9999994e-1f;
  p = p * (r * r) + r + 1.f;
#if defined(__AVX512F__)
  if constexpr (N == 16) return (Vec<N>)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)n);
#endif
  const IntVec<N> k = __builtin_convertvector(n, IntVec<N>);
  const IntVec<N> half = k >> 1;
  const Vec<N> first = (Vec<N>)((half + 127) << 23), second = (Vec<N>)((k - half + 127) << 23);
  return p * first * second;
}

template <int N>
inline Vec<N> sigmoid(Vec<N> x) { return 1.f / (1.f + exp<N>(-x)); }

template <int N>
inline Vec<N> abs(Vec<N> x) { return (Vec<N>)((WordVec<N>)x & 0x7fffffff); }
template <int N>
inline Vec<N> copysign(Vec<N> magnitude, Vec<N> sign) {
  return (Vec<N>)(((WordVec<N>)magnitude & 0x7fffffff) | ((WordVec<N>)sign & 0x80000000u));
}

// tanh x: an odd polynomial below 0.625 (where the other form cancels), else 1 − 2 / (e²ˣ + 1).
template <int N>
inline Vec<N> tanh(Vec<N> x) {
  const Vec<N> a = abs<N>(x), z = x * x;
  Vec<N> p = splat<N>(-5.71700325e-3f);
  p = p * z + 2.06505507e-2f;
  p = p * z + -5.37434891e-2f;
  p = p * z + 1.33314908e-1f;
  p = p * z + -3.33332837e-1f;
  const Vec<N> small = p * z * x + x;
  const Vec<N> large = copysign<N>(1.f - 2.f / (exp<N>(a + a) + 1.f), x);
  return a < 0.625f ? small : large;
}

// e^(a²) · erfc a for 0 ≤ a ≤ 10, and held beyond, where e^(−a²) is 0: a polynomial in w = 0.45a / (1 + 0.45a),
// best where erfc counts (1 ulp at 0, 4e-6 relative at 10).
template <int N>
inline Vec<N> erfcx(Vec<N> a) {
  const Vec<N> ka = 0.45f * (a > 10.f ? splat<N>(10.f) : a), w = ka / (1.f + ka);
  Vec<N> p = splat<N>(3.15148011e-2f);
  p = p * w + -1.79481328e-1f;
  p = p * w + 2.46315643e-1f;
  p = p * w + 1.14026219e-1f;
  p = p * w + -2.47288972e-1f;
  p = p * w + -8.88682127e-1f;
  p = p * w + 2.43093944f;
  p = p * w + -2.50751352f;
  return p * w + 1.f;
}

// erf x: an odd polynomial below 0.85, else 1 − erfc x.
template <int N>
inline Vec<N> erf(Vec<N> x) {
  const Vec<N> a = abs<N>(x), z = x * x;
  Vec<N> p = splat<N>(7.85386583e-5f);
  p = p * z + -8.01019778e-4f;
  p = p * z + 5.18832868e-3f;
  p = p * z + -2.68538129e-2f;
  p = p * z + 1.12835854e-1f;
  p = p * z + -3.76126260e-1f;
  p = p * z + 1.28379107e-1f;
  const Vec<N> large = copysign<N>(1.f - exp<N>(-z) * erfcx<N>(a), x);
  return a < 0.85f ? p * x + x : large;
}

}  // namespace ISA
