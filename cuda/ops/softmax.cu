// Softmax over the last axis.
//
//   x, y [N, C]
//
//   forward        y  = e^(x − max x) / Σ e^(x − max x)
//   backward       dx = y · (dy − Σ dy · y)
//
// −∞ gives 0; a row of nothing but −∞, or with NaN or +∞ in it, gives NaN.
#include "../rows.h"

namespace TABLE {

constexpr int kSoftmaxHeld = 16;
constexpr unsigned kSoftmaxBlock = 128;

template <int V, int kHeld>
__global__ void softmax_forward_rows(In x, Out y) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const Index n = team_row(), C = n < x.size[0] ? x.size[1] : 0;
  const RowPart<V, kHeld, Real> x_n(x.at(n), C);
  float largest = -INFINITY;
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> x_i = x_n.at(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) largest = fmaxf(largest, x_i[j]);
  });
  largest = team.maximum(largest);
  float total = 0;
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> x_i = x_n.at(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) total += expf(x_i[j] - largest);
  });
  const float scale = 1 / team.sum(total);
  Real* const y_n = y.at(n);
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    Floats<V> y_i = x_n.at(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) y_i[j] = expf(y_i[j] - largest) * scale;
    store<V>(y_n + i, y_i);
  });
}

void softmax_forward(In x, Out y) {
  const Index C = x.size[1];
  const TeamGrid teams(x.size[0], C, C % kWide == 0 && is_wide(x, 2) && is_wide(y, 2), kSoftmaxHeld,
                       kSoftmaxBlock);
  const auto kernel = teams.choose(softmax_forward_rows<kWide, held_pieces<kWide>(kSoftmaxHeld)>,
                                   softmax_forward_rows<1, held_pieces<1>(kSoftmaxHeld)>,
                                   softmax_forward_rows<kWide, 0>, softmax_forward_rows<1, 0>);
  launch(kernel, teams.grid, teams.block, teams.shared_bytes, x, y);
}

template <int V, int kHeld>
__global__ void softmax_backward_rows(In dy, In y, Out dx) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  const Index n = team_row(), C = n < y.size[0] ? y.size[1] : 0;
  const RowPart<V, kHeld, Real> dy_n(dy.at(n), C), y_n(y.at(n), C);
  float dot = 0;
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> dy_i = dy_n.at(k, i), y_i = y_n.at(k, i);
    UNROLL
    for (int j = 0; j < V; ++j) dot += dy_i[j] * y_i[j];
  });
  dot = team.sum(dot);
  Real* const dx_n = dx.at(n);
  each_piece<V, kHeld>(C, [&](int k, Index i) {
    const Floats<V> dy_i = dy_n.at(k, i), y_i = y_n.at(k, i);
    Floats<V> dx_i;
    UNROLL
    for (int j = 0; j < V; ++j) dx_i[j] = y_i[j] * (dy_i[j] - dot);
    store<V>(dx_n + i, dx_i);
  });
}

void softmax_backward(In dy, In y, Out dx) {
  const Index C = y.size[1];
  const bool wide = C % kWide == 0 && is_wide(dy, 2) && is_wide(y, 2) && is_wide(dx, 2);
  const TeamGrid teams(y.size[0], C, wide, kSoftmaxHeld, kSoftmaxBlock);
  const auto kernel = teams.choose(softmax_backward_rows<kWide, held_pieces<kWide>(kSoftmaxHeld)>,
                                   softmax_backward_rows<1, held_pieces<1>(kSoftmaxHeld)>,
                                   softmax_backward_rows<kWide, 0>, softmax_backward_rows<1, 0>);
  launch(kernel, teams.grid, teams.block, teams.shared_bytes, dy, y, dx);
}

}  // namespace TABLE
