// See copies.h. A block copies a tile of 64 × 64, by way of shared memory if rows of the copy are columns in
// memory.
#include "copies.h"
#include "epilogue.h"

namespace cuda::gemm {

namespace {

constexpr int kTile = 64, kThreads = 256, kPieces = kTile / 8, kPitch = kTile + 1;

}  // namespace

struct CopyArguments {
  const void* from;
  Index row_stride, column_stride, batch_stride;
  int rows, columns;
  char* to;
  int padded_rows, pitch, row_tiles, column_tiles;
  Index plane;  // in bytes
};

// The high part of x in bf16, finite if x is.
PRIMITIVE float high_part(float x) {
  const float rounded = prim::to_float(prim::to_bf16(x));
  return fabsf(rounded) <= 3.4e38f ? rounded : prim::as_float(prim::as_bits(x) & 0xffff0000u);
}

template <Form kForm>
PRIMITIVE void store_piece(const CopyArguments& p, Index at, const float (&x)[8]) {
  if (kForm == Form::f32) {
    prim::store_global16(p.to + at * 4, low_four(x));
    prim::store_global16(p.to + at * 4 + 16, high_four(x));
  } else if (kForm == Form::bf16) {
    prim::store_global16(p.to + at * 2, pack_bf16(x));
  } else {
    float high[8], low[8];
    UNROLL
    for (int i = 0; i < 8; ++i) {
      high[i] = high_part(x[i]);
      low[i] = x[i] - high[i];
    }
    prim::store_global16(p.to + at * 2, pack_bf16(high));
    prim::store_global16(p.to + p.plane + at * 2, pack_bf16(low));
  }
}

template <class Source, Form kForm, bool kTransposed>
__global__ void __launch_bounds__(kThreads) copy_operand(const CopyArguments p) {
  const int tiles = p.row_tiles * p.column_tiles, batch = blockIdx.x / tiles,
            tile = blockIdx.x - batch * tiles;
  const int row0 = tile / p.column_tiles * kTile, column0 = tile % p.column_tiles * kTile,
            thread = threadIdx.x;
  const Source* const from = static_cast<const Source*>(p.from) + batch * p.batch_stride;
  const Index to = Index(batch) * p.padded_rows * p.pitch;
  const auto value = [&](int row, int column) {
    if (row >= p.rows || column >= p.columns) return 0.f;
    const Source* const x = from + row * p.row_stride + column * p.column_stride;
    if constexpr (sizeof(Source) == 2)
      return prim::to_float(*x);
    else
      return *x;
  };
  DYNAMIC_SHARED(memory);
  float* const shared = reinterpret_cast<float*>(memory);  // [columns][kPitch]
  if (kTransposed) {
    for (int i = thread; i < kTile * kTile; i += kThreads)
      shared[i / kTile * kPitch + i % kTile] = value(row0 + i % kTile, column0 + i / kTile);
    __syncthreads();
  }
  UNROLL
  for (int i = 0; i < kTile * kPieces / kThreads; ++i) {
    const int r = thread / kPieces + i * (kThreads / kPieces), c = thread % kPieces * 8;
    const int row = row0 + r, column = column0 + c;
    if (row >= p.padded_rows || column >= p.pitch) continue;
    float x[8];
    const Source* const piece = from + row * p.row_stride + column;
    if (kTransposed) {
      UNROLL
      for (int e = 0; e < 8; ++e) x[e] = shared[(c + e) * kPitch + r];
    } else if (p.column_stride == 1 && row < p.rows && column + 8 <= p.columns &&
               reinterpret_cast<std::size_t>(piece) % 16 == 0) {
      if constexpr (sizeof(Source) == 2)
        unpack(x, prim::load_global16(piece));
      else
        unpack(x, prim::load_global16(piece), prim::load_global16(piece + 4));
    } else {
      UNROLL
      for (int e = 0; e < 8; ++e) x[e] = value(row, column + e);
    }
    store_piece<kForm>(p, to + Index(row) * p.pitch + column, x);
  }
}

void enqueue(const Copy& c) {
  const Index row_tiles = ceil_div(c.padded_rows, kTile), column_tiles = ceil_div(c.pitch, kTile);
  const CopyArguments arguments{c.from,  c.row_stride,   c.column_stride,          c.batch_stride,
                                c.rows,  c.columns,      static_cast<char*>(c.to), c.padded_rows,
                                c.pitch, int(row_tiles), int(column_tiles),        c.plane() * 2};
  const dim3 grid(unsigned(c.batches * row_tiles * column_tiles));
  const bool transposed = c.row_stride == 1 && c.column_stride != 1;
  const auto go = [&](auto direct, auto through_shared) {
    if (transposed)
      launch(through_shared, grid, dim3(kThreads), kTile * kPitch * sizeof(float), arguments);
    else
      launch(direct, grid, dim3(kThreads), 0, arguments);
  };
  if (c.element == Element::bf16)
    go(copy_operand<bf16, Form::bf16, false>, copy_operand<bf16, Form::bf16, true>);
  else if (c.form == Form::split)
    go(copy_operand<float, Form::split, false>, copy_operand<float, Form::split, true>);
  else if (c.form == Form::f32)
    go(copy_operand<float, Form::f32, false>, copy_operand<float, Form::f32, true>);
  else
    go(copy_operand<float, Form::bf16, false>, copy_operand<float, Form::bf16, true>);
}

}  // namespace cuda::gemm
