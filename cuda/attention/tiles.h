// Tiles of bf16 in shared memory, and their products on tensor cores.
//
// A row of a tile is kD elements, in chunks of 16 bytes. Chunk c of row r lies where c ⊕ (r mod 8) would:
// eight rows of one column of chunks, which is what ldmatrix reads, then lie in different banks. A lane keeps
// one address; from there sixteen rows further is an immediate, sixteen columns further an XOR.
#pragma once
#include "problem.h"

namespace attention {

template <int kD>
struct Tile {
  static constexpr int kChunks = kD / 8, kRowBytes = 2 * kD;
  static constexpr int kPermuted = kChunks < 8 ? kChunks : 8;

  static PRIMITIVE std::uint32_t slot(int row, int chunk) {
    return row * kRowBytes + (chunk ^ (row / (8 / kPermuted) % kPermuted)) * 16;
  }
  // The address of this lane's row for ldmatrix: of a 16 × 16 operand [rows, k], or [k, columns] transposed
  // on the way;
  static PRIMITIVE std::uint32_t lane_rows(int lane) { return slot(lane % 16, lane / 16); }
  // of two 16 × 8 operands [columns, k].
  static PRIMITIVE std::uint32_t lane_columns(int lane) {
    return slot(lane % 8 + lane / 16 * 8, lane / 8 % 2);
  }
  // Group g of sixteen columns.
  static PRIMITIVE std::uint32_t columns(std::uint32_t address, int g) {
    return (address ^ (g % (kPermuted / 2) * 32)) + g / (kPermuted / 2) * (kPermuted * 16);
  }
};

// Copies tiles from global to shared memory, asynchronously. A thread copies one column of chunks; a column
// past the last of the tensor becomes zero.
template <int kD, int kRows, int kThreads>
class TileLoader {
 public:
  PRIMITIVE TileLoader(int thread, int columns)
      : row_(thread / kChunks),
        offset_(thread % kChunks * 16),
        bytes_(thread % kChunks * 8 < columns ? 16 : 0),
        slot_(Tile<kD>::slot(thread / kChunks, thread % kChunks)) {}

  // Where this thread begins with a tile whose row 0 is `tile`: with the last of its rows. `stride` in bytes.
  PRIMITIVE const char* start(const void* tile, Index stride) const {
    return static_cast<const char*>(tile) + (row_ + (kCount - 1) * kStep) * stride + (bytes_ ? offset_ : 0);
  }
  // A tile; `from` moves on to the one before it. `step`: kStep rows back, in bytes.
  PRIMITIVE void load(std::uint32_t tile, const char*& from, Index step) const {
    UNROLL
    for (int i = kCount - 1; i >= 0; --i, from += step) prim::copy_async16(tile + slot(i), from, bytes_);
  }
  // A tile of which only the first `rows` exist. The rest becomes zero.
  PRIMITIVE void load(std::uint32_t tile, const char*& from, Index step, int rows) const {
    UNROLL
    for (int i = kCount - 1; i >= 0; --i, from += step)
      prim::copy_async16(tile + slot(i), from, row_ + i * kStep < rows ? bytes_ : 0);
  }
  static constexpr int kChunks = Tile<kD>::kChunks, kStep = kThreads / kChunks, kCount = kRows / kStep;

 private:
  static_assert(kThreads % kChunks == 0 && kRows % kStep == 0 && (kD >= 64 || kStep % 8 == 0), "tile shape");
  PRIMITIVE std::uint32_t slot(int i) const {
    return (slot_ ^ (i * kStep % 8 * 16)) + i * kStep * Tile<kD>::kRowBytes;
  }
  int row_, offset_, bytes_;
  std::uint32_t slot_;
};

// The rows of a warp of a tile, kTiles times sixteen, as the left operand: in registers, or read when needed.
template <int kD, int kTiles, bool kHeld>
struct RowOperand {
  std::uint32_t address;
  std::uint32_t held[kHeld ? kTiles : 1][kHeld ? kD / 16 : 1][4];

  PRIMITIVE void hold() {
    if constexpr (kHeld) {
      UNROLL
      for (int r = 0; r < kTiles; ++r) {
        UNROLL
        for (int k = 0; k < kD / 16; ++k) read(held[r][k], r, k);
      }
    }
  }
  PRIMITIVE void get(std::uint32_t (&a)[4], int r, int k) const {
    if constexpr (kHeld) {
      UNROLL
      for (int e = 0; e < 4; ++e) a[e] = held[r][k][e];
    } else {
      read(a, r, k);
    }
  }

