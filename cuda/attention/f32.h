// Attention in f32 on the cores that multiply f32, forward and backward, with the blocks and the masks of the
// bf16 kernels (forward.h, backward.h) but at the f32 rate: on an A100 a sixteenth of theirs. Every tile is
// masked, and tiles are loaded element by element, so any stride will do.
//
// Eight neighbouring lanes own kRows rows of the scores of a tile, a lane kColumns of their columns and, of
// the outputs, every eighth group of four columns. Row r of a thread is row thread / 8 + r · kThreads / 8 of
// the block; the weights of a row pass from the lanes that made them to the eight that need them through
// shared memory.
#pragma once
#include "masks.h"

namespace attention {

template <int kD, int kThreads, int kRows, int kColumns>
struct F32Tile {
  static constexpr int kGroups = kThreads / 8, kOwn = kGroups * kRows, kWalked = 8 * kColumns;
  static constexpr int kPitch = kD + 4, kWeightPitch = kWalked + 4;  // of rows, in floats: in different banks
  static constexpr int kOwnFloats = kOwn * kPitch, kWalkedFloats = kWalked * kPitch,
                       kWeightFloats = kOwn * kWeightPitch;
  static constexpr int kForwardBytes = 4 * (kOwnFloats + 2 * kWalkedFloats + kWeightFloats);
  static constexpr int kDkvBytes = 4 * (2 * kOwnFloats + 2 * kWalkedFloats + 2 * kWeightFloats);
  static constexpr int kDqBytes = 4 * (2 * kOwnFloats + 2 * kWalkedFloats + kWeightFloats);
  static_assert(kTimePadding % kWalked == 0 && kTimePadding % kOwn == 0, "padding of lse2 and delta");

  using Scores = float[kRows][kColumns];
  using Sums = float[kRows][kD / 8];

  static PRIMITIVE int row(int r) { return threadIdx.x / 8 + r * kGroups; }
  static PRIMITIVE int column(int c) { return threadIdx.x % 8 + c * 8; }

  // tile [rows, kD] = the first `valid` rows of `from` [.., columns], and zeros.
  static PRIMITIVE void load(float* tile, const float* from, Index stride, int rows, int valid, int columns) {
    for (int n = threadIdx.x; n < rows * kD; n += kThreads) {
      const int r = n / kD, d = n % kD;
      tile[r * kPitch + d] = r < valid && d < columns ? from[r * stride + d] : 0;
    }
  }
  // s = a · bᵀ
  static PRIMITIVE void multiply_rows(Scores& s, const float* a, const float* b) {
    UNROLL
    for (int r = 0; r < kRows; ++r) {
      UNROLL
      for (int c = 0; c < kColumns; ++c) s[r][c] = 0;
    }
    for (int d = 0; d < kD; d += 4) {
      float4 b_c[kColumns];
      UNROLL
      for (int c = 0; c < kColumns; ++c) b_c[c] = four(b + column(c) * kPitch + d);
      UNROLL
      for (int r = 0; r < kRows; ++r) {
        const float4 a_r = four(a + row(r) * kPitch + d);
        UNROLL
        for (int c = 0; c < kColumns; ++c)
          s[r][c] = fmaf(a_r.x, b_c[c].x,
                         fmaf(a_r.y, b_c[c].y, fmaf(a_r.z, b_c[c].z, fmaf(a_r.w, b_c[c].w, s[r][c]))));
      }
    }
  }
  // o += w · b, with weights w [kOwn, kWalked]
  static PRIMITIVE void accumulate(Sums& o, const float* w, const float* b) {
    for (int j = 0; j < kWalked; j += 4) {
      float4 w_r[kRows];
      UNROLL
      for (int r = 0; r < kRows; ++r) w_r[r] = four(w + row(r) * kWeightPitch + j);
      UNROLL
      for (int d = 0; d < kD / 32; ++d) {
        const float* b_d = b + j * kPitch + d * 32 + threadIdx.x % 8 * 4;
        UNROLL
        for (int n = 0; n < 4; ++n) {
          const float4 b_n = four(b_d + n * kPitch);
          UNROLL
          for (int r = 0; r < kRows; ++r) {
            const float w_n = n == 0 ? w_r[r].x : n == 1 ? w_r[r].y : n == 2 ? w_r[r].z : w_r[r].w;
            o[r][4 * d] = fmaf(w_n, b_n.x, o[r][4 * d]);
            o[r][4 * d + 1] = fmaf(w_n, b_n.y, o[r][4 * d + 1]);
            o[r][4 * d + 2] = fmaf(w_n, b_n.z, o[r][4 * d + 2]);
            o[r][4 * d + 3] = fmaf(w_n, b_n.w, o[r][4 * d + 3]);
          }
        }
      }
    }
  }
  static PRIMITIVE void put_weights(float* w, const Scores& s) {
    UNROLL
    for (int r = 0; r < kRows; ++r) {
      UNROLL
      for (int c = 0; c < kColumns; ++c) w[row(r) * kWeightPitch + column(c)] = s[r][c];
    }
  }
  static PRIMITIVE void store_row(float* to, const float (&o)[kD / 8], float factor, int columns) {
    UNROLL
    for (int n = 0; n < kD / 8; ++n) {
      const int d = n / 4 * 32 + threadIdx.x % 8 * 4 + n % 4;
      if (d < columns) to[d] = o[n] * factor;
    }
  }
  // Over the eight lanes of a row.
  static PRIMITIVE float sum(float x) {
    UNROLL
    for (int apart = 1; apart < 8; apart *= 2) x += __shfl_xor_sync(0xffffffffu, x, apart);
    return x;
  }
  static PRIMITIVE float greatest(float x) {
    UNROLL
    for (int apart = 1; apart < 8; apart *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, apart));
    return x;
  }

