// SGD with momentum and Lion (Chen et al. 2023), in the order of PyTorch's operations, and what further
// optimizers are composed of.
//
//   parameter, velocity, m, gradient, x, y [N]    norm [1]
//
//   sgd            g = gradient clipped (ops/clipping.h) + weightDecay · parameter
//                  velocity = momentum · velocity + (1 − dampening) g
//                  g = g + momentum · velocity if nesterov, else velocity;  without a velocity g as it is
//                  parameter −= learningRate · g
//   lion           parameter ·= 1 − learningRate · weightDecay
//                  parameter −= learningRate · sign(β₁ m + (1 − β₁) g), sign(0) = 0
//                  m = β₂ m + (1 − β₂) g
//   clip_gradient  gradient = g, then at most ±maxValue if maxValue > 0
//   lerp           y += weight · (x − y)
//   root           y = √max(x, floor), or 1 / √max(x, floor) if inverse
//
// y of root may be x itself.
#include "ops/clipping.h"

namespace ISA {

void sgd(Acc parameter, AccOpt velocity, In32 gradient, In32Opt norm, double maxNorm, double learningRate,
         double momentum, double dampening, double weightDecay, Index nesterov) {
  const float clip = Clipping(norm, maxNorm).factor, step = float(learningRate), keep = float(momentum),
              rest = float(1 - dampening), decay = float(weightDecay);
  const auto parameter_0 = parameter.row(), velocity_0 = velocity.row();
  const auto gradient_0 = gradient.row();
  const auto g = [&](auto i) { return gradient_0[i] * clip + parameter_0[i] * decay; };
  if (!velocity)
    return parallel_each(parameter.size[0],
                         [&](auto i) { parameter_0.set(i, parameter_0[i] - g(i) * step); });
  parallel_each(parameter.size[0], [&](auto i) {
    const auto g_i = g(i), velocity_i = velocity_0[i] * keep + g_i * rest;
    velocity_0.set(i, velocity_i);
    parameter_0.set(i, parameter_0[i] - (nesterov ? g_i + velocity_i * keep : velocity_i) * step);
  });
}

void lion(Acc parameter, Acc m, In32 gradient, In32Opt norm, double maxNorm, double learningRate,
          double beta1, double beta2, double weightDecay) {
  const float clip = Clipping(norm, maxNorm).factor, step = float(learningRate), keep1 = float(beta1),
              rest1 = float(1 - beta1), keep2 = float(beta2), rest2 = float(1 - beta2),
              decay = float(1 - learningRate * weightDecay);
  const auto parameter_0 = parameter.row(), m_0 = m.row();
  const auto gradient_0 = gradient.row();
  parallel_each(parameter.size[0], [&](auto i) {
    const auto g = gradient_0[i] * clip, m_i = m_0[i], c = m_i * keep1 + g * rest1;
    const auto sign = c > 0.f ? splat<i.lanes>(1.f) : (c < 0.f ? splat<i.lanes>(-1.f) : c);
    m_0.set(i, m_i * keep2 + g * rest2);
    parameter_0.set(i, parameter_0[i] * decay - sign * step);
  });
}

void clip_gradient(Acc gradient, In32Opt norm, double maxNorm, double maxValue) {
  const float factor = Clipping(norm, maxNorm).factor,
              limit = maxValue > 0 ? float(maxValue) : __builtin_inff();
  const auto gradient_0 = gradient.row();
  parallel_each(gradient.size[0], [&](auto i) {
    const auto high = splat<i.lanes>(limit), low = splat<i.lanes>(-limit);
    gradient_0.set(i,
                   max<i.lanes>(low, min<i.lanes>(high, gradient_0[i] * factor)));  // in this order NaN stays
  });
}

void lerp(Acc y, In32 x, double weight) {
  const auto y_0 = y.row();
  const auto x_0 = x.row();
  const float part = float(weight);
  parallel_each(y.size[0], [&](auto i) {
    const auto y_i = y_0[i];
    y_0.set(i, y_i + (x_0[i] - y_i) * part);
  });
}

void root(In32 x, Out32 y, double floor, Index inverse) {
  const auto x_0 = x.row();
  const float least = float(floor);
  parallel_map(y, [=](auto i) {
    const auto width = square_root<i.lanes>(max<i.lanes>(splat<i.lanes>(least), x_0[i]));
    return inverse ? 1.f / width : width;
  });
}

}  // namespace ISA
