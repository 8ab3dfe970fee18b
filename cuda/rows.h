// Rows of C elements, each the work of a team of threads: a block has blockDim.y teams of blockDim.x threads.
// A team is a part of a warp, a power of two of threads, or whole warps.
#pragma once
#include "floats.h"

namespace TABLE {

// The first reduction of a team that has several warps uses the first half of this, the next one the other.
struct Team {
  float* shared;
  unsigned half = 0;

  PRIMITIVE explicit Team(void* shared) : shared(static_cast<float*>(shared)) {}

  // combine() of what the threads of the team have, K times, in all of them. Every thread of the block comes
  // here.
  template <int K, class F>
  PRIMITIVE void reduce(float (&v)[K], const F& combine) {
    for (int step = (blockDim.x < 32 ? blockDim.x : 32) / 2; step > 0; step /= 2) {
      UNROLL
      for (int k = 0; k < K; ++k) v[k] = combine(v[k], __shfl_xor_sync(0xffffffffu, v[k], step));
    }
    if (blockDim.x <= 32) return;
    const unsigned warps = blockDim.x / 32;
    float* const all = shared + (half * blockDim.y + threadIdx.y) * warps * K;
    half ^= 1;
    if (threadIdx.x % 32 == 0) {
      UNROLL
      for (int k = 0; k < K; ++k) all[threadIdx.x / 32 * K + k] = v[k];
    }
    __syncthreads();
    UNROLL
    for (int k = 0; k < K; ++k) v[k] = all[k];
    for (unsigned warp = 1; warp < warps; ++warp) {
      UNROLL
      for (int k = 0; k < K; ++k) v[k] = combine(v[k], all[warp * K + k]);
    }
  }
  template <int K>
  PRIMITIVE void sum(float (&v)[K]) {
    reduce(v, [](float a, float b) { return a + b; });
  }
  PRIMITIVE float sum(float x) {
    float v[1] = {x};
    sum(v);
    return v[0];
  }
  PRIMITIVE float maximum(float x) {
    float v[1] = {x};
    reduce(v, [](float a, float b) { return fmaxf(a, b); });
    return v[0];
  }
};

// A thread has V elements of a row at a time, those of the team in turn: f(k, i), piece k begins at element
// i. A row of at most kHeld pieces a thread may be held in registers; kHeld = 0 is a row of any length, read
// whenever needed.
template <int V, int kHeld, class F>
PRIMITIVE void each_piece(Index count, const F& f) {
  if constexpr (kHeld > 0) {
    const int few = static_cast<int>(count);
    UNROLL
    for (int k = 0; k < kHeld; ++k) {
      const int i = static_cast<int>(threadIdx.x + k * blockDim.x) * V;
      if (i < few) f(k, i);
    }
  } else {
    for (Index i = threadIdx.x * Index{V}; i < count; i += blockDim.x * Index{V}) f(0, i);
  }
}

template <int V, int kHeld, class T>
struct RowPart {
  const T* row;
  Floats<V> held[kHeld > 0 ? kHeld : 1];

  PRIMITIVE RowPart(const T* row, Index count) : row(row) {
    if constexpr (kHeld > 0) each_piece<V, kHeld>(count, [&](int k, Index i) { held[k] = load<V>(row + i); });
  }
  PRIMITIVE Floats<V> at(int k, Index i) const {
    if constexpr (kHeld > 0)
      return held[k];
    else
      return load<V>(row + i);
  }
};

// How many pieces of V elements are held where `held` elements are if V is kWide: fewer one by one, as
// addresses and bounds take registers too.
template <int V>
constexpr int held_pieces(int held) {
  return V == 1 ? held / 2 : held / V;
}

// How teams take rows of `count` elements, of which a thread can hold `held`.
struct TeamGrid {
  dim3 grid, block;
  std::size_t shared_bytes;  // for reductions of kMostReduced numbers at once
  bool is_wide, is_held;

  static constexpr unsigned kMaxTeam = 512;
  static constexpr int kMostReduced = 2;

  TeamGrid(Index rows, Index count, bool is_wide, int held, unsigned block_threads) : is_wide(is_wide) {
    const Index width = is_wide ? kWide : 1, pieces = ceil_div(count, width);
    held = is_wide ? held_pieces<kWide>(held) : held_pieces<1>(held);
    unsigned threads = 1;
    if (pieces <= Index{32} * held)
      while (threads < 32 && threads < pieces) threads *= 2;
    else
      for (threads = 32; threads < kMaxTeam && Index{threads} * held < pieces;) threads += 32;
    is_held = pieces <= Index{threads} * held;
    unsigned teams = 1;
    if (threads < 32)
      while (threads * teams < 32 || (2 * teams * threads <= block_threads && teams < rows)) teams *= 2;
    else
      while ((teams + 1) * threads <= block_threads && teams < rows) ++teams;
    block = dim3(threads, teams);
    grid = dim3(static_cast<unsigned>(ceil_div(rows, teams)));
    shared_bytes = threads > 32 ? 2 * teams * (threads / 32) * kMostReduced * sizeof(float) : 0;
  }

  template <class Kernel>
  Kernel* choose(Kernel* held_wide, Kernel* held_narrow, Kernel* wide, Kernel* narrow) const {
    return is_held ? is_wide ? held_wide : held_narrow : is_wide ? wide : narrow;
  }
};

// A block that is one team of whole warps, as many as `pieces` of work ask for.
struct TeamBlock {
  unsigned threads;
  std::size_t shared_bytes;
  explicit TeamBlock(Index pieces)
      : threads(static_cast<unsigned>(pieces < kBlock ? ceil_div(pieces > 0 ? pieces : 1, 32) * 32 : kBlock)),
        shared_bytes(2 * threads / 32 * TeamGrid::kMostReduced * sizeof(float)) {}
};

PRIMITIVE Index team_row() { return Index{blockIdx.x} * blockDim.y + threadIdx.y; }

}  // namespace TABLE
