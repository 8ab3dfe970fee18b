// What both directions of attention know of a call: its sizes, and which keys a query sees (attention.cc).
#pragma once
#include "ops/attention_weights.h"

namespace ISA {

namespace {

constexpr Index kMaxHead = 32768;  // D: bounded by scratch memory

// The optional tensors that decide what is seen, beside lengths.
struct Masks {
  IdsOpt starts;
  In32Opt slopes;
  IdsOpt blocks;
  Index block_size;
};

struct Problem {
  Index B, T, S, H, G, D;
  const std::int32_t* lengths;
  Index lengths_stride;
  Masks masks;
  float scale;
  Index behind, ahead;  // a query sees so many keys before its own place, and so many after it
  Dropout dropout;

  Problem(const View& q, const View& k, const IdsOpt& lengths, const Masks& masks, float scale, Index causal,
          Index window, float p, Index seed, Index position)
      : B(q.size[0]),
        T(q.size[1]),
        S(k.size[1]),
        H(q.size[2]),
        G(k.size[2]),
        D(q.size[3]),
        lengths(lengths ? lengths.at() : nullptr),
        lengths_stride(lengths.stride[0]),
        masks(masks),
        scale(scale),
        behind(window > 0 ? window - 1 : kFar),
        ahead(causal ? 0 : behind),
        dropout{p, static_cast<std::uint64_t>(seed), static_cast<std::uint64_t>(position)} {}

  bool sound() const {
    if (D > kMaxHead) report_index_fault(0, D, kMaxHead + 1);
    const auto& [starts, slopes, blocks, n] = masks;
    const bool fit =
        !blocks || (n > 0 && blocks.size[0] >= ceil_div(T, n) && blocks.size[1] >= ceil_div(S, n));
    return G > 0 && H % G == 0 && D <= kMaxHead && fit;
  }
  // Whether q, k and v are more than an L2 cache keeps from the kernel that made them.
  bool is_far() const { return (B * T * H + 2 * B * S * G) * D * Index{sizeof(Real)} > Index{1} << 20; }
  // Of a row of D in lanes, and of one whose words are broadcast.
  Index row_length() const { return padded(D); }
  Index word_length() const { return padded(words(D)); }
  // The keys of sequence b, and those of them that query i sees.
  Index keys(Index b) const { return lengths ? max(0, min(S, lengths[b * lengths_stride])) : S; }
  Index first_seen(Index i) const { return max(0, i + S - T - behind); }
  Index seen_until(Index keys, Index i) const { return max(0, min(keys, i + S - T + ahead + 1)); }
  // The same as bands of a tile: of keys from j on for rows of queries from i on, and the other way round.
  Band keys_seen(Index i, Index j) const { return {i + S - T - behind - j, i + S - T + ahead + 1 - j}; }
  Band queries_seeing(Index j, Index i) const {
    return {j - (S - T) - ahead - i, j - (S - T) + behind + 1 - i};
  }
  // The number of an element of p in the stream of random numbers.
  std::uint64_t element(Index b, Index h, Index i, Index j) const {
    return static_cast<std::uint64_t>(((b * H + h) * T + i) * S + j);
  }

  bool is_masked() const { return masks.starts || masks.slopes || masks.blocks; }
  // From the first to the last of `keys` that starts and blocks let any of `queries` see, and of `queries`
  // that they let see any of `keys`.
  Range keys_left(Index b, Range queries, Range keys) const;
  Range queries_left(Index b, Range queries, Range keys) const;
  // Scores of queries from i and keys from j on, in place: to the base 2, with slopes, −∞ where starts or
  // blocks hide the key. Rows are keys and columns are `queries` queries, or the other way round.
  template <bool kRowsAreKeys>
  void mask(const Scores& tile, Index b, Index h, Index i, Index j, Index queries, float* s) const;

