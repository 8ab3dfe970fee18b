// Attention forward, bf16 on tensor cores (Dao 2023, "FlashAttention-2").
//
// A block owns kWarps · kTiles · 16 queries of one head, a warp kTiles · 16 of them with all D columns of
// their output; it walks the tiles of kKeys keys that its queries see, from the last to the first. Scores,
// weights and outputs stay in registers. A row's weights are relative to exp2(reference), and the reference
// follows the row's greatest score only when it is left behind by more than 2⁸, so that what was summed is
// seldom scaled.
//
// Two stages: the next tiles of k and v are on their way during a tile's work, with one barrier a tile. One
// stage: v is on its way during q·kᵀ, the next k during p·v, with two barriers; half the shared memory.
#pragma once
#include <type_traits>

#include "masks.h"
#include "tiles.h"

namespace attention {

template <int kD, int kTiles, int kKeys, int kWarps, int kStages>
constexpr int forward_shared_bytes() {
  return (kWarps * kTiles * 16 + 2 * kStages * kKeys) * Tile<kD>::kRowBytes;
}

template <int kD, int kTiles, int kKeys, int kWarps, int kStages, bool kHoldQueries, bool kDropout, class M>
PRIMITIVE void attend(const Problem& the, const M& masks, const Heads<const bf16>& q,
                      const Heads<const bf16>& k, const Heads<const bf16>& v, const Heads<bf16>& y,
                      const Heads<float>& lse, Index k_step, Index v_step, bool y_in_chunks) {
  constexpr int kThreads = kWarps * 32, kWarpRows = kTiles * 16, kRows = kWarps * kWarpRows;
  constexpr int kRowBytes = Tile<kD>::kRowBytes;
  constexpr std::uint32_t kTileBytes = kKeys * kRowBytes;
  constexpr int kSpan = least(32, kWarpRows * kKeys / 32), kWords = kWarpRows * kKeys / 32 / kSpan;
  constexpr float kLag = 8, kLowest = -1e30f;
  DYNAMIC_SHARED(shared);
  const std::uint32_t q_tile = prim::shared_address(shared), k_tile = q_tile + kRows * kRowBytes,
                      v_tile = k_tile + kStages * kTileBytes;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int blocks = ceil_div(the.T, kRows), head = blockIdx.x / blocks;
  const auto first_query = [&](int block) { return (blocks - 1 - block % blocks) * kRows; };
  const int i0 = first_query(blockIdx.x);
  const int keys = the.keys(head / the.H);
  const int i_last = least(i0 + kRows, the.T) - 1;
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
    const TileLoader<kD, kRows, kThreads> q_loader(threadIdx.x, the.D);
    const char* q_from = q_loader.start(q.at(b, h, i0), 2 * q.row);
    q_loader.load(q_tile, q_from, -2 * q_loader.kStep * q.row, the.T - i0);
    k_from = loader.start(k.at(b, g, Index{t} * kKeys), 2 * k.row);
    v_from = loader.start(v.at(b, g, Index{t} * kKeys), 2 * v.row);
    if (t >= walk.first) {
      loader.load(k_tile, k_from, k_step, rows);
      if (kStages == 2) loader.load(v_tile, v_from, v_step, rows);
    }
    prim::copy_async_commit();
  }

  RowOperand<kD, kTiles, kHoldQueries> queries;
  queries.address = prim::pinned(q_tile + warp * kWarpRows * kRowBytes + Tile<kD>::lane_rows(lane));
  const std::uint32_t k_lane = prim::pinned(k_tile + Tile<kD>::lane_columns(lane)),
                      v_lane = v_tile + Tile<kD>::lane_rows(lane);
  if (kHoldQueries) {
    prim::copy_async_wait<0>();
    __syncthreads();
    queries.hold();
  }
  float o[kTiles][kD / 8][4] = {}, total[kTiles][2] = {}, reference[kTiles][2];
  UNROLL
  for (int r = 0; r < kTiles; ++r) reference[r][0] = reference[r][1] = kLowest;
  std::uint32_t stage = 0;
  // Moves on to tile n of k and v.
  const auto go_to = [&](int n) {
    const int head = prim::fresh_block_x() / blocks, b = head / the.H, g = head % the.H / (the.H / the.G);
    k_from = loader.start(k.at(b, g, Index{n} * kKeys), 2 * k.row);
    v_from = loader.start(v.at(b, g, Index{n} * kKeys), 2 * v.row);
  };

