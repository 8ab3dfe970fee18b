// Which keys starts and blocks hide, and what slopes add to scores (formulas: ../../native/ops/attention.cc).
// Kernels take NoMasks or Masks: what they do for none is nothing.
#pragma once
#include "launch.h"

namespace attention {

struct NoMasks {
  static constexpr bool kAny = false;
};

// What of a tile starts and blocks leave, by blocks: nothing, something, or all. Starts are looked at in any
// case.
constexpr std::uint8_t kHidden = 0, kMixed = 1, kShown = 2;

struct Masks {
  static constexpr bool kAny = true;
  const std::int32_t* starts;  // [B, T]
  Index starts_batch, starts_row;
  const float* slopes;  // [H]
  Index slopes_stride;
  const std::int32_t* blocks;  // [⌈T/n⌉, ⌈S/n⌉]
  Index blocks_row, blocks_column;
  int block_size;
  // [1 or B, tiles that thread blocks own, tiles that they walk]: queries and keys, or keys and queries.
  const std::uint8_t* tiles = nullptr;
  Index tiles_batch = 0;
  int walked = 0;

  bool any() const { return starts || slopes || blocks; }
  PRIMITIVE int start(int b, int i) const { return starts ? starts[b * starts_batch + i * starts_row] : 0; }
  PRIMITIVE float slope(int h) const { return slopes ? slopes[h * slopes_stride] : 0; }
  PRIMITIVE bool shows(int i, int j) const {
    return blocks[i / block_size * blocks_row + j / block_size * blocks_column] != 0;
  }
  PRIMITIVE const std::uint8_t* walk_of(int b, int own) const {
    return tiles + b * tiles_batch + Index{own} * walked;
  }
};

// The last tile from t down to `first` that is not hidden; first − 1 if none is.
PRIMITIVE int tile_from(const std::uint8_t* tiles, int t, int first) {
  while (t >= first && tiles[t] == kHidden) --t;
  return t;
}

// On the scores of query i and the keys `start` + 8 j + e of a tile, which are s[j][2 half + e]: adds slopes
// and hides what blocks do, if the tile is mixed, up to column `until`. Returns the first column that starts
// leave.
template <int kGroups>
PRIMITIVE int mask_row(const Problem& the, const Masks& masks, int head, int i, int start, bool is_mixed,
                       int until, float (&s)[kGroups][4], int half) {
  if (i >= the.T) return 0;
  if (masks.slopes) {
    const float slope = masks.slope(head % the.H) / the.scale,
                from = static_cast<float>(start - (i + the.S - the.T));
    UNROLL
    for (int j = 0; j < kGroups; ++j) {
      UNROLL
      for (int e = 0; e < 2; ++e) s[j][2 * half + e] = fmaf(slope, from + (j * 8 + e), s[j][2 * half + e]);
    }
  }
  if (is_mixed) {
    const std::int32_t* const row = masks.blocks + i / masks.block_size * masks.blocks_row;
    int block = start / masks.block_size, end = (block + 1) * masks.block_size - start;
    UNROLL
    for (int j = 0; j < kGroups; ++j) {
      UNROLL
      for (int e = 0; e < 2; ++e) {
        for (; j * 8 + e >= end; end += masks.block_size) ++block;
        if (j * 8 + e < until && row[block * masks.blocks_column] == 0) s[j][2 * half + e] = -kInfinity;
      }
    }
  }
  return masks.start(head / the.H, i) - start;
}

// Of each tile, what starts and blocks leave. `own` and `walked`: rows of a tile.
template <bool kOwnsQueries>
__global__ void mark_tiles(Problem the, Masks masks, int own, int walked, int own_tiles, Index count,
                           std::uint8_t* to) {
  const Index at = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int w = static_cast<int>(at % masks.walked), o = static_cast<int>(at / masks.walked % own_tiles),
            b = static_cast<int>(at / masks.walked / own_tiles);
  const int i0 = kOwnsQueries ? o * own : w * walked, j0 = kOwnsQueries ? w * walked : o * own;
  const int i_end = least(the.T, i0 + (kOwnsQueries ? own : walked));
  const int j_end = least(the.S, j0 + (kOwnsQueries ? walked : own));
  bool any = !masks.blocks, all = true;
  if (masks.blocks) {
    const int n = masks.block_size;
    for (int i = i0 / n; i * Index{n} < i_end; ++i)
      for (int j = j0 / n; j * Index{n} < j_end; ++j) {
        const bool is_there = masks.blocks[i * masks.blocks_row + j * masks.blocks_column] != 0;
        any = any || is_there;
        all = all && is_there;
      }
  }
  if (masks.starts && any) {
    any = false;
    for (int i = i0; i < i_end && !any; ++i) any = masks.start(b, i) < j_end;
  }
  to[at] = !any ? kHidden : all ? kShown : kMixed;
}

// The masks with their tiles.
template <bool kOwnsQueries>
Masks marked(const Problem& the, Masks masks, int own, int walked, cuda::Scratch& scratch) {
  const int own_tiles = ceil_div(kOwnsQueries ? the.T : the.S, own);
  masks.walked = ceil_div(kOwnsQueries ? the.S : the.T, walked);
  const Index each = Index{own_tiles} * masks.walked, count = masks.starts ? the.B * each : each;
  std::uint8_t* const tiles = scratch.take<std::uint8_t>(count);
  cuda::launch(mark_tiles<kOwnsQueries>, grid((count + 255) / 256), dim3(256), 0, the, masks, own, walked,
               own_tiles, count, tiles);
  masks.tiles = tiles;
  masks.tiles_batch = masks.starts ? each : 0;
  return masks;
}

// Of the host: the functions of problem.h, under masks.
void forward(const Problem& the, const Masks& masks, Heads<const float> q, Heads<const float> k,
             Heads<const float> v, Heads<float> y, Heads<float> lse);
void forward(const Problem& the, const Masks& masks, Heads<const bf16> q, Heads<const bf16> k,
             Heads<const bf16> v, Heads<bf16> y, Heads<float> lse);
void backward_keys(const Problem& the, const Masks& masks, const Gradients<float>& of, const float* lse2,
                   const float* delta);
void backward_keys(const Problem& the, const Masks& masks, const Gradients<bf16>& of, const float* lse2,
                   const float* delta);
void backward_queries(const Problem& the, const Masks& masks, const Gradients<float>& of, const float* lse2,
                      const float* delta);
void backward_queries(const Problem& the, const Masks& masks, const Gradients<bf16>& of, const float* lse2,
                      const float* delta);

}  // namespace attention
