// The sizes of the matrix product, one row of the table for each width of vectors.
//
//        ┌ N ────────────┐       A panel: up to `rows` rows of a, all of a K block, [k][rows]
//   ┌ K ┐│ b   │ columns  │      B panel: `columns()` columns of b, [k][columns]
// M │ a ││─────┼─────     │      tile:    an A panel times a B panel, held in registers
//   └   ┘└ rows┘──────────┘      chunk:   some A panels times some B panels, the work of one thread
//
// Panels consist of words of 32 bits, counted along K: a float, or a pair of bf16 that follow each other along K
// where the processor multiplies those.
//
//   products of      words            multiplied by
//   f32              floats           multiply-adds of vectors
//   bf16             floats           the same: widened as they are packed
//   bf16, avx512bf16 pairs            vdpbf16ps: a pair times a pair, added to a float
//   bf16, amx        pairs            tdpbf16ps: 16 rows of 16 pairs times 16 pairs of 16 columns
//
// A K block is long, so that the tile is stored rarely: both panels then stream from the L2 cache, which a tall
// tile can afford (14 + 2·16 words for 28 vector multiplications). Smaller tiles load more per multiplication
// and keep their B panel in the L1 cache.
#pragma once
#include "../simd.h"

namespace ISA {

#if defined(__AMX_BF16__)
constexpr bool kAmx = sizeof(Real) == 2;
#else
constexpr bool kAmx = false;
#endif
#if defined(__AVX512BF16__)
constexpr bool kPairs = sizeof(Real) == 2;
#else
constexpr bool kPairs = kAmx;
#endif

struct Blocking {
  int lanes;            // words in a vector
  int rows, vectors;    // the tile
  Index depth;          // longest K block, in words
  Index chunk_rows;     // most panels of A in a chunk: with `depth` what stays in the L2 cache
  Index chunk_columns;  // most panels of B in a chunk
  constexpr Index columns() const { return Index(lanes) * vectors; }
  constexpr Index tile() const { return rows * columns(); }
};

constexpr Blocking kBlockings[] = {
    {16, 14, 2, 1024, 8, 24},  // 14x32: the tile takes 28 of 32 registers
    {8, 6, 2, 512, 24, 48},    // 6x16: 12 of 16
    {4, 7, 3, 512, 24, 64},    // 7x12: 21 of 32, and the 7 + 3 operands of a k in the rest
    {4, 4, 2, 512, 24, 48},    // 4x8: for the vectors that every x86-64 and ARM64 has
    {16, 32, 2, 1024, 4, 24},  // 32x32: four of the eight tile registers of AMX hold it
};
constexpr Blocking kGemm = kBlockings[kAmx ? 4 : kLanes == 16 ? 0 : kLanes == 8 ? 1 : kLanes == 4 ? 2 : 3];

// Elements in a word, and words of which a panel holds a multiple (zeros at its end).
constexpr Index kWordElements = kPairs ? 2 : 1, kWordStep = kAmx ? 16 : 1;
constexpr Index words_of(Index K) {
  return (K + kWordElements * kWordStep - 1) / (kWordElements * kWordStep) * kWordStep;
}
// Words that packed weights [K, N] take; src/ops/packed-weight.ts allows for as much on every instruction set.
constexpr Index packed_words(Index K, Index N) {
  return words_of(K) * ((N + kGemm.lanes - 1) / kGemm.lanes * kGemm.lanes);
}

// Words of b that are packed at a time for all threads, which an L3 cache holds, and floats of the result that
// wait for further K blocks.
constexpr Index kPackedWords = 4 << 20;
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
