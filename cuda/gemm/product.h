// The matrix product of this backend, y [B, M, N] = a [B, M, K] · b [B, K, N] and what follows it.
//
//   multiply                        which kernel, how many parts of K (plan.cu), and its launches
//   (product.cu)
//     copy_operand (copies.cu)      where an operand cannot be read as it lies, or has to be split
//     multiply_tiles (tiles.cu)     tensor cores, bf16
//     multiply_hopper (hopper.cu)   the same, on capability 90 if the context says so
//     multiply_strict (strict.cu)   tensor cores, 3×TF32
//     multiply_simple (simple.cu)   no tensor cores: small products, any strides
//     multiply_rows (rows.cu)       few rows of a: bound by reading b
//     add_partials (partials.cu)    the parts of K, in order, and the epilogue
//
//   bf16      products are exact in f32, sums are f32
//   f32       x = hi + lo, both bf16; x x′ = hi hi′ + hi lo′ + lo hi′, with an error of about 2⁻¹⁷ of it.
//             Small products and those of few rows are plain f32
//   strict    (context().strict) f32 as x = hi + lo, both TF32 and exact: the error of a sum in f32
//
// Where operands are split, an infinity may become NaN; NaN stays NaN, and finite numbers never overflow by
// it. Sums have a fixed order, which depends on sizes, alignment and the device and on nothing else.
#pragma once
#include "../context.h"

namespace cuda::gemm {

enum class Element : int { bf16, f32 };

// a or b, seen from the axis that it shares with y: i counts rows of a or columns of b.
struct Operand {
  const void* data = nullptr;
  Element element = Element::bf16;
  Index stride = 0, k_stride = 0, batch_stride = 0;  // in elements
  bool padded = false;                               // the contiguous axis, with zeros, to a multiple of 8
  Index size_of_element() const { return element == Element::bf16 ? 2 : 4; }
};

// A matrix [B, M, N] with rows next to each other or further apart.
struct Matrix {
  void* data = nullptr;
  Index stride = 0, batch_stride = 0;  // in elements
};

// Turns logits into their gradient (see ../ops/linearcrossentropy.cu), a row m of the product being a row of
// logits:
//   (e^(logit − lse[m]) − everywhere − on_target where n = targets[m]) · dloss · scale
// and zeros where targets[m] is ignored or no class.
struct LogitGradient {
  const std::int32_t* targets = nullptr;  // null: not this
  const float* lse = nullptr;
  const float *dloss = nullptr, *scale = nullptr;  // [1]
  Index ignored = 0;
  int classes = 0;
  float everywhere = 0, on_target = 0;
};

// What follows the sums. With a slope and an activation:  y = sum · activation′(slope), else
//   pre = sum + bias    y = activation(pre) + residual    (+ y, if it adds)
struct Epilogue {
  const float* bias = nullptr;
  Matrix slope, residual, pre, y;
  Element element = Element::f32;  // of the four
  int activation = 0;              // 0 none, 1 gelu, 2 gelutanh, 3 relu, 4 silu
  bool adds = false;
  bool aligned = false;          // 8 elements from a multiple of 8 on lie on 16 bytes: set by multiply
  LogitGradient logit_gradient;  // in place of the activation
};

struct Product {
  Index B, M, N, K;
  Operand a, b;
  Epilogue epilogue;
};

// Enqueues the product. y of different batches must not overlap.
void multiply(const Product& product);

}  // namespace cuda::gemm
