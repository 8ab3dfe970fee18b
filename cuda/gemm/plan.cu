// The choice of a kernel by what it would take, in cycles: a rough model that knows how many blocks run at
// once, how well each kernel keeps the tensor cores busy, and what parts of K cost that must be added.
#include <algorithm>

#include "launches.h"
#include "plan.h"

namespace cuda::gemm {

namespace {

struct Candidate {
  Kernel kernel;
  int m, n, k;        // tile and step
  int blocks;         // on a multiprocessor
  double efficiency;  // of 1024 multiplications of bf16 in a cycle
};

template <class T>
constexpr Candidate candidate(Kernel kernel, int blocks, double efficiency) {
  return {kernel, T::kM, T::kN, T::kK, blocks, efficiency};
}

constexpr double kMultiplications = 1024;  // of bf16, in a cycle of a multiprocessor
constexpr double kPartBytes = 20;          // of partial sums, written and read in the same
// Turns that a block takes which is alone where so many fit; where they are all there, each takes one.
constexpr double kAlone[] = {0, 1, 1.35, 1.6, 1.7, 1.8, 1.9};
constexpr double kLaunch = 4000, kPrologue = 1500;
constexpr int kParts[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32};
constexpr int kStepsOfPart = 4;                           // at least
constexpr Index kPartialBytes = Index{1} << 28;           // at most
constexpr Index kTinyBf16 = 1 << 15, kTinyF32 = 1 << 16;  // multiplications
constexpr Index kLongRow = 64;

// Devices with 160 KB of shared memory and more; the others have 100 KB.
bool is_large(int capability) {
  return capability == 80 || capability == 90 || (capability >= 100 && capability < 120);
}

double cycles(const Product& p, const Candidate& c, Index K, int parts) {
  const Index blocks = p.B * ceil_div(p.M, c.m) * ceil_div(p.N, c.n) * parts,
              processors = context().multiprocessors;
  const double steps = double(ceil_div(ceil_div(K, c.k), parts));
  const double block = c.m * double(c.n) * c.k * steps / (kMultiplications * c.efficiency) + kPrologue;
  const Index waves = blocks / (processors * c.blocks), rest = blocks % (processors * c.blocks);
  // Blocks that are alone on their multiprocessors hide less of their latency than several do.
  const double last = rest > processors ? double(ceil_div(rest, processors)) : rest > 0 ? kAlone[c.blocks] : 0;
  const double adding =
      parts == 1 ? 0 : kLaunch + 8.0 * parts * double(p.B * p.M * p.N) / (kPartBytes * double(processors));
  return (double(waves * c.blocks) + last) * block + adding;
}

}  // namespace

bool has_pieces_along_k(const Operand& x, Index K) {
  const Index unit = 16 / x.size_of_element();
  return x.k_stride == 1 && reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && x.stride % unit == 0 &&
         x.batch_stride % unit == 0 && (K % kPiece == 0 || x.padded);
}

Plan plan(const Product& p) {
  const bool bf16 = p.a.element == Element::bf16, strict = !bf16 && context().strict;
  const Index multiplications = p.M * p.N * p.K;
  const bool tiny = multiplications <= (bf16 ? kTinyBf16 : kTinyF32) || p.K < kPiece;
  if (!tiny && p.M <= kMostRows && p.K >= kLongRow && has_pieces_along_k(p.b, p.K)) return {Kernel::rows, 1};
  const bool whole = p.M >= SmallTile::kM && p.N >= SmallTile::kN;
  const bool whole_strict = p.M >= StrictTile::kM && p.N >= StrictTile::kN;

  Candidate candidates[8] = {};
  int count = 0;
  const auto consider = [&](const Candidate& c) {
    if (c.kernel == Kernel::bounded || c.kernel == Kernel::simple || (p.M >= c.m && p.N >= c.n))
      candidates[count++] = c;
  };
  if (tiny || (strict ? !whole_strict : !bf16 && !whole)) {
    consider({Kernel::simple, kSimpleTile, kSimpleTile, kSimpleStep, 6, 0.03});
  } else if (strict) {
    consider(candidate<StrictTile>(Kernel::strict, 2, 0.3));
  } else if (!whole) {
    consider(candidate<SmallTile>(Kernel::bounded, 3, 0.15));
  } else if (is_large(context().capability)) {
    consider(candidate<LargeTile>(Kernel::large, 1, 0.9));
    if (context().capability == 80)
      consider(candidate<MiddleTile>(Kernel::middle, 2, 0.75));
    else
      consider(candidate<WideTile>(Kernel::wide, 2, 0.85));
    consider(candidate<SmallTile>(Kernel::small, 4, 0.5));
    if (bf16 && context().hopper && context().capability == 90)
      consider(candidate<HopperTile>(Kernel::hopper, 1, 1.5));
  } else {
    consider(candidate<MiddleShortTile>(Kernel::middle_short, 2, 0.8));
    consider(candidate<SmallTile>(Kernel::small, 3, 0.5));
  }

  const Index K = p.K * (strict ? 2 : bf16 || candidates[0].kernel == Kernel::simple ? 1 : 3);
  Plan best{candidates[0].kernel, 1};
  double least = -1;
  for (int i = 0; i < count; ++i)
    for (const int parts : kParts) {
      const Candidate& c = candidates[i];
      if (parts > 1 &&
          (ceil_div(K, c.k) < parts * kStepsOfPart || p.B * p.M * p.N * parts * 4 > kPartialBytes))
        break;
      const double time = cycles(p, c, K, parts);
      if (least < 0 || time < least) least = time, best = {c.kernel, parts};
    }
  return best;
}

}  // namespace cuda::gemm
