// Device primitives: the only inline PTX of the project. Under nvcc each is an instruction or two; under any other
// compiler the emulation takes their place (emulation/primitives.h declares the same functions).
//
// Shared memory is addressed by 32-bit offsets (shared_address): a swizzle is one XOR, the offset of a pipeline stage
// an immediate. Kernels use dynamic shared memory only.
#pragma once
#include <cstddef>
#include <cstdint>

#if !defined(__CUDACC__)
#include "emulation/primitives.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>

using bf16 = __nv_bfloat16;

#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#define UNROLL _Pragma("unroll")
#define PRIMITIVE __device__ __forceinline__

namespace prim {

PRIMITIVE std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

// ---- asynchronous copies of 16 bytes, global → shared, in groups

PRIMITIVE void copy_async16(std::uint32_t shared, const void* global) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
}
// What is past the first `valid` bytes becomes zero and is not read.
PRIMITIVE void copy_async16(std::uint32_t shared, const void* global, int valid) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(valid)
               : "memory");
}
PRIMITIVE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `kPending` groups of this thread are under way.
template <int kPending>
PRIMITIVE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ---- tensor cores. Lane l of a warp holds, of a 16 × 8 accumulator, rows l / 4 and l / 4 + 8, columns 2 (l % 4) + {0, 1}

// Four 8 × 8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
PRIMITIVE void load_matrix4(std::uint32_t (&r)[4], std::uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared));
}
PRIMITIVE void load_matrix4_transposed(std::uint32_t (&r)[4], std::uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared));
}
// c [16, 8] += a [16, 16] · b [16, 8], of bf16
PRIMITIVE void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// c [16, 8] += a [16, 8] · b [8, 8], of tf32
PRIMITIVE void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- shared and global memory, in words of 4, 8 and 16 bytes

PRIMITIVE std::uint32_t load_shared4(std::uint32_t a) {
  std::uint32_t v;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(v) : "r"(a) : "memory");
  return v;
}
PRIMITIVE uint2 load_shared8(std::uint32_t a) {
  uint2 v;
  asm volatile("ld.shared.v2.b32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(a) : "memory");
  return v;
}
PRIMITIVE uint4 load_shared16(std::uint32_t a) {
  uint4 v;
  asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(a) : "memory");
  return v;
}
PRIMITIVE void store_shared4(std::uint32_t a, std::uint32_t v) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(a), "r"(v) : "memory");
}
PRIMITIVE void store_shared8(std::uint32_t a, uint2 v) {
  asm volatile("st.shared.v2.b32 [%0], {%1,%2};" ::"r"(a), "r"(v.x), "r"(v.y) : "memory");
}
PRIMITIVE void store_shared16(std::uint32_t a, uint4 v) {
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(a), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
PRIMITIVE uint2 load_global8(const void* p) { return *static_cast<const uint2*>(p); }
PRIMITIVE uint4 load_global16(const void* p) { return *static_cast<const uint4*>(p); }
PRIMITIVE void store_global8(void* p, uint2 v) { *static_cast<uint2*>(p) = v; }
PRIMITIVE void store_global16(void* p, uint4 v) { *static_cast<uint4*>(p) = v; }

// ---- numbers

PRIMITIVE float as_float(std::uint32_t bits) { return __uint_as_float(bits); }
PRIMITIVE std::uint32_t as_bits(float x) { return __float_as_uint(x); }
PRIMITIVE float to_float(bf16 x) { return __bfloat162float(x); }
PRIMITIVE bf16 to_bf16(float x) { return __float2bfloat16_rn(x); }
// Two rounded to bf16 in one word, `low` in its low half.
PRIMITIVE std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
PRIMITIVE std::uint32_t to_tf32(float x) {
  std::uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}
// 2ˣ, relative error 2⁻²²
PRIMITIVE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// ---- for the register allocator

// The indices of this thread and block, read anew: nothing derived from them stays in a register across a main loop.
PRIMITIVE int fresh_thread() {
  int r;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(r));
  return r;
}
PRIMITIVE int fresh_block_x() {
  int r;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(r));
  return r;
}
PRIMITIVE int fresh_block_y() {
  int r;
  asm volatile("mov.u32 %0, %%ctaid.y;" : "=r"(r));
  return r;
}
// x, whose origin is hidden: it is kept and not computed again.
PRIMITIVE std::uint32_t pinned(std::uint32_t x) {
  asm volatile("" : "+r"(x));
  return x;
}

}  // namespace prim
#endif