 private:
  static PRIMITIVE float4 four(const float* p) { return *reinterpret_cast<const float4*>(p); }
};

PRIMITIVE bool sees(const Problem& the, int keys, int i, int j) {
  const int offset = j - (i + the.S - the.T);
  return j < keys && offset <= the.ahead && -offset <= the.behind;
}

// What is left of the tile at `walked` for the rows from `own` on, which a block owns.
template <class Tile, class M>
PRIMITIVE std::uint8_t tile_state(const M& masks, int b, int own, int walked) {
  if constexpr (M::kAny)
    return masks.walk_of(b, own / Tile::kOwn)[walked / Tile::kWalked];
  else
    return kShown;
}

// The score of query i and key j, from their product, to the base 2; −∞ if it is hidden. `tile`: what the
// tile has.
template <class M>
PRIMITIVE float exponent(const Problem& the, const M& masks, std::uint8_t tile, int keys, int head, int i,
                         int j, float product) {
  if (!sees(the, keys, i, j)) return -kInfinity;
  float x = product * the.scale_log2;
  if constexpr (M::kAny) {
    if (i < the.T) {
      if (j < masks.start(head / the.H, i) || (tile == kMixed && !masks.shows(i, j))) return -kInfinity;
      x += masks.slope(head % the.H) * kLog2e * static_cast<float>(j - (i + the.S - the.T));
    }
  }
  return x;
}

