// The tiles that there are (see tiles.h).
#include "launches.h"
#include "tiles.h"

namespace cuda::gemm {

namespace {

template <class T, bool kBounded>
void go(bool a_along_k, bool b_along_k, int parts, const TileArguments& p) {
  const Index tiles = ceil_div(p.M, T::kM) * ceil_div(p.N, T::kN);
  const dim3 grid(unsigned(tiles * p.batches), unsigned(parts));
  const auto kernel = !b_along_k ? a_along_k ? multiply_tiles<T, true, false, kBounded>
                                             : multiply_tiles<T, false, false, kBounded>
                                 : multiply_tiles<T, true, true, kBounded>;
  launch(kernel, grid, dim3(T::kThreads), T::kSharedBytes, p);
}

}  // namespace

void launch_tiles(Kernel kernel, bool a_along_k, bool b_along_k, int parts, const TileArguments& p) {
  switch (kernel) {
    case Kernel::large:
      return go<LargeTile, false>(a_along_k, b_along_k, parts, p);
    case Kernel::wide:
      return go<WideTile, false>(a_along_k, b_along_k, parts, p);
    case Kernel::middle:
      return go<MiddleTile, false>(a_along_k, b_along_k, parts, p);
    case Kernel::middle_short:
      return go<MiddleShortTile, false>(a_along_k, b_along_k, parts, p);
    case Kernel::small:
      return go<SmallTile, false>(a_along_k, b_along_k, parts, p);
    default:
      return go<SmallTile, true>(a_along_k, b_along_k, parts, p);
  }
}

}  // namespace cuda::gemm
