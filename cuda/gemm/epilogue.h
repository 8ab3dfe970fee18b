// What follows the sums of a product, on the device (see Epilogue in product.h).
#pragma once
#include "activations.h"
#include "product.h"

// A loop that stays one: its code is long and outside of what takes time.
#if defined(__CUDACC__)
#define ROLLED _Pragma("unroll 1")
#else
#define ROLLED
#endif

namespace cuda::gemm {

PRIMITIVE float low_half(std::uint32_t pair) { return prim::as_float(pair << 16); }
PRIMITIVE float high_half(std::uint32_t pair) { return prim::as_float(pair & 0xffff0000u); }

PRIMITIVE void unpack(float (&x)[8], uint4 v) {
  x[0] = low_half(v.x), x[1] = high_half(v.x), x[2] = low_half(v.y), x[3] = high_half(v.y);
  x[4] = low_half(v.z), x[5] = high_half(v.z), x[6] = low_half(v.w), x[7] = high_half(v.w);
}
PRIMITIVE void unpack(float (&x)[8], uint4 v, uint4 w) {
  x[0] = prim::as_float(v.x), x[1] = prim::as_float(v.y), x[2] = prim::as_float(v.z),
  x[3] = prim::as_float(v.w);
  x[4] = prim::as_float(w.x), x[5] = prim::as_float(w.y), x[6] = prim::as_float(w.z),
  x[7] = prim::as_float(w.w);
}
PRIMITIVE uint4 pack_bf16(const float (&x)[8]) {
  return {prim::pack_bf16(x[0], x[1]), prim::pack_bf16(x[2], x[3]), prim::pack_bf16(x[4], x[5]),
          prim::pack_bf16(x[6], x[7])};
}
PRIMITIVE uint4 low_four(const float (&x)[8]) {
  return {prim::as_bits(x[0]), prim::as_bits(x[1]), prim::as_bits(x[2]), prim::as_bits(x[3])};
}
PRIMITIVE uint4 high_four(const float (&x)[8]) {
  return {prim::as_bits(x[4]), prim::as_bits(x[5]), prim::as_bits(x[6]), prim::as_bits(x[7])};
}

// Where row m of a matrix starts.
PRIMITIVE Index row_of(const Matrix& matrix, Index batch, Index m) {
  return batch * matrix.batch_stride + m * matrix.stride;
}

PRIMITIVE float load(const Matrix& matrix, Element element, Index at) {
  return element == Element::bf16 ? prim::to_float(static_cast<const bf16*>(matrix.data)[at])
                                  : static_cast<const float*>(matrix.data)[at];
}
PRIMITIVE void store(const Matrix& matrix, Element element, Index at, float x) {
  if (element == Element::bf16)
    static_cast<bf16*>(matrix.data)[at] = prim::to_bf16(x);
  else
    static_cast<float*>(matrix.data)[at] = x;
}
PRIMITIVE void load8(float (&x)[8], const Matrix& matrix, Element element, Index at) {
  if (element == Element::bf16) {
    unpack(x, prim::load_global16(static_cast<const bf16*>(matrix.data) + at));
  } else {
    const float* const from = static_cast<const float*>(matrix.data) + at;
    unpack(x, prim::load_global16(from), prim::load_global16(from + 4));
  }
}
PRIMITIVE void store8(const Matrix& matrix, Element element, Index at, const float (&x)[8]) {
  if (element == Element::bf16) {
    prim::store_global16(static_cast<bf16*>(matrix.data) + at, pack_bf16(x));
  } else {
    float* const to = static_cast<float*>(matrix.data) + at;
    prim::store_global16(to, low_four(x));
    prim::store_global16(to + 4, high_four(x));
  }
}

// The first becomes the last.
PRIMITIVE void rotate(float (&x)[8], float last) {
  UNROLL
  for (int i = 0; i < 7; ++i) x[i] = x[i + 1];
  x[7] = last;
}

// What the logits of one row have in common.
struct LogitRow {
  int target;  // −1: none
  float lse, factor;
  PRIMITIVE LogitRow(const LogitGradient& g, Index m)
      : target(g.targets[m]), lse(g.lse[m]), factor(*g.dloss * *g.scale) {
    if (target == g.ignored || target < 0 || target >= g.classes) target = -1;
  }
  PRIMITIVE float gradient(const LogitGradient& g, float logit, int n) const {
    if (target < 0) return 0;
    return (expf(logit - lse) - g.everywhere - (n == target ? g.on_target : 0.f)) * factor;
  }
};

// The sum of y [batch, m, n].
PRIMITIVE void finish_one(const Epilogue& e, float x, Index batch, Index m, int n) {
  if (e.slope.data && e.activation) {
    x *= activation_slope(e.activation, load(e.slope, e.element, row_of(e.slope, batch, m) + n));
  } else {
    if (e.bias) x += e.bias[n];
    if (e.pre.data) store(e.pre, e.element, row_of(e.pre, batch, m) + n, x);
    x = e.logit_gradient.targets ? LogitRow(e.logit_gradient, m).gradient(e.logit_gradient, x, n)
                                 : activate(e.activation, x);
    if (e.residual.data) x += load(e.residual, e.element, row_of(e.residual, batch, m) + n);
  }
  const Index at = row_of(e.y, batch, m) + n;
  if (e.adds) x += load(e.y, e.element, at);
  store(e.y, e.element, at, x);
}

// The sums of y [batch, m, n … n + 8], of which columns [begin, end) are finished here and the rest
// elsewhere.
PRIMITIVE void finish(const Epilogue& e, float (&x)[8], Index batch, Index m, int n, int begin, int end) {
  if (!e.aligned || n % 8 || begin > n || end < n + 8) {
    ROLLED
    for (int i = 0; i < 8; ++i) {
      if (begin <= n + i && n + i < end) finish_one(e, x[0], batch, m, n + i);
      rotate(x, 0);
    }
    return;
  }
  float other[8];
  if (e.slope.data && e.activation) {
    load8(other, e.slope, e.element, row_of(e.slope, batch, m) + n);
    ROLLED
    for (int i = 0; i < 8; ++i) {
      rotate(x, x[0] * activation_slope(e.activation, other[0]));
      rotate(other, 0);
    }
  } else {
    if (e.bias) {
      unpack(other, prim::load_global16(e.bias + n), prim::load_global16(e.bias + n + 4));
      UNROLL
      for (int i = 0; i < 8; ++i) x[i] += other[i];
    }
    if (e.pre.data) store8(e.pre, e.element, row_of(e.pre, batch, m) + n, x);
    if (e.logit_gradient.targets) {
      const LogitRow row(e.logit_gradient, m);
      ROLLED
      for (int i = 0; i < 8; ++i) rotate(x, row.gradient(e.logit_gradient, x[0], n + i));
    } else if (e.activation) {
      ROLLED
      for (int i = 0; i < 8; ++i) rotate(x, activate(e.activation, x[0]));
    }
    if (e.residual.data) {
      load8(other, e.residual, e.element, row_of(e.residual, batch, m) + n);
      UNROLL
      for (int i = 0; i < 8; ++i) x[i] += other[i];
    }
  }
  const Index at = row_of(e.y, batch, m) + n;
  if (e.adds) {
    load8(other, e.y, e.element, at);
    UNROLL
    for (int i = 0; i < 8; ++i) x[i] += other[i];
  }
  store8(e.y, e.element, at, x);
}

}  // namespace cuda::gemm
