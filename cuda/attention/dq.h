// Attention backward for queries, bf16 on tensor cores. A block owns queries and walks the tiles of keys that
// they see (see dkv.h for the rest):
//
//   s = q·kᵀ    dp = dy·vᵀ    p = exp2(s · scale · log₂e − lse2)    ds = p ∘ (dp̃ − delta)    dq += ds·k
#pragma once
#include <type_traits>

#include "masks.h"
#include "tiles.h"

namespace attention {

template <int kD, int kTiles, int kKeys, int kWarps>
constexpr int dq_shared_bytes() {
  return 2 * (kWarps * kTiles * 16 + 2 * kKeys) * Tile<kD>::kRowBytes;
}

template <int kD, int kTiles, int kKeys, int kWarps, bool kHoldQueries, bool kDropout, class M>
PRIMITIVE void find_dq(const Problem& the, const M& masks, const Heads<const bf16>& dy,
                       const Heads<const bf16>& q, const Heads<const bf16>& k, const Heads<const bf16>& v,
                       const float* lse2, const float* delta, const Heads<bf16>& dq, Index k_step,
                       Index v_step, bool dq_in_chunks) {
  constexpr int kThreads = kWarps * 32, kWarpRows = kTiles * 16, kRows = kWarps * kWarpRows;
  constexpr int kRowBytes = Tile<kD>::kRowBytes;
  constexpr std::uint32_t kTileBytes = kKeys * kRowBytes, kStage = 2 * kTileBytes;
  constexpr int kSpan = kWarpRows * kKeys / 32;
  static_assert(kSpan <= 32, "a word of dropout a lane");
  DYNAMIC_SHARED(shared);
  const std::uint32_t q_tile = prim::shared_address(shared), dy_tile = q_tile + kRows * kRowBytes,
                      k_tile = dy_tile + kRows * kRowBytes;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int blocks = ceil_div(the.T, kRows), head = blockIdx.x / blocks;
  const auto first_query = [&](int block) { return (blocks - 1 - block % blocks) * kRows; };
  const int i0 = first_query(blockIdx.x), i_last = least(i0 + kRows, the.T) - 1;
  const int keys = the.keys(head / the.H);
  const Walk walk(the.first_seen(i0), the.seen_until(keys, i_last), the.first_seen(i_last),
                  the.seen_until(keys, i0), kKeys);
  int t = walk.end - 1, next = 0;  // next: where some tiles are hidden, the one to be walked after t
  const std::uint8_t* tiles = nullptr;
  if constexpr (M::kAny) {
    tiles = masks.walk_of(head / the.H, i0 / kRows);
    t = tile_from(tiles, t, walk.first);
  }

  const TileLoader<kD, kKeys, kThreads> loader(threadIdx.x, the.D);
  const char *k_from, *v_from;
  {
    const int b = head / the.H, h = head % the.H, g = h / (the.H / the.G), rows = keys - t * kKeys;
    const TileLoader<kD, kRows, kThreads> own(threadIdx.x, the.D);
    const char *q_from = own.start(q.at(b, h, i0), 2 * q.row),
               *dy_from = own.start(dy.at(b, h, i0), 2 * dy.row);
    own.load(q_tile, q_from, -2 * own.kStep * q.row, the.T - i0);
    own.load(dy_tile, dy_from, -2 * own.kStep * dy.row, the.T - i0);
    k_from = loader.start(k.at(b, g, Index{t} * kKeys), 2 * k.row);
    v_from = loader.start(v.at(b, g, Index{t} * kKeys), 2 * v.row);
    if (t >= walk.first) {
      loader.load(k_tile, k_from, k_step, rows);
      loader.load(k_tile + kTileBytes, v_from, v_step, rows);
    }
    prim::copy_async_commit();
  }
  RowOperand<kD, kTiles, kHoldQueries> queries, gradients;
  queries.address = q_tile + warp * kWarpRows * kRowBytes + Tile<kD>::lane_rows(lane);
  gradients.address = queries.address + kRows * kRowBytes;
  const std::uint32_t k_columns = k_tile + Tile<kD>::lane_columns(lane),
                      k_rows = k_tile + Tile<kD>::lane_rows(lane);
  float dq_sum[kTiles][kD / 8][4] = {}, level[kTiles][2], mean[kTiles][2];
  UNROLL
  for (int r = 0; r < kTiles; ++r) {
    UNROLL
    for (int half = 0; half < 2; ++half) {
      const Index at = Index{head} * (ceil_div(the.T, kTimePadding) * kTimePadding) + i0 + warp * kWarpRows +
                       r * 16 + lane / 4 + half * 8;
      level[r][half] = lse2[at], mean[r][half] = delta[at];
    }
  }
  if (kHoldQueries) {
    prim::copy_async_wait<0>();
    __syncthreads();
    queries.hold();
    gradients.hold();
  }
  std::uint32_t stage = 0;

  const auto step = [&](auto masked) {
    constexpr bool kMasked = decltype(masked)::value;
    prim::copy_async_wait<0>();
    __syncthreads();  // the tiles of this step are here, and every warp is done with those of the last one
    if (M::kAny ? next >= walk.first : t > walk.first) {
      if constexpr (M::kAny) {
        const int head = prim::fresh_block_x() / blocks, b = head / the.H, g = head % the.H / (the.H / the.G);
        k_from = loader.start(k.at(b, g, Index{next} * kKeys), 2 * k.row);
        v_from = loader.start(v.at(b, g, Index{next} * kKeys), 2 * v.row);
      }
      const std::uint32_t other = kStage - stage;
      loader.load(k_tile + other, k_from, k_step);
      loader.load(k_tile + kTileBytes + other, v_from, v_step);
    }
    prim::copy_async_commit();
    const int j0 = t * kKeys, lane = prim::fresh_thread() % 32;
    const int i_warp = first_query(prim::fresh_block_x()) + prim::fresh_thread() / 32 * kWarpRows;
    if (!kMasked || (i_warp < the.T && the.first_seen(i_warp) < j0 + kKeys &&
                     j0 < the.seen_until(keys, least(i_warp + kWarpRows, the.T) - 1))) {
      float s[kTiles][kKeys / 8][4] = {}, dp[kTiles][kKeys / 8][4] = {};
      multiply_rows<kD, kTiles, kKeys>(s, queries, k_columns + stage);
      multiply_rows<kD, kTiles, kKeys>(dp, gradients, k_columns + kTileBytes + stage);
      // Which weights dropout keeps: of row lane mod kWarpRows, kSpan keys from ⌊lane / kWarpRows⌋ · kSpan
      // on.
      std::uint32_t kept = 0;
      if (kDropout && the.dropout.on)
        kept = the.dropout.kept<kSpan>(the.weight(prim::fresh_block_x() / blocks, i_warp + lane % kWarpRows,
                                                  j0 + lane / kWarpRows * kSpan));
      UNROLL
      for (int r = 0; r < kTiles; ++r) {
        UNROLL
        for (int half = 0; half < 2; ++half) {
          const int place = i_warp + r * 16 + half * 8 + lane / 4 + the.S - the.T, start = j0 + lane % 4 * 2;
          int first = place - the.behind - start, until = least(keys, place + the.ahead + 1) - start;
          if constexpr (M::kAny)
            first = most(first, mask_row(the, masks, prim::fresh_block_x() / blocks, place - the.S + the.T,
                                         start, tiles[t] == kMixed, until, s[r], half));
          UNROLL
          for (int j = 0; j < kKeys / 8; ++j) {
            std::uint32_t row = 0;
            if (kDropout && the.dropout.on)
              row =
                  __shfl_sync(0xffffffffu, kept, j * 8 / kSpan * kWarpRows + r * 16 + half * 8 + lane / 4) >>
                  (j * 8 % kSpan + lane % 4 * 2);
            UNROLL
            for (int e = 2 * half; e < 2 * half + 2; ++e) {
              const int column = j * 8 + e % 2;
              float p = prim::exp2_fast(fmaf(s[r][j][e], the.scale_log2, -level[r][half]));
              if (kMasked && (column < first || column >= until)) p = 0;
              if (kDropout && the.dropout.on)
                dp[r][j][e] = row >> e % 2 & 1 ? dp[r][j][e] * the.dropout.scale : 0;
              s[r][j][e] = p * (dp[r][j][e] - mean[r][half]);
            }
          }
        }
      }
      accumulate<kD, kTiles, kKeys, kD>(dq_sum, s, k_rows + stage);
    }
    stage = kStage - stage;
  };
  if constexpr (M::kAny) {
    for (; t >= walk.first; t = next) {
      next = tile_from(tiles, t - 1, walk.first);
      step(std::true_type{});
    }
  } else {
    walk.run(
        t, [&] { step(std::true_type{}); }, [&] { step(std::false_type{}); });
  }

  prim::copy_async_wait<0>();
  __syncthreads();
  {
    const int lane = prim::fresh_thread() % 32, warp = prim::fresh_thread() / 32,
              block = prim::fresh_block_x();
    const int head = block / blocks, b = head / the.H, h = head % the.H;
    const float factor[2] = {the.query_scale, the.query_scale};
    UNROLL
    for (int r = 0; r < kTiles; ++r) {
      const int i = first_query(block) + (warp * kTiles + r) * 16;
      store_rows<kD>(prim::shared_address(shared) + (warp * kTiles + r) * 16 * kRowBytes, dq_sum[r], factor,
                     {dq.at(b, h, i), dq.row, the.T - i, the.D, dq_in_chunks}, lane);
    }
  }
}

template <int kD, int kTiles, int kKeys, int kWarps, bool kHoldQueries, bool kDropout, int kBlocks>
__global__ void __launch_bounds__(kWarps * 32, kBlocks)
    dq_kernel(Problem the, Heads<const bf16> dy, Heads<const bf16> q, Heads<const bf16> k,
              Heads<const bf16> v, const float* lse2, const float* delta, Heads<bf16> dq, Index k_step,
              Index v_step, bool dq_in_chunks) {
  find_dq<kD, kTiles, kKeys, kWarps, kHoldQueries, kDropout>(the, NoMasks{}, dy, q, k, v, lse2, delta, dq,
                                                             k_step, v_step, dq_in_chunks);
}

template <int kD, int kTiles, int kKeys, int kWarps, bool kHoldQueries, int kBlocks>
__global__ void __launch_bounds__(kWarps * 32, kBlocks)
    masked_dq_kernel(Problem the, Masks masks, Heads<const bf16> dy, Heads<const bf16> q, Heads<const bf16> k,
                     Heads<const bf16> v, const float* lse2, const float* delta, Heads<bf16> dq, Index k_step,
                     Index v_step, bool dq_in_chunks) {
  find_dq<kD, kTiles, kKeys, kWarps, kHoldQueries, true>(the, masks, dy, q, k, v, lse2, delta, dq, k_step,
                                                         v_step, dq_in_chunks);
}

}  // namespace attention
