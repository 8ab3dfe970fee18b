// The instantiations of f32.h, and which of them a call takes.
#include "f32.h"
#include "launch.h"

namespace attention {
namespace {

// Rows of keys or queries that blocks own, of so many a block.
dim3 blocks_of(int heads, int rows, int own) { return grid(Index{heads} * ceil_div(rows, own)); }

template <int kD, int kThreads, int kRows, int kColumns>
void run_forward(const Problem& the, const Masks& masks, const Heads<const float>& q,
                 const Heads<const float>& k, const Heads<const float>& v, const Heads<float>& y,
                 const Heads<float>& lse) {
  using Tile = F32Tile<kD, kThreads, kRows, kColumns>;
  const dim3 blocks = blocks_of(the.B * the.H, the.T, Tile::kOwn), threads(kThreads);
  cuda::Scratch scratch;
  if (masks.any())
    cuda::launch(masked_f32_forward_kernel<kD, kThreads, kRows, kColumns>, blocks, threads,
                 Tile::kForwardBytes, the, marked<true>(the, masks, Tile::kOwn, Tile::kWalked, scratch), q, k,
                 v, y, lse);
  else
    cuda::launch(f32_forward_kernel<kD, kThreads, kRows, kColumns>, blocks, threads, Tile::kForwardBytes, the,
                 q, k, v, y, lse);
}

template <int kD, int kThreads, int kRows, int kColumns>
void run_dkv(const Problem& the, const Masks& masks, const Gradients<float>& of, const float* lse2,
             const float* delta) {
  using Tile = F32Tile<kD, kThreads, kRows, kColumns>;
  const dim3 blocks = blocks_of(the.B * the.G, the.S, Tile::kOwn), threads(kThreads);
  cuda::Scratch scratch;
  if (masks.any())
    cuda::launch(masked_f32_dkv_kernel<kD, kThreads, kRows, kColumns>, blocks, threads, Tile::kDkvBytes, the,
                 marked<false>(the, masks, Tile::kOwn, Tile::kWalked, scratch), of.dy, of.q, of.k, of.v, lse2,
                 delta, of.dk, of.dv);
  else
    cuda::launch(f32_dkv_kernel<kD, kThreads, kRows, kColumns>, blocks, threads, Tile::kDkvBytes, the, of.dy,
                 of.q, of.k, of.v, lse2, delta, of.dk, of.dv);
}

template <int kD, int kThreads, int kRows, int kColumns>
void run_dq(const Problem& the, const Masks& masks, const Gradients<float>& of, const float* lse2,
            const float* delta) {
  using Tile = F32Tile<kD, kThreads, kRows, kColumns>;
  const dim3 blocks = blocks_of(the.B * the.H, the.T, Tile::kOwn), threads(kThreads);
  cuda::Scratch scratch;
  if (masks.any())
    cuda::launch(masked_f32_dq_kernel<kD, kThreads, kRows, kColumns>, blocks, threads, Tile::kDqBytes, the,
                 marked<true>(the, masks, Tile::kOwn, Tile::kWalked, scratch), of.dy, of.q, of.k, of.v, lse2,
                 delta, of.dq);
  else
    cuda::launch(f32_dq_kernel<kD, kThreads, kRows, kColumns>, blocks, threads, Tile::kDqBytes, the, of.dy,
                 of.q, of.k, of.v, lse2, delta, of.dq);
}

}  // namespace

void forward(const Problem& the, const Masks& masks, Heads<const float> q, Heads<const float> k,
             Heads<const float> v, Heads<float> y, Heads<float> lse) {
  (the.D > 128       ? run_forward<256, 128, 2, 2>
   : the.D > 64      ? run_forward<128, 128, 4, 4>
   : the.T <= kShort ? run_forward<64, 32, 4, 2>
                     : run_forward<64, 128, 4, 4>)(the, masks, q, k, v, y, lse);
}

void forward(const Problem& the, Heads<const float> q, Heads<const float> k, Heads<const float> v,
             Heads<float> y, Heads<float> lse) {
  forward(the, Masks{}, q, k, v, y, lse);
}

void backward_keys(const Problem& the, const Masks& masks, const Gradients<float>& of, const float* lse2,
                   const float* delta) {
  (the.D > 128       ? run_dkv<256, 128, 1, 2>
   : the.D > 64      ? run_dkv<128, 128, 2, 4>
   : the.S <= kShort ? run_dkv<64, 32, 4, 2>
                     : run_dkv<64, 128, 4, 4>)(the, masks, of, lse2, delta);
}

void backward_keys(const Problem& the, const Gradients<float>& of, const float* lse2, const float* delta) {
  backward_keys(the, Masks{}, of, lse2, delta);
}

void backward_queries(const Problem& the, const Masks& masks, const Gradients<float>& of, const float* lse2,
                      const float* delta) {
  (the.D > 128       ? run_dq<256, 128, 1, 2>
   : the.D > 64      ? run_dq<128, 128, 2, 4>
   : the.T <= kShort ? run_dq<64, 32, 4, 2>
                     : run_dq<64, 128, 4, 4>)(the, masks, of, lse2, delta);
}

void backward_queries(const Problem& the, const Gradients<float>& of, const float* lse2, const float* delta) {
  backward_queries(the, Masks{}, of, lse2, delta);
}

}  // namespace attention
