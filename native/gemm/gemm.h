// The matrix product around the micro-kernel: what is packed when, and how the work is cut into chunks.
//
//   y [M, N] = a [M, K] · b [K, N]
//
//   for each block of columns and each K block     b packed once, for all threads, unless it came packed;
//                                                  a as well, if several chunks need the same part of it
//     for each chunk, in parallel                  its part of a packed, if it is the only one to need it
//       for each panel of b, for each panel of a   micro-kernel, then the epilogue on the tile
//
// An epilogue is called on finished tiles,
//
//   epilogue(tile, stride, m, n, rows, columns)    y[m + r, n + c] from tile[r · stride + c]
//   epilogue.prefetch(m, n, rows, columns)         some time before
//
// and says whether it adds to y (kAdds). If so it gets the sums of each K block, else only those of all of K;
// until then they wait in a buffer of tiles.
//
// K is counted in elements by what reads a and b, in words (blocking.h) by what reads panels.
#pragma once
#include "microkernel.h"
#include "pack_weight.h"
#include "skinny.h"

namespace ISA {

// Panels of a: as few as fit, all of the same height but for one row, so that none is nearly empty.
struct RowPanels {
  Index M, panels = ceil_div(M, kGemm.rows);
  Index start(Index p) const { return M * p / panels; }
  Index count(Index p) const { return start(p + 1) - start(p); }
  Index width(Index p) const { return kAmx ? kGemm.rows : count(p); }
  Index available(Index p) const { return M - start(p); }
  static constexpr Index kGap = kGemm.lanes;  // a vector may reach beyond its panel
  // Where the packed panel begins, `words` long.
  Index place(Index p, Index words) const { return (kAmx ? p * kGemm.rows : start(p)) * words + p * kGap; }
};

// `total` panels in `chunks` chunks of the same size but for one.
struct Cut {
  Index total, chunks;
  Index start(Index i) const { return total * i / chunks; }
};

struct ChunkGrid {
  Cut rows, columns;
};

// Chunks as large as the caches take, or smaller if there would be few of them. Fewer columns in a chunk mean
// that a is packed more often, fewer rows that b is read more often, which is cheaper.
inline ChunkGrid cut_into_chunks(Index row_panels, Index column_panels, Index K) {
  Index rows = min(kGemm.chunk_rows, row_panels), columns = min(kGemm.chunk_columns, column_panels);
  const Index tile = kGemm.rows * kGemm.columns() * K;
  while (ceil_div(row_panels, rows) * ceil_div(column_panels, columns) < kChunks &&
         rows * columns * tile > 2 * kChunkMultiplications) {
    const bool narrow = columns * kGemm.columns() <= kChunkColumns;
    if (rows > 1 && (narrow || rows * kGemm.rows * 16 > columns * kGemm.columns()))
      rows = ceil_div(rows, 2);
    else if (!narrow)
      columns = ceil_div(columns, 2);
    else
      break;
  }
  return {{row_panels, ceil_div(row_panels, rows)}, {column_panels, ceil_div(column_panels, columns)}};
}

// Panels [first, end) of a.
inline void pack_a(const Product& p, const RowPanels& rows, Index first, Index end, Index k, Index K, float* to) {
  if constexpr (!kAmx) return pack_panels(p.a.from(0, k), rows, first, end, K, to);
  const Index words = words_of(K);
  for (Index i = first; i < end; ++i)
    pack_tiles(p.a.from(rows.start(i), k), rows.count(i), K, to + rows.place(i, words) - rows.place(first, words));
}

// Where panel j begins, `words` further along K.
inline const float* panel_of(const PackedPanels& b, const ColumnPanels& columns, Index j, Index words = 0) {
  return b.data + columns.start(j) * b.length + (b.word + words) * columns.width(j);
}

// What is done between two packings: row panels [panel, panel + panels) times `columns` from n on, over K from k on.
struct Block {
  RowPanels rows;
  Index panel, panels;
  ColumnPanels columns;
  Index n, k, K;
  ChunkGrid grid;
  const float* a;  // packed, or null: each chunk packs its own
  PackedPanels b;
  float* partial;  // tiles [panels][columns.panels] that hold the sums of earlier K blocks, or null
  bool add, last;  // whether there are earlier K blocks in `partial`, and later ones
};

// Packs, for all threads, the panels of a and of b that a block needs, as far as there is a place for them.
inline void pack_block(const Product& p, const Block& block, float* a, float* b) {
  const Index K = block.K, words = words_of(K);
  const Index few = max(1, kGrain / max(1, K * kGemm.rows));
  const Index group = max(kChunkColumns, kGrain / max(1, K)) / kGemm.columns();
  const Index a_chunks = a ? ceil_div(block.panels, few) : 0, b_chunks = b ? ceil_div(block.columns.panels, group) : 0;
  for_chunks(a_chunks + b_chunks, p.alone, [&](Index chunk) {
    if (chunk < a_chunks) {
      const Index first = block.panel + chunk * few, end = min(block.panel + block.panels, first + few);
      pack_a(p, block.rows, first, end, block.k, K,
             a + block.rows.place(first, words) - block.rows.place(block.panel, words));
    } else {
      const Index first = (chunk - a_chunks) * group, end = min(block.columns.panels, first + group);
      pack_panels(p.b.from(block.n, block.k), block.columns, first, end, K, b + block.columns.start(first) * words);
    }
  });
}

template <class Epilogue>
inline void multiply_block(const Product& p, const Block& block, const Epilogue& epilogue) {
  const RowPanels& rows = block.rows;
  const ColumnPanels& columns = block.columns;
  const ChunkGrid& grid = block.grid;
  const Index words = words_of(block.K);
  for_chunks(grid.rows.chunks * grid.columns.chunks, p.alone, [&](Index chunk) {
    const Index row_chunk = chunk / grid.columns.chunks, column_chunk = chunk % grid.columns.chunks;
    const Index first = block.panel + grid.rows.start(row_chunk);
    const Index end = block.panel + grid.rows.start(row_chunk + 1);
    Scratch scratch;
    float* own = block.a ? nullptr : scratch.floats(rows.place(end, words) - rows.place(first, words));
    if (own) pack_a(p, rows, first, end, block.k, block.K, own);
    const auto a = [&](Index i) {
      return own ? own + rows.place(i, words) - rows.place(first, words)
                 : block.a + rows.place(i, words) - rows.place(block.panel, words);
    };
    alignas(64) float own_tile[kGemm.tile()];
    [[maybe_unused]] const TileRegisters registers;
    for (Index j = grid.columns.start(column_chunk); j < grid.columns.start(column_chunk + 1); ++j)
      for (Index i = first; i < end; ++i) {
        float* tile = own_tile;
        if (block.partial) tile = block.partial + ((i - block.panel) * columns.panels + j) * kGemm.tile();
        if (block.last)
          epilogue.prefetch(rows.start(i), block.n + columns.start(j), rows.count(i), columns.count(j));
        gemm_any_tile(rows.count(i), columns.vectors(j), words, a(i), panel_of(block.b, columns, j), tile, block.add);
        if (block.last)
          epilogue(tile, kGemm.columns(), rows.start(i), block.n + columns.start(j), rows.count(i),
                   columns.count(j));
      }
  });
}

// Few rows and many columns: the roles change. All of a is packed once, for all threads, and each chunk packs
// its panels of b one K block at a time, into its cache and for its own use, and finishes their tiles.
template <class Epilogue>
inline void multiply_few_rows(const Product& p, Index depth, const Epilogue& epilogue) {
  const RowPanels rows{p.M};
  const ColumnPanels columns{p.N};
  const Index length = words_of(p.K);
  Scratch scratch;
  float* a = scratch.floats(rows.place(rows.panels, length));
  const auto panel = [&](Index i) { return a + rows.place(i, length); };
  for_chunks(rows.panels, p.alone || p.M * p.K < kGrain,
             [&](Index i) { pack_a(p, rows, i, i + 1, 0, p.K, panel(i)); });
  const Cut cut{columns.panels, min(columns.panels, kChunks)};
  for_chunks(cut.chunks, p.alone, [&](Index chunk) {
    Scratch own;
    float* packed = p.packed ? nullptr : own.floats(kGemm.columns() * words_of(min(depth, p.K)));
    alignas(64) float tiles[kGemm.chunk_rows * kGemm.tile()];
    [[maybe_unused]] const TileRegisters registers;
    for (Index j = cut.start(chunk); j < cut.start(chunk + 1); ++j) {
      Index k = 0;
      do {
        const Index K = min(depth, p.K - k), word = k / kWordElements;
        const float* b = p.packed ? panel_of(p.packed, columns, j, word) : packed;
        if (!p.packed) pack_panels(p.b.from(0, k), columns, j, j + 1, K, packed);
        for (Index i = 0; i < rows.panels; ++i)
          gemm_any_tile(rows.count(i), columns.vectors(j), words_of(K), panel(i) + word * rows.width(i), b,
                        tiles + i * kGemm.tile(), k > 0);
        k += depth;
      } while (k < p.K);
      for (Index i = 0; i < rows.panels; ++i)
        epilogue(tiles + i * kGemm.tile(), kGemm.columns(), rows.start(i), columns.start(j), rows.count(i),
                 columns.count(j));
    }
  });
}

// `size` in equal blocks of at most `limit`, multiples of `unit` but for the last: their length.
inline Index even_block(Index size, Index limit, Index unit) {
  const Index blocks = max(1, ceil_div(size, max(limit, unit)));
  return max(1, ceil_div(ceil_div(size, blocks), unit)) * unit;
}

// y = a · b, as far as the epilogue says what y is.
template <class Epilogue>
inline void gemm(const Product& p, const Epilogue& epilogue) {
  if (p.M == 0 || p.N == 0) return;
  const bool small_a = p.M * p.K <= kPackedWords, straight_b = p.b.stride == 1 || p.b.k_stride == 1;
  if (p.M <= kSkinnyRows && small_a && straight_b && !p.packed) return multiply_skinny(p, epilogue);
  const Index depth = even_block(p.K, kGemm.depth * kWordElements, kGemm.lanes * kWordElements);
  const RowPanels row_panels{p.M};
  if (row_panels.panels <= kGemm.chunk_rows && (p.N >= kWideColumns || p.packed) && small_a)
    return multiply_few_rows(p, depth, epilogue);
  const Index words = words_of(min(depth, p.K));
  const Index columns = even_block(p.N, p.packed ? p.N : kPackedWords / max(1, words), kGemm.columns());
  const bool waits = depth < p.K && !Epilogue::kAdds;
  const Index block_panels =
      waits ? min(row_panels.panels, max(1, kPartialFloats / (columns * kGemm.rows))) : row_panels.panels;

  const Index full = min(block_panels, row_panels.panels);
  // One part of a for several chunks of columns: packed once. (Blocks differ in size, so the grids may, too.)
  const bool shares_a = cut_into_chunks(full, ceil_div(min(columns, p.N), kGemm.columns()), words).columns.chunks > 1 &&
                        (full + 1) * kGemm.rows * words <= kPackedWords;

  Scratch scratch;
  float* a = shares_a ? scratch.floats((full + 1) * (kGemm.rows * words + kGemm.lanes)) : nullptr;
  float* b = p.packed ? nullptr : scratch.floats(columns * words);
  float* partial = waits ? scratch.floats(block_panels * columns * kGemm.rows) : nullptr;
  for (Index n = 0; n < p.N; n += columns) {
    const ColumnPanels column_panels{min(columns, p.N - n)};
    for (Index panel = 0; panel < row_panels.panels; panel += block_panels) {
      Index k = 0;
      do {
        const Index K = min(depth, p.K - k), panels = min(block_panels, row_panels.panels - panel);
        PackedPanels b_panels = p.packed ? p.packed : PackedPanels{b, words_of(K), 0};
        if (p.packed) b_panels.word += k / kWordElements;
        const ChunkGrid grid = cut_into_chunks(panels, column_panels.panels, words_of(K));
        const bool add = waits && k > 0, last = !waits || k + K == p.K;
        const Block block{row_panels, panel,    panels,  column_panels, n,  k, K, grid, a,
                          b_panels,   partial, add, last};
        if (a || b) pack_block(p, block, a, b);
        multiply_block(p, block, epilogue);
        k += depth;
      } while (k < p.K);
    }
  }
}

}  // namespace ISA
