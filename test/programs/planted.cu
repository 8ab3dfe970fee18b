// Kernels with one planted bug each, and their corrected twins, for the checked build of the emulation.
// Prints, as a line of JSON for each kernel, what the launch returned; wrong numbers are "wrong result".
//
// usage: planted wrong|right kernel...
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "prim_hopper.h"

constexpr int kThreads = 128;

#define KERNEL           \
  template <bool kRight> \
  __global__ void

// in and out: [n]
KERNEL missing_barrier(float* out, const float* in) {
  DYNAMIC_SHARED(shared);
  float* row = reinterpret_cast<float*>(shared);
  const int i = threadIdx.x;
  row[i] = in[i];
  if constexpr (kRight) __syncthreads();
  out[i] = row[(i + 33) % kThreads];
}

KERNEL missing_copy_wait(float* out, const float* in) {
  DYNAMIC_SHARED(shared);
  const int i = threadIdx.x;
  if (i < kThreads / 4) prim::copy_async16(prim::shared_address(shared) + 16 * i, in + 4 * i);
  prim::copy_async_commit();
  if constexpr (kRight) prim::copy_async_wait<0>();
  __syncthreads();
  out[i] = reinterpret_cast<float*>(shared)[i];
  prim::copy_async_wait<0>();
}

// Two copies in two groups, of which the first is needed, then the second.
KERNEL wrong_wait_count(float* out, const float* in) {
  DYNAMIC_SHARED(shared);
  const int i = threadIdx.x;
  const float* row = reinterpret_cast<float*>(shared);
  for (int group = 0; group < 2; group++) {
    if (i < kThreads / 8) {
      const int at = group * kThreads / 8 + i;
      prim::copy_async16(prim::shared_address(shared) + 16 * at, in + 4 * at);
    }
    prim::copy_async_commit();
  }
  prim::copy_async_wait<1>();
  __syncthreads();
  float x = i < kThreads / 2 ? row[i] : 0;
  if constexpr (kRight)
    prim::copy_async_wait<0>();
  else
    prim::copy_async_wait<1>();
  __syncthreads();
  if (i >= kThreads / 2) x = row[i];
  out[i] = x;
  prim::copy_async_wait<0>();
}

KERNEL global_read_out_of_bounds(float* out, const float* in) {
  const int i = threadIdx.x;
  out[i] = kRight ? in[i] : in[4 * kThreads - i];
}

KERNEL shared_write_out_of_bounds(float* out, const float* in) {
  DYNAMIC_SHARED(shared);
  float* row = reinterpret_cast<float*>(shared);
  const int i = threadIdx.x;
  row[kRight ? i : i + 1] = in[i];
  out[i] = row[kRight ? i : i + 1];
}

KERNEL divergent_barrier(float* out, const float* in) {
  const int i = threadIdx.x;
  if (kRight || i < 64) __syncthreads();
  out[i] = in[i];
}

KERNEL half_warp_shuffle(float* out, const float* in) {
  const int i = threadIdx.x;
  float x = in[i];
  if (i % 32 < 16) x = __shfl_xor_sync(kRight ? 0xffffu : 0xffffffffu, x, 1);
  out[i] = x;
}

KERNEL blocks_write_one_address(float* out, const float* in) {
  const int i = threadIdx.x, block = blockIdx.x;
  out[kRight ? block * kThreads + i : i] = in[i];
}

KERNEL race_through_global_memory(float* out, const float* in) {
  const int i = threadIdx.x;
  out[i] = in[i];
  if constexpr (kRight) __syncthreads();
  out[kThreads + i] = out[(i + 33) % kThreads];
}

KERNEL misaligned_vector(float* out, const float* in) {
  const int i = threadIdx.x;
  if (i < kThreads / 4) prim::store_global16(out + 4 * i, prim::load_global16(in + 4 * i + (kRight ? 0 : 1)));
}

KERNEL host_memory(float* out, const float* in, const float* host) {
  out[threadIdx.x] = kRight ? in[threadIdx.x] : host[threadIdx.x];
}

