// Device code for the processor: what ../prim.h declares under nvcc, and what kernels use of the CUDA
// language. All of it may be called by host code too, except what needs a thread of a kernel (indices, shared
// memory, collectives).
#pragma once
#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "collectives.h"
#include "execution.h"
#include "vector_types.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

#define DYNAMIC_SHARED(name) unsigned char* const name = (emulation::here::shared())
#define UNROLL _Pragma("GCC unroll 16")
#define PRIMITIVE inline __attribute__((always_inline))

#define threadIdx (emulation::here::thread())
#define blockIdx (emulation::here::block())
#define blockDim (emulation::here::block_extent())
#define gridDim (emulation::here::grid_extent())
constexpr int warpSize = emulation::kLanes;

namespace emulation {
#if defined(__SANITIZE_THREAD__)
namespace checked_here {
// Not inlined: that they read memory is none of the kernel's business.
__attribute__((const)) uint3 thread();
__attribute__((const)) uint3 block();
__attribute__((const)) dim3 block_extent();
__attribute__((const)) dim3 grid_extent();
__attribute__((const)) unsigned char* shared();
}  // namespace checked_here
namespace here = checked_here;
#else
namespace here {
PRIMITIVE const uint3& thread() { return current->index; }
PRIMITIVE const uint3& block() { return current->block->index; }
PRIMITIVE const dim3& block_extent() { return current->block->block; }
PRIMITIVE const dim3& grid_extent() { return current->block->grid; }
PRIMITIVE unsigned char* shared() { return current->block->shared; }
}  // namespace here
#endif
}  // namespace emulation

// ---- where threads meet

namespace emulation {
// The name of a file without its folders.
constexpr const char* short_name(const char* path) {
  const char* name = path;
  for (; *path; path++) {
    if (*path == '/') name = path + 1;
  }
  return name;
}
}  // namespace emulation

PRIMITIVE void __syncthreads(int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  emulation::sync_threads(line, emulation::short_name(file));
}
PRIMITIVE void __syncwarp(unsigned mask = 0xffffffffu) { emulation::sync_warp(mask); }

namespace emulation {
template <class T>
PRIMITIVE T shuffle_value(unsigned mask, T value, Shuffle kind, int operand, int width) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle takes 4 or 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle(mask, bits, kind, operand, width);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
}  // namespace emulation

template <class T>
PRIMITIVE T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize) {
  return emulation::shuffle_value(mask, value, emulation::Shuffle::from, lane, width);
}
template <class T>
PRIMITIVE T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize) {
  return emulation::shuffle_value(mask, value, emulation::Shuffle::exclusive_or, lanes, width);
}
template <class T>
PRIMITIVE T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = warpSize) {
  return emulation::shuffle_value(mask, value, emulation::Shuffle::down, int(lanes), width);
}
template <class T>
PRIMITIVE T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = warpSize) {
  return emulation::shuffle_value(mask, value, emulation::Shuffle::up, int(lanes), width);
}
PRIMITIVE unsigned __ballot_sync(unsigned mask, int predicate) {
  return emulation::ballot(mask, predicate != 0);
}
PRIMITIVE int __any_sync(unsigned mask, int predicate) {
  return emulation::ballot(mask, predicate != 0) != 0;
}
PRIMITIVE int __all_sync(unsigned mask, int predicate) {
  return emulation::ballot(mask, predicate != 0) == mask;
}

// ---- atomics

PRIMITIVE int atomicAdd(int* p, int v) { return emulation::atomic_add(p, v); }
PRIMITIVE int atomicMin(int* p, int v) { return emulation::atomic_min(p, v); }
PRIMITIVE int atomicMax(int* p, int v) { return emulation::atomic_max(p, v); }
PRIMITIVE int atomicExch(int* p, int v) { return emulation::atomic_exchange(p, v); }
PRIMITIVE int atomicCAS(int* p, int expected, int desired) {
  return emulation::atomic_compare_and_swap(p, expected, desired);
}
PRIMITIVE void __threadfence() { emulation::fence(); }
PRIMITIVE void __threadfence_block() { emulation::fence(); }

// ---- what CUDA's math has and the C library lacks

// As nvcc, of numbers of different types too.
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using C = std::common_type_t<A, B>;
  return C(a) < C(b) ? C(a) : C(b);
}
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using C = std::common_type_t<A, B>;
  return C(a) > C(b) ? C(a) : C(b);
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
// Products and sums that must not become one fused operation: the empty instruction hides where the value
// came from.
inline float __fmul_rn(float a, float b) {
  float product = a * b;
  asm("" : "+m"(product));
  return product;
}
inline float __fadd_rn(float a, float b) {
  asm("" : "+m"(a));
  asm("" : "+m"(b));
  return a + b;
}
inline float __fsub_rn(float a, float b) { return __fadd_rn(a, -b); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }

template <class To, class From>
PRIMITIVE To emulation_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
PRIMITIVE unsigned __float_as_uint(float x) { return emulation_bits<unsigned>(x); }
PRIMITIVE int __float_as_int(float x) { return emulation_bits<int>(x); }
PRIMITIVE float __uint_as_float(unsigned x) { return emulation_bits<float>(x); }
PRIMITIVE float __int_as_float(int x) { return emulation_bits<float>(x); }
inline int __float2int_rn(float x) { return int(nearbyintf(x)); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(std::uint64_t(a) * b >> 32); }
inline int __mulhi(int a, int b) { return int(std::int64_t(a) * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
template <class T>
PRIMITIVE T __ldg(const T* p) {
  return *p;
}
inline void __trap() { emulation::fail("__trap"); }

namespace prim {

// Vectors of words, so that each access of the functions below is one access for the checked build too.
typedef std::uint32_t Word __attribute__((may_alias));
typedef std::uint32_t Words2 __attribute__((vector_size(8), may_alias));
typedef std::uint32_t Words4 __attribute__((vector_size(16), may_alias));

// Shared memory starts at an address that is not 0: nobody may count on it.
PRIMITIVE unsigned char* from_shared(std::uint32_t a) {
  return emulation::here::shared() + (a - emulation::kSharedBase);
}
PRIMITIVE std::uint32_t shared_address(const void* p) {
  return std::uint32_t(static_cast<const unsigned char*>(p) - emulation::here::shared()) +
         emulation::kSharedBase;
}

PRIMITIVE void copy_async16(std::uint32_t shared, const void* global) {
  emulation::copy_async(from_shared(shared), global, 16, 16);
}
PRIMITIVE void copy_async16(std::uint32_t shared, const void* global, int valid) {
  emulation::copy_async(from_shared(shared), global, 16, valid);
}
PRIMITIVE void copy_async_commit() { emulation::copy_async_commit(); }
template <int kPending>
PRIMITIVE void copy_async_wait() {
  emulation::copy_async_wait(kPending);
}

PRIMITIVE void load_matrix4(std::uint32_t (&r)[4], std::uint32_t shared, bool transposed) {
  emulation::MatrixLoad lane;
  lane.row = from_shared(shared);
  emulation::load_matrix4(&lane, transposed);
  for (int i = 0; i < 4; i++) r[i] = lane.result[i];
}
PRIMITIVE void load_matrix4(std::uint32_t (&r)[4], std::uint32_t shared) { load_matrix4(r, shared, false); }
PRIMITIVE void load_matrix4_transposed(std::uint32_t (&r)[4], std::uint32_t shared) {
  load_matrix4(r, shared, true);
}

PRIMITIVE void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                   void (*product)(emulation::MatrixProduct*)) {
  emulation::MatrixProduct lane{{a[0], a[1], a[2], a[3]}, {b0, b1}, {c[0], c[1], c[2], c[3]}};
  product(&lane);
  for (int i = 0; i < 4; i++) c[i] = lane.c[i];
}
PRIMITIVE void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  mma(c, a, b0, b1, emulation::mma_bf16);
}
PRIMITIVE void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  mma(c, a, b0, b1, emulation::mma_tf32);
}

PRIMITIVE uint2 load8(const void* p) {
  const Words2 v = *static_cast<const Words2*>(p);
  return {v[0], v[1]};
}
PRIMITIVE uint4 load16(const void* p) {
  const Words4 v = *static_cast<const Words4*>(p);
  return {v[0], v[1], v[2], v[3]};
}
PRIMITIVE void store8(void* p, uint2 v) { *static_cast<Words2*>(p) = Words2{v.x, v.y}; }
PRIMITIVE void store16(void* p, uint4 v) { *static_cast<Words4*>(p) = Words4{v.x, v.y, v.z, v.w}; }

PRIMITIVE std::uint32_t load_shared4(std::uint32_t a) {
  return *reinterpret_cast<const Word*>(from_shared(a));
}
PRIMITIVE uint2 load_shared8(std::uint32_t a) { return load8(from_shared(a)); }
PRIMITIVE uint4 load_shared16(std::uint32_t a) { return load16(from_shared(a)); }
PRIMITIVE void store_shared4(std::uint32_t a, std::uint32_t v) {
  *reinterpret_cast<Word*>(from_shared(a)) = v;
}
PRIMITIVE void store_shared8(std::uint32_t a, uint2 v) { store8(from_shared(a), v); }
PRIMITIVE void store_shared16(std::uint32_t a, uint4 v) { store16(from_shared(a), v); }
PRIMITIVE uint2 load_global8(const void* p) { return load8(p); }
PRIMITIVE uint4 load_global16(const void* p) { return load16(p); }
PRIMITIVE void store_global8(void* p, uint2 v) { store8(p, v); }
PRIMITIVE void store_global16(void* p, uint4 v) { store16(p, v); }

PRIMITIVE float as_float(std::uint32_t bits) { return __uint_as_float(bits); }
PRIMITIVE std::uint32_t as_bits(float x) { return __float_as_uint(x); }
PRIMITIVE float to_float(bf16 x) { return as_float(std::uint32_t{x.bits} << 16); }
// To the nearest, ties to even; 0x7fff is the NaN of the hardware.
PRIMITIVE bf16 to_bf16(float x) {
  const std::uint32_t bits = as_bits(x);
  return {std::uint16_t(x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
PRIMITIVE std::uint32_t pack_bf16(float low, float high) {
  return to_bf16(low).bits | std::uint32_t{to_bf16(high).bits} << 16;
}
// To the nearest, ties away from zero.
PRIMITIVE std::uint32_t to_tf32(float x) { return (as_bits(x) + 0x1000) & 0xffffe000u; }
PRIMITIVE float exp2_fast(float x) { return exp2f(x); }

PRIMITIVE int fresh_thread() { return int(threadIdx.x); }
PRIMITIVE int fresh_block_x() { return int(blockIdx.x); }
PRIMITIVE int fresh_block_y() { return int(blockIdx.y); }
PRIMITIVE std::uint32_t pinned(std::uint32_t x) { return x; }

}  // namespace prim
