// The matrix product around the micro-kernel: what is packed when, and how the work is cut into chunks.
//
//   y [M, N] = a [M, K] · b [K, N]
//
//   for each block of columns and each K block     b packed once, for all threads
//     for each chunk, in parallel                  its part of a packed by the thread that takes it
//       for each panel of b, for each panel of a   micro-kernel, then the epilogue on the tile
//
// An epilogue is called on finished tiles,
//
//   epilogue(tile, stride, m, n, rows, columns)    y[m + r, n + c] from tile[r · stride + c]
//   epilogue.prefetch(m, n, rows, columns)         some time before
//
// and says whether it adds to y (kAdds). If so it gets the sums of each K block, else only those of all of K;
// until then they wait in a buffer of tiles. Packed weights that outlive a call would enter at multiply_block,
// another micro-kernel at gemm_any_tile and pack_panel.
#pragma once
#include "microkernel.h"
#include "pack.h"
#include "skinny.h"

namespace ISA {

// Panels of a: as few as fit, all of the same height but for one row, so that none is nearly empty.
struct RowPanels {
  Index M, panels = ceil_div(M, kGemm.rows);
  Index start(Index p) const { return M * p / panels; }
  Index count(Index p) const { return start(p + 1) - start(p); }
  Index width(Index p) const { return count(p); }
};

// Panels of b: full ones, and what remains in whole vectors.
struct ColumnPanels {
  Index N, panels = ceil_div(N, kGemm.columns());
  Index start(Index p) const { return p * kGemm.columns(); }
  Index count(Index p) const { return min(kGemm.columns(), N - start(p)); }
  Index vectors(Index p) const { return ceil_div(count(p), kGemm.lanes); }
  Index width(Index p) const { return vectors(p) * kGemm.lanes; }
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

inline void pack_b(const Product& p, const ColumnPanels& columns, Index n, Index k, Index K, float* to) {
  const Index group = max(kChunkColumns, kGrain / max(1, K)) / kGemm.columns();
  for_chunks(ceil_div(columns.panels, group), p.alone, [&](Index chunk) {
    const Index first = chunk * group, end = min(columns.panels, first + group);
    pack_panels(p.b.from(n, k), columns, first, end, K, to + columns.start(first) * K);
  });
}

// What is done between two packings of b: row panels [panel, panel + panels) times `columns` from n on, over K
// from k on.
struct Block {
  RowPanels rows;
  Index panel, panels;
  ColumnPanels columns;
  Index n, k, K;
  const float* b;  // packed
  float* partial;  // tiles [panels][columns.panels] that hold the sums of earlier K blocks, or null
  bool add, last;  // whether there are earlier K blocks in `partial`, and later ones
};

template <class Epilogue>
inline void multiply_block(const Product& p, const Block& block, const Epilogue& epilogue) {
  const RowPanels& rows = block.rows;
  const ColumnPanels& columns = block.columns;
  const Index K = block.K;
  const ChunkGrid grid = cut_into_chunks(block.panels, columns.panels, K);
  for_chunks(grid.rows.chunks * grid.columns.chunks, p.alone, [&](Index chunk) {
    const Index row_chunk = chunk / grid.columns.chunks, column_chunk = chunk % grid.columns.chunks;
    const Index first = block.panel + grid.rows.start(row_chunk);
    const Index end = block.panel + grid.rows.start(row_chunk + 1);
    const Index m = rows.start(first);
    Scratch scratch;
    float* a = scratch.floats((rows.start(end) - m) * K + kGemm.lanes);
    pack_panels(p.a.from(0, block.k), rows, first, end, K, a);
    alignas(64) float own_tile[kGemm.tile()];
    for (Index j = grid.columns.start(column_chunk); j < grid.columns.start(column_chunk + 1); ++j)
      for (Index i = first; i < end; ++i) {
        float* tile = own_tile;
        if (block.partial) tile = block.partial + ((i - block.panel) * columns.panels + j) * kGemm.tile();
        if (block.last)
          epilogue.prefetch(rows.start(i), block.n + columns.start(j), rows.count(i), columns.count(j));
        gemm_any_tile(rows.count(i), columns.vectors(j), K, a + (rows.start(i) - m) * K,
                      block.b + columns.start(j) * K, tile, block.add);
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
  Scratch scratch;
  float* a = scratch.floats(p.M * p.K + rows.panels * kGemm.lanes);
  const auto panel = [&](Index i) { return a + rows.start(i) * p.K + i * kGemm.lanes; };
  for_chunks(rows.panels, p.alone || p.M * p.K < kGrain,
             [&](Index i) { pack_panels(p.a, rows, i, i + 1, p.K, panel(i)); });
  const Cut cut{columns.panels, min(columns.panels, kChunks)};
  for_chunks(cut.chunks, p.alone, [&](Index chunk) {
    Scratch own;
    float* b = own.floats(kGemm.columns() * min(depth, p.K));
    alignas(64) float tiles[kGemm.chunk_rows * kGemm.tile()];
    for (Index j = cut.start(chunk); j < cut.start(chunk + 1); ++j) {
      Index k = 0;
      do {
        const Index K = min(depth, p.K - k);
        pack_panels(p.b.from(0, k), columns, j, j + 1, K, b);
        for (Index i = 0; i < rows.panels; ++i)
          gemm_any_tile(rows.count(i), columns.vectors(j), K, panel(i) + k * rows.count(i), b,
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
  const bool small_a = p.M * p.K <= kPackedFloats, straight_b = p.b.stride == 1 || p.b.k_stride == 1;
  if (p.M <= kSkinnyRows && small_a && straight_b) return multiply_skinny(p, epilogue);
  const Index depth = even_block(p.K, kGemm.depth, kGemm.lanes);
  const RowPanels row_panels{p.M};
  if (row_panels.panels <= kGemm.chunk_rows && p.N >= kWideColumns && small_a)
    return multiply_few_rows(p, depth, epilogue);
  const Index columns = even_block(p.N, kPackedFloats / depth, kGemm.columns());
  const bool waits = depth < p.K && !Epilogue::kAdds;
  const Index block_panels =
      waits ? min(row_panels.panels, max(1, kPartialFloats / (columns * kGemm.rows))) : row_panels.panels;

  Scratch scratch;
  float* b = scratch.floats(columns * min(depth, p.K));
  float* partial = waits ? scratch.floats(block_panels * columns * kGemm.rows) : nullptr;
  for (Index n = 0; n < p.N; n += columns) {
    const ColumnPanels column_panels{min(columns, p.N - n)};
    for (Index panel = 0; panel < row_panels.panels; panel += block_panels) {
      Index k = 0;
      do {
        const Index K = min(depth, p.K - k), panels = min(block_panels, row_panels.panels - panel);
        pack_b(p, column_panels, n, k, K, b);
        const bool add = waits && k > 0, last = !waits || k + K == p.K;
        const Block block{row_panels, panel, panels, column_panels, n, k, K, b, partial, add, last};
        multiply_block(p, block, epilogue);
        k += depth;
      } while (k < p.K);
    }
  }
}

}  // namespace ISA
