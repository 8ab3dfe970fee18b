// The instantiations of forward.h, and which of them a call takes.
#include "../context.h"
#include "forward.h"
#include "launch.h"

namespace attention {
namespace {

template <int kD, int kTiles, int kKeys, int kWarps, int kStages, bool kHoldQueries, bool kDropout,
          int kBlocks>
void run_forward(const Problem& the, const Heads<const bf16>& q, const Heads<const bf16>& k,
                 const Heads<const bf16>& v, const Heads<bf16>& y, const Heads<float>& lse) {
  constexpr int kRows = kWarps * kTiles * 16;
  constexpr Index kStep = 2 * TileLoader<kD, kKeys, kWarps * 32>::kStep;
  cuda::launch(forward_kernel<kD, kTiles, kKeys, kWarps, kStages, kHoldQueries, kDropout, kBlocks>,
               grid(Index{the.B} * the.H * ceil_div(the.T, kRows)), dim3(kWarps * 32),
               forward_shared_bytes<kD, kTiles, kKeys, kWarps, kStages>(), the, q, k, v, y, lse,
               -kStep * k.row, -kStep * v.row, in_chunks(y, the));
}

}  // namespace

void forward(const Problem& the, Heads<const bf16> q, Heads<const bf16> k, Heads<const bf16> v, Heads<bf16> y,
             Heads<float> lse) {
  if (run_on_hopper(the, q, k, v, y, lse)) return;
  // Sixteen rows a warp take half the shared memory and fewer registers: where a processor has room for only
  // one block of thirty-two (compute capability 8.6, 8.9, 12.0), and where dropout needs registers too.
  const bool is_small = cuda::context().shared_bytes < std::size_t{128} << 10;
  const bool is_short = the.T <= kShort, drops = the.dropout.on;
  const auto run = the.D <= 32    ? is_short ? run_forward<32, 1, 32, 1, 2, true, true, 8>
                                             : run_forward<32, 2, 64, 4, 2, true, true, 2>
                      : the.D <= 64 ? is_short ? run_forward<64, 1, 32, 1, 2, true, true, 8>
                                      : drops  ? run_forward<64, 1, 64, 4, 2, true, true, 3>
                                               : run_forward<64, 2, 64, 4, 2, true, false, 2>
                      : the.D <= 128 ? drops || is_small ? run_forward<128, 1, 64, 4, 1, false, true, 2>
                                                         : run_forward<128, 2, 64, 4, 1, false, false, 2>
                                     : run_forward<256, 1, 32, 4, 1, false, true, 2>;
  run(the, q, k, v, y, lse);
}

}  // namespace attention
