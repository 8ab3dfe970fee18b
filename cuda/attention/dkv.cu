// The instantiations of dkv.h, and which of them a call takes.
#include "dkv.h"
#include "launch.h"

namespace attention {
namespace {

template <int kD, int kOutputs, int kTiles, int kQueries, int kWarps, bool kDropout, int kBlocks>
void run_dkv(const Problem& the, const Gradients<bf16>& of, const float* lse2, const float* delta) {
  constexpr int kRows = kWarps * kTiles * 16;
  constexpr Index kStep = 2 * TileLoader<kD, kQueries, kWarps * 32>::kStep;
  cuda::launch(dkv_kernel<kD, kOutputs, kTiles, kQueries, kWarps, kDropout, kBlocks>,
               grid(Index{the.B} * the.G * ceil_div(the.S, kRows) * (kD / kOutputs)), dim3(kWarps * 32),
               dkv_shared_bytes<kD, kTiles, kQueries, kWarps>(), the, of.dy, of.q, of.k, of.v, lse2, delta,
               of.dk, of.dv, -kStep * of.q.row, -kStep * of.dy.row, in_chunks(of.dk, the),
               in_chunks(of.dv, the));
}

}  // namespace

void backward_keys(const Problem& the, const Gradients<bf16>& of, const float* lse2, const float* delta) {
  const bool is_short = the.S <= kShort, drops = the.dropout.on;
  const auto run =
      the.D <= 32    ? is_short ? run_dkv<32, 32, 1, 16, 1, true, 8> : run_dkv<32, 32, 2, 32, 4, true, 2>
         : the.D <= 64 ? is_short ? run_dkv<64, 64, 1, 16, 1, true, 8>
                         : drops  ? run_dkv<64, 64, 1, 32, 4, true, 3>
                                  : run_dkv<64, 64, 2, 32, 4, false, 2>
         : the.D <= 128 ? drops ? run_dkv<128, 128, 1, 32, 4, true, 2> : run_dkv<128, 128, 1, 32, 4, false, 2>
                        : run_dkv<256, 128, 1, 16, 4, true, 1>;
  run(the, of, lse2, delta);
}

}  // namespace attention
