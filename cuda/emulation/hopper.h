// The functions of ../prim_hopper.h for the processor. Tiles land as late as they can, when no thread can go
// on any more; products are computed when their group is waited for, and until then their sums are NaN. With
// TRAINFORMER_CUDA_COPIES=early both happen at once. Found, beside wrong results:
//
//   - products that read what a tile under way brings; tiles that overwrite what a product under way reads
//   - barriers without barrier_init or its fence, with more arrivals or bytes than they expect, or with fewer
//   - products without product_fence, or by less than a warpgroup; products and tiles that nobody waits for
//   - in the checked build: products that read what a thread wrote, with no fence_async since
#pragma once
#include "primitives.h"

#define __grid_constant__

namespace emulation {

struct TensorMap {
  const char* data;
  std::uint64_t dims[3], strides[2];
  std::uint32_t box[2];
};

void barrier_init(std::uint32_t barrier, int arrivals);
void barrier_init_fence();
void barrier_arrive(std::uint32_t barrier, int expected_bytes);
void barrier_wait(std::uint32_t barrier, int parity);
void sync_some(unsigned number, unsigned threads);
void load_tile(std::uint32_t shared, const TensorMap& map, std::uint32_t barrier, int x, int y, int z);
void fence_async();
void product_fence();
void product_bf16(float* sums, int columns, std::uint64_t a, std::uint64_t b, bool transposed_a,
                  bool transposed_b);
void product_commit();
void product_wait(unsigned pending);

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
  emulation::load_tile(shared, map, barrier, x, y, z);
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
PRIMITIVE void product_fence() { emulation::product_fence(); }
PRIMITIVE void product_commit() { emulation::product_commit(); }
template <int kPending>
PRIMITIVE void product_wait() {
  emulation::product_wait(kPending);
}
PRIMITIVE void product_wait(float (&)[128]) { emulation::product_wait(0); }
template <bool kTransposedA, bool kTransposedB>
PRIMITIVE void product_bf16(float (&sums)[128], std::uint64_t a, std::uint64_t b) {
  emulation::product_bf16(sums, 256, a, b, kTransposedA, kTransposedB);
}

}  // namespace prim

namespace rt {
std::string tensor_map(emulation::TensorMap* map, const void* data, const std::uint64_t (&dims)[3],
                       const std::uint64_t (&strides)[2], const std::uint32_t (&box)[2]);
}
