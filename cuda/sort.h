// A stable sort of positions by key: the least significant digit first. Equal keys stay in the order of their
// positions, so what follows that order has the same bits every time.
#pragma once
#include "kernel.h"

namespace TABLE {

constexpr int kMaxDigitBits = 8, kMaxDigits = 1 << kMaxDigitBits;
constexpr unsigned kSortBlock = 256, kSortWarps = kSortBlock / 32;
constexpr int kSortRounds = 4;                         // keys of a thread
constexpr Index kSortTile = kSortBlock * kSortRounds;  // keys of a block

struct Digit {
  int shift, bits;
  PRIMITIVE unsigned of(std::int32_t key) const {
    return (static_cast<unsigned>(key) >> shift) & ((1u << bits) - 1);
  }
};

// Keys to sort: those before the pass, or at first the ids, of which all that are not in [0, limit) count as
// `limit`.
struct SortInput {
  const std::int32_t *keys, *positions;  // no positions: 0, 1, …
  Index count, limit;
  PRIMITIVE std::int32_t key(Index i) const {
    const std::int32_t key = keys[i];
    return key >= 0 && key < limit ? key : static_cast<std::int32_t>(limit);
  }
  PRIMITIVE std::int32_t position(Index i) const {
    return positions ? positions[i] : static_cast<std::int32_t>(i);
  }
};

// counts [kSortWarps, kMaxDigits]: how many keys of each digit every warp of this block has. Of each of the
// thread's keys, which the warp has in rounds of 32: its digit, and how many before it in the warp have the
// same.
PRIMITIVE void rank_digits(const SortInput& in, Digit digit, unsigned* counts,
                           unsigned (&digits)[kSortRounds], unsigned (&ranks)[kSortRounds]) {
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, mine = warp * kMaxDigits;
  for (unsigned d = threadIdx.x; d < kSortWarps * kMaxDigits; d += kSortBlock) counts[d] = 0;
  __syncthreads();
  const Index begin = blockIdx.x * kSortTile + Index{warp} * 32 * kSortRounds;
  UNROLL
  for (int round = 0; round < kSortRounds; ++round) {
    const Index i = begin + round * 32 + lane;
    digits[round] = i < in.count ? digit.of(in.key(i)) : 0;
    unsigned same = __ballot_sync(0xffffffffu, i < in.count);
    for (int bit = 0; bit < digit.bits; ++bit) {
      const bool is_set = digits[round] >> bit & 1;
      const unsigned set = __ballot_sync(0xffffffffu, is_set);
      same &= is_set ? set : ~set;
    }
    const unsigned before = same & ((1u << lane) - 1);
    ranks[round] = counts[mine + digits[round]] + __popc(before);
    __syncwarp();
    if (i < in.count && before == 0) counts[mine + digits[round]] += __popc(same);
    __syncwarp();
  }
  __syncthreads();
}

// totals [blocks, kMaxDigits]
__global__ void __launch_bounds__(kSortBlock) count_digits(SortInput in, Digit digit, unsigned* totals) {
  DYNAMIC_SHARED(shared);
  auto* const counts = reinterpret_cast<unsigned*>(shared);
  unsigned digits[kSortRounds], ranks[kSortRounds], total = 0;
  rank_digits(in, digit, counts, digits, ranks);
  for (unsigned warp = 0; warp < kSortWarps; ++warp) total += counts[warp * kMaxDigits + threadIdx.x];
  totals[blockIdx.x * kMaxDigits + threadIdx.x] = total;
}

__global__ void __launch_bounds__(kSortBlock)
    scatter_by_digit(SortInput in, Digit digit, const unsigned* totals, std::int32_t* keys,
                     std::int32_t* positions) {
  DYNAMIC_SHARED(shared);
  auto* const counts = reinterpret_cast<unsigned*>(shared);
  unsigned* const sums = counts + kSortWarps * kMaxDigits;
  unsigned digits[kSortRounds], ranks[kSortRounds];
  rank_digits(in, digit, counts, digits, ranks);
  // A thread has a digit: where the keys of this block that have it begin.
  unsigned before = 0, all = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) {
    const unsigned total = totals[block * kMaxDigits + threadIdx.x];
    if (block < blockIdx.x) before += total;
    all += total;
  }
  unsigned sum = all;  // and of smaller digits
  for (unsigned step = 1; step < kMaxDigits; step *= 2) {
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= step) sum += sums[threadIdx.x - step];
    __syncthreads();
  }
  unsigned start = sum - all + before;
  for (unsigned warp = 0; warp < kSortWarps; ++warp) {
    unsigned& count = counts[warp * kMaxDigits + threadIdx.x];
    const unsigned of_warp = count;
    count = start;
    start += of_warp;
  }
  __syncthreads();
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  UNROLL
  for (int round = 0; round < kSortRounds; ++round) {
    const Index i = blockIdx.x * kSortTile + Index{warp * kSortRounds + round} * 32 + lane;
    if (i >= in.count) continue;
    const unsigned to = counts[warp * kMaxDigits + digits[round]] + ranks[round];
    keys[to] = in.key(i);
    positions[to] = in.position(i);
  }
}

struct Sorted {
  const std::int32_t *keys, *positions;
};

// The ids in order and where they were; those that are not in [0, limit) come last, as `limit`.
inline Sorted sort_ids(const std::int32_t* ids, Index count, Index limit, Scratch& scratch) {
  static_assert(kSortBlock == kMaxDigits, "a thread has a digit");
  int bits = 1;
  while (limit >> bits) ++bits;
  const int passes = static_cast<int>(ceil_div(bits, kMaxDigitBits)),
            digit_bits = static_cast<int>(ceil_div(bits, passes));
  const Index blocks = ceil_div(count, kSortTile);
  auto* const totals = scratch.take<unsigned>(blocks * kMaxDigits);
  std::int32_t* buffers[2];
  for (auto& buffer : buffers) buffer = scratch.take<std::int32_t>(2 * count);
  SortInput in{ids, nullptr, count, limit};
  for (int pass = 0; pass < passes; ++pass) {
    const Digit digit{pass * digit_bits, digit_bits};
    std::int32_t *const keys = buffers[pass % 2], *const positions = keys + count;
    constexpr std::size_t kCountsBytes = kSortWarps * kMaxDigits * sizeof(unsigned);
    launch(count_digits, static_cast<unsigned>(blocks), kSortBlock, kCountsBytes, in, digit, totals);
    launch(scatter_by_digit, static_cast<unsigned>(blocks), kSortBlock,
           kCountsBytes + kMaxDigits * sizeof(unsigned), in, digit, totals, keys, positions);
    in.keys = keys;
    in.positions = positions;
  }
  return {in.keys, in.positions};
}

}  // namespace TABLE
