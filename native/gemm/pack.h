// Copies panels of a and b into the order in which the micro-kernel reads them, as words (see blocking.h).
//
//   to[w][i] = word(from[i · stride + k · k_stride], …)    i: a row of a or a column of b; k = w · kWordElements
//
// Either axis may be the contiguous one. If it is i, runs of i are copied; if it is k, squares of lanes × lanes
// words are loaded along k and transposed in registers. The tiles of AMX want a the other way round (to[i][w], 16
// words of k after another): there it is the other axis that needs the transposition.
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

// The bits of N numbers in bf16, each in the lower half of a word.
template <int N>
inline WordVec<N> bf16_bits(const bf16* p) { return widen<N>(read_vector<HalfVec<N>>(p)); }
template <int N>
inline WordVec<N> bf16_bits(const float* p) { return rounded_bits<N>(load<N>(p)); }

template <int N, int... I>
inline WordVec<N> every_second(WordVec<N> p, WordVec<N> q, int odd, IntList<I...>) {
  return odd ? __builtin_shufflevector(p, q, (2 * I + 1)...) : __builtin_shufflevector(p, q, (2 * I)...);
}

// N words along i at word w; beyond K come zeros.
template <int N, class T>
inline Vec<N> words_along_i(const OperandOf<T>& from, Index i, Index w, Index K) {
  const T* p = from.at(i, w * kWordElements);
  if constexpr (kPairs) {
    const WordVec<N> low = bf16_bits<N>(p);
    return (Vec<N>)(w * 2 + 1 < K ? low | bf16_bits<N>(p + from.k_stride) << 16 : low);
  }
  return load<N>(p);
}

// N words along k from w on, all of which must lie before K.
template <int N, class T>
inline Vec<N> words_along_k(const OperandOf<T>& from, Index i, Index w) {
  const T* p = from.at(i, w * kWordElements);
  if constexpr (kPairs) {
    if constexpr (sizeof(T) == 2) return read_vector<Vec<N>>(p);
    const WordVec<N> first = bf16_bits<N>(p), second = bf16_bits<N>(p + N);
    using List = typename CountTo<N>::List;
    return (Vec<N>)(every_second<N>(first, second, 0, List()) | every_second<N>(first, second, 1, List()) << 16);
  } else {
    return load<N>(p);
  }
}

template <class T>
inline float word_at(const OperandOf<T>& from, Index i, Index w, Index K) {
  return words_along_i<1>(from, i, w, K)[0];
}

// to[0, count) = the words from i on, in pieces of halving width; count < 2N.
template <int N, class T>
inline void copy_run(const OperandOf<T>& from, Index i, Index w, Index K, float* to, Index count) {
  if (count >= N) {
    write_vector(to, words_along_i<N>(from, i, w, K));
    i += N, to += N, count -= N;
  }
  if constexpr (N > 1) copy_run<N / 2>(from, i, w, K, to, count);
}

// The words of up to N of i and of k, from i and w on: square[j] holds those of i + j, along k.
template <int N, class T>
inline void load_square(const OperandOf<T>& from, Index i, Index count, Index w, Vec<N> (&square)[N]) {
  const Index last = min(N, count - i) - 1;
#pragma GCC unroll 16
  for (int j = 0; j < N; ++j) square[j] = words_along_k<N>(from, i + min(j, last), w);
}

inline void clear_words(float* to, Index count) { __builtin_memset(to, 0, count * sizeof *to); }

