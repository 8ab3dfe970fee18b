// Copies panels of a and b into the order in which the micro-kernel reads them, as f32.
//
//   to[k][i] = from[i · stride + k · k_stride]        i: a row of a or a column of b
//
// Either axis may be the contiguous one. If it is i, runs of i are copied; if it is k, squares of lanes × lanes
// are loaded along k and transposed in registers.
#pragma once
#include "product.h"

namespace ISA {

template <int...>
struct IntList {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using List = IntList<I...>;
};

// Swaps, in each pair of rows that are `apart` apart, the odd blocks of `apart` elements of the first with the
// even blocks of the second. Done for 1, 2, 4, … it transposes.
template <int apart, int N, int... I>
inline void exchange(Vec<N> (&row)[N], IntList<I...>) {
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) {
    if (i & apart) continue;
    const Vec<N> p = row[i], q = row[i + apart];
    row[i] = __builtin_shufflevector(p, q, (I & apart ? N + I - apart : I)...);
    row[i + apart] = __builtin_shufflevector(p, q, (I & apart ? N + I : I + apart)...);
  }
}

template <int N, int apart = 1>
inline void transpose(Vec<N> (&row)[N]) {
  exchange<apart, N>(row, typename CountTo<N>::List());
  if constexpr (2 * apart < N) transpose<N, 2 * apart>(row);
}

// to[0, count) = from[0, count), in pieces of halving width; count < 2N.
template <int N>
inline void copy_run(const Real* from, float* to, Index count) {
  if (count >= N) {
    store<N>(to, load<N>(from));
    from += N, to += N, count -= N;
  }
  if constexpr (N > 1) copy_run<N / 2>(from, to, count);
}

// One panel: `count` of i, and a new k every `width` floats. A panel of b has whole vectors; what lies beyond
// count in the last one becomes copies or zeros: nobody reads those sums, but stale subnormals would slow them.
// A panel of a has width = count; the last vector of a k may reach into the next k, which is written later, so
// that `to` needs room for `lanes` floats more.
inline void pack_panel(Operand from, Index count, Index width, Index K, float* to) {
  constexpr int N = kGemm.lanes;
  if (from.stride == 1) {
    for (Index k = 0; k < K; ++k) {
      const Real* run = from.at(0, k);
      float* to_k = to + k * width;
      Index i = 0;
      for (; i + N <= count; i += N) store<N>(to_k + i, load<N>(run + i));
      if (i == count) continue;
      if (width > count) store<N>(to_k + i, Vec<N>{});
      copy_run<N / 2>(run + i, to_k + i, count - i);
    }
    return;
  }
  Index k = 0;
  if (from.k_stride == 1)
    for (; k + N <= K; k += N)
      for (Index i = 0; i < count; i += N) {
        const Index last = min(N, count - i) - 1;
        Vec<N> square[N];
#pragma GCC unroll 16
        for (int j = 0; j < N; ++j) square[j] = load<N>(from.at(i + min(j, last), k));
        transpose<N>(square);
#pragma GCC unroll 16
        for (int j = 0; j < N; ++j) store<N>(to + (k + j) * width + i, square[j]);
      }
  for (; k < K; ++k)
    for (Index i = 0; i < width; ++i) to[k * width + i] = i < count ? to_float(*from.at(i, k)) : 0;
}

// Panels [first, end) one after another, panel p with count(p) of i from start(p) on, width(p) wide.
template <class Partition>
inline void pack_panels(Operand from, const Partition& panels, Index first, Index end, Index K, float* to) {
  // Where i is contiguous, all panels take their part of some k before the next ones: long runs, few pages.
  const Index step = from.stride == 1 ? min(K, 32) : K;
  for (Index k = 0; k < K; k += step)
    for (Index p = first; p < end; ++p) {
      const Index width = panels.width(p);
      pack_panel(from.from(panels.start(p), k), panels.count(p), width, min(step, K - k),
                 to + (panels.start(p) - panels.start(first)) * K + k * width);
    }
}

}  // namespace ISA
