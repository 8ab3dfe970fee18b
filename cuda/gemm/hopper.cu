// Tiles of y on the tensor cores of capability 9.0: bf16 operands whose rows, along either axis, start on 16
// bytes.
//
// A block owns a tile of y, or of one of several parts of K. One thread of the third warpgroup keeps kStages
// tiles of a and b on their way into shared memory; the other two own 64 rows of sums each, and have one
// tile's products under way while they wait for the next. A stage has two barriers: `full` ends a phase when
// its tiles have come, `empty` when the eight warps that read them are done. Zeros stand for what is outside
// of a and b.
//
// In shared memory an operand along K is [kExtent][64 of K], else [kExtent / 64][kK][64 of kExtent], in
// swizzled rows of 128 bytes either way (see ../prim_hopper.h).
#include "../prim_hopper.h"
#include "tiles.h"

namespace cuda::gemm {

struct HopperArguments {
  prim::TensorMap a, b;
  int a_batches, b_batches;  // 1 if all have the same
  TileArguments tile;
};

template <int kExtent, bool kAlongK>
struct HopperOperand {
  static constexpr int kWidth = 64, kRowBytes = 2 * kWidth, kAtomBytes = 8 * kRowBytes;
  static constexpr int kBoxRows = kAlongK ? kExtent : HopperTile::kK, kBoxBytes = kBoxRows * kRowBytes;
  static constexpr int kStepBytes = kAlongK ? 16 * 2 : 16 * kRowBytes;     // 16 of K
  static constexpr int kRowsBytes = kAlongK ? kRowBytes * 64 : kBoxBytes;  // 64 of kExtent

