// How product.cu starts the kernels of the other files.
#pragma once
#include "operand_tile.h"
#include "plan.h"

namespace cuda::gemm {

using LargeTile = Tile<128, 256, 64, 64, 64, 3, 1>;
using WideTile = Tile<128, 128, 64, 64, 64, 3, 2>;
using MiddleTile = Tile<128, 128, 32, 64, 32, 4, 2>;
using MiddleShortTile = Tile<128, 128, 32, 64, 32, 3, 2>;
using SmallTile = Tile<64, 64, 32, 32, 32, 4, 4>;
using StrictTile = Tile<64, 128, 32, 32, 32, 4, 2>;  // kK counts halves of TF32
// See hopper.cu; two warpgroups make the products.
struct HopperTile {
  static constexpr int kM = 128, kN = 256, kK = 64, kStages = 4, kConsumers = kM / 64,
                       kThreads = 128 * (kConsumers + 1);
  static constexpr int kBytesA = kM * kK * 2, kStageBytes = kBytesA + kN * kK * 2;
  static constexpr int kSharedBytes = 1024 + kStages * (kStageBytes + 16);
  static constexpr int kSlicePitch = 64 * 4 + 32, kSliceBytes = 16 * kSlicePitch;
};
constexpr Index kPiece = 8;                        // elements that are read at a time: 16 bytes of bf16
constexpr int kSimpleTile = 32, kSimpleStep = 16;  // kM = kN, and kK

struct TileArguments {
  TileOperand a, b;
  int batches, M, N, K;
  int terms, tiles;  // of K in a term
  int part;          // tiles that a block takes: those of all terms, or fewer
  Epilogue epilogue;
};
// a along M goes with b along N only.
void launch_tiles(Kernel kernel, bool a_along_k, bool b_along_k, int parts, const TileArguments& arguments);
// bf16 of one term, on capability 90.
void launch_hopper(bool a_along_k, bool b_along_k, int parts, const TileArguments& arguments);
// a and b along K, in f32; K, tiles and part in StrictTile's units.
void launch_strict(int parts, const TileArguments& arguments);

struct SimpleArguments {
  Operand a, b;
  int batches, M, N, K;
  int part;  // of K
  Epilogue epilogue;
};
void launch_simple(int parts, const SimpleArguments& arguments);

constexpr int kMostRows = 8;
// M no more than that; a and b along K, in pieces of 16 bytes; `part` does not count.
void launch_rows(const SimpleArguments& arguments);

// y from partial sums [parts, batches, M, pitch], added in their order.
struct PartialArguments {
  const float* partials;
  int parts, batches, M, N, pitch;
  Epilogue epilogue;
};
void launch_partials(const PartialArguments& arguments);

}  // namespace cuda::gemm