template <int kD, int kThreads, int kRows, int kColumns, class M>
PRIMITIVE void f32_attend(const Problem& the, const M& masks, const Heads<const float>& q,
                          const Heads<const float>& k, const Heads<const float>& v, const Heads<float>& y,
                          const Heads<float>& lse) {
  using Tile = F32Tile<kD, kThreads, kRows, kColumns>;
  DYNAMIC_SHARED(shared);
  float *const q_tile = reinterpret_cast<float*>(shared), *const k_tile = q_tile + Tile::kOwnFloats,
               *const v_tile = k_tile + Tile::kWalkedFloats, *const weights = v_tile + Tile::kWalkedFloats;
  const int blocks = ceil_div(the.T, Tile::kOwn), head = blockIdx.x / blocks;
  const int b = head / the.H, h = head % the.H, g = h / (the.H / the.G);
  const int i0 = (blocks - 1 - static_cast<int>(blockIdx.x % blocks)) * Tile::kOwn;
  const int keys = the.keys(b), until = the.seen_until(keys, least(i0 + Tile::kOwn, the.T) - 1);
  Tile::load(q_tile, q.at(b, h, i0), q.row, Tile::kOwn, the.T - i0, the.D);
  typename Tile::Sums o = {};
  float total[kRows] = {}, reference[kRows];
  UNROLL
  for (int r = 0; r < kRows; ++r) reference[r] = -1e30f;
  for (int j0 = the.first_seen(i0) / Tile::kWalked * Tile::kWalked; j0 < until; j0 += Tile::kWalked) {
    const std::uint8_t tile = tile_state<Tile>(masks, b, i0, j0);
    if (M::kAny && tile == kHidden) continue;
    __syncthreads();
    Tile::load(k_tile, k.at(b, g, j0), k.row, Tile::kWalked, keys - j0, the.D);
    Tile::load(v_tile, v.at(b, g, j0), v.row, Tile::kWalked, keys - j0, the.D);
    __syncthreads();
    typename Tile::Scores s;
    Tile::multiply_rows(s, q_tile, k_tile);
    UNROLL
    for (int r = 0; r < kRows; ++r) {
      const int i = i0 + Tile::row(r);
      float now = reference[r];
      UNROLL
      for (int c = 0; c < kColumns; ++c) {
        s[r][c] = exponent(the, masks, tile, keys, head, i, j0 + Tile::column(c), s[r][c]);
        now = fmaxf(now, s[r][c]);
      }
      now = Tile::greatest(now);
      const float shrink = exp2f(reference[r] - now);
      reference[r] = now;
      total[r] *= shrink;
      UNROLL
      for (int n = 0; n < kD / 8; ++n) o[r][n] *= shrink;
      UNROLL
      for (int c = 0; c < kColumns; ++c) {
        s[r][c] = exp2f(s[r][c] - now);
        total[r] += s[r][c];
        if (the.dropout.on && !the.dropout.keeps(the.weight(head, i, j0 + Tile::column(c)))) s[r][c] = 0;
      }
    }
    Tile::put_weights(weights, s);
    __syncwarp();
    Tile::accumulate(o, weights, v_tile);
  }
  UNROLL
  for (int r = 0; r < kRows; ++r) {
    const int i = i0 + Tile::row(r);
    const float sum = Tile::sum(total[r]);
    if (i >= the.T) continue;
    Tile::store_row(y.at(b, h, i), o[r], sum > 0 ? the.dropout.scale / sum : 0, the.D);
    if (threadIdx.x % 8 == 0) *lse.at(b, h, i) = sum > 0 ? reference[r] * kLn2 + logf(sum) : -kInfinity;
  }
}

