// Layer normalization over the last axis. Formulas: ../../native/ops/layernorm.cc. A team of threads has a
// row.
//
// The variance is that around the mean as far as the first sum gives it; what the second sum finds the mean
// to be off is put right.
#include "../norm_gradient.h"

namespace TABLE {

constexpr int kLayerHeld = 16;

template <int V, int kHeld>
__global__ void layernorm_forward_rows(In x, In32 weight, In32Opt bias, Out y, Out32 mean, Out32 rstd,
                                       float eps) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const Index n = team_row(), C = n < x.size[0] ? x.size[1] : 0;
  const RowPart<V, kHeld, Real> x_n(x.at(n), C);
  const float share = 1 / static_cast<float>(x.size[1]);
  float total = 0;
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> x_i = x_n.at(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) total += x_i[j];
  });
  const float about = team.sum(total) * share;
  float moments[2] = {};
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> x_i = x_n.at(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) {
      const float d = x_i[j] - about;
      moments[0] += d;
      moments[1] += d * d;
    }
  });
  team.sum(moments);
  const float offset = moments[0] * share, variance = moments[1] * share - offset * offset;
  const float m = about + offset, r = 1 / sqrtf(variance + eps);
  if (n < x.size[0] && threadIdx.x == 0) {
    *mean.at(n) = m;
    *rstd.at(n) = r;
  }
  Real* const y_n = y.at(n);
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> x_i = x_n.at(k, i), w_i = load<V>(weight.at() + i),
                    b_i = bias ? load<V>(bias.at() + i) : splat<V>(0.f);
    Floats<V> y_i;
    UNROLL
    for (int j = 0; j < V; ++j) y_i[j] = (x_i[j] - m) * r * w_i[j] + b_i[j];
    store<V>(y_n + i, y_i);
  });
}

void layernorm_forward(In x, In32 weight, In32Opt bias, Out y, Out32 mean, Out32 rstd, float eps) {
  const Index C = x.size[1];
  const bool wide =
      C % kWide == 0 && is_wide(x, 2) && is_wide(y, 2) && is_wide(weight.data) && is_wide(bias.data);
  const TeamGrid teams(x.size[0], C, wide, kLayerHeld, 128);
  const auto kernel = teams.choose(layernorm_forward_rows<kWide, held_pieces<kWide>(kLayerHeld)>,
                                   layernorm_forward_rows<1, held_pieces<1>(kLayerHeld)>,
                                   layernorm_forward_rows<kWide, 0>, layernorm_forward_rows<1, 0>);
  launch(kernel, teams.grid, teams.block, teams.shared_bytes, x, weight, bias, y, mean, rstd, eps);
}

void layernorm_backward(In dy, In x, In32 weight, In32 mean, In32 rstd, Out dx, Acc dweight, AccOpt dbias) {
  norm_backward<true>(dy, x, weight, mean, rstd, dx, dweight, dbias);
}

}  // namespace TABLE
