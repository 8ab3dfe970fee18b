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

inline void philox_rounds(std::uint32_t key_low, std::uint32_t key_high, PhiloxLanes x[4]) {
  for (int round = 0; round < 10; ++round) {
    const PhiloxLanes a = multiply_words(x[0], 0xd2511f53u), b = multiply_words(x[2], 0xcd9e8d57u);
    x[0] = (b >> 32) ^ x[1] ^ key_low;
    x[1] = b;
    x[2] = (a >> 32) ^ x[3] ^ key_high;
    x[3] = a;
    key_low += 0x9e3779b9u;
    key_high += 0xbb67ae85u;
  }
}

inline void philox4x32(std::uint32_t key_low, std::uint32_t key_high, const std::uint32_t counter[4],
                       std::uint32_t out[4]) {
  PhiloxLanes x[4];
  for (int k = 0; k < 4; ++k) x[k] = PhiloxLanes{} + counter[k];
  philox_rounds(key_low, key_high, x);
  for (int k = 0; k < 4; ++k) out[k] = static_cast<std::uint32_t>(x[k][0]);
}

// The 4·blocks words of the counters (first + i, 0), i in [0, blocks), under the key `seed`.
inline void philox_blocks(std::uint64_t seed, std::uint64_t first, Index blocks, std::uint32_t* out) {
  const auto key_low = static_cast<std::uint32_t>(seed), key_high = static_cast<std::uint32_t>(seed >> 32);
  PhiloxLanes lane{};
  for (int k = 0; k < kPhiloxBlocks; ++k) lane[k] = static_cast<std::uint64_t>(k);
  for (Index at = 0; at < blocks; at += kPhiloxBlocks) {
    const PhiloxLanes counter = lane + (first + static_cast<std::uint64_t>(at));
    PhiloxLanes x[4] = {counter, counter >> 32, {}, {}};
    philox_rounds(key_low, key_high, x);
    const PhiloxLanes front = (x[0] & 0xffffffffu) | x[1] << 32, back = (x[2] & 0xffffffffu) | x[3] << 32;
    const int count = blocks - at < kPhiloxBlocks ? static_cast<int>(blocks - at) : kPhiloxBlocks;
    for (int k = 0; k < count; ++k) {
      const std::uint64_t pair[2] = {front[k], back[k]};
      __builtin_memcpy(out + 4 * (at + k), pair, sizeof pair);
    }
  }
}

// Words [index, index + count) of the stream of `seed` that starts at counter `position`: word (i & 3) of
// block position + i / 4.
inline void philox_words(std::uint64_t seed, std::uint64_t position, std::uint64_t index, Index count,
                         std::uint32_t* out) {
  std::uint64_t counter = position + index / 4;
  std::uint32_t block[4];
  Index i = 0;
  if (index & 3) {
    philox_blocks(seed, counter++, 1, block);
    for (Index k = static_cast<Index>(index & 3); k < 4 && i < count; ++k) out[i++] = block[k];
  }
  const Index whole = (count - i) / 4;
  philox_blocks(seed, counter, whole, out + i);
  i += 4 * whole;
  if (i == count) return;
  philox_blocks(seed, counter + static_cast<std::uint64_t>(whole), 1, block);
  for (Index k = 0; i < count; ++k) out[i++] = block[k];
}

// Word → uniform in [0, 1): its upper 24 bits.
template <int N>
inline Vec<N> uniform(const std::uint32_t* words) {
  const WordVec<N> w = read_vector<WordVec<N>>(words);
  return __builtin_convertvector((IntVec<N>)(w >> 8), Vec<N>) * 5.9604644775390625e-8f;
}

}  // namespace ISA
