// Attention backward for keys and values, bf16 on tensor cores. A block owns keys and walks the tiles of
// queries that see them, head by head of its group:
//
//   sᵀ = k·qᵀ    dpᵀ = v·dyᵀ    p = exp2(s · scale · log₂e − lse2)    ds = p ∘ (dp̃ − delta)
//   dv += p̃ᵀ·dy    dk += dsᵀ·q
//
// p and ds stay in registers: the sums of one product are laid out as the left operand of the next. lse2 and
// delta [B·H, padded T] hold kNoKey and 0 behind the last query, which makes its weights 0.
//
// Together with dq.h it costs seven products instead of five, but every output has one block that owns it: no
// atomics, and the bits do not depend on the schedule.
#pragma once
#include <type_traits>

#include "masks.h"
#include "tiles.h"

namespace attention {

template <int kD, int kTiles, int kQueries, int kWarps>
constexpr int dkv_shared_bytes() {
  return 2 * kWarps * kTiles * 16 * Tile<kD>::kRowBytes +
         2 * (2 * kQueries * Tile<kD>::kRowBytes + kQueries * 8);
}

// A block has kOutputs of the kD columns of dk and dv.
template <int kD, int kOutputs, int kTiles, int kQueries, int kWarps, bool kDropout, class M>
PRIMITIVE void find_dkv(const Problem& the, const M& masks, const Heads<const bf16>& dy,
                        const Heads<const bf16>& q, const Heads<const bf16>& k, const Heads<const bf16>& v,
                        const float* lse2, const float* delta, const Heads<bf16>& dk, const Heads<bf16>& dv,
                        Index q_step, Index dy_step, bool dk_in_chunks, bool dv_in_chunks) {
  constexpr int kThreads = kWarps * 32, kWarpRows = kTiles * 16, kRows = kWarps * kWarpRows;
  constexpr int kRowBytes = Tile<kD>::kRowBytes, kParts = kD / kOutputs;
  constexpr std::uint32_t kTileBytes = kQueries * kRowBytes, kStatistics = 2 * kTileBytes,
                          kStage = kStatistics + kQueries * 8;
  DYNAMIC_SHARED(shared);
  const std::uint32_t k_tile = prim::shared_address(shared), v_tile = k_tile + kRows * kRowBytes,
                      q_tile = v_tile + kRows * kRowBytes;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  // Read anew wherever it is needed, so that it takes no registers during the main loop.
  struct Place {
    int part, j0, b, g;
  };
  const auto place = [&] {
    const int block = prim::fresh_block_x(), blocks = ceil_div(the.S, kRows), bg = block / kParts / blocks;
    return Place{block % kParts * kOutputs, block / kParts % blocks * kRows, bg / the.G, bg % the.G};
  };
  const TileLoader<kD, kQueries, kThreads> loader(threadIdx.x, the.D);
  {
    const auto [part, j0, b, g] = place();
    const int keys = the.keys(b);
    const TileLoader<kD, kRows, kThreads> own(threadIdx.x, the.D);
    const char *k_from = own.start(k.at(b, g, j0), 2 * k.row), *v_from = own.start(v.at(b, g, j0), 2 * v.row);
    own.load(k_tile, k_from, -2 * own.kStep * k.row, keys - j0);
    own.load(v_tile, v_from, -2 * own.kStep * v.row, keys - j0);
    prim::copy_async_commit();
  }
  const bool loads_statistics = threadIdx.x < kQueries / 2;
  RowOperand<kD, kTiles, false> key_rows, value_rows;
  key_rows.address = prim::pinned(k_tile + warp * kWarpRows * kRowBytes + Tile<kD>::lane_rows(lane));
  value_rows.address = key_rows.address + kRows * kRowBytes;
  const std::uint32_t q_columns = prim::pinned(q_tile + Tile<kD>::lane_columns(lane)),
                      q_rows = q_tile + Tile<kD>::lane_rows(lane) + place().part * 2,
                      q_statistics = q_tile + kStatistics + lane % 4 * 8;
  float dk_sum[kTiles][kOutputs / 8][4] = {}, dv_sum[kTiles][kOutputs / 8][4] = {};
  std::uint32_t stage = 0;
  int t, first_tile, n = 0, next = 0;  // next: where some tiles are hidden, the one to be walked after t
  const std::uint8_t* tiles = nullptr;
  const char *q_from = nullptr, *dy_from = nullptr;
  const float* statistics_from = nullptr;

  const auto step = [&](auto masked) {
    constexpr bool kMasked = decltype(masked)::value;
    prim::copy_async_wait<0>();
    __syncthreads();  // the tiles of this step are here, and every warp is done with those of the last one
    if (M::kAny ? next >= first_tile : t > first_tile) {
      if constexpr (M::kAny) {
        const auto [part, j0, b, g] = place();
        const int h = g * (the.H / the.G) + n;
        q_from = loader.start(q.at(b, h, Index{next} * kQueries), 2 * q.row);
        dy_from = loader.start(dy.at(b, h, Index{next} * kQueries), 2 * dy.row);
      }
      const std::uint32_t other = kStage - stage;
      loader.load(q_tile + other, q_from, q_step);
      loader.load(q_tile + kTileBytes + other, dy_from, dy_step);
      statistics_from -= M::kAny ? (t - next) * kQueries : kQueries;
      if (loads_statistics)
        prim::copy_async16(q_tile + kStatistics + prim::fresh_thread() * 16 + other, statistics_from);
    }
    prim::copy_async_commit();
    const int i0 = t * kQueries, lane = prim::fresh_thread() % 32;
    const int j_warp = place().j0 + prim::fresh_thread() / 32 * kWarpRows;
    if (!kMasked || (j_warp < the.S && the.first_seeing(j_warp) < i0 + kQueries &&
                     i0 < the.seeing_until(j_warp + kWarpRows - 1))) {
      float s[kTiles][kQueries / 8][4] = {}, dp[kTiles][kQueries / 8][4] = {};
      multiply_rows<kD, kTiles, kQueries>(s, key_rows, q_columns + stage);
      if constexpr (M::kAny) {
        const auto [part, j0, b, g] = place();
        const int first_key = j_warp + lane / 4, first_query = i0 + lane % 4 * 2;
        if (masks.slopes) {
          const float slope = masks.slope(g * (the.H / the.G) + n) / the.scale;
          const float from = static_cast<float>(first_key - first_query - the.S + the.T);
          UNROLL
          for (int r = 0; r < kTiles; ++r) {
            UNROLL
            for (int i = 0; i < kQueries / 8; ++i) {
              UNROLL
              for (int e = 0; e < 4; ++e)
                s[r][i][e] = fmaf(slope, from + (r * 16 + e / 2 * 8 - i * 8 - e % 2), s[r][i][e]);
            }
          }
        }
        if (masks.starts) {
          UNROLL
          for (int i = 0; i < kQueries / 8; ++i) {
            UNROLL
            for (int e = 0; e < 4; ++e) {
              const int query = first_query + i * 8 + e % 2,
                        start = query < the.T ? masks.start(b, query) : 0;
              UNROLL
              for (int r = 0; r < kTiles; ++r)
                if (first_key + r * 16 + e / 2 * 8 < start) s[r][i][e] = -kInfinity;
            }
          }
        }
        if (tiles[t] == kMixed) {
          UNROLL
          for (int r = 0; r < kTiles; ++r) {
            UNROLL
            for (int half = 0; half < 2; ++half) {
              const int j = first_key + r * 16 + half * 8;
              const std::int32_t* const column = masks.blocks + j / masks.block_size * masks.blocks_column;
              int block = first_query / masks.block_size, end = (block + 1) * masks.block_size - first_query;
              UNROLL
              for (int i = 0; i < kQueries / 8; ++i) {
                UNROLL
                for (int e = 0; e < 2; ++e) {
                  for (; i * 8 + e >= end; end += masks.block_size) ++block;
                  if (j < the.S && first_query + i * 8 + e < the.T && column[block * masks.blocks_row] == 0)
                    s[r][i][2 * half + e] = -kInfinity;
                }
              }
            }
          }
        }
      }
      UNROLL
      for (int i = 0; i < kQueries / 8; ++i) {
        const uint2 pair = prim::load_shared8(q_statistics + stage + i * 32);
        const float level[2] = {prim::as_float(pair.x), prim::as_float(pair.y)};
        UNROLL
        for (int r = 0; r < kTiles; ++r) {
          UNROLL
          for (int e = 0; e < 4; ++e) {
            s[r][i][e] = prim::exp2_fast(fmaf(s[r][i][e], the.scale_log2, -level[e % 2]));
            if (kMasked) {
              const int j = j_warp + r * 16 + lane / 4 + e / 2 * 8;
              if (static_cast<unsigned>(i0 + i * 8 + lane % 4 * 2 + e % 2 - the.first_seeing(j)) >=
                  static_cast<unsigned>(the.behind + the.ahead + 1))
                s[r][i][e] = 0;
            }
          }
        }
      }
      multiply_rows<kD, kTiles, kQueries>(dp, value_rows, q_columns + kTileBytes + stage);
      std::uint32_t kept = 0;  // of query `lane` of the tile, from the warp's first key on
      if (kDropout && the.dropout.on) {
        const auto [part, j0, b, g] = place();
        kept =
            the.dropout.kept<kWarpRows>(the.weight(b * the.H + g * (the.H / the.G) + n, i0 + lane, j_warp));
      }
      UNROLL
      for (int i = 0; i < kQueries / 8; ++i) {
        const uint2 pair = prim::load_shared8(q_statistics + kQueries * 4 + stage + i * 32);
        const float mean[2] = {prim::as_float(pair.x), prim::as_float(pair.y)};
        UNROLL
        for (int e = 0; e < 4; ++e) {
          std::uint32_t column = 0;
          if (kDropout && the.dropout.on)
            column = __shfl_sync(0xffffffffu, kept, i * 8 + lane % 4 * 2 + e % 2) >> (lane / 4 + e / 2 * 8);
          UNROLL
          for (int r = 0; r < kTiles; ++r) {
            const float p = s[r][i][e];
            if (kDropout && the.dropout.on) {
              const bool keep = column >> r * 16 & 1;
              dp[r][i][e] = keep ? dp[r][i][e] * the.dropout.scale : 0;
              s[r][i][e] = keep ? p : 0;
            }
            dp[r][i][e] = p * (dp[r][i][e] - mean[e % 2]);
          }
        }
      }
      accumulate<kD, kTiles, kQueries, kOutputs>(dv_sum, s, q_rows + kTileBytes + stage);
      accumulate<kD, kTiles, kQueries, kOutputs>(dk_sum, dp, q_rows + stage);
    }
    stage = kStage - stage;
  };

  for (; n < the.H / the.G; ++n) {
    const auto [part, j0, b, g] = place();
    const int last = least(j0 + kRows, the.keys(b)) - 1,
              padded = ceil_div(the.T, kTimePadding) * kTimePadding;
    const int until = last < j0 ? 0 : the.seeing_until(last), whole_until = the.seeing_until(j0);
    const Walk walk(most(0, the.first_seeing(j0)), least(the.T, until), the.first_seeing(last),
                    whole_until >= the.T ? padded : whole_until, kQueries);
    t = walk.end - 1, first_tile = walk.first;
    if constexpr (M::kAny) {
      tiles = masks.walk_of(b, j0 / kRows);
      t = tile_from(tiles, t, first_tile);
    }
    if (t < first_tile) break;
    const int thread = prim::fresh_thread(), h = g * (the.H / the.G) + n, rows = the.T - t * kQueries;
    const TileLoader<kD, kQueries, kThreads> first(thread, the.D);
    q_from = first.start(q.at(b, h, Index{t} * kQueries), 2 * q.row);
    dy_from = first.start(dy.at(b, h, Index{t} * kQueries), 2 * dy.row);
    statistics_from = (thread < kQueries / 4 ? lse2 : delta) + Index{b * the.H + h} * padded + t * kQueries +
                      thread % (kQueries / 4) * 4;
    first.load(q_tile + stage, q_from, q_step, rows);
    first.load(q_tile + kTileBytes + stage, dy_from, dy_step, rows);
    if (loads_statistics) prim::copy_async16(q_tile + kStatistics + thread * 16 + stage, statistics_from);
    prim::copy_async_commit();
    if constexpr (M::kAny) {
      for (; t >= first_tile; t = next) {
        next = tile_from(tiles, t - 1, first_tile);
        step(std::true_type{});
      }
    } else {
      walk.run(
          t, [&] { step(std::true_type{}); }, [&] { step(std::false_type{}); });
    }
  }

  prim::copy_async_wait<0>();
  __syncthreads();
  {
    const int lane = prim::fresh_thread() % 32, warp = prim::fresh_thread() / 32;
    const auto [part, j_block, b, g] = place();
    const int keys = the.keys(b);
    const std::uint32_t k_tile = prim::shared_address(shared), v_tile = k_tile + kRows * kRowBytes;
    UNROLL
    for (int r = 0; r < kTiles; ++r) {
      const int j = j_block + (warp * kTiles + r) * 16, row = (warp * kTiles + r) * 16 * kRowBytes;
      float dk_factor[2], dv_factor[2];
      UNROLL
      for (int half = 0; half < 2; ++half) {
        const bool is_there = j + lane / 4 + half * 8 < keys;
        dk_factor[half] = is_there ? the.scale : 0, dv_factor[half] = is_there ? the.dropout.scale : 0;
      }
      store_rows<kOutputs>(k_tile + row, dk_sum[r], dk_factor,
                           {dk.at(b, g, j) + part, dk.row, the.S - j, the.D - part, dk_in_chunks}, lane);
      store_rows<kOutputs>(v_tile + row, dv_sum[r], dv_factor,
                           {dv.at(b, g, j) + part, dv.row, the.S - j, the.D - part, dv_in_chunks}, lane);
    }
  }
}

template <int kD, int kOutputs, int kTiles, int kQueries, int kWarps, bool kDropout, int kBlocks>
__global__ void __launch_bounds__(kWarps * 32, kBlocks)
    dkv_kernel(Problem the, Heads<const bf16> dy, Heads<const bf16> q, Heads<const bf16> k,
               Heads<const bf16> v, const float* lse2, const float* delta, Heads<bf16> dk, Heads<bf16> dv,
               Index q_step, Index dy_step, bool dk_in_chunks, bool dv_in_chunks) {
  find_dkv<kD, kOutputs, kTiles, kQueries, kWarps, kDropout>(the, NoMasks{}, dy, q, k, v, lse2, delta, dk, dv,
                                                             q_step, dy_step, dk_in_chunks, dv_in_chunks);
}

template <int kD, int kOutputs, int kTiles, int kQueries, int kWarps, int kBlocks>
__global__ void __launch_bounds__(kWarps * 32, kBlocks)
    masked_dkv_kernel(Problem the, Masks masks, Heads<const bf16> dy, Heads<const bf16> q,
                      Heads<const bf16> k, Heads<const bf16> v, const float* lse2, const float* delta,
                      Heads<bf16> dk, Heads<bf16> dv, Index q_step, Index dy_step, bool dk_in_chunks,
                      bool dv_in_chunks) {
  find_dkv<kD, kOutputs, kTiles, kQueries, kWarps, true>(the, masks, dy, q, k, v, lse2, delta, dk, dv, q_step,
                                                         dy_step, dk_in_chunks, dv_in_chunks);
}

}  // namespace attention
