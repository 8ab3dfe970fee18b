// An operand's way through a block: global memory → shared memory (cp.async) → registers (ldmatrix).
//
//   kAlongK    k is contiguous: a tile in shared memory is [kExtent rows of a, or columns of b][kK]
//   else       the other axis is: [kK][kExtent], and ldmatrix transposes
//
// Rows lie in shared memory without gaps, their pieces of 16 bytes swizzled so that neither writing nor
// reading them has bank conflicts: piece c of row r is at c ^ (r & 7), of rows of 64 bytes at c ^ (r / 2 &
// 3). What the lanes add to that does not depend on the loops, so one address per operand serves: a step
// along the contiguous axis is one XOR, a step along the other a constant. Where there are registers for it,
// the addresses of all steps along the contiguous axis are kept, and the loop needs no XOR.
#pragma once
#include "product.h"

namespace cuda::gemm {

// In bytes; a row is what is contiguous.
struct TileOperand {
  const char* data;
  Index pitch, batch_stride;
  Index low_plane;  // from the high halves of a split operand to the low halves
};

// A block's tile of y is kM × kN, a step along K is kK, a warp's part kWarpM × kWarpN; kBlocks fit on a
// multiprocessor.
template <int kM_, int kN_, int kK_, int kWarpM_, int kWarpN_, int kStages_, int kBlocks_>
struct Tile {
  static constexpr int kM = kM_, kN = kN_, kK = kK_, kWarpM = kWarpM_, kWarpN = kWarpN_;
  static constexpr int kStages = kStages_, kBlocks = kBlocks_;
  static constexpr int kWarpColumns = kN / kWarpN, kWarps = kM / kWarpM * kWarpColumns,
                       kThreads = 32 * kWarps;
  // A thread has more than 64 registers beside its sums; those of a multiprocessor are 65536.
  static constexpr bool kHasRegisters = 65536 / (kThreads * kBlocks) - kWarpM * kWarpN / 32 > 64;
  static constexpr int kBytesA = kM * kK * 2, kStageBytes = kBytesA + kN * kK * 2;
  // The epilogue: each warp turns 16 rows of sums at a time into whole rows.
  static constexpr int kSlicePitch = kWarpN * 4 + 32, kSliceBytes = 16 * kSlicePitch;
  static constexpr int kSharedBytes =
      kStages * kStageBytes > kWarps* kSliceBytes ? kStages* kStageBytes : kWarps* kSliceBytes;
};

template <class T, int kExtent, int kWarpExtent, bool kAlongK, bool kIsA, bool kBounded>
struct OperandTile {
  static constexpr int kRows = kAlongK ? kExtent : T::kK, kRowBytes = (kAlongK ? T::kK : kExtent) * 2;
  static constexpr int kPieces = kRowBytes / 16;          // in a row
  static constexpr int kRowStep = T::kThreads / kPieces;  // rows that all threads copy at once
  static constexpr int kCopies = kRows / kRowStep;        // of each thread
  static constexpr int kFragments = kWarpExtent / 16;
  static constexpr int kSteps = kAlongK ? T::kK / 16 : kFragments;  // along the contiguous axis
  // With few registers only a along M keeps its addresses: it would need most XORs.
  static constexpr bool kKeepsAddresses = T::kHasRegisters || (kIsA && !kAlongK);
  static_assert(kRowStep % 8 == 0 && kRows % kRowStep == 0 && kPieces >= 4,
                "the swizzle is the same for all copies");

  const char* source;  // of this thread's first copy of the next tile
  Index step;          // from a copy to the next
  std::uint32_t destination, fragments[kSteps];
  int rows, bytes;  // that are there from this thread's first copy on; only if kBounded

  static PRIMITIVE int swizzled(int row, int piece) {
    return (kPieces == 4 ? piece ^ (row >> 1 & 3) : piece ^ (row & 7)) * 16;
  }

  // From row or column `first` of `extent` on and from k on; `K` are left from there.
  PRIMITIVE void start(const TileOperand& operand, Index batch, int first, int extent, Index k, int K,
                       std::uint32_t shared, int warp_first, int thread) {
    const int row = thread / kPieces, piece = thread % kPieces, lane = thread & 31;
    const Index data_row = kAlongK ? first + row : k + row, data_column = (kAlongK ? k : first) + piece * 8;
    source = operand.data + batch * operand.batch_stride + data_row * operand.pitch + data_column * 2;
    step = kRowStep * operand.pitch;
    destination = shared + row * kRowBytes + swizzled(row, piece);
    // Lanes 8 i … 8 i + 7 address matrix i of four. Those of a are (rows, k) at (0, 0) (8, 0) (0, 8) (8, 8),
    // those of b (columns, k) at (0, 0) (0, 8) (8, 0) (8, 8).
    const bool fast = (kAlongK == kIsA);
    const int matrix_row = fast ? lane & 15 : (lane & 7) + (lane >> 4) * 8;
    const int matrix_piece = fast ? lane >> 4 : lane >> 3 & 1;
    const std::uint32_t fragment = shared + (kAlongK ? warp_first + matrix_row : matrix_row) * kRowBytes +
                                   swizzled(matrix_row, (kAlongK ? 0 : warp_first / 8) + matrix_piece);
    UNROLL
    for (int i = 0; i < kSteps; ++i) fragments[i] = fragment ^ (i * 32);
    if (kBounded) {
      rows = (kAlongK ? extent - first : K) - row;
      bytes = ((kAlongK ? K : extent - first) - piece * 8) * 2;
    }
  }

  // Starts the copies of the next tile into the stage at offset `stage`.
  PRIMITIVE void copy(std::uint32_t stage) const {
    UNROLL
    for (int i = 0; i < kCopies; ++i) {
      const std::uint32_t to = destination + stage + i * kRowStep * kRowBytes;
      if (kBounded)
        prim::copy_async16(to, source + i * step, i * kRowStep < rows ? max(0, min(bytes, 16)) : 0);
      else
        prim::copy_async16(to, source + i * step);
    }
  }
  // The same for a tile of which only the first `K` are there; along K those come in whole pieces.
  PRIMITIVE void copy_part(std::uint32_t stage, int K, int thread) const {
    UNROLL
    for (int i = 0; i < kCopies; ++i) {
      const int k = kAlongK ? thread % kPieces * 8 : thread / kPieces + i * kRowStep;
      prim::copy_async16(destination + stage + i * kRowStep * kRowBytes, source + i * step, k < K ? 16 : 0);
    }
  }
  PRIMITIVE void advance(int k, Index pitch) {
    source += kAlongK ? Index(k) * 2 : k * pitch;
    if (kBounded) {
      if (kAlongK)
        bytes -= k * 2;
      else
        rows -= k;
    }
  }

  // The address of step i along the contiguous axis; `stage` is a multiple of 128.
  PRIMITIVE std::uint32_t fragment_address(std::uint32_t stage, int i) const {
    return kKeepsAddresses ? fragments[i] + stage : (fragments[0] + stage) ^ (i * 32);
  }
  // The 16 rows of a, or columns of b, from 16 i on, of step kk of the tile at offset `stage`.
  PRIMITIVE void load_fragment(std::uint32_t (&fragment)[4], std::uint32_t stage, int kk, int i) const {
    if (kAlongK)
      prim::load_matrix4(fragment, fragment_address(stage, kk) + i * 16 * kRowBytes);
    else
      prim::load_matrix4_transposed(fragment, fragment_address(stage, i) + kk * 16 * kRowBytes);
  }
};

}  // namespace cuda::gemm
