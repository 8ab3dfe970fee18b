// Layer normalization over the last axis.
//
//   x, y [N, C]    weight, bias [C]    mean, rstd [N]               N rows of C channels
//
//   forward        μ  = mean(x)    r = 1 / sqrt(mean((x − μ)²) + eps)
//                  y  = (x − μ) · r · weight + bias
//   backward       x̂  = (x − μ) · r    g = dy · weight
//                  dx = r · (g − mean(g) − x̂ · mean(g · x̂))
//                  dweight += Σₙ dy · x̂    dbias += Σₙ dy
//
// Mean and variance come from one pass over a row, as sums around its first element; where that lies so far from the
// mean that their difference cancels, from another around the mean just found. A row belongs to one thread; see
// accumulate_rows for the sums over rows.

#include "kernel.h"

namespace ISA {

namespace {

struct Moments {
  float mean, variance;
};

Moments moments(Row<const Real> x, Index C) {
  float shift = C > 0 ? to_float(*x.p) : 0;
  for (bool again = true;; again = false) {
    float total[2];
    sums(C, total, [&](auto i) {
      const auto d = x[i] - shift;
      return Terms<i.lanes, 2>{{d, d * d}};
    });
    const float offset = total[0] / C, square = total[1] / C, variance = square - offset * offset;
    if (!again || !(variance < square / 8)) return {shift + offset, variance};
    shift += offset;
  }
}

}  // namespace

void layernorm_forward(In x, In32 weight, In32Opt bias, Out y, Out32 mean, Out32 rstd, float eps) {
  const Index N = x.size[0], C = x.size[1];
  const bool past = streams(y.at(), N * C, y.stride[0]);
  parallel_rows(N, C, [&](Index n) {
    const auto x_n = x.row(n);
    const auto w = weight.row(), b = bias.row();
    const auto y_n = y.row(n);
    const Moments of_x = moments(x_n, C);
    const float m = *mean.at(n) = of_x.mean;
    const float r = *rstd.at(n) = 1 / __builtin_sqrtf(of_x.variance + eps);
    if (bias)
      each(C, [&](auto i) { y_n.set(i, (x_n[i] - m) * r * w[i] + b[i], past); });
    else
      each(C, [&](auto i) { y_n.set(i, (x_n[i] - m) * r * w[i], past); });
  });
}

void layernorm_backward(In dy, In x, In32 weight, In32 mean, In32 rstd, Out dx, Acc dweight, AccOpt dbias) {
  const Index N = x.size[0], C = x.size[1];
  accumulate_rows(N, C, {dweight, dbias}, [&](Index n, float* partial) {
    const auto dy_n = dy.row(n), x_n = x.row(n);
    const auto w = weight.row();
    const auto dx_n = dx.row(n);
    const Row<float> dw{partial}, db{partial + C};
    const float m = *mean.at(n), r = *rstd.at(n);
    const float mean_g = sum(C, [&](auto i) { return dy_n[i] * w[i]; }) / C;
    const float mean_gx = sum(C, [&](auto i) { return dy_n[i] * w[i] * ((x_n[i] - m) * r); }) / C;
    each(C, [&](auto i) {
      const auto dy_i = dy_n[i], x_hat = (x_n[i] - m) * r;
      dx_n.set(i, (dy_i * w[i] - mean_g - x_hat * mean_gx) * r);
      dw.add(i, dy_i * x_hat);
      db.add(i, dy_i);
    });
  });
}

}  // namespace ISA
