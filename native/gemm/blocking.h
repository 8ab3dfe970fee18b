// The sizes of the matrix product, one row of the table for each width of vectors.
//
//        ┌ N ────────────┐       A panel: up to `rows` rows of a, all of a K block, [k][rows]
//   ┌ K ┐│ b   │ columns  │      B panel: `columns()` columns of b, [k][columns]
// M │ a ││─────┼─────     │      tile:    an A panel times a B panel, held in registers
//   └   ┘└ rows┘──────────┘      chunk:   some A panels times some B panels, the work of one thread
//
// A K block is long, so that the tile is stored rarely: both panels then stream from the L2 cache, which a tall
// tile can afford (14 + 2·16 floats for 28 vector multiplications). Smaller tiles load more per multiplication
// and keep their B panel in the L1 cache.
#pragma once
#include "../simd.h"

namespace ISA {

struct Blocking {
  int lanes;            // floats in a vector
  int rows, vectors;    // the tile
  Index depth;          // longest K block
  Index chunk_rows;     // most panels of A in a chunk: with `depth` what stays in the L2 cache
  Index chunk_columns;  // most panels of B in a chunk
  constexpr Index columns() const { return Index(lanes) * vectors; }
  constexpr Index tile() const { return rows * columns(); }
};

constexpr Blocking kBlockings[] = {
    {16, 14, 2, 1024, 8, 24},  // 14x32: the tile takes 28 of 32 registers
    {8, 6, 2, 512, 24, 48},    // 6x16: 12 of 16
    {4, 4, 2, 512, 24, 48},    // 4x8: for the vectors that every x86-64 and ARM64 has
};
constexpr Blocking kGemm = kBlockings[kLanes == 16 ? 0 : kLanes == 8 ? 1 : 2];

// Floats of b that are packed at a time for all threads, which an L3 cache holds, and of the result that wait
// for further K blocks.
constexpr Index kPackedFloats = 4 << 20;
constexpr Index kPartialFloats = 8 << 20;

// What decides how the work is cut. The number of threads does not, so that results do not depend on it.
constexpr Index kChunks = 48;                     // a product should have so many, if they are worth it:
constexpr Index kChunkMultiplications = 1 << 18;  //   at least so long,
constexpr Index kChunkColumns = 64;               //   and no narrower, since each packs its rows of a
constexpr Index kAloneMultiplications = 1 << 22;  // products of a batch that short go to one thread each
constexpr Index kSkinnyRows = 8;                  // up to so many rows of a, b is read once and not packed
constexpr Index kWideColumns = 512;               // from so many on, each chunk packs its own part of b if
                                                  //   all rows of a fit into one chunk

}  // namespace ISA
