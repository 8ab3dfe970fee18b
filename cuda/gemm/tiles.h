// Tiles of y on tensor cores: bf16 operands whose rows, along either axis, start on 16 bytes.
//
// A block owns a tile of y, or of one of several parts of K. Copies run kStages − 1 tiles ahead of the
// arithmetic, fragments one step of 16. The main loop has no bounds: at the edges of y a tile is moved inward
// and stores only what it owns, and where K is no multiple of kK the first tile is the short one, filled up
// with zeros. For y smaller than a tile there is the form kBounded, which copies zeros for what is not there.
//
// Split operands are products of three terms over the same accumulators, hi · hi + hi · lo + lo · hi: where
// the tiles of a term end, the pointers go to the next.
#pragma once
#include "epilogue.h"
#include "launches.h"

namespace cuda::gemm {

// Which tile of y: bands of 8 rows of tiles, column by column, so that neighbours share tiles of a and b in
// L2.
struct Place {
  int batch, m, n;   // m and n where the block reads
  int own_m, own_n;  // and from where on it stores
};
template <class T, bool kAAlongK, bool kBAlongK, bool kBounded>
PRIMITIVE Place place(const TileArguments& p, int block) {
  constexpr int kBand = 8;
  const int rows = (p.M + T::kM - 1) / T::kM, columns = (p.N + T::kN - 1) / T::kN,
            batch = block / (rows * columns);
  block -= batch * (rows * columns);
  const int band = block / (kBand * columns), inside = block - band * kBand * columns;
  const int height = min(kBand, rows - band * kBand);
  const int m = (band * kBand + inside % height) * T::kM, n = inside / height * T::kN;
  if (kBounded) return {batch, m, n, m, n};
  // Rows of M or N elements have zeros as far as the next multiple of 8, and are read from one on.
  const int M = kAAlongK ? p.M : (p.M + 7) / 8 * 8, N = kBAlongK ? p.N : (p.N + 7) / 8 * 8;
  return {batch, min(m, M - T::kM), min(n, N - T::kN), m, n};
}

// The sums of a block through the epilogue, 16 rows of each warp at a time: by way of shared memory a lane
// gets 8 neighbours. Who runs and where is asked anew, so that the main loop has all registers to itself.
template <class T, bool kAAlongK, bool kBAlongK, bool kBounded, int kRows, int kColumns>
PRIMITIVE void store_tile(const TileArguments& p, std::uint32_t shared, float (&sums)[kRows][kColumns][4]) {
  constexpr int kLanesPerRow = T::kWarpN / 8, kRowsAtOnce = 32 / kLanesPerRow;
  const int thread = prim::fresh_thread(), lane = thread & 31, warp = thread >> 5;
  const Place at = place<T, kAAlongK, kBAlongK, kBounded>(p, prim::fresh_block_x());
  const Index batch = at.batch + Index(prim::fresh_block_y()) * p.batches;
  const int row = lane / kLanesPerRow, piece = lane % kLanesPerRow;
  const int m = at.m + warp / T::kWarpColumns * T::kWarpM + row;
  const int n = at.n + warp % T::kWarpColumns * T::kWarpN + piece * 8;
  const std::uint32_t slice = shared + warp * T::kSliceBytes;
  const std::uint32_t to = slice + (lane >> 2) * T::kSlicePitch + (lane & 3) * 8;
  const std::uint32_t from = slice + row * T::kSlicePitch + piece * 32;
  const std::uint32_t half = (lane >> 2 & 1) * 16;  // which comes first: else lanes 4 apart meet in a bank
  ROLLED
  for (int i = 0; i < kRows; ++i) {
    UNROLL
    for (int j = 0; j < kColumns; ++j) {
      UNROLL
      for (int h = 0; h < 2; ++h)
        prim::store_shared8(to + h * 8 * T::kSlicePitch + j * 32,
                            {prim::as_bits(sums[0][j][h * 2]), prim::as_bits(sums[0][j][h * 2 + 1])});
    }
    UNROLL
    for (int k = 0; k < kRows - 1; ++k) {
      UNROLL
      for (int j = 0; j < kColumns; ++j) {
        UNROLL
        for (int e = 0; e < 4; ++e) sums[k][j][e] = sums[k + 1][j][e];
      }
    }
    __syncwarp();
    ROLLED
    for (int r = 0; r < 16; r += kRowsAtOnce) {
      const uint4 v = prim::load_shared16(from + r * T::kSlicePitch + half);
      const uint4 w = prim::load_shared16(from + r * T::kSlicePitch + (half ^ 16));
      float x[8];
      unpack(x, half ? w : v, half ? v : w);
      const int own = m + i * 16 + r;
      if (own >= at.own_m && own < p.M) finish(p.epilogue, x, batch, own, n, at.own_n, p.N);
    }
    __syncwarp();
  }
}

template <class T, bool kAAlongK, bool kBAlongK, bool kBounded>
__global__ void __launch_bounds__(T::kThreads, T::kBlocks) multiply_tiles(const TileArguments p) {
  constexpr int kSteps = T::kK / 16, kRows = T::kWarpM / 16, kColumns = T::kWarpN / 8;
  constexpr int kAhead = T::kStages - 1;
  DYNAMIC_SHARED(memory);
  const std::uint32_t shared = prim::shared_address(memory);

  OperandTile<T, T::kM, T::kWarpM, kAAlongK, true, kBounded> a;
  OperandTile<T, T::kN, T::kWarpN, kBAlongK, false, kBounded> b;
  const int all = p.terms * p.tiles, first = blockIdx.y * p.part;
  int term = first / p.tiles;           // of the tile to be copied next
  int left = min(all - first, p.part);  // tiles that are still to be copied: in this term
  int later = max(0, left - ((term + 1) * p.tiles - first));  // and in those after it
  left -= later;
  // Goes to the next term if there is one.
  const auto turn = [&] {
    if (kBounded || later == 0) return false;
    ++term;
    left = min(later, p.tiles);
    later -= left;
    a.advance(-p.tiles * T::kK, p.a.pitch);
    b.advance(-p.tiles * T::kK, p.b.pitch);
    if (term == 1) b.source += p.b.low_plane;
    if (term == 2) a.source += p.a.low_plane, b.source -= p.b.low_plane;
    return true;
  };
  {
    const int thread = threadIdx.x, warp = thread >> 5, tile = first - term * p.tiles;
    const Place at = place<T, kAAlongK, kBAlongK, kBounded>(p, blockIdx.x);
    const int short_tile = kBounded ? T::kK : p.K - (p.tiles - 1) * T::kK;
    const int k = tile == 0 ? 0 : short_tile + (tile - 1) * T::kK;
    a.start(p.a, at.batch, at.m, p.M, k, p.K - k, shared, warp / T::kWarpColumns * T::kWarpM, thread);
    b.start(p.b, at.batch, at.n, p.N, k, p.K - k, shared + T::kBytesA, warp % T::kWarpColumns * T::kWarpN,
            thread);
    if (term == 1) b.source += p.b.low_plane;
    if (term == 2) a.source += p.a.low_plane;
    const int width = tile == 0 ? short_tile : T::kK;
    if (kBounded) {
      a.copy(0), b.copy(0);
    } else {
      a.copy_part(0, width, thread), b.copy_part(0, width, thread);
    }
    a.advance(width, p.a.pitch), b.advance(width, p.b.pitch);
    prim::copy_async_commit();
  }
  int copied = 1;
  bool copies = --left > 0 || turn();
  UNROLL
  for (int s = 1; s < kAhead; ++s) {
    if (copies) {
      a.copy(s * T::kStageBytes), b.copy(s * T::kStageBytes);
      a.advance(T::kK, p.a.pitch), b.advance(T::kK, p.b.pitch);
      ++copied;
      copies = --left > 0 || turn();
    }
    prim::copy_async_commit();
  }
  if (!copies) left = copied;

  float sums[kRows][kColumns][4] = {};
  // Row i of a is loaded anew as soon as it was multiplied: only b needs registers for two steps.
  std::uint32_t a_fragments[kRows][4], b_fragments[2][kColumns / 2][4];
  prim::copy_async_wait<kAhead - 1>();
  __syncthreads();
  UNROLL
  for (int i = 0; i < kRows; ++i) a.load_fragment(a_fragments[i], 0, 0, i);
  UNROLL
  for (int j = 0; j < kColumns / 2; ++j) b.load_fragment(b_fragments[0][j], 0, 0, j);

  std::uint32_t read = 0, write = kAhead * T::kStageBytes;
  // `left` counts the tiles until something changes: while there are copies to be started the end of a term,
  // then the end of the loop.
  for (;;) {
    UNROLL
    for (int kk = 0; kk < kSteps; ++kk) {
      std::uint32_t stage = read;  // of the fragments that are loaded during this step
      if (kk == kSteps - 1) {
        // The next tile is there for all, and all fragments of this one are in registers.
        prim::copy_async_wait<kAhead - 1>();
        __syncthreads();
        stage = read == kAhead * T::kStageBytes ? 0 : read + T::kStageBytes;
      }
      UNROLL
      for (int j = 0; j < kColumns / 2; ++j)
        b.load_fragment(b_fragments[(kk + 1) & 1][j], stage, (kk + 1) % kSteps, j);
      if (copies) {
        if (kk == 0) a.copy(write);
        if (kk == (kSteps == 2 ? 0 : 1)) b.copy(write);
        if (kk == kSteps - 2) a.advance(T::kK, p.a.pitch), b.advance(T::kK, p.b.pitch);
      }
      if (kk == kSteps - 2) prim::copy_async_commit();
      UNROLL
      for (int i = 0; i < kRows; ++i) {
        UNROLL
        for (int jj = 0; jj < kColumns; ++jj) {
          const int j = i & 1 ? kColumns - 1 - jj : jj;
          const std::uint32_t(&pair)[4] = b_fragments[kk & 1][j / 2];
          prim::mma_bf16(sums[i][j], a_fragments[i], pair[j % 2 * 2], pair[j % 2 * 2 + 1]);
        }
        a.load_fragment(a_fragments[i], stage, (kk + 1) % kSteps, i);
      }
      if (kk == kSteps - 1) write = read, read = stage;
    }
    if (--left == 0) {
      if (!copies) break;
      copies = turn();
      if (!copies) left = kAhead;
    }
  }
  prim::copy_async_wait<0>();
  __syncthreads();
  store_tile<T, kAAlongK, kBAlongK, kBounded>(p, prim::shared_address(memory), sums);
}

}  // namespace cuda::gemm
