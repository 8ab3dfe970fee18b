// Copies of matrices in the form that a product wants: rows that start on 16 bytes, zeros behind what is
// there, and for operands of f32 two planes of bf16, x ≈ hi + lo.
#pragma once
#include "product.h"

namespace cuda::gemm {

enum class Form : int { bf16, split, f32 };

// from [batches, rows, columns] with any strides → to [batches, padded_rows, pitch]; of Form::split two such
// planes.
struct Copy {
  const void* from;
  Element element;
  Index row_stride, column_stride, batch_stride;  // of `from`, in elements
  int batches, rows, columns;
  void* to;
  Form form;
  int padded_rows, pitch;  // pitch: a multiple of 8
  // In elements of `to`.
  Index to_batch() const { return Index(padded_rows) * pitch; }
  Index plane() const { return batches * to_batch(); }
};

void enqueue(const Copy& copy);

}  // namespace cuda::gemm
