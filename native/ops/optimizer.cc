// Gradient norm and AdamW (Loshchilov & Hutter 2019), in the order of PyTorch's operations.
//
//   x, parameter, m, v, gradient [N]    square, norm [1]
//
//   square_norm    square += Σ x²    norm = √square
//   adamw          g = gradient · min(1, maxNorm / (norm + 1e-6)) if there is a norm and maxNorm > 0, else gradient
//                  parameter ·= 1 − learningRate · weightDecay
//                  m += (1 − β₁) (g − m)    v = β₂ v + (1 − β₂) g²
//                  parameter −= learningRate / correction1 · m / (√v / √correction2 + eps)
//
// correction1 = 1 − β₁ᵗ, correction2 = 1 − β₂ᵗ at step t. Norms that are not finite pass through: inf gives factor 0,
// NaN gives NaN.
#include "kernel.h"

namespace ISA {

namespace {

template <int N>
inline Vec<N> square_root(Vec<N> x) {
  for (int k = 0; k < N; ++k) x[k] = __builtin_sqrtf(x[k]);
  return x;
}

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

// The scalars come in f64: 1 − β₂ of a β₂ near 1 would lose digits in f32.
void adamw(Acc parameter, Acc m, Acc v, In32 gradient, In32Opt norm, double maxNorm, double learningRate, double beta1,
           double beta2, double eps, double weightDecay, double correction1, double correction2) {
  float clip = 1;
  if (norm && maxNorm > 0) {
    clip = float(maxNorm) / (*norm.at() + 1e-6f);
    if (clip > 1) clip = 1;
  }
  const float decay = float(1 - learningRate * weightDecay), step = float(learningRate / correction1);
  const float root2 = float(__builtin_sqrt(correction2)), rest1 = float(1 - beta1), rest2 = float(1 - beta2);
  const float keep2 = float(beta2), epsilon = float(eps);
  const auto parameter_0 = parameter.row(), m_0 = m.row(), v_0 = v.row();
  const auto gradient_0 = gradient.row();
  parallel_each(parameter.size[0], [&](auto i) {
    const auto g = gradient_0[i] * clip;
    const auto m_i = m_0[i] + (g - m_0[i]) * rest1;
    const auto v_i = v_0[i] * keep2 + g * g * rest2;
    const auto width = square_root<i.lanes>(v_i) / root2 + epsilon;
    m_0.set(i, m_i);
    v_0.set(i, v_i);
    parameter_0.set(i, parameter_0[i] * decay - m_i / width * step);
  });
}

}  // namespace ISA
