// Products without tensor cores: plain f32 arithmetic on operands with any strides, for what is small.
//
// A block of 64 threads makes 32 × 32 of y from steps of 16 along K; a thread 2 rows by 8 columns.
#include "epilogue.h"
#include "launches.h"

namespace cuda::gemm {

namespace {
constexpr int kTile = kSimpleTile, kStep = kSimpleStep, kThreads = 64, kLoads = kTile * kStep / kThreads;
constexpr int kPitch = kTile + 4;
}  // namespace

PRIMITIVE float element_at(const Operand& x, Index at) {
  return x.element == Element::bf16 ? prim::to_float(static_cast<const bf16*>(x.data)[at])
                                    : static_cast<const float*>(x.data)[at];
}

// This thread's part of a tile of an operand: [kStep][kTile], along whichever axis is contiguous in memory.
struct SimpleLoad {
  int i, k, i_step, k_step;
  PRIMITIVE SimpleLoad(const Operand& x, int thread) {
    const bool along_k = x.k_stride == 1;
    i = along_k ? thread / kStep : thread % kTile;
    k = along_k ? thread % kStep : thread / kTile;
    i_step = along_k ? kThreads / kStep : 0;
    k_step = along_k ? 0 : kThreads / kTile;
  }
  PRIMITIVE void load(float (&to)[kLoads], const Operand& x, Index start, int first, int extent, int k0,
                      int K) const {
    UNROLL
    for (int l = 0; l < kLoads; ++l) {
      const int own_i = first + i + l * i_step, own_k = k0 + k + l * k_step;
      to[l] =
          own_i < extent && own_k < K ? element_at(x, start + own_i * x.stride + own_k * x.k_stride) : 0.f;
    }
  }
  PRIMITIVE void store(const float (&from)[kLoads], float* shared) const {
    UNROLL
    for (int l = 0; l < kLoads; ++l) shared[(k + l * k_step) * kPitch + i + l * i_step] = from[l];
  }
};

__global__ void __launch_bounds__(kThreads) multiply_simple(const SimpleArguments p) {
  DYNAMIC_SHARED(memory);
  float* const shared = reinterpret_cast<float*>(memory);
  const int rows = (p.M + kTile - 1) / kTile, columns = (p.N + kTile - 1) / kTile, thread = threadIdx.x;
  const int batch = blockIdx.x / (rows * columns), tile = blockIdx.x - batch * (rows * columns);
  const int m = tile / columns * kTile, n = tile % columns * kTile;
  const int first = blockIdx.y * p.part, end = min(p.K, first + p.part);
  const Index a_start = batch * p.a.batch_stride, b_start = batch * p.b.batch_stride;
  const SimpleLoad a(p.a, thread), b(p.b, thread);
  float* const a_shared = shared;
  float* const b_shared = shared + kStep * kPitch;
  const int row = thread / 4 * 2, column = thread % 4 * 8;
  float a_next[kLoads], b_next[kLoads], sums[2][8] = {};
  a.load(a_next, p.a, a_start, m, p.M, first, end);
  b.load(b_next, p.b, b_start, n, p.N, first, end);
  for (int k = first; k < end; k += kStep) {
    a.store(a_next, a_shared);
    b.store(b_next, b_shared);
    __syncthreads();
    a.load(a_next, p.a, a_start, m, p.M, k + kStep, end);
    b.load(b_next, p.b, b_start, n, p.N, k + kStep, end);
    UNROLL
    for (int kk = 0; kk < kStep; ++kk) {
      const float a0 = a_shared[kk * kPitch + row], a1 = a_shared[kk * kPitch + row + 1];
      UNROLL
      for (int j = 0; j < 8; ++j) {
        const float x = b_shared[kk * kPitch + column + j];
        sums[0][j] = fmaf(a0, x, sums[0][j]);
        sums[1][j] = fmaf(a1, x, sums[1][j]);
      }
    }
    __syncthreads();
  }
  const Index batch_out = batch + Index(blockIdx.y) * p.batches;
  ROLLED
  for (int r = 0; r < 2; ++r) {
    if (m + row + r < p.M) finish(p.epilogue, sums[0], batch_out, m + row + r, n + column, 0, p.N);
    UNROLL
    for (int j = 0; j < 8; ++j) sums[0][j] = sums[1][j];
  }
}

void launch_simple(int parts, const SimpleArguments& p) {
  const Index tiles = ceil_div(p.M, kTile) * ceil_div(p.N, kTile);
  launch(multiply_simple, dim3(unsigned(tiles * p.batches), unsigned(parts)), dim3(kThreads),
         2 * kStep * kPitch * sizeof(float), p);
}

}  // namespace cuda::gemm