  static PRIMITIVE void load(std::uint32_t to, const prim::TensorMap& map, std::uint32_t barrier, int first,
                             int k, int batch) {
    if (kAlongK) {
      prim::load_tile(to, map, barrier, k, first, batch);
    } else {
      UNROLL
      for (int i = 0; i < kExtent / kWidth; ++i)
        prim::load_tile(to + i * kBoxBytes, map, barrier, first + i * kWidth, k, batch);
    }
  }
  static PRIMITIVE std::uint64_t descriptor(std::uint32_t at) {
    return prim::operand_descriptor(at, kAlongK ? 16 : kBoxBytes, kAtomBytes);
  }
};

// The sums of a warp, 16 rows from m on and 256 columns from n on, through the epilogue, 64 columns at a
// time: by way of shared memory a lane gets 8 neighbours.
PRIMITIVE void store_rows(const TileArguments& p, std::uint32_t slice, float (&sums)[128], Index batch, int m,
                          int n) {
  constexpr int kPitch = HopperTile::kSlicePitch;
  const int lane = prim::fresh_thread() & 31, row = lane / 8, piece = lane % 8;
  const std::uint32_t to = slice + (lane >> 2) * kPitch + (lane & 3) * 8,
                      from = slice + row * kPitch + piece * 32;
  const std::uint32_t half = (lane >> 2 & 1) * 16;  // which comes first: else lanes 4 apart meet in a bank
  ROLLED
  for (int column = n + piece * 8; column < n + HopperTile::kN; column += 64) {
    UNROLL
    for (int j = 0; j < 8; ++j) {
      UNROLL
      for (int h = 0; h < 2; ++h)
        prim::store_shared8(to + h * 8 * kPitch + j * 32,
                            {prim::as_bits(sums[4 * j + 2 * h]), prim::as_bits(sums[4 * j + 2 * h + 1])});
    }
    UNROLL
    for (int i = 0; i < 96; ++i) sums[i] = sums[i + 32];
    __syncwarp();
    ROLLED
    for (int r = row; r < 16; r += 4) {
      const std::uint32_t at = from + (r - row) * kPitch;
      const uint4 v = prim::load_shared16(at + half), w = prim::load_shared16(at + (half ^ 16));
      float x[8];
      unpack(x, half ? w : v, half ? v : w);
      if (m + r < p.M) finish(p.epilogue, x, batch, m + r, column, 0, p.N);
    }
    __syncwarp();
  }
}

template <bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(HopperTile::kThreads, 1)
    multiply_hopper(const __grid_constant__ HopperArguments arguments) {
#if HOPPER_CODE
  using T = HopperTile;
  using A = HopperOperand<T::kM, kAAlongK>;
  using B = HopperOperand<T::kN, kBAlongK>;
  DYNAMIC_SHARED(memory);
  const TileArguments& p = arguments.tile;
  const std::uint32_t shared = (prim::shared_address(memory) + A::kAtomBytes - 1) & ~(A::kAtomBytes - 1u);
  const std::uint32_t full = shared + T::kStages * T::kStageBytes, empty = full + 8 * T::kStages;
  const int warpgroup = threadIdx.x / 128, warp = threadIdx.x / 32;
  if (threadIdx.x == 0) {
    UNROLL
    for (int stage = 0; stage < T::kStages; ++stage) {
      prim::barrier_init(full + 8 * stage, 1);
      prim::barrier_init(empty + 8 * stage, 4 * T::kConsumers);
    }
    prim::barrier_init_fence();
  }
  __syncthreads();

  const Place at = place<T, kAAlongK, kBAlongK, true>(p, blockIdx.x);
  const int first = blockIdx.y * p.part, tiles = min(p.tiles - first, p.part);
  int stage = 0, round = 0;  // how often the stages have been gone through, modulo 2
  const auto go_on = [&] {
    if (++stage == T::kStages) stage = 0, round ^= 1;
  };

  if (warpgroup == T::kConsumers) {
    prim::give_registers<40>();
    if (threadIdx.x != T::kConsumers * 128) return;
    const int a_batch = arguments.a_batches > 1 ? at.batch : 0,
              b_batch = arguments.b_batches > 1 ? at.batch : 0;
    for (int tile = first; tile < first + tiles; ++tile, go_on()) {
      const std::uint32_t to = shared + stage * T::kStageBytes, barrier = full + 8 * stage;
      prim::barrier_wait(empty + 8 * stage, round ^ 1);
      prim::barrier_arrive_expect(barrier, T::kStageBytes);
      A::load(to, arguments.a, barrier, at.m, tile * T::kK, a_batch);
      B::load(to + T::kBytesA, arguments.b, barrier, at.n, tile * T::kK, b_batch);
    }
    return;
  }

  prim::take_registers<232>();
  float sums[128];
  UNROLL
  for (int i = 0; i < 128; ++i) sums[i] = 0;
  std::uint32_t before = 0;  // what tells that the tile before this one has been read
  for (int tile = 0; tile < tiles; ++tile, go_on()) {
    const std::uint32_t from = shared + stage * T::kStageBytes;
    const std::uint64_t a = A::descriptor(from + warpgroup * A::kRowsBytes),
                        b = B::descriptor(from + T::kBytesA);
    prim::barrier_wait(full + 8 * stage, round);
    prim::product_fence();
    UNROLL
    for (int kk = 0; kk < T::kK / 16; ++kk)
      prim::product_bf16<!kAAlongK, !kBAlongK>(sums, a + kk * A::kStepBytes / 16,
                                               b + kk * B::kStepBytes / 16);
    prim::product_commit();
    prim::product_wait<1>();
    if (tile > 0 && threadIdx.x % 32 == 0) prim::barrier_arrive(before);
    before = empty + 8 * stage;
  }
  prim::product_wait(sums);
  prim::sync_some<1, T::kConsumers * 128>();  // the stages become the warps' slices
  store_rows(p, shared + warp * T::kSliceBytes, sums, at.batch + Index(blockIdx.y) * p.batches,
             at.m + warp * 16, at.n);
#endif
}

namespace {

// The tensor map of an operand in boxes of what HopperOperand::load takes at a time.
void describe(prim::TensorMap* map, int* map_batches, const TileOperand& operand, bool along_k, Index extent,
              Index K, Index batches, Index tile_extent) {
  *map_batches = operand.batch_stride == 0 ? 1 : int(batches);
  const Index columns = along_k ? K : extent, rows = along_k ? extent : K;
  const Index batch_stride = *map_batches == 1 ? rows * operand.pitch : operand.batch_stride;
  const std::string error = rt::tensor_map(
      map, operand.data, {std::uint64_t(columns), std::uint64_t(rows), std::uint64_t(*map_batches)},
      {std::uint64_t(operand.pitch), std::uint64_t(batch_stride)},
      {64, std::uint32_t(along_k ? tile_extent : Index{HopperTile::kK}), 1});
  if (!error.empty()) context().fail(error);
}

}  // namespace

void launch_hopper(bool a_along_k, bool b_along_k, int parts, const TileArguments& p) {
  HopperArguments arguments{};
  arguments.tile = p;
  describe(&arguments.a, &arguments.a_batches, p.a, a_along_k, p.M, p.K, p.batches, HopperTile::kM);
  describe(&arguments.b, &arguments.b_batches, p.b, b_along_k, p.N, p.K, p.batches, HopperTile::kN);
  const Index tiles = ceil_div(p.M, HopperTile::kM) * ceil_div(p.N, HopperTile::kN);
  void (*const kernels[2][2])(HopperArguments) = {
      {multiply_hopper<false, false>, multiply_hopper<false, true>},
      {multiply_hopper<true, false>, multiply_hopper<true, true>},
  };
  launch(kernels[a_along_k][b_along_k], dim3(unsigned(tiles * p.batches), unsigned(parts)),
         dim3(HopperTile::kThreads), HopperTile::kSharedBytes, arguments);
}

}  // namespace cuda::gemm