// One panel of `count` of i, [words][width]. A panel of b has whole vectors; what lies beyond count in the last
// one becomes copies or zeros: nobody reads those sums, but stale subnormals would slow them. A panel of a has
// width = count; the last vector of a word may reach into the next word, which is written later (hence the last
// vectors first where squares of several words are stored), so that `to` needs room for `lanes` words more. Beyond
// its own i, up to `available` of them may be read. `streams`: to memory, past the caches (see stream); width is whole vectors.
template <bool streams = false, class T>
inline void pack_panel(const OperandOf<T>& from, Index count, Index available, Index width, Index K, float* to) {
  constexpr int N = kGemm.lanes;
  const Index whole = K / kWordElements, used = (K + kWordElements - 1) / kWordElements;
  const auto put = [](float* p, Vec<N> v) { streams ? stream<N>(p, v) : store<N>(p, v); };
  if (from.stride == 1) {
    for (Index w = 0; w < used; ++w) {
      float* to_w = to + w * width;
      Index i = 0;
      const Index limit = width == count ? available : count;
      for (; i < count && i + N <= limit; i += N) put(to_w + i, words_along_i<N>(from, i, w, K));
      if (i >= count) continue;
      if (width > count) store<N>(to_w + i, Vec<N>{});
      copy_run<N / 2>(from, i, w, K, to_w + i, count - i);
    }
  } else {
    Index w = 0;
    if (from.k_stride == 1)
      for (; w + N <= whole; w += N)
        for (Index i = (count - 1) / N * N; i >= 0; i -= N) {
          Vec<N> square[N];
          load_square(from, i, count, w, square);
          transpose<N>(square);
#pragma GCC unroll 16
          for (int j = 0; j < N; ++j) put(to + (w + j) * width + i, square[j]);
        }
    for (; w < used; ++w)
      for (Index i = 0; i < width; ++i) to[w * width + i] = i < count ? word_at(from, i, w, K) : 0;
  }
  clear_words(to + used * width, (words_of(K) - used) * width);
}

// One panel of a for tile registers, [words / N][rows][N]; the rows beyond count are zeros.
template <class T>
inline void pack_tiles(const OperandOf<T>& from, Index count, Index K, float* to) {
  constexpr int N = kGemm.lanes;
  constexpr Index rows = kGemm.rows;
  const Index whole = K / kWordElements, used = (K + kWordElements - 1) / kWordElements;
  for (Index w = 0; w < words_of(K); w += N, to += rows * N) {
    clear_words(to + count * N, (rows - count) * N);
    if (from.k_stride == 1 && w + N <= whole) {
      for (Index i = 0; i < count; ++i) write_vector(to + i * N, words_along_k<N>(from, i, w));
    } else if (from.stride == 1 && w + N <= used) {
      for (Index i = 0; i < count; i += N) {
        if (i + N > count) {
          for (Index r = i; r < count; ++r)
            for (Index j = 0; j < N; ++j) to[r * N + j] = word_at(from, r, w + j, K);
          continue;
        }
        Vec<N> square[N];
#pragma GCC unroll 16
        for (int j = 0; j < N; ++j) square[j] = words_along_i<N>(from, i, w + j, K);
        transpose<N>(square);
#pragma GCC unroll 16
        for (int j = 0; j < N; ++j) write_vector(to + (i + j) * N, square[j]);
      }
    } else {
      for (Index i = 0; i < count; ++i)
        for (Index j = 0; j < N; ++j) to[i * N + j] = w + j < used ? word_at(from, i, w + j, K) : 0;
    }
  }
}

// Panels [first, end) one after another, panel p with count(p) of i from start(p) on, width(p) wide, with gaps of
// kGap words between them.
template <class T, class Partition>
inline void pack_panels(const OperandOf<T>& from, const Partition& panels, Index first, Index end, Index K,
                        float* to) {
  // Where i is contiguous, all panels take their part of some k before the next ones: long runs, few pages.
  const Index step = from.stride == 1 ? min(K, 32) : K;
  for (Index k = 0; k < K; k += step)
    for (Index p = first; p < end; ++p) {
      const Index width = panels.width(p);
      pack_panel(from.from(panels.start(p), k), panels.count(p), panels.available(p), width, min(step, K - k),
                 to + (panels.start(p) - panels.start(first)) * words_of(K) + (p - first) * Partition::kGap +
                     k / kWordElements * width);
    }
}

}  // namespace ISA
