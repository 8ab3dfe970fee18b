// The weights of attention from its scores, where they exist as a matrix.
//
//   scores, bias, p, dp, ds [B, H, T, S]    lengths [B]    starts [B, T]    slopes [H]
//   blocks [⌈T/n⌉, ⌈S/n⌉], n = blockSize
//
//   forward        s = scale · scores + bias + slopes[h] · (j − i′)    i′ = i + S − T, where query i stands
//                  p = softmax(s) over the keys j that query i sees, 0 elsewhere
//   backward       ds = p · (dp − Σ dp · p)
//
// Which keys a query sees: ../../native/ops/maskedsoftmax.cc. Where it sees none, p = 0.
#include "../axes.h"
#include "../rows.h"

namespace TABLE {

constexpr int kMaskedHeld = 8;
constexpr unsigned kMaskedBlock = 128;

// The row of this team; the first one, if there is no such row.
struct MaskedPlace {
  int b, h, t;
  bool exists;

  template <class X>
  PRIMITIVE explicit MaskedPlace(const X& x) {
    Index row = team_row(), rest, i, head;
    exists = row < x.size[0] * x.size[1] * x.size[2];
    cuda::divide(exists ? row : 0, x.size[2], &rest, &i);
    cuda::divide(rest, x.size[1], &rest, &head);
    b = static_cast<int>(rest), h = static_cast<int>(head), t = static_cast<int>(i);
  }
};

// What one query sees, and how its scores become exponents.
struct MaskedRow {
  const float *scores, *bias;
  const std::int32_t* blocks;
  Index begin, end, place, block_stride;
  int block_size;
  float scale, slope;

  PRIMITIVE bool sees(Index j) const {
    return j >= begin && j < end && (!blocks || blocks[static_cast<int>(j) / block_size * block_stride] != 0);
  }
  template <int V>
  PRIMITIVE Floats<V> at(Index i) const {
    Floats<V> s = load<V>(scores + i), b = bias ? load<V>(bias + i) : splat<V>(0.f);
    UNROLL
    for (int k = 0; k < V; ++k) {
      const Index j = i + k;
      s[k] = sees(j) ? fmaf(s[k], scale, b[k]) + slope * static_cast<float>(j - place) : -INFINITY;
    }
    return s;
  }
};

template <int V, int kHeld>
__global__ void maskedsoftmax_forward_rows(In32 scores, In32Opt bias, IdsOpt lengths, IdsOpt starts,
                                           In32Opt slopes, IdsOpt blocks, Out p, float scale, int causal,
                                           int reach, int block_size) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const MaskedPlace at(p);
  const auto [b, h, t, exists] = at;
  const int T = static_cast<int>(p.size[2]), S = static_cast<int>(p.size[3]), count = exists ? S : 0;
  MaskedRow mask;
  mask.scores = scores.at(b, h, t);
  mask.bias = bias ? bias.at(b, h, t) : nullptr;
  mask.place = t + S - T;
  const int keys = lengths ? *lengths.at(b) : S, first = starts ? *starts.at(b, t) : 0;
  mask.begin = mask.place - reach > first ? mask.place - reach : first;
  mask.end = mask.place + (causal ? 0 : reach) + 1;
  mask.end = mask.end < keys ? mask.end : keys;
  mask.blocks = blocks ? blocks.at(t / block_size) : nullptr;
  mask.block_stride = blocks.stride[1], mask.block_size = block_size;
  mask.scale = scale, mask.slope = slopes ? *slopes.at(h) : 0;

  Floats<V> held[kHeld > 0 ? kHeld : 1];
  float largest = -INFINITY;
  each_piece<V, kHeld>(count, [&](int k, Index i) {
    const Floats<V> s = mask.template at<V>(i);
    if constexpr (kHeld > 0) held[k] = s;
    UNROLL
    for (int j = 0; j < V; ++j) largest = fmaxf(largest, s[j]);
  });
  largest = team.maximum(largest);
  const auto exponents = [&](int k, Index i) {
    if constexpr (kHeld > 0)
      return held[k];
    else
      return mask.template at<V>(i);
  };
  const float origin = largest == -INFINITY ? 0 : largest;
  float total = 0;
  each_piece<V, kHeld>(count, [&](int k, Index i) {
    const Floats<V> s = exponents(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) total += expf(s[j] - origin);
  });
  total = team.sum(total);
  const float factor = total == 0 ? 0 : 1 / total;
  Real* const p_n = p.at(b, h, t);
  each_piece<V, kHeld>(count, [&](int k, Index i) {
    Floats<V> s = exponents(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) s[j] = expf(s[j] - origin) * factor;
    store<V>(p_n + i, s);
  });
}

