// The sums of the parts of K, in their order, and the epilogue. A thread makes 8 columns of a row.
#include "epilogue.h"
#include "launches.h"

namespace cuda::gemm {

__global__ void __launch_bounds__(128) add_partials(const PartialArguments p) {
  const int pieces = p.pitch / 8;
  const Index index = Index(blockIdx.x) * blockDim.x + threadIdx.x, row = index / pieces;
  if (row >= Index(p.batches) * p.M) return;
  const Index batch = row / p.M, m = row - batch * p.M, step = Index(p.batches) * p.M * p.pitch;
  const int n = int(index - row * pieces) * 8;
  const float* from = p.partials + row * p.pitch + n;
  float sums[8], next[8];
  unpack(sums, prim::load_global16(from), prim::load_global16(from + 4));
  for (int i = 1; i < p.parts; ++i) {
    from += step;
    unpack(next, prim::load_global16(from), prim::load_global16(from + 4));
    UNROLL
    for (int e = 0; e < 8; ++e) sums[e] += next[e];
  }
  finish(p.epilogue, sums, batch, m, n, 0, p.N);
}

void launch_partials(const PartialArguments& p) {
  const Index threads = Index(p.batches) * p.M * (p.pitch / 8);
  launch(add_partials, dim3(unsigned(ceil_div(threads, 128))), dim3(128), 0, p);
}

}  // namespace cuda::gemm
