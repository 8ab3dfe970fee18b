// Axes of tensors of one shape but different strides, joined where all of them advance alike.
#pragma once
#include "context.h"

namespace cuda {

// n = quotient · size + rest; in 32 bits where both fit, which is several times faster.
PRIMITIVE void divide(Index n, Index size, Index* quotient, Index* rest) {
  if (((n | size) >> 32) == 0) {
    const auto a = static_cast<std::uint32_t>(n), b = static_cast<std::uint32_t>(size);
    *quotient = a / b;
    *rest = a % b;
  } else {
    *quotient = n / size;
    *rest = n % size;
  }
}

// Up to four axes of K tensors; the last one is the innermost.
template <int K>
struct Axes {
  int rank = 0;
  Index size[kMaxRank], stride[K][kMaxRank];

  void push(Index n, const Index (&steps)[K]) {
    size[rank] = n;
    for (int k = 0; k < K; ++k) stride[k][rank] = steps[k];
    ++rank;
  }
  __host__ __device__ Index count() const {
    Index product = 1;
    for (int axis = 0; axis < kMaxRank; ++axis)
      if (axis < rank) product *= size[axis];
    return product;
  }
  Axes without(int removed) const {
    Axes rest;
    for (int axis = 0; axis < rank; ++axis) {
      if (axis == removed) continue;
      rest.size[rest.rank] = size[axis];
      for (int k = 0; k < K; ++k) rest.stride[k][rest.rank] = stride[k][axis];
      ++rest.rank;
    }
    return rest;
  }
  // Whether every stride of tensor k is a multiple of `elements`.
  bool steps_by(int k, Index elements) const {
    for (int axis = 0; axis < rank; ++axis)
      if (stride[k][axis] % elements) return false;
    return true;
  }

  // Where element n of all axes is in each tensor.
  PRIMITIVE void locate(Index n, Index (&offset)[K]) const {
    UNROLL
    for (int k = 0; k < K; ++k) offset[k] = 0;
    UNROLL
    for (int axis = kMaxRank - 1; axis >= 0; --axis) {
      if (axis >= rank) continue;
      Index at = n;
      if (axis > 0) divide(n, size[axis], &n, &at);
      UNROLL
      for (int k = 0; k < K; ++k) offset[k] += at * stride[k][axis];
    }
  }
};

template <int K>
Axes<K> joined(const View (&tensors)[K]) {
  Axes<K> axes;
  for (int axis = 0; axis < kMaxRank; ++axis) {
    const Index n = tensors[K - 1].size[axis];
    if (n == 1) continue;
    Index steps[K];
    const int last = axes.rank - 1;
    bool joins = last >= 0;
    for (int k = 0; k < K; ++k) {
      steps[k] = tensors[k].stride[axis];
      joins = joins && axes.stride[k][last] == n * steps[k];
    }
    if (joins) {
      axes.size[last] *= n;
      for (int k = 0; k < K; ++k) axes.stride[k][last] = steps[k];
    } else {
      axes.push(n, steps);
    }
  }
  return axes;
}

// A grid over rows of `pieces`: a block has blockDim.y rows, and blockDim.x pieces of each.
struct RowGrid {
  dim3 grid, block;
  RowGrid(Index rows, Index pieces) {
    constexpr unsigned kThreads = 256;
    unsigned across = 1, down = 1;
    while (across < kThreads && across < pieces) across *= 2;
    while (across > 32 && 8 * (ceil_div(pieces, across) * across - pieces) > pieces)
      across /= 2;  // idle threads
    while (down * across < kThreads && down < rows) down *= 2;
    const Index blocks = ceil_div(rows, down) * ceil_div(pieces, across);
    block = dim3(across, down);
    grid = dim3(static_cast<unsigned>(blocks));
  }
};
PRIMITIVE void row_grid_place(Index pieces, Index* row, Index* piece) {
  const auto blocks = static_cast<unsigned>(ceil_div(pieces, blockDim.x));
  *row = Index{blockIdx.x / blocks} * blockDim.y + threadIdx.y;
  *piece = Index{blockIdx.x % blocks} * blockDim.x + threadIdx.x;
}

}  // namespace cuda