template <int kD, int kThreads, int kRows, int kColumns, class M>
PRIMITIVE void f32_find_dkv(const Problem& the, const M& masks, const Heads<const float>& dy,
                            const Heads<const float>& q, const Heads<const float>& k,
                            const Heads<const float>& v, const float* lse2, const float* delta,
                            const Heads<float>& dk, const Heads<float>& dv) {
  using Tile = F32Tile<kD, kThreads, kRows, kColumns>;
  DYNAMIC_SHARED(shared);
  float *const k_tile = reinterpret_cast<float*>(shared), *const v_tile = k_tile + Tile::kOwnFloats,
               *const q_tile = v_tile + Tile::kOwnFloats, *const dy_tile = q_tile + Tile::kWalkedFloats,
               *const weights = dy_tile + Tile::kWalkedFloats, *const slopes = weights + Tile::kWeightFloats;
  const int blocks = ceil_div(the.S, Tile::kOwn), bg = blockIdx.x / blocks, b = bg / the.G, g = bg % the.G;
  const int j0 = blockIdx.x % blocks * Tile::kOwn;
  const int keys = the.keys(b), last = least(j0 + Tile::kOwn, keys) - 1;
  const int first = most(0, the.first_seeing(j0)) / Tile::kWalked * Tile::kWalked;
  const int until = last < j0 ? 0 : least(the.T, the.seeing_until(last));
  Tile::load(k_tile, k.at(b, g, j0), k.row, Tile::kOwn, keys - j0, the.D);
  Tile::load(v_tile, v.at(b, g, j0), v.row, Tile::kOwn, keys - j0, the.D);
  typename Tile::Sums dk_sum = {}, dv_sum = {};
  for (int h = g * (the.H / the.G); h < (g + 1) * (the.H / the.G); ++h) {
    const int head = b * the.H + h;
    const Index statistics = Index{head} * (ceil_div(the.T, kTimePadding) * kTimePadding);
    for (int i0 = first; i0 < until; i0 += Tile::kWalked) {
      const std::uint8_t tile = tile_state<Tile>(masks, b, j0, i0);
      if (M::kAny && tile == kHidden) continue;
      __syncthreads();
      Tile::load(q_tile, q.at(b, h, i0), q.row, Tile::kWalked, the.T - i0, the.D);
      Tile::load(dy_tile, dy.at(b, h, i0), dy.row, Tile::kWalked, the.T - i0, the.D);
      __syncthreads();
      typename Tile::Scores p, ds;
      Tile::multiply_rows(p, k_tile, q_tile);
      Tile::multiply_rows(ds, v_tile, dy_tile);
      UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const int i = i0 + Tile::column(c);
        const float level = lse2[statistics + i], mean = delta[statistics + i];
        UNROLL
        for (int r = 0; r < kRows; ++r) {
          const int j = j0 + Tile::row(r);
          const float w = exp2f(exponent(the, masks, tile, keys, head, i, j, p[r][c]) - level);
          const bool keep = !the.dropout.on || the.dropout.keeps(the.weight(head, i, j));
          p[r][c] = keep ? w : 0;
          ds[r][c] = w * ((keep ? ds[r][c] * the.dropout.scale : 0) - mean);
        }
      }
      Tile::put_weights(weights, p);
      Tile::put_weights(slopes, ds);
      __syncwarp();
      Tile::accumulate(dv_sum, weights, dy_tile);
      Tile::accumulate(dk_sum, slopes, q_tile);
    }
  }
  UNROLL
  for (int r = 0; r < kRows; ++r) {
    const int j = j0 + Tile::row(r);
    if (j >= the.S) continue;
    Tile::store_row(dk.at(b, g, j), dk_sum[r], the.scale, the.D);
    Tile::store_row(dv.at(b, g, j), dv_sum[r], the.dropout.scale, the.D);
  }
}

template <int kD, int kThreads, int kRows, int kColumns, class M>
PRIMITIVE void f32_find_dq(const Problem& the, const M& masks, const Heads<const float>& dy,
                           const Heads<const float>& q, const Heads<const float>& k,
                           const Heads<const float>& v, const float* lse2, const float* delta,
                           const Heads<float>& dq) {
  using Tile = F32Tile<kD, kThreads, kRows, kColumns>;
  DYNAMIC_SHARED(shared);
  float *const q_tile = reinterpret_cast<float*>(shared), *const dy_tile = q_tile + Tile::kOwnFloats,
               *const k_tile = dy_tile + Tile::kOwnFloats, *const v_tile = k_tile + Tile::kWalkedFloats,
               *const slopes = v_tile + Tile::kWalkedFloats;
  const int blocks = ceil_div(the.T, Tile::kOwn), head = blockIdx.x / blocks;
  const int b = head / the.H, h = head % the.H, g = h / (the.H / the.G);
  const int i0 = (blocks - 1 - static_cast<int>(blockIdx.x % blocks)) * Tile::kOwn;
  const int keys = the.keys(b), until = the.seen_until(keys, least(i0 + Tile::kOwn, the.T) - 1);
  Tile::load(q_tile, q.at(b, h, i0), q.row, Tile::kOwn, the.T - i0, the.D);
  Tile::load(dy_tile, dy.at(b, h, i0), dy.row, Tile::kOwn, the.T - i0, the.D);
  typename Tile::Sums dq_sum = {};
  float level[kRows], mean[kRows];
  UNROLL
  for (int r = 0; r < kRows; ++r) {
    const Index at = Index{head} * (ceil_div(the.T, kTimePadding) * kTimePadding) + i0 + Tile::row(r);
    level[r] = lse2[at], mean[r] = delta[at];
  }
  for (int j0 = the.first_seen(i0) / Tile::kWalked * Tile::kWalked; j0 < until; j0 += Tile::kWalked) {
    const std::uint8_t tile = tile_state<Tile>(masks, b, i0, j0);
    if (M::kAny && tile == kHidden) continue;
    __syncthreads();
    Tile::load(k_tile, k.at(b, g, j0), k.row, Tile::kWalked, keys - j0, the.D);
    Tile::load(v_tile, v.at(b, g, j0), v.row, Tile::kWalked, keys - j0, the.D);
    __syncthreads();
    typename Tile::Scores p, ds;
    Tile::multiply_rows(p, q_tile, k_tile);
    Tile::multiply_rows(ds, dy_tile, v_tile);
    UNROLL
    for (int r = 0; r < kRows; ++r) {
      const int i = i0 + Tile::row(r);
      UNROLL
      for (int c = 0; c < kColumns; ++c) {
        const int j = j0 + Tile::column(c);
        const float w = exp2f(exponent(the, masks, tile, keys, head, i, j, p[r][c]) - level[r]);
        const bool keep = !the.dropout.on || the.dropout.keeps(the.weight(head, i, j));
        ds[r][c] = w * ((keep ? ds[r][c] * the.dropout.scale : 0) - mean[r]);
      }
    }
    Tile::put_weights(slopes, ds);
    __syncwarp();
    Tile::accumulate(dq_sum, slopes, k_tile);
  }
  UNROLL
  for (int r = 0; r < kRows; ++r) {
    const int i = i0 + Tile::row(r);
    if (i < the.T) Tile::store_row(dq.at(b, h, i), dq_sum[r], the.query_scale, the.D);
  }
}