// What capability 9.0 has. A tile of 256 floats, that thread 0 asks for:
struct Tile {
  std::uint32_t data, barrier;
};
PRIMITIVE Tile ask_for_tile(unsigned char* shared, const prim::TensorMap& map, int bytes) {
  const std::uint32_t begin = (prim::shared_address(shared) + 1023) & ~1023u;
  if (threadIdx.x == 0) {
    prim::barrier_init(begin + 1024, 1);
    prim::barrier_init_fence();
    prim::barrier_arrive_expect(begin + 1024, bytes);
    prim::load_tile(begin, map, begin + 1024, 0, 0, 0);
  }
  __syncthreads();
  return {begin, begin + 1024};
}
PRIMITIVE float tile_element(Tile tile, int i) {
  return prim::as_float(prim::load_shared4(tile.data + (i * 4 ^ (i * 4 >> 3 & 0x70))));
}

KERNEL missing_tile_wait(float* out, const float*, const __grid_constant__ prim::TensorMap map) {
  DYNAMIC_SHARED(shared);
  const Tile tile = ask_for_tile(shared, map, 1024);
  if constexpr (kRight) prim::barrier_wait(tile.barrier, 0);
  out[threadIdx.x] = tile_element(tile, threadIdx.x);
}

KERNEL wrong_parity(float* out, const float*, const __grid_constant__ prim::TensorMap map) {
  DYNAMIC_SHARED(shared);
  const Tile tile = ask_for_tile(shared, map, 1024);
  prim::barrier_wait(tile.barrier, kRight ? 0 : 1);
  out[threadIdx.x] = tile_element(tile, threadIdx.x);
}

KERNEL too_many_bytes_expected(float* out, const float*, const __grid_constant__ prim::TensorMap map) {
  DYNAMIC_SHARED(shared);
  const Tile tile = ask_for_tile(shared, map, kRight ? 1024 : 1040);
  prim::barrier_wait(tile.barrier, 0);
  out[threadIdx.x] = tile_element(tile, threadIdx.x);
}

// a and b are ones that threads write: every sum is 16.
template <bool kFence, bool kWait>
PRIMITIVE void multiply_ones(unsigned char* shared, float* out) {
  const std::uint32_t begin = (prim::shared_address(shared) + 1023) & ~1023u;
  for (int i = threadIdx.x; i < (64 + 256) * 32; i += kThreads)
    prim::store_shared4(begin + 4 * i, 0x3f803f80);
  if constexpr (kFence) prim::fence_async();
  __syncthreads();
  float sums[128];
  for (float& sum : sums) sum = 0;
  prim::product_fence();
  prim::product_bf16<false, false>(sums, prim::operand_descriptor(begin, 16, 1024),
                                   prim::operand_descriptor(begin + 64 * 128, 16, 1024));
  prim::product_commit();
  if constexpr (kWait) prim::product_wait(sums);
  out[threadIdx.x] = sums[threadIdx.x];
}
KERNEL missing_operand_fence(float* out, const float*) {
  DYNAMIC_SHARED(shared);
  multiply_ones<kRight, true>(shared, out);
}
KERNEL missing_product_wait(float* out, const float*) {
  DYNAMIC_SHARED(shared);
  multiply_ones<true, kRight>(shared, out);
}

// The left operand in registers; when they are written, as seen from product_fence.
enum Written { before_fence, after_fence, under_way };
template <bool kNamed, Written kWritten>
PRIMITIVE void multiply_held_ones(unsigned char* shared, float* out) {
  const std::uint32_t begin = (prim::shared_address(shared) + 1023) & ~1023u;
  for (int i = threadIdx.x; i < 64 * 32; i += kThreads) prim::store_shared4(begin + 4 * i, 0x3f803f80);
  prim::fence_async();
  __syncthreads();
  float sums[32];
  for (float& sum : sums) sum = 0;
  std::uint32_t ones[1][4] = {};
  const auto write = [&](Written when) {
    for (std::uint32_t& word : ones[0]) word = when == kWritten ? 0x3f803f80 : word;
  };
  write(before_fence);
  if constexpr (kNamed)
    prim::product_fence(ones);
  else
    prim::product_fence();
  write(after_fence);
  prim::product_bf16<false>(sums, ones[0], prim::operand_descriptor(begin, 16, 1024));
  prim::product_commit();
  write(under_way);
  prim::product_wait(sums);
  out[threadIdx.x] = sums[threadIdx.x % 32];
}
KERNEL left_operand_not_named(float* out, const float*) {
  DYNAMIC_SHARED(shared);
  multiply_held_ones<kRight, before_fence>(shared, out);
}
KERNEL left_operand_written_late(float* out, const float*) {
  DYNAMIC_SHARED(shared);
  multiply_held_ones<true, kRight ? before_fence : after_fence>(shared, out);
}
KERNEL left_operand_written_under_way(float* out, const float*) {
  DYNAMIC_SHARED(shared);
  multiply_held_ones<true, kRight ? before_fence : under_way>(shared, out);
}

