// What a library of matrix products has to offer to gemm.cc.
#pragma once
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

// y [M, N] = a · b, all row-major; a is [M, K], or [K, M] if transposed; b is [K, N], or [N, K] if
// transposed. Factors in f32 give y in f32. Factors in bf16 give y in bf16, or in f32 where `sums`: a
// gradient that is summed up.
struct Product {
  bool bf16, a_transposed, b_transposed, sums;
  bool packed;  // b in the library's own layout, packed in advance
  long M, N, K;
};

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Buffer = std::shared_ptr<void>;

inline Buffer allocate(std::size_t size_bytes) {
  return Buffer(std::aligned_alloc(64, (size_bytes + 63) / 64 * 64), Free());
}

// `count` random numbers in ±1 as f32, or as bf16.
Buffer random_numbers(long count, bool bf16);

// Name and version of the library, found in the file of that name if it is loaded at run time. Throws if it
// is missing.
std::string open_library(const char* file);

// A function that computes the product again and again; empty if the library has no such product.
std::function<void()> prepare(const Product&);
