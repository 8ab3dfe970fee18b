// Which kernel makes a product, and in how many parts of K.
#pragma once
#include "product.h"

namespace cuda::gemm {

enum class Kernel : int { large, wide, middle, middle_short, small, bounded, hopper, strict, simple, rows };

struct Plan {
  Kernel kernel;
  int parts = 1;
};

// Whether the rows of an operand lie along K in whole pieces of 16 bytes.
bool has_pieces_along_k(const Operand& operand, Index K);

// The best for this device.
Plan plan(const Product& product);
// Enqueues the product as planned. The plan must suit it.
void multiply(const Product& product, const Plan& plan);

}  // namespace cuda::gemm