KERNEL tile_of_too_few_axes(float* out, const float*, const __grid_constant__ prim::TensorMap of_four) {
  DYNAMIC_SHARED(shared);
  const std::uint32_t begin = (prim::shared_address(shared) + 1023) & ~1023u, barrier = begin + 1024;
  if (threadIdx.x == 0) {
    prim::barrier_init(barrier, 1);
    prim::barrier_init_fence();
    prim::barrier_arrive_expect(barrier, 1024);
    if constexpr (kRight)
      prim::load_tile(begin, of_four, barrier, 0, 0, 0, 0);
    else
      prim::load_tile(begin, of_four, barrier, 0, 0, 0);
  }
  __syncthreads();
  prim::barrier_wait(barrier, 0);
  out[threadIdx.x] = tile_element({begin, barrier}, threadIdx.x);
}

// A tile that comes where a product still reads.
KERNEL tile_over_operand(float* out, const float*, const __grid_constant__ prim::TensorMap map) {
  DYNAMIC_SHARED(shared);
  const std::uint32_t begin = (prim::shared_address(shared) + 1023) & ~1023u;
  for (int i = threadIdx.x; i < (64 + 128) * 32; i += kThreads)
    prim::store_shared4(begin + 4 * i, 0x3f803f80);
  prim::fence_async();
  __syncthreads();
  float sums[64];
  prim::product_fence();
  prim::product_bf16<false, false, false>(sums, prim::operand_descriptor(begin, 16, 1024),
                                          prim::operand_descriptor(begin + 64 * 128, 16, 1024));
  prim::product_commit();
  if constexpr (kRight) prim::product_wait(sums);
  __syncthreads();
  const std::uint32_t barrier = begin + (64 + 128) * 128;
  if (threadIdx.x == 0) {
    prim::barrier_init(barrier, 1);
    prim::barrier_init_fence();
    prim::barrier_arrive_expect(barrier, 1024);
    prim::load_tile(begin, map, barrier, 0, 0, 0);
  }
  __syncthreads();
  prim::barrier_wait(barrier, 0);
  prim::product_wait(sums);
  out[threadIdx.x] = sums[threadIdx.x % 64];
}

// Seen in the counts only: a column of 32 banks' width, and stores that are 8 elements apart.
KERNEL bank_conflict(float* out, const float* in) {
  DYNAMIC_SHARED(shared);
  float* tile = reinterpret_cast<float*>(shared);
  const int i = threadIdx.x;
  const int pitch = kRight ? 33 : 32;
  tile[i / 32 + i % 32 * pitch] = in[i];
  __syncthreads();
  out[i] = tile[i / 32 + i % 32 * pitch];
}

KERNEL uncoalesced_store(float* out, const float* in) {
  const int i = threadIdx.x;
  const int step = kRight ? 1 : 4;
  const float x = in[i];
  out[i * step] = x;
}

KERNEL vector_copy(float* out, const float* in) {
  DYNAMIC_SHARED(shared);
  const std::uint32_t own = prim::shared_address(shared) + 16 * threadIdx.x;
  prim::store_shared16(own, prim::load_global16(in + 4 * threadIdx.x));
  prim::store_global16(out + 4 * threadIdx.x, prim::load_shared16(own));
}