template <int kD, int kThreads, int kRows, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    f32_forward_kernel(Problem the, Heads<const float> q, Heads<const float> k, Heads<const float> v,
                       Heads<float> y, Heads<float> lse) {
  f32_attend<kD, kThreads, kRows, kColumns>(the, NoMasks{}, q, k, v, y, lse);
}
template <int kD, int kThreads, int kRows, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    masked_f32_forward_kernel(Problem the, Masks masks, Heads<const float> q, Heads<const float> k,
                              Heads<const float> v, Heads<float> y, Heads<float> lse) {
  f32_attend<kD, kThreads, kRows, kColumns>(the, masks, q, k, v, y, lse);
}

template <int kD, int kThreads, int kRows, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    f32_dkv_kernel(Problem the, Heads<const float> dy, Heads<const float> q, Heads<const float> k,
                   Heads<const float> v, const float* lse2, const float* delta, Heads<float> dk,
                   Heads<float> dv) {
  f32_find_dkv<kD, kThreads, kRows, kColumns>(the, NoMasks{}, dy, q, k, v, lse2, delta, dk, dv);
}
template <int kD, int kThreads, int kRows, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    masked_f32_dkv_kernel(Problem the, Masks masks, Heads<const float> dy, Heads<const float> q,
                          Heads<const float> k, Heads<const float> v, const float* lse2, const float* delta,
                          Heads<float> dk, Heads<float> dv) {
  f32_find_dkv<kD, kThreads, kRows, kColumns>(the, masks, dy, q, k, v, lse2, delta, dk, dv);
}

template <int kD, int kThreads, int kRows, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    f32_dq_kernel(Problem the, Heads<const float> dy, Heads<const float> q, Heads<const float> k,
                  Heads<const float> v, const float* lse2, const float* delta, Heads<float> dq) {
  f32_find_dq<kD, kThreads, kRows, kColumns>(the, NoMasks{}, dy, q, k, v, lse2, delta, dq);
}
template <int kD, int kThreads, int kRows, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    masked_f32_dq_kernel(Problem the, Masks masks, Heads<const float> dy, Heads<const float> q,
                         Heads<const float> k, Heads<const float> v, const float* lse2, const float* delta,
                         Heads<float> dq) {
  f32_find_dq<kD, kThreads, kRows, kColumns>(the, masks, dy, q, k, v, lse2, delta, dq);
}

}  // namespace attention
