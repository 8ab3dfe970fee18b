// Tiles of y by 3×TF32: operands of f32, both along K, M and N no smaller than a tile.
//
// x = hi + lo: hi is x without its last 13 bits, lo the rest, which is exact; of lo the tensor core reads all
// but its last bits. a · b = lo · hi + hi · lo + hi · hi, with the error of a sum in f32. A row of f32 passes
// through OperandTile as twice as many halves; ldmatrix then gives the fragments of TF32.
#include "tiles.h"

namespace cuda::gemm {

PRIMITIVE void split_tf32(std::uint32_t (&high)[4], std::uint32_t (&low)[4]) {
  UNROLL
  for (int e = 0; e < 4; ++e) {
    const float x = prim::as_float(high[e]);
    high[e] &= 0xffffe000u;
    low[e] = prim::as_bits(x - prim::as_float(high[e]));
  }
}

template <class T>
__global__ void __launch_bounds__(T::kThreads, T::kBlocks) multiply_strict(const TileArguments p) {
  constexpr int kSteps = T::kK / 16, kRows = T::kWarpM / 16, kColumns = T::kWarpN / 8,
                kAhead = T::kStages - 1;
  DYNAMIC_SHARED(memory);
  const std::uint32_t shared = prim::shared_address(memory);
  OperandTile<T, T::kM, T::kWarpM, true, true, false> a;
  OperandTile<T, T::kN, T::kWarpN, true, false, false> b;
  const int first = blockIdx.y * p.part, tiles = min(p.tiles - first, p.part);
  {
    const int thread = threadIdx.x, warp = thread >> 5, short_tile = p.K - (p.tiles - 1) * T::kK;
    const int k = first == 0 ? 0 : short_tile + (first - 1) * T::kK, width = first == 0 ? short_tile : T::kK;
    const Place at = place<T, true, true, false>(p, blockIdx.x);
    a.start(p.a, at.batch, at.m, p.M, k, p.K - k, shared, warp / T::kWarpColumns * T::kWarpM, thread);
    b.start(p.b, at.batch, at.n, p.N, k, p.K - k, shared + T::kBytesA, warp % T::kWarpColumns * T::kWarpN,
            thread);
    a.copy_part(0, width, thread), b.copy_part(0, width, thread);
    a.advance(width, 0), b.advance(width, 0);
    prim::copy_async_commit();
  }
  UNROLL
  for (int s = 1; s < kAhead; ++s) {
    if (s < tiles) {
      a.copy(s * T::kStageBytes), b.copy(s * T::kStageBytes);
      a.advance(T::kK, 0), b.advance(T::kK, 0);
    }
    prim::copy_async_commit();
  }
  float sums[kRows][kColumns][4] = {};
  std::uint32_t read = 0, write = kAhead * T::kStageBytes;
  for (int t = 0; t < tiles; ++t) {
    prim::copy_async_wait<kAhead - 1>();
    __syncthreads();
    if (t + kAhead < tiles) {
      a.copy(write), b.copy(write);
      a.advance(T::kK, 0), b.advance(T::kK, 0);
    }
    prim::copy_async_commit();
    UNROLL
    for (int kk = 0; kk < kSteps; ++kk) {
      std::uint32_t b_high[kColumns / 2][4], b_low[kColumns / 2][4];
      UNROLL
      for (int j = 0; j < kColumns / 2; ++j) {
        b.load_fragment(b_high[j], read, kk, j);
        split_tf32(b_high[j], b_low[j]);
      }
      UNROLL
      for (int i = 0; i < kRows; ++i) {
        std::uint32_t a_high[4], a_low[4];
        a.load_fragment(a_high, read, kk, i);
        split_tf32(a_high, a_low);
        UNROLL
        for (int j = 0; j < kColumns; ++j) {
          const std::uint32_t(&high)[4] = b_high[j / 2];
          const std::uint32_t(&low)[4] = b_low[j / 2];
          const int e = j % 2 * 2;
          // Tensor cores truncate what they add: long sums are left to ordinary additions.
          float sum[4] = {};
          prim::mma_tf32(sum, a_low, high[e], high[e + 1]);
          prim::mma_tf32(sum, a_high, low[e], low[e + 1]);
          prim::mma_tf32(sum, a_high, high[e], high[e + 1]);
          UNROLL
          for (int q = 0; q < 4; ++q) sums[i][j][q] += sum[q];
        }
      }
    }
    write = read;
    read = read == kAhead * T::kStageBytes ? 0 : read + T::kStageBytes;
  }
  prim::copy_async_wait<0>();
  __syncthreads();
  store_tile<T, true, true, false>(p, prim::shared_address(memory), sums);
}

void launch_strict(int parts, const TileArguments& p) {
  const Index tiles = ceil_div(p.M, StrictTile::kM) * ceil_div(p.N, StrictTile::kN);
  launch(multiply_strict<StrictTile>, dim3(unsigned(tiles * p.batches), unsigned(parts)),
         dim3(StrictTile::kThreads), StrictTile::kSharedBytes, p);
}

}  // namespace cuda::gemm
