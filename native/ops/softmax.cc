// Softmax over the last axis.
//
//   x, y [N, C]
//
//   forward        y  = e^(x − max x) / Σ e^(x − max x)
//   backward       dx = y · (dy − Σ dy · y)
//
// −∞ gives 0; a row of nothing but −∞, or with NaN or +∞ in it, gives NaN. A row may be a vocabulary long: sums over it
// are sums in f64 of short ones.
#include "ops/row_sums.h"

namespace ISA {

void softmax_forward(In x, Out y) {
  const Index N = x.size[0], C = x.size[1];
  parallel_rows(N, C, [&](Index n) {
    const auto x_n = x.row(n);
    const auto y_n = y.row(n);
    const float largest = maximum(C, [&](auto i) { return x_n[i]; });
    constexpr bool kKeeps = sizeof(Real) == sizeof(float);  // y holds e^(x − max x) without rounding
    const double total = sum_row(C, [&](auto i) {
      const auto e = exp<i.lanes>(x_n[i] - largest);
      if constexpr (kKeeps) y_n.set(i, e);
      return e;
    });
    const float scale = float(1 / total);
    each(C, [&](auto i) {
      if constexpr (kKeeps)
        y_n.set(i, load<i.lanes>(y_n.p + i.at) * scale);
      else
        y_n.set(i, exp<i.lanes>(x_n[i] - largest) * scale);
    });
  });
}

void softmax_backward(In dy, In y, Out dx) {
  const Index N = y.size[0], C = y.size[1];
  const bool past = streams(dx.at(), N * C, dx.stride[0]);
  parallel_rows(N, C, [&](Index n) {
    const auto dy_n = dy.row(n), y_n = y.row(n);
    const auto dx_n = dx.row(n);
    const float dot = float(sum_row(C, [&](auto i) { return dy_n[i] * y_n[i]; }));
    each(C, [&](auto i) { dx_n.set(i, y_n[i] * (dy_n[i] - dot), past); });
  });
}

}  // namespace ISA
