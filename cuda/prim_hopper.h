// What a kernel for compute capability 9.0 has beside prim.h: barriers in shared memory, tiles that the copy
// engine (TMA) brings, products of a warpgroup of 128 threads. Instructions of sm_90a: bodies of kernels that
// use them stand within #if HOPPER_CODE, and nvcc compiles their files for that architecture alone.
//
// A barrier is 8 bytes of shared memory. A phase of it ends when as many arrivals as it was made for have
// come, and all the bytes that it expects; phases are told apart by their parity, of which the first has 0.
//
// A tile is a box of a tensor [z, y, x] or [w, z, y, x] of bf16, 64 of x wide, with zeros for what is
// outside. In shared memory its rows have 128 bytes, whose pieces of 16 are swizzled: bits 4 … 6 of an
// address are XORed with its bits 7 … 9.
//
// A product is sums [64, n] += a [64, 16] · b [16, n], where a and b lie in shared memory as tiles do and are
// named by descriptors. Warp w of the four has rows from 16 w on, and its lane l, in sums[4 j + 2 h + e], row
// l / 4 + 8 h and column 8 j + 2 (l % 4) + e. Or a is in registers, as the left operand of prim::mma_bf16 is.
#pragma once
#include "rt.h"

#if !defined(__CUDACC__)
#include "emulation/hopper.h"
#define HOPPER_CODE 1
#else
#include <cuda.h>

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER_CODE 1
#else
#define HOPPER_CODE 0
#endif

namespace prim {

using TensorMap = CUtensorMap;

// ---- barriers

PRIMITIVE void barrier_init(std::uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// After barrier_init, before anything else uses the barriers; a __syncthreads has to follow.
PRIMITIVE void barrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
PRIMITIVE void barrier_arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
PRIMITIVE void barrier_arrive_expect(std::uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
// Until the phase of this parity has ended, which it has if the present one has the other.
PRIMITIVE void barrier_wait(std::uint32_t barrier, int parity) {
  std::uint32_t ended;
  do {
    asm volatile(
        "{ .reg .pred ended; mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2; selp.u32 %0, 1, 0, "
        "ended; }"
        : "=r"(ended)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (!ended);
}
// Of `threads` threads of the block, whole warps; number 0 is that of __syncthreads.
template <int kNumber, int kThreads>
PRIMITIVE void sync_some() {
  asm volatile("bar.sync %0, %1;" ::"n"(kNumber), "n"(kThreads) : "memory");
}

// ---- tiles

// The box at (x, y, z), or at (x, y, z, w); its bytes, those outside of the tensor too, are told to the
// barrier.
PRIMITIVE void load_tile(std::uint32_t shared, const TensorMap& map, std::uint32_t barrier, int x, int y,
                         int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5}], [%2];" ::"r"(shared),
      "l"(&map), "r"(barrier), "r"(x), "r"(y), "r"(z)
      : "memory");
}
PRIMITIVE void load_tile(std::uint32_t shared, const TensorMap& map, std::uint32_t barrier, int x, int y,
                         int z, int w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5, %6}], [%2];" ::"r"(shared),
      "l"(&map), "r"(barrier), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}
// What this thread wrote into shared memory becomes visible to tiles and products.
PRIMITIVE void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// ---- products

// Threads of a warpgroup give registers back or take what others gave.
template <int kRegisters>
PRIMITIVE void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
PRIMITIVE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
// Before the first product of a group: the sums are in registers, and so is a left operand, which is named.
PRIMITIVE void product_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
template <int kSteps>
PRIMITIVE void product_fence(std::uint32_t (&a)[kSteps][4]) {
  UNROLL
  for (int i = 0; i < kSteps; ++i)
    asm volatile("" : "+r"(a[i][0]), "+r"(a[i][1]), "+r"(a[i][2]), "+r"(a[i][3])::"memory");
  product_fence();
}
PRIMITIVE void product_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most `kPending` groups are under way: what the others read may be written.
template <int kPending>
PRIMITIVE void product_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// What x holds is computed before what follows, and read after it.
template <int kCount>
PRIMITIVE void pin(float (&x)[kCount]) {
  UNROLL
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(x[i])::"memory");
}
// Waits in the same way; `sums`, of a group that is done then, may be read.
template <int kPending = 0, int kSums>
PRIMITIVE void product_wait(float (&sums)[kSums]) {
  product_wait<kPending>();
  pin(sums);
}