void maskedsoftmax_forward(In32 scores, In32Opt bias, IdsOpt lengths, IdsOpt starts, In32Opt slopes,
                           IdsOpt blocks, Out p, float scale, Index causal, Index window, Index blockSize) {
  constexpr Index kMost = Index{1} << 28;
  const Index B = p.size[0], H = p.size[1], T = p.size[2], S = p.size[3];
  if (T > kMost || S > kMost || B * H > 0x7fffffff)
    return context().fail("attention: more than 2²⁸ positions or 2³¹ heads");
  if (blocks &&
      (blockSize <= 0 || blocks.size[0] < ceil_div(T, blockSize) || blocks.size[1] < ceil_div(S, blockSize)))
    return;
  const Index reach = window > 0 && window < S + T ? window - 1 : S + T;
  const bool wide = S % kWide == 0 && is_wide(scores, 4) && (!bias || is_wide(bias, 4)) && is_wide(p, 4);
  const TeamGrid teams(B * H * T, S, wide, kMaskedHeld, kMaskedBlock);
  const auto kernel = teams.choose(maskedsoftmax_forward_rows<kWide, held_pieces<kWide>(kMaskedHeld)>,
                                   maskedsoftmax_forward_rows<1, held_pieces<1>(kMaskedHeld)>,
                                   maskedsoftmax_forward_rows<kWide, 0>, maskedsoftmax_forward_rows<1, 0>);
  launch(kernel, teams.grid, teams.block, teams.shared_bytes, scores, bias, lengths, starts, slopes, blocks,
         p, scale, int(causal != 0), int(reach), int(blockSize < kMost ? blockSize : kMost));
}

template <int V, int kHeld>
__global__ void maskedsoftmax_backward_rows(In32 dp, In p, Out ds) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const MaskedPlace at(p);
  const Index S = at.exists ? p.size[3] : 0;
  const RowPart<V, kHeld, float> dp_n(dp.at(at.b, at.h, at.t), S);
  const RowPart<V, kHeld, Real> p_n(p.at(at.b, at.h, at.t), S);
  float dot = 0;
  each_piece<V, kHeld>(S, [&](int k, Index i) {
    const Floats<V> dp_i = dp_n.at(k, i), p_i = p_n.at(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) dot += dp_i[j] * p_i[j];
  });
  dot = team.sum(dot);
  Real* const ds_n = ds.at(at.b, at.h, at.t);
  each_piece<V, kHeld>(S, [&](int k, Index i) {
    const Floats<V> dp_i = dp_n.at(k, i), p_i = p_n.at(k, i);
    Floats<V> ds_i;
    UNROLL
    for (int j = 0; j < V; ++j) ds_i[j] = p_i[j] * (dp_i[j] - dot);
    store<V>(ds_n + i, ds_i);
  });
}

void maskedsoftmax_backward(In32 dp, In p, Out ds) {
  const Index S = p.size[3];
  const bool wide = S % kWide == 0 && is_wide(dp, 4) && is_wide(p, 4) && is_wide(ds, 4);
  const TeamGrid teams(p.size[0] * p.size[1] * p.size[2], S, wide, kMaskedHeld, kMaskedBlock);
  const auto kernel = teams.choose(maskedsoftmax_backward_rows<kWide, held_pieces<kWide>(kMaskedHeld)>,
                                   maskedsoftmax_backward_rows<1, held_pieces<1>(kMaskedHeld)>,
                                   maskedsoftmax_backward_rows<kWide, 0>, maskedsoftmax_backward_rows<1, 0>);
  launch(kernel, teams.grid, teams.block, teams.shared_bytes, dp, p, ds);
}

}  // namespace TABLE
