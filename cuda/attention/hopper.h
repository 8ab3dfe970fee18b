// What a block of hopper.cu has in shared memory, and how it gets there.
//
// Each of the kStages places of k and of v has two barriers: `full` ends a phase when its tile has come,
// `empty` when all warps that read it are done. q is [kConsumers][kD / 64][64][64], k and v are
// [kD / 64][kKeys][64], in swizzled rows of 128 bytes (see ../prim_hopper.h).
#pragma once
#include "../prim_hopper.h"
#include "problem.h"

namespace attention {

struct HopperArguments {
  prim::TensorMap q, k, v;  // [B, T, H, D], [B, S, G, D]
  Problem the;
  Heads<bf16> y;
  Heads<float> lse;
  bool y_in_chunks;
};

template <int kColumns, bool kDropout>
struct HopperTile {
  static constexpr int kD = kColumns, kKeys = 128, kStages = 2;
  // Three of them have registers for the sums and weights of 64 columns, but not for random numbers too.
  static constexpr int kConsumers = kD == 64 && !kDropout ? 3 : 2, kRows = 64 * kConsumers;
  static constexpr int kThreads = 128 * (kConsumers + 1);
  // Of a thread; all together a multiprocessor has 65536.
  static constexpr int kProducerRegisters = kConsumers == 3 ? 32 : 40,
                       kConsumerRegisters = kConsumers == 3 ? 160 : 232;
  static constexpr int kRowBytes = 128, kAtomBytes = 8 * kRowBytes;
  static constexpr int kQueryBox = 64 * kRowBytes, kGroupBytes = kD / 64 * kQueryBox;
  static constexpr int kKeyBox = kKeys * kRowBytes, kTileBytes = kD / 64 * kKeyBox;
  static constexpr int kBarriers = 2 + 4 * kStages;
  static constexpr int kSharedBytes =
      kAtomBytes + kConsumers * kGroupBytes + 2 * kStages * kTileBytes + 8 * kBarriers;
  // How far 16 of D, or of the keys of v, are from the next.
  static PRIMITIVE int step(int box_bytes, int d) { return d / 4 * box_bytes + d % 4 * 32; }
  static constexpr int kKeyStep = 16 * kRowBytes;
};

// Where things lie in shared memory. Tile number n of a block is in place n mod kStages, and is the ⌊n /
// kStages⌋-th there.
template <class T>
struct HopperShared {
  std::uint32_t q;

  enum Operand { kKeys, kValues };
  explicit PRIMITIVE HopperShared(const unsigned char* memory)
      : q((prim::shared_address(memory) + T::kAtomBytes - 1) & ~(T::kAtomBytes - 1u)) {}
  PRIMITIVE std::uint32_t queries(int group) const { return q + group * T::kGroupBytes; }
  PRIMITIVE std::uint32_t tile(Operand of, int n) const {
    return q + T::kConsumers * T::kGroupBytes + (2 * place(n) + of) * T::kTileBytes;
  }
  PRIMITIVE std::uint32_t queries_full() const { return barrier(0); }
  PRIMITIVE std::uint32_t ragged() const { return barrier(1); }
  PRIMITIVE std::uint32_t full(Operand of, int n) const { return barrier(2 + 4 * place(n) + 2 * of); }
  PRIMITIVE std::uint32_t empty(Operand of, int n) const { return barrier(3 + 4 * place(n) + 2 * of); }
  static PRIMITIVE int parity(int n) { return n / T::kStages % 2; }

  // By one thread, before the others go on.
  PRIMITIVE void make_barriers() const {
    prim::barrier_init(queries_full(), 1);
    prim::barrier_init(ragged(), 1);
    UNROLL
    for (int n = 0; n < T::kStages; ++n) {
      UNROLL
      for (const Operand of : {kKeys, kValues}) {
        prim::barrier_init(full(of, n), 1);
        prim::barrier_init(empty(of, n), 4 * T::kConsumers);
      }
    }
    prim::barrier_init_fence();
  }

 private:
  static PRIMITIVE int place(int n) { return n % T::kStages; }
  PRIMITIVE std::uint32_t barrier(int i) const {
    return q + T::kConsumers * T::kGroupBytes + 2 * T::kStages * T::kTileBytes + 8 * i;
  }
};

// By one warp: all tiles of a block. The first one of v may reach past the keys of the sequence, where the
// tensor has anything: that becomes zero, since 0 · NaN is none.
template <class T>
PRIMITIVE void bring_tiles(const HopperArguments& arguments, const HopperShared<T>& shared, const Walk& walk,
                           int b, int h, int i0, int keys) {
  using Shared = HopperShared<T>;
  const Problem& the = arguments.the;
  const int lane = threadIdx.x % 32, g = h / (the.H / the.G);
  const auto bring = [&](typename Shared::Operand of, std::uint32_t barrier, int n) {
    if (lane != 0) return;
    prim::barrier_arrive_expect(barrier, T::kTileBytes);
    UNROLL
    for (int d = 0; d < T::kD; d += 64)
      prim::load_tile(shared.tile(of, n) + d / 64 * T::kKeyBox,
                      of == Shared::kKeys ? arguments.k : arguments.v, barrier, d, g,
                      (walk.end - 1 - n) * T::kKeys, b);
  };
  if (lane == 0) {
    prim::barrier_arrive_expect(shared.queries_full(), T::kConsumers * T::kGroupBytes);
    UNROLL
    for (int group = 0; group < T::kConsumers; ++group) {
      UNROLL
      for (int d = 0; d < T::kD; d += 64)
        prim::load_tile(shared.queries(group) + d / 64 * T::kQueryBox, arguments.q, shared.queries_full(), d,
                        h, i0 + 64 * group, b);
    }
  }
  for (int n = 0; n < walk.end - walk.first; ++n) {
    const int rows = keys - (walk.end - 1 - n) * T::kKeys;
    prim::barrier_wait(shared.empty(Shared::kKeys, n), Shared::parity(n) ^ 1);
    bring(Shared::kKeys, shared.full(Shared::kKeys, n), n);
    prim::barrier_wait(shared.empty(Shared::kValues, n), Shared::parity(n) ^ 1);
    if (rows >= T::kKeys || keys == the.S) {
      bring(Shared::kValues, shared.full(Shared::kValues, n), n);
      continue;
    }
    bring(Shared::kValues, shared.ragged(), n);
    prim::barrier_wait(shared.ragged(), 0);
    for (int at = rows * T::kRowBytes + lane * 16; at < T::kKeyBox; at += 32 * 16) {
      UNROLL
      for (int box = 0; box < T::kTileBytes; box += T::kKeyBox)
        prim::store_shared16(shared.tile(Shared::kValues, n) + box + at, {0, 0, 0, 0});
    }
    prim::fence_async();
    __syncwarp();
    if (lane == 0) prim::barrier_arrive(shared.full(Shared::kValues, n));
  }
}

}  // namespace attention
