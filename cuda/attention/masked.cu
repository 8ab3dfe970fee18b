// The instantiations of forward.h, dkv.h and dq.h that look at starts, slopes and blocks, and which of them a
// call takes. They have sixteen rows a warp, which leaves registers, and drop weights where asked to. Hidden
// tiles are skipped.
#include "dkv.h"
#include "dq.h"
#include "forward.h"

namespace attention {
namespace {

template <int kD, int kTiles, int kKeys, int kWarps, int kStages, bool kHoldQueries, int kBlocks>
void run_forward(const Problem& the, const Masks& masks, const Heads<const bf16>& q,
                 const Heads<const bf16>& k, const Heads<const bf16>& v, const Heads<bf16>& y,
                 const Heads<float>& lse) {
  constexpr int kRows = kWarps * kTiles * 16;
  constexpr Index kStep = 2 * TileLoader<kD, kKeys, kWarps * 32>::kStep;
  cuda::Scratch scratch;
  cuda::launch(masked_forward_kernel<kD, kTiles, kKeys, kWarps, kStages, kHoldQueries, kBlocks>,
               grid(Index{the.B} * the.H * ceil_div(the.T, kRows)), dim3(kWarps * 32),
               forward_shared_bytes<kD, kTiles, kKeys, kWarps, kStages>(), the,
               marked<true>(the, masks, kRows, kKeys, scratch), q, k, v, y, lse, -kStep * k.row,
               -kStep * v.row, in_chunks(y, the));
}

template <int kD, int kOutputs, int kTiles, int kQueries, int kWarps, int kBlocks>
void run_dkv(const Problem& the, const Masks& masks, const Gradients<bf16>& of, const float* lse2,
             const float* delta) {
  constexpr int kRows = kWarps * kTiles * 16;
  constexpr Index kStep = 2 * TileLoader<kD, kQueries, kWarps * 32>::kStep;
  cuda::Scratch scratch;
  cuda::launch(masked_dkv_kernel<kD, kOutputs, kTiles, kQueries, kWarps, kBlocks>,
               grid(Index{the.B} * the.G * ceil_div(the.S, kRows) * (kD / kOutputs)), dim3(kWarps * 32),
               dkv_shared_bytes<kD, kTiles, kQueries, kWarps>(), the,
               marked<false>(the, masks, kRows, kQueries, scratch), of.dy, of.q, of.k, of.v, lse2, delta,
               of.dk, of.dv, -kStep * of.q.row, -kStep * of.dy.row, in_chunks(of.dk, the),
               in_chunks(of.dv, the));
}

template <int kD, int kTiles, int kKeys, int kWarps, bool kHoldQueries, int kBlocks>
void run_dq(const Problem& the, const Masks& masks, const Gradients<bf16>& of, const float* lse2,
            const float* delta) {
  constexpr int kRows = kWarps * kTiles * 16;
  constexpr Index kStep = 2 * TileLoader<kD, kKeys, kWarps * 32>::kStep;
  cuda::Scratch scratch;
  cuda::launch(masked_dq_kernel<kD, kTiles, kKeys, kWarps, kHoldQueries, kBlocks>,
               grid(Index{the.B} * the.H * ceil_div(the.T, kRows)), dim3(kWarps * 32),
               dq_shared_bytes<kD, kTiles, kKeys, kWarps>(), the,
               marked<true>(the, masks, kRows, kKeys, scratch), of.dy, of.q, of.k, of.v, lse2, delta, of.dq,
               -kStep * of.k.row, -kStep * of.v.row, in_chunks(of.dq, the));
}

}  // namespace

void forward(const Problem& the, const Masks& masks, Heads<const bf16> q, Heads<const bf16> k,
             Heads<const bf16> v, Heads<bf16> y, Heads<float> lse) {
  (the.D <= 64    ? run_forward<64, 1, 64, 4, 2, true, 2>
   : the.D <= 128 ? run_forward<128, 1, 64, 4, 1, false, 2>
                  : run_forward<256, 1, 32, 4, 1, false, 2>)(the, masks, q, k, v, y, lse);
}

void backward_keys(const Problem& the, const Masks& masks, const Gradients<bf16>& of, const float* lse2,
                   const float* delta) {
  (the.D <= 64    ? run_dkv<64, 64, 1, 32, 4, 2>
   : the.D <= 128 ? run_dkv<128, 128, 1, 32, 4, 2>
                  : run_dkv<256, 128, 1, 16, 4, 1>)(the, masks, of, lse2, delta);
}

void backward_queries(const Problem& the, const Masks& masks, const Gradients<bf16>& of, const float* lse2,
                      const float* delta) {
  (the.D <= 64    ? run_dq<64, 1, 32, 4, true, 2>
   : the.D <= 128 ? run_dq<128, 1, 32, 4, true, 2>
                  : run_dq<256, 1, 16, 4, false, 1>)(the, masks, of, lse2, delta);
}

}  // namespace attention