 private:
  PRIMITIVE void read(std::uint32_t (&a)[4], int r, int k) const {
    prim::load_matrix4(a, Tile<kD>::columns(address, k) + r * 16 * Tile<kD>::kRowBytes);
  }
};

// s += a · bᵀ: a warp's rows times kColumns rows of a tile, a lane of which `b` addresses.
template <int kD, int kTiles, int kColumns, bool kHeld>
PRIMITIVE void multiply_rows(float (&s)[kTiles][kColumns / 8][4], const RowOperand<kD, kTiles, kHeld>& a,
                             std::uint32_t b) {
  UNROLL
  for (int k = 0; k < kD / 16; ++k) {
    std::uint32_t rows[kTiles][4];
    UNROLL
    for (int r = 0; r < kTiles; ++r) a.get(rows[r], r, k);
    UNROLL
    for (int j = 0; j < kColumns / 16; ++j) {
      std::uint32_t columns[4];
      prim::load_matrix4(columns, Tile<kD>::columns(b, k) + j * 16 * Tile<kD>::kRowBytes);
      UNROLL
      for (int r = 0; r < kTiles; ++r) {
        prim::mma_bf16(s[r][2 * j], rows[r], columns[0], columns[1]);
        prim::mma_bf16(s[r][2 * j + 1], rows[r], columns[2], columns[3]);
      }
    }
  }
}

// o += p · b, p rounded to bf16: the sums of a product are laid out as the left operand of the next.
template <int kD, int kTiles, int kRows, int kColumns>
PRIMITIVE void accumulate(float (&o)[kTiles][kColumns / 8][4], const float (&p)[kTiles][kRows / 8][4],
                          std::uint32_t b) {
  UNROLL
  for (int k = 0; k < kRows / 16; ++k) {
    std::uint32_t rows[kTiles][4];
    UNROLL
    for (int r = 0; r < kTiles; ++r) {
      UNROLL
      for (int e = 0; e < 4; ++e)
        rows[r][e] = prim::pack_bf16(p[r][2 * k + e / 2][e % 2 * 2], p[r][2 * k + e / 2][e % 2 * 2 + 1]);
    }
    UNROLL
    for (int j = 0; j < kColumns / 16; ++j) {
      std::uint32_t columns[4];
      prim::load_matrix4_transposed(columns, Tile<kD>::columns(b, j) + k * 16 * Tile<kD>::kRowBytes);
      UNROLL
      for (int r = 0; r < kTiles; ++r) {
        prim::mma_bf16(o[r][2 * j], rows[r], columns[0], columns[1]);
        prim::mma_bf16(o[r][2 * j + 1], rows[r], columns[2], columns[3]);
      }
    }
  }
}

// Where a warp writes: its first row in global memory, and how many of its rows and columns exist.
struct Target {
  bf16* data;
  Index stride;
  int rows, columns;
  bool in_chunks;  // 16 bytes at a time
};

// Writes the 16 × kD sums of a warp, its upper eight rows times factor[0], its lower ones times factor[1]; a
// factor of zero clears. The sums pass through sixteen rows of shared memory that only this warp uses.
template <int kD>
PRIMITIVE void store_rows(std::uint32_t shared, const float (&o)[kD / 8][4], const float (&factor)[2],
                          const Target& to, int lane) {
  __syncwarp();
  UNROLL
  for (int j = 0; j < kD / 8; ++j) {
    UNROLL
    for (int half = 0; half < 2; ++half) {
      const float f = factor[half], low = o[j][2 * half], high = o[j][2 * half + 1];
      prim::store_shared4(shared + Tile<kD>::slot(lane / 4 + 8 * half, j) + lane % 4 * 4,
                          f != 0 ? prim::pack_bf16(low * f, high * f) : 0);
    }
  }
  __syncwarp();
  constexpr int kChunks = Tile<kD>::kChunks, kStep = 32 / kChunks;
  const int c = lane % kChunks;
  for (int row = lane / kChunks; row < least(16, to.rows); row += kStep) {
    const uint4 chunk = prim::load_shared16(shared + Tile<kD>::slot(row, c));
    bf16* const at = to.data + row * to.stride + c * 8;
    if (to.in_chunks) {
      if (c * 8 < to.columns) prim::store_global16(at, chunk);
    } else {
      const std::uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
      UNROLL
      for (int e = 0; e < 8; ++e)
        if (c * 8 + e < to.columns)
          at[e] = prim::to_bf16(prim::as_float(words[e / 2] << (e % 2 ? 0 : 16) & 0xffff0000u));
    }
  }
}

}  // namespace attention
