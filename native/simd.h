// Lanes of f32 in the width of the instruction set, and the functions that kernels need on them.
//
// Elementary functions are within 2 ulp of the exact value: test/simd.test.ts compares them with f64 over their range.
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

// Words from and to their lower halves. (What the compiler makes of a conversion by itself takes more instructions.)
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
  if constexpr (N == 8) return (HalfVec<N>)_mm256_cvtepi32_epi16((__m256i)v);
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
// The same, narrowed; the processor's own instruction makes subnormals zero.
template <int N>
inline HalfVec<N> rounded(Vec<N> v) {
#if defined(__AVX512BF16__)
  if constexpr (N == 16) return (HalfVec<N>)_mm512_cvtneps_pbh((__m512)v);
#endif
  return narrow<N>(rounded_bits<N>(v));
}
template <int N>
inline void store(bf16* p, Vec<N> v) { write_vector(p, rounded<N>(v)); }

// Stores past the caches, to multiples of the size of what is stored. Other threads see it after parallel_chunks.
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
template <int N>
inline void stream(bf16* p, Vec<N> v) {
#if defined(__AVX2__)
  if constexpr (N == 16) return _mm256_stream_si256((__m256i*)p, (__m256i)rounded<N>(v));
  if constexpr (N == 8) return _mm_stream_si128((__m128i*)p, (__m128i)rounded<N>(v));
#endif
  store<N>(p, v);
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

// b where either is NaN.
template <int N>
inline Vec<N> max(Vec<N> a, Vec<N> b) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (Vec<N>)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
#endif
  return a > b ? a : b;
}
template <int N>
inline Vec<N> min(Vec<N> a, Vec<N> b) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return (Vec<N>)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b);
#endif
  return a < b ? a : b;
}

// f over all lanes: of the halves of a vector, then of the halves of that.
template <int N, class F>
inline float fold_lanes(Vec<N> v, const F& f) {
  if constexpr (N == 16) {
    return fold_lanes<8>(f(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                           __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)),
                         f);
  } else if constexpr (N == 8) {
    return fold_lanes<4>(f(__builtin_shufflevector(v, v, 0, 1, 2, 3), __builtin_shufflevector(v, v, 4, 5, 6, 7)), f);
  } else if constexpr (N == 4) {
    const Vec<4> pairs = f(v, (Vec<4>)__builtin_shufflevector(v, v, 2, 3, 2, 3));
    return f(pairs, (Vec<4>)__builtin_shufflevector(pairs, pairs, 1, 1, 1, 1))[0];
  } else {
    static_assert(N == 1);
    return v[0];
  }
}
template <int N>
inline float add_lanes(Vec<N> v) {
  return fold_lanes<N>(v, [](auto a, auto b) { return a + b; });
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

// Several sums in one pass, into totals: f(i) returns their terms.
template <int N, int K>
struct Terms {
  Vec<N> of[K];
};
template <int K, class F>
inline void sums(Index count, float (&totals)[K], const F& f) {
  constexpr int kChains = 4;
  Vec<kLanes> chain[kChains][K] = {};
  float tail[K] = {};
  Index i = 0;
  for (; i + kChains * kLanes <= count; i += kChains * kLanes)
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      const Terms<kLanes, K> terms = f(Lanes<kLanes>{i + c * kLanes});
      for (int k = 0; k < K; ++k) chain[c][k] += terms.of[k];
    }
  for (; i + kLanes <= count; i += kLanes) {
    const Terms<kLanes, K> terms = f(Lanes<kLanes>{i});
    for (int k = 0; k < K; ++k) chain[0][k] += terms.of[k];
  }
  for (; i < count; ++i) {
    const Terms<1, K> terms = f(Lanes<1>{i});
    for (int k = 0; k < K; ++k) tail[k] += terms.of[k][0];
  }
  for (int k = 0; k < K; ++k)
    totals[k] = add_lanes<kLanes>((chain[0][k] + chain[1][k]) + (chain[2][k] + chain[3][k])) + tail[k];
}

