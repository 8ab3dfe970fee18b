#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define TABLES(isa)                  \
  namespace isa##_f32 {              \
  extern const KernelTable table;    \
  }                                  \
  namespace isa##_bf16 {             \
  extern const KernelTable table;    \
  }
TABLES(scalar)
#if defined(__x86_64__)
TABLES(avx2)
TABLES(avx512)
#endif

namespace {

#if defined(__x86_64__)
// Feature bits, never model numbers: hypervisors report models that the machine is not. A register file counts only
// if the operating system saves it (XCR0).
struct Features {
  bool avx2 = false, avx512 = false;
  Features() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = c & bit_FMA, f16c = c & bit_F16C, osxsave = c & bit_OSXSAVE;
    if (!osxsave || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    unsigned lo, hi;
    asm("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    const bool ymm = (lo & 0x06) == 0x06, zmm = (lo & 0xe6) == 0xe6;
    avx2 = ymm && fma && f16c && (b & bit_AVX2);
    avx512 = avx2 && zmm && (b & bit_AVX512F) && (b & bit_AVX512BW) && (b & bit_AVX512DQ) && (b & bit_AVX512VL);
  }
};
#endif

}  // namespace

const std::vector<Isa>& isas() {
  static const std::vector<Isa> all = [] {
    std::vector<Isa> found{{"scalar", true, &scalar_f32::table, &scalar_bf16::table}};
#if defined(__x86_64__)
    const Features has;
    found.push_back({"avx2", has.avx2, &avx2_f32::table, &avx2_bf16::table});
    found.push_back({"avx512", has.avx512, &avx512_f32::table, &avx512_bf16::table});
#endif
    return found;
  }();
  return all;
}
