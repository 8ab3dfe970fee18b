// Attention forward on the tensor cores of capability 9.0, bf16 (Shah et al. 2024, "FlashAttention-3"); what
// a call computes, and what a row's reference is, tells forward.h.
//
// A block owns kRows queries of one head, each of its kConsumers warpgroups 64 of them. One warp of a further
// warpgroup keeps tiles of kKeys keys and values on their way into shared memory, from the last that the
// block's queries see to the first. A warpgroup has q · kᵀ of one tile and p · v of the tile before under way
// at a time: p · v runs while the weights of the next tile are made.
#include "hopper.h"
#include "launch.h"
#include "tiles.h"

namespace attention {

// Of the two rows of scores that a thread has: row lane / 4 + 8 half of its warp.
struct HopperRows {
  float total[2] = {0, 0}, reference[2] = {-1e30f, -1e30f};
};

// Scores of keys that query i + 8 half does not see, of the tile from j0 on, become −∞. i: of this thread.
template <int kKeys>
PRIMITIVE void hide_unseen(float (&s)[kKeys / 2], const Problem& the, int keys, int i, int j0, int lane) {
  UNROLL
  for (int half = 0; half < 2; ++half) {
    const int place = i + half * 8 + the.S - the.T, start = j0 + lane % 4 * 2;
    const int first = place - the.behind - start, until = least(keys, place + the.ahead + 1) - start;
    UNROLL
    for (int j = 0; j < kKeys / 8; ++j) {
      UNROLL
      for (int e = 0; e < 2; ++e)
        if (j * 8 + e < first || j * 8 + e >= until) s[4 * j + 2 * half + e] = -kInfinity;
    }
  }
}

// Scores become weights. Returns whether the references moved: what was summed with the old ones is then to
// be multiplied by `shrink`.
template <int kKeys>
PRIMITIVE bool weigh(float (&s)[kKeys / 2], HopperRows& rows, float (&shrink)[2], float scale_log2) {
  constexpr float kLag = 8;
  float greatest[2];
  UNROLL
  for (int half = 0; half < 2; ++half) {
    float m = fmaxf(s[2 * half], s[2 * half + 1]);
    UNROLL
    for (int j = 1; j < kKeys / 8; ++j) m = fmaxf(m, fmaxf(s[4 * j + 2 * half], s[4 * j + 2 * half + 1]));
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
    greatest[half] = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2)) * scale_log2;
  }
  const bool moves = __any_sync(
      0xffffffffu, greatest[0] - rows.reference[0] > kLag || greatest[1] - rows.reference[1] > kLag);
  UNROLL
  for (int half = 0; half < 2; ++half) {
    if (moves) {
      const float now = fmaxf(rows.reference[half], greatest[half]);
      shrink[half] = prim::exp2_fast(rows.reference[half] - now);
      rows.reference[half] = now;
      rows.total[half] *= shrink[half];
    }
    UNROLL
    for (int j = 0; j < kKeys / 8; ++j) {
      UNROLL
      for (int e = 0; e < 2; ++e) {
        float& w = s[4 * j + 2 * half + e];
        w = prim::exp2_fast(fmaf(w, scale_log2, -rows.reference[half]));
      }
      rows.total[half] += s[4 * j + 2 * half] + s[4 * j + 2 * half + 1];
    }
  }
  return moves;
}

// Zero for what dropout does not keep. Of the 16 rows of a warp, from row i0 on, lane l asks for row l mod 16
// and 32 keys at a time; `head` is b·H + h.
template <int kKeys>
PRIMITIVE void drop(float (&s)[kKeys / 2], const Problem& the, int head, int i0, int j0, int lane) {
  UNROLL
  for (int word = 0; word < kKeys / 64; ++word) {
    const std::uint32_t kept =
        the.dropout.kept<32>(the.weight(head, i0 + lane % 16, j0 + (2 * word + lane / 16) * 32));
    UNROLL
    for (int half = 0; half < 2; ++half) {
      UNROLL
      for (int span = 0; span < 2; ++span) {
        const std::uint32_t row = __shfl_sync(0xffffffffu, kept, span * 16 + half * 8 + lane / 4);
        UNROLL
        for (int n = 0; n < 8; ++n) {
          const int j = 4 * (2 * word + span) + n / 2, e = n % 2;
          if (!(row >> (n / 2 * 8 + lane % 4 * 2 + e) & 1)) s[4 * j + 2 * half + e] = 0;
        }
      }
    }
  }
}

