// The functions of ../prim_hopper.h for the processor. Tiles land as late as they can, when no thread can go
// on any more; products are computed when their group is waited for, and until then their sums are NaN. With
// TRAINFORMER_CUDA_COPIES=early both happen at once. Found, beside wrong results:
//
//   - products that read what a tile under way brings; tiles that overwrite what a product under way reads
//   - barriers without barrier_init or its fence, with more arrivals or bytes than they expect, or with fewer
//   - products without product_fence, or by less than a warpgroup; products and tiles that nobody waits for
//   - left operands in registers that product_fence was not told, or that were written since, or that are
//     written before the product is waited for
//   - tiles whose place has more or fewer coordinates than their tensor
//   - in the checked build: products that read what a thread wrote, with no fence_async since
#pragma once
#include "primitives.h"

#define __grid_constant__

namespace emulation {

struct TensorMap {
  const char* data;
  int rank;
  std::uint64_t dims[4], strides[3];
  std::uint32_t box[4];
};

void barrier_init(std::uint32_t barrier, int arrivals);
void barrier_init_fence();
void barrier_arrive(std::uint32_t barrier, int expected_bytes);
void barrier_wait(std::uint32_t barrier, int parity);
void sync_some(unsigned number, unsigned threads);
void load_tile(std::uint32_t shared, const TensorMap& map, std::uint32_t barrier, int rank,
               const int (&at)[4]);
void fence_async();
void product_fence(const std::uint32_t* registers, int count);
void product_bf16(float* sums, int columns, bool adds, std::uint64_t a, std::uint64_t b, bool transposed_a,
                  bool transposed_b);
void product_bf16(float* sums, int columns, const std::uint32_t* a, std::uint64_t b, bool transposed_b);
void product_commit();
void product_wait(unsigned pending);
// See rt::tensor_map.
std::string make_tensor_map(TensorMap* map, const void* data, int rank, const std::uint64_t* dims,
                            const std::uint64_t* strides, const std::uint32_t* box);

}  // namespace emulation

namespace prim {

using TensorMap = emulation::TensorMap;

PRIMITIVE void barrier_init(std::uint32_t barrier, int arrivals) {
  emulation::barrier_init(barrier, arrivals);
}
PRIMITIVE void barrier_init_fence() { emulation::barrier_init_fence(); }
PRIMITIVE void barrier_arrive(std::uint32_t barrier) { emulation::barrier_arrive(barrier, 0); }
PRIMITIVE void barrier_arrive_expect(std::uint32_t barrier, int bytes) {
  emulation::barrier_arrive(barrier, bytes);
}
PRIMITIVE void barrier_wait(std::uint32_t barrier, int parity) { emulation::barrier_wait(barrier, parity); }
template <int kNumber, int kThreads>
PRIMITIVE void sync_some() {
  static_assert(0 < kNumber && kNumber < 16 && kThreads % int(emulation::kLanes) == 0);
  emulation::sync_some(kNumber, kThreads);
}
PRIMITIVE void load_tile(std::uint32_t shared, const TensorMap& map, std::uint32_t barrier, int x, int y,
                         int z) {
  emulation::load_tile(shared, map, barrier, 3, {x, y, z, 0});
}
PRIMITIVE void load_tile(std::uint32_t shared, const TensorMap& map, std::uint32_t barrier, int x, int y,
                         int z, int w) {
  emulation::load_tile(shared, map, barrier, 4, {x, y, z, w});
}
PRIMITIVE void fence_async() { emulation::fence_async(); }
template <int kRegisters>
PRIMITIVE void give_registers() {
  static_assert(24 <= kRegisters && kRegisters <= 256 && kRegisters % 8 == 0);
}
template <int kRegisters>
PRIMITIVE void take_registers() {
  give_registers<kRegisters>();
}
PRIMITIVE void product_fence() { emulation::product_fence(nullptr, 0); }
template <int kSteps>
PRIMITIVE void product_fence(std::uint32_t (&a)[kSteps][4]) {
  emulation::product_fence(a[0], 4 * kSteps);
}
PRIMITIVE void product_commit() { emulation::product_commit(); }
template <int kPending>
PRIMITIVE void product_wait() {
  emulation::product_wait(kPending);
}
template <int kCount>
PRIMITIVE void pin(float (&)[kCount]) {}
template <int kPending = 0, int kSums>
PRIMITIVE void product_wait(float (&)[kSums]) {
  emulation::product_wait(kPending);
}
template <bool kTransposedA, bool kTransposedB, bool kAdds = true, int kSums>
PRIMITIVE void product_bf16(float (&sums)[kSums], std::uint64_t a, std::uint64_t b) {
  emulation::product_bf16(sums, 2 * kSums, kAdds, a, b, kTransposedA, kTransposedB);
}
template <bool kTransposedB, int kSums>
PRIMITIVE void product_bf16(float (&sums)[kSums], const std::uint32_t (&a)[4], std::uint64_t b) {
  emulation::product_bf16(sums, 2 * kSums, a, b, kTransposedB);
}

}  // namespace prim

namespace rt {
template <std::size_t kRank>
std::string tensor_map(emulation::TensorMap* map, const void* data, const std::uint64_t (&dims)[kRank],
                       const std::uint64_t (&strides)[kRank - 1], const std::uint32_t (&box)[kRank]) {
  static_assert(kRank == 3 || kRank == 4);
  return emulation::make_tensor_map(map, data, kRank, dims, strides, box);
}
}  // namespace rt
