// Axes of tensors of one shape but different strides, joined where all of them advance alike.
#pragma once
#include "kernel.h"

namespace ISA {

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
  Index count() const {
    Index product = 1;
    for (int axis = 0; axis < rank; ++axis) product *= size[axis];
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
  // All strides of tensor k in one word, for streams().
  Index strides_of(int k) const {
    Index all = 0;
    for (int axis = 0; axis < rank; ++axis) all |= stride[k][axis];
    return all;
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

// Visits rows [begin, end) of all axes: f(offset in each tensor...).
template <int K, class F>
void walk(const Axes<K>& axes, Index begin, Index end, const F& f) {
  Index at[kMaxRank], offset[K] = {}, n = begin;
  for (int axis = axes.rank - 1; axis >= 0; --axis) {
    at[axis] = n % axes.size[axis];
    n /= axes.size[axis];
    for (int k = 0; k < K; ++k) offset[k] += at[axis] * axes.stride[k][axis];
  }
  for (Index row = begin; row < end; ++row) {
    if constexpr (K == 2)
      f(offset[0], offset[1]);
    else
      f(offset[0], offset[1], offset[2]);
    for (int axis = axes.rank - 1; axis >= 0; --axis) {
      for (int k = 0; k < K; ++k) offset[k] += axes.stride[k][axis];
      if (++at[axis] < axes.size[axis]) break;
      for (int k = 0; k < K; ++k) offset[k] -= axes.size[axis] * axes.stride[k][axis];
      at[axis] = 0;
    }
  }
}

// f(begin, end, offset in each tensor...) for pieces [begin, end) of rows of `length`, in parallel.
template <int K, class F>
void parallel_walk(const Axes<K>& rows, Index length, const F& f) {
  const Index pieces = ceil_div(length, kGrain), block = max(1, kGrain / length), count = rows.count();
  parallel(ceil_div(count, block) * pieces, [&](Index chunk) {
    const Index begin = chunk / pieces * block, from = chunk % pieces * kGrain;
    walk(rows, begin, min(count, begin + block),
         [&](auto... offsets) { f(from, min(length, from + kGrain), offsets...); });
  });
}

}  // namespace ISA
