// Philox4x32-10, the counter-based random number generator of Salmon, Moraes, Dror & Shaw 2011, "Parallel
// random numbers: as easy as 1, 2, 3": four random words are a function of a key of two words and a counter
// of four.
//
//   a round        a = M0·x0    b = M1·x2
//                  x = (high(b) ⊕ x1 ⊕ k0, low(b), high(a) ⊕ x3 ⊕ k1, low(a))
//                  k = (k0 + W0, k1 + W1)                                              ten of them
//
// Words are kept in the low halves of 64-bit lanes, one block of four words a lane: the multiplication reads
// only low halves, and low(M·x) is the product itself, so nothing needs to be masked until the end.
#pragma once
#include "simd.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace ISA {

constexpr int kPhiloxBlocks = kLanes > 1 ? kLanes / 2 : 1;  // computed at once
typedef std::uint64_t PhiloxLanes __attribute__((vector_size(8 * kPhiloxBlocks), aligned(8), may_alias));

// Products of the low halves.
inline PhiloxLanes multiply_words(PhiloxLanes a, std::uint64_t m) {
#if defined(__AVX512F__)
  return (PhiloxLanes)_mm512_maskz_mul_epu32(0xff, (__m512i)a, _mm512_set1_epi64(static_cast<long long>(m)));
#elif defined(__AVX2__)
  return (PhiloxLanes)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(static_cast<long long>(m)));
#elif defined(TRAINFORMER_NEON)
  return (PhiloxLanes)vmull_u32(vmovn_u64((uint64x2_t)a), vdup_n_u32(static_cast<std::uint32_t>(m)));
#else
  return (a & 0xffffffffu) * m;
#endif
}

// K times kPhiloxBlocks blocks. One round waits for the one before: several together keep the multipliers busy.
template <int K>
inline void philox_rounds(std::uint32_t key_low, std::uint32_t key_high, PhiloxLanes (&x)[K][4]) {
  for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 4
    for (auto& [x0, x1, x2, x3] : x) {
      const PhiloxLanes a = multiply_words(x0, 0xd2511f53u), b = multiply_words(x2, 0xcd9e8d57u);
      x0 = (b >> 32) ^ x1 ^ key_low;
      x1 = b;
      x2 = (a >> 32) ^ x3 ^ key_high;
      x3 = a;
    }
    key_low += 0x9e3779b9u;
    key_high += 0xbb67ae85u;
  }
}

// The words of kPhiloxBlocks blocks, one after the other.
inline void store_blocks(std::uint32_t* out, const PhiloxLanes x[4]) {
#if defined(__AVX512F__)
  const WordVec<16> front = __builtin_shufflevector((WordVec<16>)x[0], (WordVec<16>)x[1], 0, 16, 2, 18, 4, 20, 6, 22, 8,
                                                    24, 10, 26, 12, 28, 14, 30);
  const WordVec<16> back = __builtin_shufflevector((WordVec<16>)x[2], (WordVec<16>)x[3], 0, 16, 2, 18, 4, 20, 6, 22, 8,
                                                   24, 10, 26, 12, 28, 14, 30);
  const auto a = (PhiloxLanes)front, b = (PhiloxLanes)back;
  write_vector(out, __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
  write_vector(out + 16, __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
#elif defined(__AVX2__)
  const WordVec<8> front = __builtin_shufflevector((WordVec<8>)x[0], (WordVec<8>)x[1], 0, 8, 2, 10, 4, 12, 6, 14);
  const WordVec<8> back = __builtin_shufflevector((WordVec<8>)x[2], (WordVec<8>)x[3], 0, 8, 2, 10, 4, 12, 6, 14);
  const auto a = (PhiloxLanes)front, b = (PhiloxLanes)back;
  write_vector(out, __builtin_shufflevector(a, b, 0, 4, 1, 5));
  write_vector(out + 8, __builtin_shufflevector(a, b, 2, 6, 3, 7));
#else
  for (int i = 0; i < kPhiloxBlocks; ++i)
    for (int k = 0; k < 4; ++k) out[4 * i + k] = static_cast<std::uint32_t>(x[k][i]);
#endif
}

// The 4·blocks words of the counters (first + i, 0), i in [0, blocks), under the key `seed`.
inline void philox_blocks(std::uint64_t seed, std::uint64_t first, Index blocks, std::uint32_t* out) {
  const auto key_low = static_cast<std::uint32_t>(seed), key_high = static_cast<std::uint32_t>(seed >> 32);
  constexpr int kGroups = kLanes > 1 ? kLanes / 4 : 1;  // as many as registers hold
  constexpr Index kStep = kGroups * kPhiloxBlocks;
  PhiloxLanes counter{};
  for (int k = 0; k < kPhiloxBlocks; ++k) counter[k] = first + static_cast<std::uint64_t>(k);
  for (Index at = 0; at < blocks; at += kStep) {
    PhiloxLanes x[kGroups][4];
    for (auto& group : x) {
      group[0] = counter, group[1] = counter >> 32, group[2] = group[3] = PhiloxLanes{};
      counter += kPhiloxBlocks;
    }
    philox_rounds(key_low, key_high, x);
    std::uint32_t last[4 * kStep];
    std::uint32_t* const to = blocks - at >= kStep ? out + 4 * at : last;
    for (int k = 0; k < kGroups; ++k) store_blocks(to + 4 * kPhiloxBlocks * k, x[k]);
    if (to == last) __builtin_memcpy(out + 4 * at, last, std::size_t(blocks - at) * 16);
  }
}

// Word → uniform in [0, 1): its upper 24 bits.
template <int N>
inline Vec<N> uniform(const std::uint32_t* words) {
  const WordVec<N> w = read_vector<WordVec<N>>(words);
  return __builtin_convertvector((IntVec<N>)(w >> 8), Vec<N>) * 5.9604644775390625e-8f;
}

}  // namespace ISA
