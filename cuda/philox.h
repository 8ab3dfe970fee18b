// Philox4x32-10, the counter-based random number generator of Salmon, Moraes, Dror & Shaw 2011, "Parallel
// random numbers: as easy as 1, 2, 3": the words that the processor's kernels draw (../native/ops/philox.h).
//
//   a round        a = M0·x0    b = M1·x2
//                  x = (high(b) ⊕ x1 ⊕ k0, low(b), high(a) ⊕ x3 ⊕ k1, low(a))
//                  k = (k0 + W0, k1 + W1)                                              ten of them
//
// Element i of a random tensor, or of a mask, has word i % 4 of the block with the counter position + ⌊i /
// 4⌋.
#pragma once
#include "prim.h"

namespace cuda {

// The four words of the counter (counter, 0) under the key `seed`.
PRIMITIVE uint4 philox_block(std::uint64_t seed, std::uint64_t counter) {
  auto key_low = static_cast<std::uint32_t>(seed), key_high = static_cast<std::uint32_t>(seed >> 32);
  uint4 x;
  x.x = static_cast<std::uint32_t>(counter), x.y = static_cast<std::uint32_t>(counter >> 32), x.z = x.w = 0;
  UNROLL
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xd2511f53u} * x.x, b = std::uint64_t{0xcd9e8d57u} * x.z;
    x.x = static_cast<std::uint32_t>(b >> 32) ^ x.y ^ key_low;
    x.y = static_cast<std::uint32_t>(b);
    x.z = static_cast<std::uint32_t>(a >> 32) ^ x.w ^ key_high;
    x.w = static_cast<std::uint32_t>(a);
    key_low += 0x9e3779b9u;
    key_high += 0xbb67ae85u;
  }
  return x;
}

// Word → uniform in [0, 1): its upper 24 bits.
PRIMITIVE float uniform_of(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 5.9604644775390625e-8f;
}

// Dropout keeps an element if its uniform u ≥ p: as a comparison of integers, with a threshold made once.
inline std::uint32_t dropout_threshold(float p) { return static_cast<std::uint32_t>(ceilf(p * 16777216.f)); }
PRIMITIVE bool dropout_keeps(std::uint32_t word, std::uint32_t threshold) { return (word >> 8) >= threshold; }
// What is kept is scaled so that the mean stays.
inline float dropout_scale(float p) { return p <= 0 ? 1 : p < 1 ? 1 / (1 - p) : 0; }

}  // namespace cuda
