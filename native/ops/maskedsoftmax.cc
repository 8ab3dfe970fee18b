// The weights of attention from its scores, where they exist as a matrix.
//
//   scores, bias, p, dp, ds [B, H, T, S]    lengths [B]    starts [B, T]    slopes [H]
//   blocks [⌈T/n⌉, ⌈S/n⌉], n = blockSize
//
//   forward        s = scale · scores + bias + slopes[h] · (j − i′)    i′ = i + S − T, where query i stands
//                  p = softmax(s) over the keys j that query i sees, 0 elsewhere
//   backward       ds = p · (dp − Σ dp · p)
//
// Query i of sequence b sees key j if starts[b, i] ≤ j < lengths[b]; when causal, j ≤ i′; with a window W >
// 0, |i′ − j| < W; and if blocks[⌊i/n⌋, ⌊j/n⌋] ≠ 0. Where it sees none, or all that it sees has a bias of −∞,
// p = 0.
#include "ops/row_sums.h"

namespace ISA {

namespace {

// at, at + 1, …
template <int N>
inline Vec<N> count_from(Index at) {
  Vec<N> lane{};
  for (int k = 0; k < N; ++k) lane[k] = static_cast<float>(k);
  return lane + static_cast<float>(at);
}

}  // namespace

void maskedsoftmax_forward(In32 scores, In32Opt bias, IdsOpt lengths, IdsOpt starts, In32Opt slopes,
                           IdsOpt blocks, Out p, float scale, Index causal, Index window, Index blockSize) {
  const Index B = p.size[0], H = p.size[1], T = p.size[2], S = p.size[3];
  constexpr Index kMaxKeys = kScratchBytes / sizeof(float) / 2;
  if (S > kMaxKeys) return report_index_fault(0, S, kMaxKeys + 1);
  if (blocks &&
      (blockSize <= 0 || blocks.size[0] < ceil_div(T, blockSize) || blocks.size[1] < ceil_div(S, blockSize)))
    return;
  const Index reach = window > 0 && window < S + T ? window - 1 : S + T;
  const float none = -__builtin_inff();
  parallel_rows(B * H * T, S, [&](Index n) {
    const Index t = n % T, h = n / T % H, b = n / T / H, place = t + S - T;
    const Index keys = lengths ? min(S, *lengths.at(b)) : S;
    const Index begin = max(max(0, place - reach), starts ? *starts.at(b, t) : 0);
    const Index end = max(begin, min(keys, place + (causal ? 0 : reach) + 1)), count = end - begin;
    const auto p_n = p.row(b, h, t);
    const auto clear = [&](Index from, Index to) {
      each(from, to, [&](auto i) { p_n.set(i, splat<i.lanes>(0.f)); });
    };
    if (begin >= S) return clear(0, S);
    Scratch scratch;
    const Row<float> s{scratch.floats(max(count, 1))};
    const auto from = scores.row(b, h, t, begin);
    const auto bias_n = bias ? bias.row(b, h, t, begin) : Row<const float>{};
    const float slope = slopes ? *slopes.at(h) : 0;
    each(count, [&](auto i) {
      auto x = from[i] * scale;
      if (bias) x += bias_n[i];
      if (slopes) x += slope * count_from<i.lanes>(begin + i.at - place);
      s.set(i, x);
    });
    for (Index j = begin; blocks && j < end;) {
      const Index next = min(end, (j / blockSize + 1) * blockSize);
      if (*blocks.at(t / blockSize, j / blockSize) == 0)
        each(j - begin, next - begin, [&](auto i) { s.set(i, splat<i.lanes>(none)); });
      j = next;
    }
    const float largest = maximum(count, [&](auto i) { return s[i]; }),
                origin = largest == none ? 0 : largest;
    const double total = sum_row(count, [&](auto i) {
      const auto e = exp<i.lanes>(s[i] - origin);
      s.set(i, e);
      return e;
    });
    const float factor = total == 0 ? 0 : float(1 / total);
    clear(0, begin);
    each(count, [&](auto i) { p_n.set(Lanes<i.lanes>{begin + i.at}, s[i] * factor); });
    clear(end, S);
  });
}

void maskedsoftmax_backward(In32 dp, In p, Out ds) {
  const Index B = p.size[0], H = p.size[1], T = p.size[2], S = p.size[3];
  parallel_rows(B * H * T, S, [&](Index n) {
    const Index t = n % T, h = n / T % H, b = n / T / H;
    const auto dp_n = dp.row(b, h, t);
    const auto p_n = p.row(b, h, t);
    const auto ds_n = ds.row(b, h, t);
    const float dot = float(sum_row(S, [&](auto i) { return dp_n[i] * p_n[i]; }));
    each(S, [&](auto i) { ds_n.set(i, p_n[i] * (dp_n[i] - dot)); });
  });
}

}  // namespace ISA
