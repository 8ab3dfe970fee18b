// Gradient norm, Adam (Kingma & Ba 2015, AMSGrad: Reddi et al. 2018) and AdamW (Loshchilov & Hutter 2019), in the order
// of PyTorch's operations.
//
//   x, parameter, m, v, largest, gradient [N]    square, norm [1]
//   adamw_packed: parameter, m, v, gradient [N, K]    forward, backward [P]
//
//   square_norm    square += Σ x²    norm = √square
//   adam           g = gradient clipped (ops/clipping.h) + coupledDecay · parameter
//                  parameter ·= 1 − learningRate · weightDecay
//                  m += (1 − β₁) (g − m)    v = β₂ v + (1 − β₂) g²    largest = max(largest, v)
//                  parameter −= learningRate / correction1 · m / (√(largest or v) / √correction2 + eps)
//   adamw          adam without coupledDecay and largest
//
// correction1 = 1 − β₁ᵗ, correction2 = 1 − β₂ᵗ at step t.
//
// adamw_packed is adamw on the weight of a linear map, which it leaves in panels as well, as the products of the next
// step read it: y = x · weightᵀ (forward) and dx = dy · weight (backward). See gemm/pack.h.
#include "gemm/pack_weight.h"
#include "ops/clipping.h"

namespace ISA {

namespace {

struct Adam {
  Clipping clip;
  float decay, coupled, step, root2, rest1, rest2, keep2, epsilon;

  // The scalars come in f64: 1 − β₂ of a β₂ near 1 would lose digits in f32.
  Adam(const In32Opt& norm, double maxNorm, double learningRate, double beta1, double beta2, double eps,
       double weightDecay, double coupledDecay, double correction1, double correction2)
      : clip(norm, maxNorm),
        decay(float(1 - learningRate * weightDecay)),
        coupled(float(coupledDecay)),
        step(float(learningRate / correction1)),
        root2(float(__builtin_sqrt(correction2))),
        rest1(float(1 - beta1)),
        rest2(float(1 - beta2)),
        keep2(float(beta2)),
        epsilon(float(eps)) {}

  template <bool kHasLargest = false, class L>
  void update(L i, Row<float> parameter, Row<float> m, Row<float> v, Row<float> largest, Vec<L::lanes> g) const {
    const auto m_i = m[i] + (g - m[i]) * rest1;
    auto v_i = v[i] * keep2 + g * g * rest2;
    m.set(i, m_i);
    v.set(i, v_i);
    if constexpr (kHasLargest) {
      v_i = max<L::lanes>(largest[i], v_i);
      largest.set(i, v_i);
    }
    const auto width = square_root<L::lanes>(v_i) / root2 + epsilon;
    parameter.set(i, parameter[i] * decay - m_i / width * step);
  }
};

}  // namespace

void square_norm(In32 x, Acc square, Out32 norm) {
  constexpr Index kMaxBlocks = 256, kShort = 1024;
  const Index N = x.size[0], block = max(kGrain, ceil_div(N, kMaxBlocks)), blocks = ceil_div(N, block);
  double partial[kMaxBlocks];
  parallel(blocks, [&](Index b) {
    double total = 0;
    const Index end = min(N, (b + 1) * block);
    for (Index begin = b * block; begin < end; begin += kShort) {
      const Row<const float> piece{x.at(begin)};
      total += double(sum(min(kShort, end - begin), [&](auto i) { return piece[i] * piece[i]; }));
    }
    partial[b] = total;
  });
  double total = 0;
  for (Index b = 0; b < blocks; ++b) total += partial[b];
  *square.at() += float(total);
  *norm.at() = __builtin_sqrtf(*square.at());
}

void adamw(Acc parameter, Acc m, Acc v, In32 gradient, In32Opt norm, double maxNorm, double learningRate, double beta1,
           double beta2, double eps, double weightDecay, double correction1, double correction2) {
  const Adam adam(norm, maxNorm, learningRate, beta1, beta2, eps, weightDecay, 0, correction1, correction2);
  const auto parameter_0 = parameter.row(), m_0 = m.row(), v_0 = v.row();
  const auto gradient_0 = gradient.row();
  parallel_each(parameter.size[0],
                [&](auto i) { adam.update(i, parameter_0, m_0, v_0, {}, gradient_0[i] * adam.clip.factor); });
}

void adam(Acc parameter, Acc m, Acc v, AccOpt largest, In32 gradient, In32Opt norm, double maxNorm, double learningRate,
          double beta1, double beta2, double eps, double weightDecay, double coupledDecay, double correction1,
          double correction2) {
  const Adam adam(norm, maxNorm, learningRate, beta1, beta2, eps, weightDecay, coupledDecay, correction1, correction2);
  const auto parameter_0 = parameter.row(), m_0 = m.row(), v_0 = v.row(), largest_0 = largest.row();
  const auto gradient_0 = gradient.row();
  const auto g = [&](auto i) { return gradient_0[i] * adam.clip.factor + parameter_0[i] * adam.coupled; };
  if (largest)
    parallel_each(parameter.size[0],
                  [&](auto i) { adam.update<true>(i, parameter_0, m_0, v_0, largest_0, g(i)); });
  else
    parallel_each(parameter.size[0], [&](auto i) { adam.update(i, parameter_0, m_0, v_0, {}, g(i)); });
}

void adamw_packed(Acc parameter, Acc m, Acc v, In32 gradient, In32Opt norm, Out32Opt forward, Out32Opt backward,
                  double maxNorm, double learningRate, double beta1, double beta2, double eps, double weightDecay,
                  double correction1, double correction2) {
  const Adam adam(norm, maxNorm, learningRate, beta1, beta2, eps, weightDecay, 0, correction1, correction2);
  const Index N = parameter.size[0], K = parameter.size[1];
  if (!holds_packed(forward, K, N) || !holds_packed(backward, N, K)) return;
  // Whole panels both ways; a piece of the four arrays stays in the L2 cache.
  constexpr Index kRows = kGemm.columns(), kColumns = 1024 / kGemm.columns() * kGemm.columns();
  parallel(ceil_div(N, kRows), [&](Index chunk) {
    const Index n = chunk * kRows, rows = min(kRows, N - n);
    for (Index k = 0; k < K; k += kColumns) {
      const Index columns = min(kColumns, K - k);
      for (Index r = n; r < n + rows; ++r) {
        const auto parameter_r = parameter.row(r), m_r = m.row(r), v_r = v.row(r);
        const auto gradient_r = gradient.row(r);
        each(k, k + columns,
             [&](auto i) { adam.update(i, parameter_r, m_r, v_r, {}, gradient_r[i] * adam.clip.factor); });
      }
      const Index stride = parameter.stride[0];
      if (forward) pack_part({parameter.at(0, k), stride, 1}, N, K, n, rows, k, columns, forward.at());
      if (backward) pack_part({parameter.at(n, 0), 1, stride}, K, N, k, columns, n, rows, backward.at());
    }
  });
}

}  // namespace ISA
