// What the device can do at best, for benchmarks to compare with.
//
//   peak_fma       y [N]    Σ of accumulators in registers, after `count` steps a ← a · x₀ + x₁ in all
//   peak_read      y [M]    Σ of one of M pieces of x
//
// An element of y is the work of one block. The accumulators of peak_fma depend on nothing but themselves,
// and start at different values, so that no two of them are the same.
#include "../rows.h"

namespace TABLE {

constexpr int kChains = 8;

__global__ void __launch_bounds__(kBlock) peak_fma_blocks(In32 x, Out32 y, Index steps) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const float factor = *x.at(0), addend = *x.at(1);
  float chain[kChains];
  UNROLL
  for (int i = 0; i < kChains; ++i) chain[i] = static_cast<float>(i * kBlock + threadIdx.x);
  for (; steps > 0; --steps) {
    UNROLL
    for (int i = 0; i < kChains; ++i) chain[i] = fmaf(chain[i], factor, addend);
  }
  for (int i = 1; i < kChains; ++i) chain[0] += chain[i];
  const float total = team.sum(chain[0]);
  if (threadIdx.x == 0) *y.at(blockIdx.x) = total;
}

void peak_fma(In32 x, Out32 y, Index count) {
  launch(peak_fma_blocks, static_cast<unsigned>(y.size[0]), kBlock, TeamBlock(kBlock).shared_bytes, x, y,
         count / (kChains * kBlock));
}

template <int V>
__global__ void __launch_bounds__(kBlock) peak_read_blocks(In32 x, Out32 y) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const Index N = x.size[0], M = y.size[0], length = N / M, begin = length * blockIdx.x;
  const Index end = blockIdx.x == M - 1 ? N : begin + length;
  float total = 0;
  Index i = begin + Index{threadIdx.x} * V;
  for (; i + V <= end; i += kBlock * V) {
    const Floats<V> x_i = load<V>(x.at() + i);
    UNROLL
    for (int k = 0; k < V; ++k) total += x_i[k];
  }
  for (; i < end; ++i) total += *x.at(i);
  total = team.sum(total);
  if (threadIdx.x == 0) *y.at(blockIdx.x) = total;
}

void peak_read(In32 x, Out32 y) {
  const bool wide = is_wide(x.data) && x.size[0] / y.size[0] % 4 == 0;
  launch(wide ? peak_read_blocks<4> : peak_read_blocks<1>, static_cast<unsigned>(y.size[0]), kBlock,
         TeamBlock(kBlock).shared_bytes, x, y);
}

}  // namespace TABLE