template <int kColumns, bool kDropout>
__global__ void __launch_bounds__(HopperTile<kColumns, kDropout>::kThreads, 1)
    forward_hopper(const __grid_constant__ HopperArguments arguments) {
#if HOPPER_CODE
  using T = HopperTile<kColumns, kDropout>;
  using Shared = HopperShared<T>;
  DYNAMIC_SHARED(memory);
  const Shared shared(memory);
  const Problem& the = arguments.the;
  if (threadIdx.x == 0) shared.make_barriers();
  __syncthreads();

  const int blocks = ceil_div(the.T, T::kRows), head = blockIdx.x / blocks, b = head / the.H,
            h = head % the.H;
  const int i0 = (blocks - 1 - blockIdx.x % blocks) * T::kRows, keys = the.keys(b);
  const auto walk_of = [&](int first_row, int rows) {
    const int last = least(first_row + rows, the.T) - 1;
    return Walk(the.first_seen(first_row), last < first_row ? 0 : the.seen_until(keys, last),
                the.first_seen(last), the.seen_until(keys, first_row), T::kKeys);
  };
  const Walk walk = walk_of(i0, T::kRows);
  if (threadIdx.x >= T::kConsumers * 128) {
    prim::give_registers<T::kProducerRegisters>();
    if (threadIdx.x < T::kConsumers * 128 + 32) bring_tiles<T>(arguments, shared, walk, b, h, i0, keys);
    return;
  }

  prim::take_registers<T::kConsumerRegisters>();
  // The same in all lanes, which a shuffle tells the compiler.
  const int warp = __shfl_sync(0xffffffffu, int(threadIdx.x / 32), 0), group = warp / 4,
            lane = threadIdx.x % 32, i_warp = i0 + 16 * warp;
  const Walk own = walk_of(i0 + 64 * group, 64);
  // Tiles of the block, and those of them that these rows see.
  const int tiles = walk.end - walk.first, begin = own.first < own.end ? walk.end - own.end : 0,
            end = own.first < own.end ? walk.end - own.first : 0;
  float o[T::kD / 2], s[T::kKeys / 2];
  UNROLL
  for (int i = 0; i < T::kD / 2; ++i) o[i] = 0;
  UNROLL
  for (int i = 0; i < T::kKeys / 2; ++i) s[i] = 0;
  std::uint32_t p[T::kKeys / 16][4];
  HopperRows rows;
  int n = 0;

  const auto release = [&](std::uint32_t barrier) {
    if (lane == 0) prim::barrier_arrive(barrier);
  };
  const auto await = [&](typename Shared::Operand of, int n) {
    prim::barrier_wait(shared.full(of, n), Shared::parity(n));
  };
  // Tiles before number `until`, of which nothing is seen.
  const auto pass = [&](int until) {
    for (; n < until; ++n) {
      for (const typename Shared::Operand of : {Shared::kKeys, Shared::kValues}) {
        await(of, n);
        release(shared.empty(of, n));
      }
    }
  };
  const auto start_scores = [&] {
    const std::uint64_t q = prim::operand_descriptor(shared.queries(group), 16, T::kAtomBytes),
                        k = prim::operand_descriptor(shared.tile(Shared::kKeys, n), 16, T::kAtomBytes);
    prim::product_fence();
    prim::product_bf16<false, false, false>(s, q, k);
    UNROLL
    for (int d = 1; d < T::kD / 16; ++d)
      prim::product_bf16<false, false>(s, q + T::step(T::kQueryBox, d) / 16, k + T::step(T::kKeyBox, d) / 16);
    prim::product_commit();
  };
  const auto start_outputs = [&](int of) {
    const std::uint64_t v =
        prim::operand_descriptor(shared.tile(Shared::kValues, of), T::kKeyBox, T::kAtomBytes);
    await(Shared::kValues, of);
    prim::product_fence(p);
    UNROLL
    for (int k = 0; k < T::kKeys / 16; ++k) prim::product_bf16<true>(o, p[k], v + k * T::kKeyStep / 16);
    prim::product_commit();
  };
  // Weights of tile n, of its scores.
  const auto make_weights = [&](float(&shrink)[2]) {
    const int t = walk.end - 1 - n, j0 = t * T::kKeys;
    if (t < own.whole_first || t >= own.whole_end)
      hide_unseen<T::kKeys>(s, the, keys, i_warp + lane / 4, j0, lane);
    const bool moves = weigh<T::kKeys>(s, rows, shrink, the.scale_log2);
    if constexpr (kDropout) drop<T::kKeys>(s, the, head, i_warp, j0, lane);
    return moves;
  };
  // The sums of a product are laid out as the left operand of the next.
  const auto round_weights = [&] {
    UNROLL
    for (int k = 0; k < T::kKeys / 16; ++k) {
      UNROLL
      for (int e = 0; e < 4; ++e) p[k][e] = prim::pack_bf16(s[8 * k + 2 * e], s[8 * k + 2 * e + 1]);
    }
  };

  prim::barrier_wait(shared.queries_full(), 0);
  pass(begin);
  if (n < end) {
    float shrink[2];
    await(Shared::kKeys, n);
    start_scores();
    prim::product_wait(s);
    release(shared.empty(Shared::kKeys, n));
    make_weights(shrink);
    round_weights();
    if (n + 1 < end) await(Shared::kKeys, n + 1);
    for (++n; n < end; ++n) {
      start_scores();
      start_outputs(n - 1);
      prim::product_wait<1>(s);
      release(shared.empty(Shared::kKeys, n));
      const bool moves = make_weights(shrink);
      // p · v is to run until here: the compiler moves its end up to the last place where a thread may wait.
      prim::pin(s);
      if (n + 1 < end) await(Shared::kKeys, n + 1);
      prim::product_wait(o);
      release(shared.empty(Shared::kValues, n - 1));
      if (moves) {
        UNROLL
        for (int i = 0; i < T::kD / 2; ++i) o[i] *= shrink[i / 2 % 2];
      }
      round_weights();
    }
    start_outputs(n - 1);
    prim::product_wait(o);
    release(shared.empty(Shared::kValues, n - 1));
  }
  pass(tiles);

  prim::sync_some<1, T::kConsumers * 128>();  // the queries become the warps' rows of y
  float weight[2];
  UNROLL
  for (int half = 0; half < 2; ++half) {
    float sum = rows.total[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    weight[half] = sum > 0 ? the.dropout.scale / sum : 0;
    const int i = i_warp + lane / 4 + half * 8;
    if (lane % 4 == 0 && i < the.T)
      *arguments.lse.at(b, h, i) = sum > 0 ? rows.reference[half] * kLn2 + logf(sum) : -kInfinity;
  }
  store_rows<T::kD>(
      shared.q + warp * 16 * 2 * T::kD, reinterpret_cast<const float(&)[T::kD / 8][4]>(o), weight,
      {arguments.y.at(b, h, i_warp), arguments.y.row, the.T - i_warp, the.D, arguments.y_in_chunks}, lane);
#endif
}

namespace {

// x [B, rows, heads, D] as a tensor map needs it: each stride a multiple of the one before, which has room
// for the axis before. False if it is not so.
bool describe(prim::TensorMap* map, const Heads<const bf16>& x, const Problem& the, int rows, int heads,
              int box_rows) {
  const Index head = heads > 1 ? x.head : rows > 1 ? x.row : Index{ceil_div(the.D, 8)} * 8;
  const Index row = rows > 1 ? x.row : heads * head, batch = the.B > 1 ? x.batch : rows * row;
  if (head < the.D || row < heads * head || batch < rows * row || !is_multiple(row, head) ||
      !is_multiple(batch, row) || batch * 2 >> 40)
    return false;
  const std::string error = rt::tensor_map(
      map, x.data, {std::uint64_t(the.D), std::uint64_t(heads), std::uint64_t(rows), std::uint64_t(the.B)},
      {std::uint64_t(2 * head), std::uint64_t(2 * row), std::uint64_t(2 * batch)},
      {64, 1, std::uint32_t(box_rows), 1});
  if (!error.empty()) cuda::context().fail(error);
  return true;
}

template <int kD, bool kDropout>
bool run_hopper(const Problem& the, const Heads<const bf16>& q, const Heads<const bf16>& k,
                const Heads<const bf16>& v, const Heads<bf16>& y, const Heads<float>& lse) {
  using T = HopperTile<kD, kDropout>;
  HopperArguments arguments{{}, {}, {}, the, y, lse, in_chunks(y, the)};
  if (!describe(&arguments.q, q, the, the.T, the.H, 64) ||
      !describe(&arguments.k, k, the, the.S, the.G, T::kKeys) ||
      !describe(&arguments.v, v, the, the.S, the.G, T::kKeys))
    return false;
  cuda::launch(forward_hopper<kD, kDropout>, grid(Index{the.B} * the.H * ceil_div(the.T, T::kRows)),
               dim3(T::kThreads), T::kSharedBytes, arguments);
  return true;
}

}  // namespace

bool run_on_hopper(const Problem& the, const Heads<const bf16>& q, const Heads<const bf16>& k,
                   const Heads<const bf16>& v, const Heads<bf16>& y, const Heads<float>& lse) {
  const cuda::Context& here = cuda::context();
  if (!here.hopper || here.capability != 90 || the.D <= 32 || the.D > 128 || the.T < 64 || the.S == 0)
    return false;
  const auto run = the.D <= 64      ? the.dropout.on ? run_hopper<64, true> : run_hopper<64, false>
                        : the.dropout.on ? run_hopper<128, true>
                                    : run_hopper<128, false>;
  return run(the, q, k, v, y, lse);
}

}  // namespace attention
