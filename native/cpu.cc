#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#define TABLE(name)               \
  namespace name {                \
  extern const KernelTable table; \
  }
TABLE(scalar_f32)
TABLE(scalar_bf16)
#if defined(__x86_64__)
TABLE(avx2_f32)
TABLE(avx2_bf16)
TABLE(avx512_f32)
TABLE(avx512_bf16)
TABLE(avx512bf16_bf16)
TABLE(amx_bf16)
#elif defined(__aarch64__)
TABLE(neon_f32)
TABLE(neon_bf16)
#endif

namespace {

#if defined(__x86_64__)
// The operating system must be asked before a process may use tile registers.
bool tiles_permitted() {
#if defined(TRAINFORMER_EMULATE_AMX)
  return true;
#elif defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// Feature bits, never model numbers: hypervisors report models that the machine is not. A register file counts only
// if the operating system saves it (XCR0).
struct Features {
  bool avx2 = false, avx512 = false, avx512bf16 = false, amx = false;
  // vdpbf16ps does twice the work of a multiply-add of floats in the same time on AMD's processors, half of it on
  // those of Intel that were measured: there products in f32 are faster.
  bool fast_bf16 = false;
  Features() {
    unsigned a, b, c, d;
    __cpuid(0, a, b, c, d);
    fast_bf16 = b == signature_AMD_ebx;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = c & bit_FMA, f16c = c & bit_F16C, osxsave = c & bit_OSXSAVE;
    if (!osxsave || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    const unsigned leaves = a;
    unsigned lo, hi;
    asm("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    const bool ymm = (lo & 0x06) == 0x06, zmm = (lo & 0xe6) == 0xe6, tiles = (lo & 0x60000) == 0x60000;
    avx2 = ymm && fma && f16c && (b & bit_AVX2);
    avx512 = avx2 && zmm && (b & bit_AVX512F) && (b & bit_AVX512BW) && (b & bit_AVX512DQ) && (b & bit_AVX512VL);
#if defined(TRAINFORMER_EMULATE_AMX)
    const bool has_tiles = true;
    (void)tiles;
#else
    const bool has_tiles = tiles && (d & 1u << 24) && (d & 1u << 22);  // AMX-TILE, AMX-BF16
#endif
    avx512bf16 = avx512 && leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
    amx = avx512bf16 && has_tiles && tiles_permitted();
  }
};

#endif

}  // namespace

const std::vector<Isa>& isas() {
  static const std::vector<Isa> all = [] {
    std::vector<Isa> found{{"scalar", true, true, &scalar_f32::table, &scalar_bf16::table}};
#if defined(__x86_64__)
    const Features has;
    found.push_back({"avx2", has.avx2, true, &avx2_f32::table, &avx2_bf16::table});
    found.push_back({"avx512", has.avx512, true, &avx512_f32::table, &avx512_bf16::table});
    found.push_back({"avx512bf16", has.avx512bf16, has.fast_bf16, &avx512_f32::table, &avx512bf16_bf16::table});
    found.push_back({"amx", has.amx, true, &avx512_f32::table, &amx_bf16::table});
#elif defined(__aarch64__)
    found.push_back({"neon", true, true, &neon_f32::table, &neon_bf16::table});  // part of the architecture
#endif
    return found;
  }();
  return all;
}