  const auto step = [&](auto masked) {
    constexpr bool kMasked = decltype(masked)::value;
    prim::copy_async_wait<0>();
    __syncthreads();  // the tiles of this step are here, and every warp is done with those of the last one
    const bool goes_on = M::kAny ? next >= walk.first : t > walk.first;
    if (kStages == 2) {
      if (goes_on) {
        if (M::kAny) go_to(next);
        loader.load(k_tile + (stage ^ kTileBytes), k_from, k_step);
        loader.load(v_tile + (stage ^ kTileBytes), v_from, v_step);
      }
    } else if (kMasked) {
      if (M::kAny) go_to(t);
      const TileLoader<kD, kKeys, kThreads> ragged(prim::fresh_thread(), the.D);
      ragged.load(v_tile, v_from, v_step, keys - t * kKeys);
    } else {
      loader.load(v_tile, v_from, v_step);
    }
    prim::copy_async_commit();
    const int j0 = t * kKeys, lane = prim::fresh_thread() % 32;
    const int i_warp = first_query(prim::fresh_block_x()) + prim::fresh_thread() / 32 * kWarpRows;
    const bool sees = !kMasked || (i_warp < the.T && the.first_seen(i_warp) < j0 + kKeys &&
                                   j0 < the.seen_until(keys, least(i_warp + kWarpRows, the.T) - 1));
    float s[kTiles][kKeys / 8][4] = {};
    if (sees) multiply_rows<kD, kTiles, kKeys>(s, queries, k_lane + (kStages == 2 ? stage : 0));
    if (kStages == 1) {
      prim::copy_async_wait<0>();
      __syncthreads();
      if (goes_on) {
        if (M::kAny) go_to(next);
        loader.load(k_tile, k_from, k_step);
      }
      prim::copy_async_commit();
    }
    if (sees) {
      // Which weights dropout keeps. Number n = lane + 32 · word: of row n mod kWarpRows, kSpan keys from
      // ⌊n / kWarpRows⌋ · kSpan on.
      std::uint32_t kept[kWords] = {};
      if (kDropout && the.dropout.on) {
        UNROLL
        for (int w = 0; w < kWords; ++w) {
          const int n = lane + 32 * w;
          const std::uint64_t first =
              the.weight(prim::fresh_block_x() / blocks, i_warp + n % kWarpRows, j0 + n / kWarpRows * kSpan);
          kept[w] = the.dropout.kept<kSpan>(first);
        }
      }
      UNROLL
      for (int r = 0; r < kTiles; ++r) {
        if (kMasked) {
          UNROLL
          for (int half = 0; half < 2; ++half) {
            const int place = i_warp + r * 16 + lane / 4 + half * 8 + the.S - the.T,
                      start = j0 + lane % 4 * 2;
            int first = place - the.behind - start, until = least(keys, place + the.ahead + 1) - start;
            if constexpr (M::kAny)
              first = most(first, mask_row(the, masks, prim::fresh_block_x() / blocks, place - the.S + the.T,
                                           start, tiles[t] == kMixed, until, s[r], half));
            UNROLL
            for (int j = 0; j < kKeys / 8; ++j) {
              UNROLL
              for (int e = 0; e < 2; ++e)
                if (j * 8 + e < first || j * 8 + e >= until) s[r][j][2 * half + e] = -kInfinity;
            }
          }
        }
        float greatest[2];
        UNROLL
        for (int half = 0; half < 2; ++half) {
          float m = fmaxf(s[r][0][2 * half], s[r][0][2 * half + 1]);
          UNROLL
          for (int j = 1; j < kKeys / 8; ++j) m = fmaxf(m, fmaxf(s[r][j][2 * half], s[r][j][2 * half + 1]));
          m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
          greatest[half] = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2)) * the.scale_log2;
        }
        if (__any_sync(0xffffffffu,
                       greatest[0] - reference[r][0] > kLag || greatest[1] - reference[r][1] > kLag)) {
          UNROLL
          for (int half = 0; half < 2; ++half) {
            const float now = fmaxf(reference[r][half], greatest[half]);
            const float shrink = prim::exp2_fast(reference[r][half] - now);
            reference[r][half] = now;
            total[r][half] *= shrink;
            UNROLL
            for (int j = 0; j < kD / 8; ++j) o[r][j][2 * half] *= shrink, o[r][j][2 * half + 1] *= shrink;
          }
        }
        UNROLL
        for (int j = 0; j < kKeys / 8; ++j) {
          UNROLL
          for (int e = 0; e < 4; ++e)
            s[r][j][e] = prim::exp2_fast(fmaf(s[r][j][e], the.scale_log2, -reference[r][e / 2]));
          total[r][0] += s[r][j][0] + s[r][j][1];
          total[r][1] += s[r][j][2] + s[r][j][3];
        }
        if (kDropout && the.dropout.on) {
          UNROLL
          for (int half = 0; half < 2; ++half) {
            UNROLL
            for (int j = 0; j < kKeys / 8; ++j) {
              const int n = j * 8 / kSpan * kWarpRows + r * 16 + half * 8;
              const std::uint32_t row = __shfl_sync(0xffffffffu, kept[n / 32], n % 32 + lane / 4);
              UNROLL
              for (int e = 0; e < 2; ++e)
                if (!(row >> (j * 8 % kSpan + lane % 4 * 2 + e) & 1)) s[r][j][2 * half + e] = 0;
            }
          }
        }
      }
      accumulate<kD, kTiles, kKeys, kD>(o, s, v_lane + (kStages == 2 ? stage : 0));
    }
    if (kStages == 2) stage ^= kTileBytes;
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
  const int last_head = prim::fresh_block_x() / blocks, b = last_head / the.H, h = last_head % the.H;
  const int last_lane = prim::fresh_thread() % 32, last_warp = prim::fresh_thread() / 32;
  const int i_warp = first_query(prim::fresh_block_x()) + last_warp * kWarpRows;
  UNROLL
  for (int r = 0; r < kTiles; ++r) {
    const int i = i_warp + r * 16;
    float weight[2];
    UNROLL
    for (int half = 0; half < 2; ++half) {
      float sum = total[r][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      weight[half] = sum > 0 ? the.dropout.scale / sum : 0;
      const int row = i + last_lane / 4 + half * 8;
      if (last_lane % 4 == 0 && row < the.T)
        *lse.at(b, h, row) = sum > 0 ? reference[r][half] * kLn2 + logf(sum) : -kInfinity;
    }
    store_rows<kD>(q_tile + (last_warp * kTiles + r) * 16 * kRowBytes, o[r], weight,
                   {y.at(b, h, i), y.row, the.T - i, the.D, y_in_chunks}, last_lane);
  }
}

