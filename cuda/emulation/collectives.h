// The operations at which threads of a block meet, and the asynchronous copies.
#pragma once
#include <cstdint>

namespace emulation {

enum class Shuffle { from, exclusive_or, down, up };

void sync_threads(int line, const char* file);
void sync_warp(std::uint32_t mask);
std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, Shuffle kind, int operand, int width);
std::uint32_t ballot(std::uint32_t mask, bool predicate);

struct MatrixLoad {
  const void* row;
  std::uint32_t result[4];
  const void* pc;
};
void load_matrix4(MatrixLoad* lane, bool transposed);

// c += a · b, one lane's share of each.
struct MatrixProduct {
  std::uint32_t a[4], b[2];
  float c[4];
};
void mma_bf16(MatrixProduct* lane);
void mma_tf32(MatrixProduct* lane);

void copy_async(void* shared, const void* global, int bytes, int valid);
void copy_async_commit();
void copy_async_wait(int pending);

int atomic_add(int* p, int v);
int atomic_min(int* p, int v);
int atomic_max(int* p, int v);
int atomic_exchange(int* p, int v);
int atomic_compare_and_swap(int* p, int expected, int desired);
// Memory order only; what they order is not checked.
void fence();

}  // namespace emulation
