// The tile instructions, by the number of their registers; strides in words.
// In assembly: the compiler's own intrinsics take the numbers from macros, not from templates.
//
// TRAINFORMER_EMULATE_AMX replaces them by loops, so that everything around them can be tested on any processor.
#pragma once
#include "../simd.h"

namespace ISA::amx {

#if defined(TRAINFORMER_EMULATE_AMX)

struct Tile {
  float word[16][16];
};
inline Tile* tiles() {
  static thread_local Tile all[8];
  return all;
}
inline void configure() {}
inline void release() { __builtin_memset(tiles(), 0xff, 8 * sizeof(Tile)); }  // NaN: nobody may count on it
template <int t>
inline void zero() { tiles()[t] = {}; }
template <int t>
inline void load(const float* p, Index stride) {
  for (int r = 0; r < 16; ++r) __builtin_memcpy(tiles()[t].word[r], p + r * stride, 64);
}
template <int t>
inline void store(float* p, Index stride) {
  for (int r = 0; r < 16; ++r) __builtin_memcpy(p + r * stride, tiles()[t].word[r], 64);
}
template <int c, int a, int b>
inline void multiply_add() {
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < 16; ++n) {
        bf16 x[2], y[2];
        __builtin_memcpy(x, &tiles()[a].word[m][k], 4);
        __builtin_memcpy(y, &tiles()[b].word[k][n], 4);
        for (int i = 0; i < 2; ++i) tiles()[c].word[m][n] += to_float(x[i]) * to_float(y[i]);
      }
}

#else

// Palette 1: eight tiles of 16 rows of 64 bytes. In memory that the compiler knows to be read: gcc 12 declares that
// the instruction reads eight bytes.
struct alignas(64) Configuration {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
inline void configure() {
  const Configuration configuration;
  asm volatile("ldtilecfg %0" : : "m"(configuration));
}
inline void release() { asm volatile("tilerelease"); }
template <int t>
inline void zero() { asm volatile("tilezero %%tmm%c0" : : "i"(t)); }
template <int t>
inline void load(const float* p, Index stride) {
  asm volatile("tileloadd (%1,%2,4), %%tmm%c0" : : "i"(t), "r"(p), "r"(stride) : "memory");
}
template <int t>
inline void store(float* p, Index stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,4)" : : "i"(t), "r"(p), "r"(stride) : "memory");
}
template <int c, int a, int b>
inline void multiply_add() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}

#endif

}  // namespace ISA::amx
