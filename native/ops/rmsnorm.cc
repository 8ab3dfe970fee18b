// RMSNorm over the last axis.
//
//   x, y [N, C]    weight [C]    rstd [N]               N rows of C channels
//
//   forward        r  = 1 / sqrt(mean(x²) + eps)
//                  y  = x · r · weight
//   backward       g  = dy · weight
//                  dx = r · g − x · r³ · mean(g · x)
//                  dweight += Σₙ dy · x · r
//
// A row belongs to one thread. dweight is summed in fixed blocks of rows, in a fixed order (accumulate_rows).

#include "kernel.h"

namespace ISA {

void rmsnorm_forward(In x, In32 weight, Out y, Out32 rstd, float eps) {
  const Index N = x.size[0], C = x.size[1];
  const bool past = streams(y.at(), N * C, y.stride[0]);
  parallel_rows(N, C, [&](Index n) {
    const auto x_n = x.row(n);
    const auto w = weight.row();
    const auto y_n = y.row(n);
    const float mean_square = sum(C, [&](auto i) { return x_n[i] * x_n[i]; }) / C;
    const float r = *rstd.at(n) = 1 / __builtin_sqrtf(mean_square + eps);
    each(C, [&](auto i) { y_n.set(i, x_n[i] * r * w[i], past); });
  });
}

void rmsnorm_backward(In dy, In x, In32 weight, In32 rstd, Out dx, Acc dweight) {
  const Index N = x.size[0], C = x.size[1];
  accumulate_rows(N, C, {dweight}, [&](Index n, float* dweight_n) {
    const auto dy_n = dy.row(n), x_n = x.row(n);
    const auto w = weight.row();
    const auto dx_n = dx.row(n);
    const Row<float> dw{dweight_n};
    const float r = *rstd.at(n);
    const float k = r * r * r / C * sum(C, [&](auto i) { return dy_n[i] * w[i] * x_n[i]; });
    each(C, [&](auto i) {
      const auto dy_i = dy_n[i], x_i = x_n[i];
      dx_n.set(i, dy_i * w[i] * r - x_i * k);
      dw.add(i, dy_i * x_i * r);
    });
  });
}

}  // namespace ISA