// The operands of the instruction: sums, then %n …
#define SUMS_4(i) "+f"(s[i]), "+f"(s[i + 1]), "+f"(s[i + 2]), "+f"(s[i + 3])
#define SUMS_16(i) SUMS_4(i), SUMS_4(i + 4), SUMS_4(i + 8), SUMS_4(i + 12)
#define SUMS_32(i) SUMS_16(i), SUMS_16(i + 16)
#define NAMES_32                                          \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15" \
  ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define NAMES_64                                                     \
  NAMES_32                                                           \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47" \
  ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define NAMES_128                                                                \
  NAMES_64                                                                       \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"             \
  ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"             \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111" \
  ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define PRODUCT(columns, names, operands) \
  "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.bf16.bf16 {" names "}, " operands ";"

// An operand is transposed if its rows in shared memory do not run along K. Without kAdds, sums = a · b.
template <bool kTransposedA, bool kTransposedB>
PRIMITIVE void product_bf16(float (&s)[128], std::uint64_t a, std::uint64_t b) {
  asm volatile(PRODUCT(256, NAMES_128, "%128, %129, 1, 1, 1, %130, %131")
               : SUMS_32(0), SUMS_32(32), SUMS_32(64), SUMS_32(96)
               : "l"(a), "l"(b), "n"(int(kTransposedA)), "n"(int(kTransposedB)));
}
template <bool kTransposedA, bool kTransposedB, bool kAdds = true>
PRIMITIVE void product_bf16(float (&s)[64], std::uint64_t a, std::uint64_t b) {
  asm volatile(PRODUCT(128, NAMES_64, "%64, %65, %66, 1, 1, %67, %68")
               : SUMS_32(0), SUMS_32(32)
               : "l"(a), "l"(b), "n"(int(kAdds)), "n"(int(kTransposedA)), "n"(int(kTransposedB)));
}
template <bool kTransposedB>
PRIMITIVE void product_bf16(float (&s)[64], const std::uint32_t (&a)[4], std::uint64_t b) {
  asm volatile(PRODUCT(128, NAMES_64, "{%64, %65, %66, %67}, %68, 1, 1, 1, %69")
               : SUMS_32(0), SUMS_32(32)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(int(kTransposedB)));
}
template <bool kTransposedB>
PRIMITIVE void product_bf16(float (&s)[32], const std::uint32_t (&a)[4], std::uint64_t b) {
  asm volatile(PRODUCT(64, NAMES_32, "{%32, %33, %34, %35}, %36, 1, 1, 1, %37")
               : SUMS_32(0)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(int(kTransposedB)));
}
#undef PRODUCT
#undef NAMES_128
#undef NAMES_64
#undef NAMES_32
#undef SUMS_32
#undef SUMS_16
#undef SUMS_4

}  // namespace prim

namespace rt {

// That of a tensor [..., dims[1], dims[0]] of bf16, of 3 axes or 4, the last one contiguous, the others
// `strides` bytes apart, in boxes [..., box[1], box[0]].
template <std::size_t kRank>
std::string tensor_map(CUtensorMap* map, const void* data, const std::uint64_t (&dims)[kRank],
                       const std::uint64_t (&strides)[kRank - 1], const std::uint32_t (&box)[kRank]) {
  static const auto encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result;
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
  }();
  if (!encode) return "the driver has no cuTensorMapEncodeTiled";
  const std::uint32_t every[] = {1, 1, 1, 1};
  const CUresult result =
      encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, kRank, const_cast<void*>(data), dims, strides, box, every,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? "" : "cuTensorMapEncodeTiled: error " + std::to_string(int(result));
}

}  // namespace rt
#endif

namespace prim {

// Of an operand of a product whose first element is at `shared`: its atoms are 8 rows of 128 bytes, `stride`
// bytes apart along the rows, `leading` along them (which only transposed operands need: along K one atom has
// 64, and a step of K within it is 32 bytes). Bits: address / 16, 0 … 13; leading / 16, from 16 on; stride /
// 16, from 32 on; the swizzle, 1 for 128 bytes, from 62 on. Atoms start at multiples of 1024.
PRIMITIVE std::uint64_t operand_descriptor(std::uint32_t shared, int leading, int stride) {
  return std::uint64_t((shared & 0x3ffff) >> 4) | std::uint64_t(leading >> 4) << 16 |
         std::uint64_t(stride >> 4) << 32 | std::uint64_t{1} << 62;
}

}  // namespace prim
