// The instantiations of dq.h, and which of them a call takes.
#include "dq.h"
#include "launch.h"

namespace attention {
namespace {

template <int kD, int kTiles, int kKeys, int kWarps, bool kHoldQueries, bool kDropout, int kBlocks>
void run_dq(const Problem& the, const Gradients<bf16>& of, const float* lse2, const float* delta) {
  constexpr int kRows = kWarps * kTiles * 16;
  constexpr Index kStep = 2 * TileLoader<kD, kKeys, kWarps * 32>::kStep;
  cuda::launch(dq_kernel<kD, kTiles, kKeys, kWarps, kHoldQueries, kDropout, kBlocks>,
               grid(Index{the.B} * the.H * ceil_div(the.T, kRows)), dim3(kWarps * 32),
               dq_shared_bytes<kD, kTiles, kKeys, kWarps>(), the, of.dy, of.q, of.k, of.v, lse2, delta, of.dq,
               -kStep * of.k.row, -kStep * of.v.row, in_chunks(of.dq, the));
}

}  // namespace

void backward_queries(const Problem& the, const Gradients<bf16>& of, const float* lse2, const float* delta) {
  const bool is_short = the.T <= kShort, drops = the.dropout.on;
  const auto run =
      the.D <= 32    ? is_short ? run_dq<32, 1, 16, 1, true, true, 8> : run_dq<32, 2, 32, 4, true, true, 2>
         : the.D <= 64 ? is_short ? run_dq<64, 1, 16, 1, true, true, 8>
                         : drops  ? run_dq<64, 1, 32, 4, true, true, 3>
                                  : run_dq<64, 2, 32, 4, true, false, 2>
         : the.D <= 128 ? drops ? run_dq<128, 1, 32, 4, true, true, 2> : run_dq<128, 1, 32, 4, true, false, 2>
                        : run_dq<256, 1, 16, 4, false, true, 1>;
  run(the, of, lse2, delta);
}

}  // namespace attention