template <int kD, int kTiles, int kKeys, int kWarps, int kStages, bool kHoldQueries, bool kDropout,
          int kBlocks>
__global__ void __launch_bounds__(kWarps * 32, kBlocks)
    forward_kernel(Problem the, Heads<const bf16> q, Heads<const bf16> k, Heads<const bf16> v, Heads<bf16> y,
                   Heads<float> lse, Index k_step, Index v_step, bool y_in_chunks) {
  attend<kD, kTiles, kKeys, kWarps, kStages, kHoldQueries, kDropout>(the, NoMasks{}, q, k, v, y, lse, k_step,
                                                                     v_step, y_in_chunks);
}

template <int kD, int kTiles, int kKeys, int kWarps, int kStages, bool kHoldQueries, int kBlocks>
__global__ void __launch_bounds__(kWarps * 32, kBlocks)
    masked_forward_kernel(Problem the, Masks masks, Heads<const bf16> q, Heads<const bf16> k,
                          Heads<const bf16> v, Heads<bf16> y, Heads<float> lse, Index k_step, Index v_step,
                          bool y_in_chunks) {
  attend<kD, kTiles, kKeys, kWarps, kStages, kHoldQueries, true>(the, masks, q, k, v, y, lse, k_step, v_step,
                                                                 y_in_chunks);
}

}  // namespace attention
