// What the processor can do at best, for benchmarks to compare with.
//
//   peak_fma       y [N]    Σ of accumulators in registers, after `count` steps a ← a · x₀ + x₁ in all
//   peak_read      y [M]    Σ of one of M pieces of x
//
// An element of y is the work of one thread. The accumulators of peak_fma depend on nothing but themselves;
// they are as many as hide the latency of a multiplication and an addition, and start at different values, so
// that no two of them are the same.
#include "kernel.h"

namespace ISA {

namespace {

constexpr int kChains = 14;
constexpr int kWidth = kLanes > 1 ? kLanes : 4;  // every x86-64 and ARM64 has vectors of 4

}  // namespace

void peak_fma(In32 x, Out32 y, Index count) {
  const auto factor = splat<kWidth>(*x.at(0)), addend = splat<kWidth>(*x.at(1));
  parallel(y.size[0], [&](Index n) {
    Vec<kWidth> chain[kChains];
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) chain[i] = splat<kWidth>(float(i));
    for (Index steps = count / (kChains * kWidth); steps > 0; --steps) {
#pragma GCC unroll 16
      for (int i = 0; i < kChains; ++i) chain[i] = chain[i] * factor + addend;
    }
    for (int i = 1; i < kChains; ++i) chain[0] += chain[i];
    *y.at(n) = add_lanes<kWidth>(chain[0]);
  });
}

void peak_read(In32 x, Out32 y) {
  const Index N = x.size[0], M = y.size[0];
  parallel(M, [&](Index m) {
    const Index begin = N / M * m, end = m == M - 1 ? N : begin + N / M;
    const Row<const float> piece{x.at(begin)};
    *y.at(m) = sum(end - begin, [&](auto i) { return piece[i]; });
  });
}

}  // namespace ISA
