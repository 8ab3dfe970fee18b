// The gradient of normalizing rows: layer normalization (centered), and RMSNorm, for which μ = 0.
//
//   x̂  = (x − μ) · r    g = dy · weight
//   dx = r · (g − mean(g) − x̂ · mean(g · x̂))            without mean(g) if not centered
//   dweight += Σₙ dy · x̂    dbias += Σₙ dy
//
// A block takes a fixed range of rows, its teams in turn. A thread has the same columns of every row and sums
// their share of dweight and dbias, in registers; sums of teams meet in shared memory, those of blocks in a
// second kernel, in order.
#pragma once
#include "reduction.h"
#include "rows.h"

namespace TABLE {

constexpr int kNormHeld = 8;
constexpr unsigned kNormBlock = 512;

// partial [blocks, 2 or 1, C]: dweight, and dbias if there is one.
template <bool kCentered, int V, int kHeld>
__global__ void __launch_bounds__(kNormBlock)
    norm_backward_rows(In dy, In x, In32 weight, In32 mean, In32 rstd, Out dx, float* partial, int parts,
                       Index rows) {
  DYNAMIC_SHARED(shared);
  const Index N = x.size[0], C = x.size[1], begin = blockIdx.x * rows,
              end = begin + rows < N ? begin + rows : N;
  Team team(shared);
  float* const sums = team.shared + (blockDim.x > 32 ? blockDim.y * blockDim.x / 32 * 4 : 0);
  float* const mine = partial + blockIdx.x * parts * C;
  const float share = 1 / static_cast<float>(C);
  Floats<V> dweight[kHeld > 0 ? kHeld : 1] = {}, dbias[kHeld > 0 ? kHeld : 1] = {};
  for (Index first = begin; first < end; first += blockDim.y) {
    const Index n = first + threadIdx.y, count = n < end ? C : 0;
    const RowPart<V, kHeld, Real> dy_n(dy.at(n), count), x_n(x.at(n), count);
    const float m = kCentered && count > 0 ? *mean.at(n) : 0, r = count > 0 ? *rstd.at(n) : 0;
    float means[2] = {};  // of g, and of g · x̂
    each_piece<V, kHeld>(count, [&](int k, Index i) {
      const Floats<V> dy_i = dy_n.at(k, i), x_i = x_n.at(k, i), w_i = load<V>(weight.at() + i);
      UNROLL
      for (int j = 0; j < V; ++j) {
        const float g = dy_i[j] * w_i[j];
        means[0] += g;
        means[1] += g * ((x_i[j] - m) * r);
      }
    });
    team.sum(means);
    means[0] *= kCentered ? share : 0;
    means[1] *= share;
    Real* const dx_n = dx.at(n);
    each_piece<V, kHeld>(count, [&](int k, Index i) {
      const Floats<V> dy_i = dy_n.at(k, i), x_i = x_n.at(k, i), w_i = load<V>(weight.at() + i);
      Floats<V> dx_i, x_hat;
      UNROLL
      for (int j = 0; j < V; ++j) {
        x_hat[j] = (x_i[j] - m) * r;
        dx_i[j] = (dy_i[j] * w_i[j] - means[0] - x_hat[j] * means[1]) * r;
      }
      store<V>(dx_n + i, dx_i);
      if constexpr (kHeld > 0) {
        UNROLL
        for (int j = 0; j < V; ++j) {
          dweight[k][j] += dy_i[j] * x_hat[j];
          if (kCentered) dbias[k][j] += dy_i[j];
        }
      } else {
        for (int j = 0; j < V; ++j) {
          const bool is_first = n == begin;
          mine[i + j] = dy_i[j] * x_hat[j] + (is_first ? 0 : mine[i + j]);
          if (parts > 1) mine[C + i + j] = dy_i[j] + (is_first ? 0 : mine[C + i + j]);
        }
      }
    });
  }
  if constexpr (kHeld > 0) {
    const auto sum_of_teams = [&](const Floats<V>(&of_team)[kHeld], float* to) {
      __syncthreads();
      each_piece<V, kHeld>(C, [&](int k, Index i) { store<V>(sums + threadIdx.y * C + i, of_team[k]); });
      __syncthreads();
      for (Index i = threadIdx.y * blockDim.x + threadIdx.x; i < C; i += blockDim.x * blockDim.y) {
        float total = sums[i];
        for (unsigned t = 1; t < blockDim.y; ++t) total += sums[t * C + i];
        to[i] = total;
      }
    };
    sum_of_teams(dweight, mine);
    if (kCentered && parts > 1) sum_of_teams(dbias, mine + C);
  }
}

struct ToNormGradients {
  Index C;
  float *dweight, *dbias;
  PRIMITIVE void put(Index at, Index, float sum) const { (at < C ? dweight[at] : dbias[at - C]) += sum; }
};

template <bool kCentered>
void norm_backward(In dy, In x, In32 weight, In32 mean, In32 rstd, Out dx, Acc dweight, AccOpt dbias) {
  const Index N = x.size[0], C = x.size[1];
  if (N == 0 || C == 0) return;
  const bool wide =
      C % kWide == 0 && is_wide(dy, 2) && is_wide(x, 2) && is_wide(dx, 2) && is_wide(weight.data);
  TeamGrid teams(N, C, wide, kNormHeld, kNormBlock);
  if (!teams.is_held) teams.block.y = 1;
  const unsigned at_once = teams.block.y;
  const Index most_blocks = 2 * context().multiprocessors;
  const Index rows = ceil_div(ceil_div(N, most_blocks), at_once) * at_once, blocks = ceil_div(N, rows);
  const int parts = dbias ? 2 : 1;
  Scratch scratch;
  float* const partial = scratch.take<float>(blocks * parts * C);
  const auto kernel =
      teams.choose(norm_backward_rows<kCentered, kWide, held_pieces<kWide>(kNormHeld)>,
                   norm_backward_rows<kCentered, 1, held_pieces<1>(kNormHeld)>,
                   norm_backward_rows<kCentered, kWide, 0>, norm_backward_rows<kCentered, 1, 0>);
  const std::size_t sums_bytes = teams.is_held ? at_once * C * sizeof(float) : 0;
  launch(kernel, static_cast<unsigned>(blocks), teams.block, teams.shared_bytes + sums_bytes, dy, x, weight,
         mean, rstd, dx, partial, parts, rows);
  Reduction sum;
  sum.kept.push(parts * C, {1, 1, 0});
  sum.pieces = blocks;
  reduce_pieces<Sum>(partial, ToNormGradients{C, dweight.at(), dbias.at()}, sum);
}

}  // namespace TABLE