// max f(i); -inf for an empty row. NaN is not looked for.
template <class F>
inline float maximum(Index count, const F& f) {
  Vec<kLanes> a = splat<kLanes>(-__builtin_inff()), b = a, c = a, d = a;
  Index i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    a = max<kLanes>(a, f(Lanes<kLanes>{i}));
    b = max<kLanes>(b, f(Lanes<kLanes>{i + kLanes}));
    c = max<kLanes>(c, f(Lanes<kLanes>{i + 2 * kLanes}));
    d = max<kLanes>(d, f(Lanes<kLanes>{i + 3 * kLanes}));
  }
  for (; i + kLanes <= count; i += kLanes) a = max<kLanes>(a, f(Lanes<kLanes>{i}));
  a = max<kLanes>(max<kLanes>(a, b), max<kLanes>(c, d));
  float result = fold_lanes<kLanes>(a, [](auto u, auto v) { return u > v ? u : v; });
  for (; i < count; ++i) {
    const float x = f(Lanes<1>{i})[0];
    result = x > result ? x : result;
  }
  return result;
}

#if defined(__AVX512F__)
// eˣ = 2ⁿ · 2^(k/16) · eʳ with |r| ≤ ln 2 / 32: 2^(k/16) out of a register, eʳ by a polynomial of degree 3.
// Multiplications are what limits a loop of these, and this way takes few.
inline Vec<16> exp_by_table(Vec<16> clamped) {
  const Vec<16> table = {1.f,         1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f,
                         1.29683955f, 1.35425555f, 1.41421356f, 1.47682615f, 1.54221083f, 1.61049033f,
                         1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f};
  const Vec<16> magic = splat<16>(786432.f);  // 1.5·2¹⁹: adding it rounds to sixteenths, k in the lowest bits
  const Vec<16> shifted = clamped * 1.44269504088896341f + magic;
  const Vec<16> n = shifted - magic;
  const Vec<16> r = (clamped - n * 0.693147182f) + n * 1.904654e-9f;
  const Vec<16> power = (Vec<16>)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)shifted, (__m512)table);
  const Vec<16> p = (1.66666672e-1f * r + 0.5f) * r + 1.f;
  return (Vec<16>)_mm512_maskz_scalef_ps(0xffff, (__m512)((power * r) * p + power), (__m512)n);
}
#endif

// eˣ, subnormal results too; 0 below them and inf above the largest finite number. x = n·ln 2 + r with |r| ≤ ln 2 / 2,
// eʳ by a polynomial of degree 6, 2ⁿ in two factors, of which only the second rounds.
template <int N>
inline Vec<N> exp(Vec<N> x) {
  const Vec<N> low = splat<N>(-104.f), high = splat<N>(89.f);
  const Vec<N> clamped = min<N>(high, max<N>(low, x));  // in this order NaN stays
#if defined(__AVX512F__)
  if constexpr (N == 16) return exp_by_table(clamped);
#endif
  const Vec<N> magic = splat<N>(12582912.f);  // 1.5·2²³: adding it rounds to an integer
  const Vec<N> shifted = clamped * 1.44269504088896341f + magic;
  const Vec<N> n = shifted - magic;
  const Vec<N> r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec<N> p = splat<N>(1.38144742e-3f);
  p = p * r + 8.3687827e-3f;
  p = p * r + 4.16683927e-2f;
  p = p * r + 1.66665196e-1f;
  p = p * r + 4.9999994e-1f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  const IntVec<N> k = __builtin_convertvector(n, IntVec<N>);
  const IntVec<N> half = k >> 1;
  const Vec<N> first = (Vec<N>)((half + 127) << 23), second = (Vec<N>)((k - half + 127) << 23);
  return p * first * second;
}

// Whether a comparison holds in any lane.
template <int N>
inline bool any(IntVec<N> holds) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return _mm512_movepi32_mask((__m512i)holds) != 0;
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return _mm256_movemask_ps((__m256)holds) != 0;
#endif
  bool result = false;
  for (int k = 0; k < N; ++k) result |= holds[k] != 0;
  return result;
}

template <int N>
inline Vec<N> abs(Vec<N> x) { return (Vec<N>)((WordVec<N>)x & 0x7fffffff); }

// 1 / x for 2⁻¹²⁶ ≤ |x| ≤ 2¹²⁶, to 1 ulp: division is slow where vectors are long, a step of Newton's method is not.
template <int N>
inline Vec<N> reciprocal(Vec<N> x) {
#if defined(__AVX512F__)
  if constexpr (N == 16) {
    const Vec<N> guess = (Vec<N>)_mm512_maskz_rcp14_ps(0xffff, (__m512)x);
    return guess + guess * (1.f - x * guess);
  }
#endif
  return 1.f / x;
}

}  // namespace ISA
