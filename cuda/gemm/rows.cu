// Products of few rows, bound by reading b once: b is along K, and so is a; both have whole pieces of 8
// elements.
//
// A warp makes 2 columns of all rows: its lanes read 8 elements at a time, sum in f32, and meet at the end.
#include "epilogue.h"
#include "launches.h"

namespace cuda::gemm {

namespace {
constexpr int kThreads = 128, kWarpColumns = 2, kBlockColumns = kThreads / 32 * kWarpColumns;
}  // namespace

template <class T>
PRIMITIVE void load_piece(float (&x)[8], const T* from) {
  if constexpr (sizeof(T) == 2)
    unpack(x, prim::load_global16(from));
  else
    unpack(x, prim::load_global16(from), prim::load_global16(from + 4));
}

template <class T, int kRows>
__global__ void __launch_bounds__(kThreads) multiply_rows(const SimpleArguments p) {
  const int blocks = (p.N + kBlockColumns - 1) / kBlockColumns, batch = blockIdx.x / blocks,
            lane = threadIdx.x & 31;
  const int n = (blockIdx.x - batch * blocks) * kBlockColumns + int(threadIdx.x >> 5) * kWarpColumns;
  if (n >= p.N) return;
  const T* const a = static_cast<const T*>(p.a.data) + batch * p.a.batch_stride;
  const T* const b = static_cast<const T*>(p.b.data) + batch * p.b.batch_stride + n * p.b.stride;
  const Index next = n + 1 < p.N ? p.b.stride : 0;  // the last column may be alone: then it is made twice
  float sums[kRows][kWarpColumns] = {};
  for (int k = lane * 8; k < p.K; k += 256) {
    float columns[kWarpColumns][8];
    load_piece(columns[0], b + k);
    load_piece(columns[1], b + next + k);
    UNROLL
    for (int m = 0; m < kRows; ++m) {
      if (m >= p.M) continue;
      float row[8];
      load_piece(row, a + m * p.a.stride + k);
      UNROLL
      for (int c = 0; c < kWarpColumns; ++c) {
        UNROLL
        for (int e = 0; e < 8; ++e) sums[m][c] = fmaf(row[e], columns[c][e], sums[m][c]);
      }
    }
  }
  float own = 0;  // lane 2 m + c has row m of column c
  UNROLL
  for (int m = 0; m < kRows; ++m) {
    if (m >= p.M) continue;
    UNROLL
    for (int c = 0; c < kWarpColumns; ++c) {
      UNROLL
      for (int step = 16; step > 0; step /= 2) sums[m][c] += __shfl_xor_sync(0xffffffffu, sums[m][c], step);
      if (lane == m * kWarpColumns + c) own = sums[m][c];
    }
  }
  const int m = lane / kWarpColumns, column = n + lane % kWarpColumns;
  if (m < p.M && column < p.N) finish_one(p.epilogue, own, batch, m, column);
}

void launch_rows(const SimpleArguments& p) {
  const bool bf16_operands = p.a.element == Element::bf16, one = p.M == 1;
  const auto kernel = bf16_operands ? one ? multiply_rows<bf16, 1> : multiply_rows<bf16, kMostRows>
                      : one ? multiply_rows<float, 1>
                                    : multiply_rows<float, kMostRows>;
  launch(kernel, dim3(unsigned(ceil_div(p.N, kBlockColumns) * p.batches)), dim3(kThreads), 0, p);
}

}  // namespace cuda::gemm