namespace {

constexpr int kElements = 4 * kThreads;
float *in, *out;
rt::Stream stream;

std::string read(std::vector<float>* result) {
  std::string error = rt::copy_out(result->data(), out, kElements * sizeof(float), stream);
  return error.empty() ? rt::synchronize(stream) : error;
}

// in[i] = i; where each of the first elements of `out` comes from.
std::string compare(const std::function<int(int)>& source, int count = kThreads) {
  std::vector<float> result(kElements);
  std::string error = read(&result);
  for (int i = 0; i < count && error.empty(); i++) {
    if (result[i] != float(source(i))) error = "wrong result";
  }
  return error;
}

template <class... P, class... A>
std::string run(void (*kernel)(P...), const std::function<int(int)>& source, int count = kThreads,
                int blocks = 1, A... more) {
  std::string error = rt::launch(kernel, dim3(blocks), dim3(kThreads), 48 * 1024, stream, out, in, more...);
  return error.empty() ? compare(source, count) : error;
}

int same(int i) { return i; }

// A second stream writes what the first one copies.
template <bool kRight>
std::string unawaited_event() {
  rt::Stream producer;
  rt::Event written;
  std::string error = rt::create(&producer);
  if (error.empty()) error = rt::create(&written);
  if (error.empty())
    error = rt::launch(divergent_barrier<true>, 1, kThreads, 0, producer, out + kThreads, in);
  if (error.empty()) error = rt::record(written, producer);
  if (error.empty() && kRight) error = rt::wait(stream, written);
  if (error.empty()) error = rt::copy(out, out + kThreads, kThreads * sizeof(float), stream);
  if (error.empty()) error = compare(same);
  rt::destroy(written);
  rt::destroy(producer);
  return error;
}

template <bool kRight>
std::string run_by_name(const std::string& name) {
  const float host[kThreads] = {};
  const float* const host_data = host;
  constexpr int kShared = kThreads * sizeof(float);
#define CASE(kernel, ...) \
  if (name == #kernel) return run(kernel<kRight>, __VA_ARGS__)
  CASE(missing_barrier, [](int i) { return (i + 33) % kThreads; });
  CASE(missing_copy_wait, same);
  CASE(wrong_wait_count, same);
  CASE(global_read_out_of_bounds, same);
  CASE(divergent_barrier, same);
  CASE(half_warp_shuffle, [](int i) { return i % 32 < 16 ? i ^ 1 : i; });
  CASE(
      blocks_write_one_address, [](int i) { return i % kThreads; }, kRight ? 2 * kThreads : kThreads, 2);
  CASE(
      race_through_global_memory, [](int i) { return i < kThreads ? i : (i + 33) % kThreads; }, 2 * kThreads);
  CASE(misaligned_vector, same);
  CASE(host_memory, same, kThreads, 1, host_data);
  CASE(bank_conflict, same);
  prim::TensorMap map;
  const std::string refused = rt::tensor_map(&map, in, {64, 8, 1}, {128, 1024}, {64, 8, 1});
  if (!refused.empty()) return refused;
  CASE(missing_tile_wait, same, kThreads, 1, map);
  CASE(wrong_parity, same, kThreads, 1, map);
  CASE(too_many_bytes_expected, same, kThreads, 1, map);
  const auto sixteen = [](int) { return 16; };
  CASE(missing_operand_fence, sixteen);
  CASE(missing_product_wait, sixteen);
  CASE(left_operand_not_named, sixteen);
  CASE(left_operand_written_late, sixteen);
  CASE(left_operand_written_under_way, sixteen);
  CASE(tile_over_operand, sixteen, kThreads, 1, map);
  prim::TensorMap of_four;
  if (const std::string why = rt::tensor_map(&of_four, in, {64, 1, 8, 1}, {128, 128, 1024}, {64, 1, 8, 1});
      !why.empty())
    return why;
  CASE(tile_of_too_few_axes, same, kThreads, 1, of_four);
  CASE(
      uncoalesced_store, [](int i) { return kRight ? i : i / 4; }, 1);
  CASE(vector_copy, same);
#undef CASE
  if (name == "shared_write_out_of_bounds") {
    const std::string error =
        rt::launch(shared_write_out_of_bounds<kRight>, 1, kThreads, kShared, stream, out, in);
    return error.empty() ? compare(same) : error;
  }
  if (name == "unawaited_event") return unawaited_event<kRight>();
  return "no such kernel";
}

}  // namespace

int main(int argc, char** argv) {
  const bool right = argc > 1 && std::strcmp(argv[1], "right") == 0;
  std::vector<float> numbers(kElements);
  for (int i = 0; i < kElements; i++) numbers[i] = float(i);
  std::string error = rt::create(&stream);
  if (error.empty()) error = rt::allocate(reinterpret_cast<void**>(&in), kElements * sizeof(float));
  if (error.empty()) error = rt::copy_in(in, numbers.data(), kElements * sizeof(float), stream);
  for (int i = 2; i < argc && error.empty(); i++) {
    // Fresh memory: numbers of the run before do not count.
    error = rt::allocate(reinterpret_cast<void**>(&out), kElements * sizeof(float));
    const std::string result = right ? run_by_name<true>(argv[i]) : run_by_name<false>(argv[i]);
    std::printf("{\"kernel\": \"%s\", \"result\": \"%s\"}\n", argv[i], result.c_str());
    if (error.empty()) error = rt::release(out);
  }
  rt::destroy(stream);
  if (!error.empty()) std::fprintf(stderr, "%s\n", error.c_str());
  return error.empty() ? 0 : 1;
}
