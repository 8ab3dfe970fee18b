// RMSNorm over the last axis. Formulas: ../../native/ops/rmsnorm.cc. A team of threads has a row.
#include "../norm_gradient.h"

namespace TABLE {

constexpr int kRmsHeld = 16;

template <int V, int kHeld>
__global__ void rmsnorm_forward_rows(In x, In32 weight, Out y, Out32 rstd, float eps) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const Index n = team_row(), C = n < x.size[0] ? x.size[1] : 0;
  const RowPart<V, kHeld, Real> x_n(x.at(n), C);
  float square = 0;
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> x_i = x_n.at(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) square += x_i[j] * x_i[j];
  });
  const float r = 1 / sqrtf(team.sum(square) / x.size[1] + eps);
  if (n < x.size[0] && threadIdx.x == 0) *rstd.at(n) = r;
  Real* const y_n = y.at(n);
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> x_i = x_n.at(k, i), w_i = load<V>(weight.at() + i);
    Floats<V> y_i;
    UNROLL
    for (int j = 0; j < V; ++j) y_i[j] = x_i[j] * r * w_i[j];
    store<V>(y_n + i, y_i);
  });
}

void rmsnorm_forward(In x, In32 weight, Out y, Out32 rstd, float eps) {
  const Index C = x.size[1];
  const bool wide = C % kWide == 0 && is_wide(x, 2) && is_wide(y, 2) && is_wide(weight.data);
  const TeamGrid teams(x.size[0], C, wide, kRmsHeld, 128);
  const auto kernel = teams.choose(rmsnorm_forward_rows<kWide, held_pieces<kWide>(kRmsHeld)>,
                                   rmsnorm_forward_rows<1, held_pieces<1>(kRmsHeld)>,
                                   rmsnorm_forward_rows<kWide, 0>, rmsnorm_forward_rows<1, 0>);
  launch(kernel, teams.grid, teams.block, teams.shared_bytes, x, weight, y, rstd, eps);
}

void rmsnorm_backward(In dy, In x, In32 weight, In32 rstd, Out dx, Acc dweight) {
  norm_backward<false>(dy, x, weight, In32{}, rstd, dx, dweight, Acc{});
}

}  // namespace TABLE
