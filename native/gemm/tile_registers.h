// The micro-kernel for the tile registers of AMX: eight, of 16 rows of 64 bytes. Four hold 32x32 sums, two each the
// 16 pairs of k by which 32 rows of a and 32 columns of b go into them.
//
//   a  [words / 16][32 rows][16 words]    b  [words][32 columns]    tile [32][32]
//
// The tile configuration belongs to the thread, and the operating system saves registers that are in use: both last
// for a chunk of work (TileRegisters).
#pragma once
#include "blocking.h"
#if defined(__AMX_BF16__)
#include "amx.h"

namespace ISA {

class TileRegisters {
 public:
  TileRegisters() { amx::configure(); }
  ~TileRegisters() { amx::release(); }
  TileRegisters(const TileRegisters&) = delete;
};

template <int vectors>
__attribute__((noinline)) void gemm_tiles(Index words, const float* a, const float* b, float* tile, bool add) {
  constexpr Index rows = 16, width = vectors * 16, stride = kGemm.columns();
  if (add) {
    amx::load<0>(tile, stride), amx::load<2>(tile + rows * stride, stride);
    if constexpr (vectors == 2) amx::load<1>(tile + 16, stride), amx::load<3>(tile + rows * stride + 16, stride);
  } else {
    amx::zero<0>(), amx::zero<2>();
    if constexpr (vectors == 2) amx::zero<1>(), amx::zero<3>();
  }
  for (Index w = 0; w < words; w += 16) {
    amx::load<4>(a, 16), amx::load<6>(b, width);
    amx::multiply_add<0, 4, 6>();
    amx::load<5>(a + rows * 16, 16);
    amx::multiply_add<2, 5, 6>();
    if constexpr (vectors == 2) {
      amx::load<7>(b + 16, width);
      amx::multiply_add<1, 4, 7>();
      amx::multiply_add<3, 5, 7>();
    }
    a += 2 * rows * 16;
    b += 16 * width;
  }
  amx::store<0>(tile, stride), amx::store<2>(tile + rows * stride, stride);
  if constexpr (vectors == 2) amx::store<1>(tile + 16, stride), amx::store<3>(tile + rows * stride + 16, stride);
}

inline void gemm_tile_registers(int vectors, Index words, const float* a, const float* b, float* tile, bool add) {
  vectors == 2 ? gemm_tiles<2>(words, a, b, tile, add) : gemm_tiles<1>(words, a, b, tile, add);
}

}  // namespace ISA

#else

namespace ISA {

struct TileRegisters {};
inline void gemm_tile_registers(int, Index, const float*, const float*, float*, bool) {}

}  // namespace ISA

#endif