 private:
  bool shows(Index i, Index j) const {
    return *masks.blocks.at(i / masks.block_size, j / masks.block_size) != 0;
  }
  // Whether any block of `queries` and `keys` is there.
  bool any(Range queries, Range keys) const {
    const Index n = masks.block_size;
    for (Index i = queries.begin / n * n; i < queries.end; i += n)
      for (Index j = keys.begin / n * n; j < keys.end; j += n)
        if (shows(i, j)) return true;
    return false;
  }
  // `range` without what `is_there(block of it)` denies at its ends.
  template <class F>
  Range trimmed(Range range, const F& is_there) const {
    const Index n = masks.block_size;
    while (range.size() > 0 && !is_there(Range{range.begin, range.begin + 1}))
      range.begin = (range.begin / n + 1) * n;
    while (range.size() > 0 && !is_there(Range{range.end - 1, range.end}))
      range.end = (range.end - 1) / n * n;
    return range;
  }
};

inline Range Problem::keys_left(Index b, Range queries, Range keys) const {
  if (masks.starts) {
    Index first = kFar;
    for (Index i = queries.begin; i < queries.end; ++i) first = min(first, *masks.starts.at(b, i));
    keys.begin = max(keys.begin, first);
  }
  return masks.blocks ? trimmed(keys, [&](Range some) { return any(queries, some); }) : keys;
}

inline Range Problem::queries_left(Index b, Range queries, Range keys) const {
  if (masks.starts) {
    const auto sees = [&](Index i) { return *masks.starts.at(b, i) < keys.end; };
    while (queries.size() > 0 && !sees(queries.begin)) ++queries.begin;
    while (queries.size() > 0 && !sees(queries.end - 1)) --queries.end;
  }
  return masks.blocks ? trimmed(queries, [&](Range some) { return any(some, keys); }) : queries;
}

template <bool kRowsAreKeys>
void Problem::mask(const Scores& tile, Index b, Index h, Index i, Index j, Index queries, float* s) const {
  const auto& [starts, slopes, blocks, n] = masks;
  const float factor = scale * kLog2e, slope = slopes ? *slopes.at(h) * kLog2e : 0;
  const float apart = static_cast<float>(j - (i + S - T));
  const Index row_0 = kRowsAreKeys ? j : i, column_0 = kRowsAreKeys ? i : j,
              column_end = kRowsAreKeys ? T : S;
  float start[kBlock] = {}, shown[kStrip];
  for (Index q = 0; starts && q < queries; ++q) start[q] = static_cast<float>(*starts.at(b, i + q) - j);
  Index until = 0;  // the row at which another row of blocks begins
  for (Index r = 0; r < tile.rows; ++r) {
    if (blocks && r >= until) {
      until = ((row_0 + r) / n + 1) * n - row_0;
      for (Index c = 0; c < tile.columns; ++c) {
        const Index column = min(column_0 + c, column_end - 1);
        shown[c] = kRowsAreKeys ? shows(column, row_0 + r) : shows(row_0 + r, column);
      }
    }
    const float row = static_cast<float>(r);
    for (Index c = 0; c < tile.columns; c += kWidth) {
      const Vec<kWidth> column = lane_numbers() + static_cast<float>(c);
      Vec<kWidth> x = load<kWidth>(s + r * kStrip + c) * factor;
      if (slopes) x += slope * (kRowsAreKeys ? (row + apart) - column : column + (apart - row));
      if (starts) {
        const Vec<kWidth> key = kRowsAreKeys ? splat<kWidth>(row) : column;
        const Vec<kWidth> first = kRowsAreKeys ? load<kWidth>(start + c) : splat<kWidth>(start[r]);
        x = key < first ? splat<kWidth>(-kInfinity) : x;
      }
      if (blocks) x = load<kWidth>(shown + c) == 0.f ? splat<kWidth>(-kInfinity) : x;
      store<kWidth>(s + r * kStrip + c, x);
    }
  }
}

}  // namespace

}  // namespace ISA
