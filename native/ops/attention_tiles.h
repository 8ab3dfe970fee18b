// The tiles of attention: how they are loaded and multiplied. A tile is a small row-major matrix in scratch
// memory; its row length is a multiple of kWidth, so that no loop over a row has a tail.
//
// Sums and scores are f32. What is multiplied consists of words along the axis that is summed over (see
// gemm/blocking.h): a float, or a pair of bf16 where the processor multiplies those.
#pragma once
#include "gemm/microkernel.h"
#include "gemm/pack.h"

namespace ISA {

namespace {

constexpr int kWidth = kGemm.lanes;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTileRows = 8;  // of 32 registers: 16 sums
#else
constexpr int kTileRows = 6;  // of 16 registers: 12 sums
#endif

constexpr Index kStrip = 32;  // columns of scores: queries forward, keys backward
constexpr Index kBlock = 64;  // rows of scores: keys forward, queries backward
constexpr Index kHalf = kStrip / 2;

inline Index padded(Index count) { return ceil_div(count, kWidth) * kWidth; }
inline Index words(Index count) { return ceil_div(count, kWordElements); }
inline void clear(float* p, Index count) {
  if (count > 0) __builtin_memset(p, 0, static_cast<std::size_t>(count) * sizeof *p);
}

struct Range {
  Index begin, end;
  Index size() const { return end - begin; }
};

// Row r of a product has terms only at depths [from + r, until + r): a triangle, such as a causal mask
// leaves, or the strip along the diagonal that a window does.
struct Band {
  Index from, until;
};
constexpr Index kFar = Index{1} << 60;
constexpr Band kWhole = {-kFar, kFar};

// The depths of `count` rows from r on, from a whole word to a whole word, if there are that many.
inline Range depths(Band band, Index r, Index count, Index depth) {
  const Index begin = max(0, band.from + r) / kWordElements * kWordElements;
  return {begin, min(depth, words(max(0, band.until + r + count - 1)) * kWordElements)};
}

// What of `rows`, counted from `origin` on, `left` leaves: from a whole word to a whole word.
inline Range whole_words(Range left, Index origin, Range rows) {
  const Index end = ceil_div(left.end - origin, kWordElements) * kWordElements;
  return {max(rows.begin, (left.begin - origin) / kWordElements * kWordElements), min(rows.end, end)};
}

// kRows × kVectors·kWidth sums stay in registers: a word of a, broadcast, times a row of b.
template <bool kTransposed, int kRows, int kVectors>
inline void multiply_block(Index words, const float* a, Index lda, const float* b, Index ldb, float* c,
                           Index ldc, bool add) {
  Vec<kWidth> sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = add ? load<kWidth>(c + r * ldc + v * kWidth) : Vec<kWidth>{};
  for (Index w = 0; w < words; ++w) {
    Vec<kWidth> b_w[kVectors];
    for (int v = 0; v < kVectors; ++v) b_w[v] = load<kWidth>(b + w * ldb + v * kWidth);
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kVectors; ++v)
        sum[r][v] = multiply_add<kWidth>(sum[r][v], kTransposed ? a + w * lda + r : a + r * lda + w, b_w[v]);
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store<kWidth>(c + r * ldc + v * kWidth, sum[r][v]);
}

template <bool kTransposed, int kVectors>
inline void multiply_panel(Index rows, Index depth, const float* a, Index lda, const float* b, Index ldb,
                           float* c, Index ldc, bool add, Band band) {
  const auto block = [&](auto size, Index r) {
    const Range range = depths(band, r, size.lanes, depth);
    if (add && range.size() <= 0) return;
    const Index w = range.begin / kWordElements;
    const float* a_r = kTransposed ? a + w * lda + r : a + r * lda + w;
    multiply_block<kTransposed, size.lanes, kVectors>(words(range.end) - w, a_r, lda, b + w * ldb, ldb,
                                                      c + r * ldc, ldc, add);
  };
  Index r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) block(Lanes<kTileRows>{}, r);
  for (; r + 4 <= rows; r += 4) block(Lanes<4>{}, r);
  for (; r < rows; ++r) block(Lanes<1>{}, r);
}

// c [rows, columns] = a·b, or += with `add`; a [rows, words(depth)], or [words(depth), rows] if kTransposed;
// b [words(depth), columns]. Columns are a multiple of kWidth. Terms outside of the band are zeros that need
// not be there.
template <bool kTransposed>
inline void multiply(Index rows, Index columns, Index depth, const float* a, Index lda, const float* b,
                     Index ldb, float* c, Index ldc, bool add, Band band) {
  Index n = 0;
  for (; n + 2 * kWidth <= columns; n += 2 * kWidth)
    multiply_panel<kTransposed, 2>(rows, depth, a, lda, b + n, ldb, c + n, ldc, add, band);
  if (n < columns) multiply_panel<kTransposed, 1>(rows, depth, a, lda, b + n, ldb, c + n, ldc, add, band);
}

inline Vec<kWidth> lane_numbers() {
  Vec<kWidth> lane{};
  for (int k = 0; k < kWidth; ++k) lane[k] = static_cast<float>(k);
  return lane;
}

// A tile of scores [rows ≤ kBlock, kStrip], of which column c counts at rows [from + c, until + c) of a band.
struct Scores {
  Index rows, columns;
  Band band;

  // The rows at which any of `count` columns from c on counts, in whole words.
  Range counting(Index c, Index count) const { return depths(band, c, count, rows); }
  // Whether all columns of the vector at c count at a row, and else which.
  bool is_inside(Index row, Index c) const {
    return row >= band.from + c + kWidth - 1 && row < band.until + c;
  }
  auto lanes_inside(Index row, Index c) const {
    const Vec<kWidth> column = lane_numbers() + static_cast<float>(c);
    return (column <= static_cast<float>(row - band.from)) & (column > static_cast<float>(row - band.until));
  }

  // to = a·b_t, where it counts: a [rows, words(depth)], b_t [words(depth), kStrip].
  void multiply(Index depth, const float* a, Index lda, const float* b_t, float* to) const {
    const auto part = [&](Index begin, Index end, Index c, Index width) {
      ISA::multiply<false>(end - begin, width, depth, a + begin * lda, lda, b_t + c, kStrip,
                           to + begin * kStrip + c, kStrip, false, kWhole);
    };
    const Range first = counting(0, min(kHalf, columns)), second = counting(kHalf, columns - kHalf);
    if (columns <= kHalf) return part(first.begin, first.end, 0, columns);
    part(first.begin, min(first.end, second.begin), 0, kHalf);
    part(second.begin, first.end, 0, columns);
    part(max(first.end, second.begin), second.end, kHalf, columns - kHalf);
  }

  // Zeros in the words of the rows at which no column of the vector at c counts.
  void clear_rest(float* to, Index c) const {
    const Range range = counting(c, kWidth);
    const Index begin = range.size() > 0 ? range.begin / kWordElements : words(rows);
    for (Index w = 0; w < begin; ++w) store<kWidth>(to + w * kStrip + c, Vec<kWidth>{});
    for (Index w = words(max(begin * kWordElements, range.end)); w < words(rows); ++w)
      store<kWidth>(to + w * kStrip + c, Vec<kWidth>{});
  }
};

// Asks for rows that will be read soon, or overwritten. A head's rows lie far apart: the processor does not
// foresee them.
template <bool kOverwritten = false, class T>
inline void prefetch_rows(const T* from, Index stride, Index rows, Index columns) {
  constexpr Index kLine = 64 / sizeof(T);
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < columns; c += kLine) __builtin_prefetch(from + r * stride + c, kOverwritten, 2);
}

// to [rows, ld] = the words of `from` [rows, columns] along its rows: what is broadcast.
inline void load_rows(const Real* from, Index stride, Index rows, Index columns, float* to, Index ld) {
  const Index used = words(columns), whole = columns / kWordElements / kWidth * kWidth;
  for (Index r = 0; r < rows; ++r, from += stride, to += ld) {
    const Operand row = {from, 0, 1};
    Index w = 0;
    for (; w < whole; w += kWidth) store<kWidth>(to + w, words_along_k<kWidth>(row, 0, w));
    for (; w < used; ++w) to[w] = word_at(row, 0, w, columns);
  }
}

// to [words(rows), padded(columns)] = the words of `from` [rows, columns] down its columns: a sum over the
// rows.
inline void load_columns(const Real* from, Index stride, Index rows, Index columns, float* to) {
  pack_panel(Operand{from, 1, stride}, columns, columns, padded(columns), rows, to);
}

// to [words(columns), ld] = the words of `from` [rows, columns] along its rows, transposed. Columns of `to`
// up to padded(rows) hold numbers, too.
inline void load_transposed(const Real* from, Index stride, Index rows, Index columns, float* to, Index ld) {
  pack_panel(Operand{from, stride, 1}, rows, rows, ld, columns, to);
}

// One vector of each of the rows of a word, as the words that lie under one another.
inline Vec<kWidth> words_of_rows(const Vec<kWidth> (&row)[kWordElements]) {
#if defined(__AVX512BF16__)
  if constexpr (kPairs) {
    const __m512i order =
        (__m512i)(WordVec<16>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} * 0x10001u + 0x100000u);
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)row[kWordElements - 1], (__m512)row[0]);
    return (Vec<kWidth>)_mm512_maskz_permutexvar_epi16(0xffffffff, order, halves);
  }
#endif
  return row[0];
}

// to[0, kWidth) = v in the dtype of the activations.
inline void store_rounded(Real* to, Vec<kWidth> v) {
#if defined(__AVX512BF16__)
  if constexpr (kPairs) return write_vector(to, _mm512_cvtneps_pbh((__m512)v));
#endif
  store<kWidth>(to, v);
}

inline void store_row(const float* from, Index columns, float factor, Real* to) {
  Index i = 0;
  for (; i + kWidth <= columns; i += kWidth) store_rounded(to + i, load<kWidth>(from + i) * factor);
  for (; i < columns; ++i) assign(to[i], from[i] * factor);
}

// to [columns, ld_to] = from [rows, columns]ᵀ, all multiples of kWidth.
inline void transpose_floats(const float* from, Index ld, Index rows, Index columns, float* to, Index ld_to) {
  for (Index r = 0; r < rows; r += kWidth)
    for (Index c = 0; c < columns; c += kWidth) {
      Vec<kWidth> square[kWidth];
#pragma GCC unroll 16
      for (int k = 0; k < kWidth; ++k) square[k] = load<kWidth>(from + (r + k) * ld + c);
      transpose<kWidth>(square);
#pragma GCC unroll 16
      for (int k = 0; k < kWidth; ++k) store<kWidth>(to + (c + k) * ld_to + r, square[k]);
    }
}

// to[r] = Σ a[r, :] · b[r, :]. Writes up to padded(rows).
inline void row_products(const Real* a, Index lda, const Real* b, Index ldb, Index rows, Index columns,
                         float* to) {
  for (Index first = 0; first < rows; first += kWidth) {
    Vec<kWidth> square[kWidth];
    for (int k = 0; k < kWidth; ++k) {
      const Index r = min(first + k, rows - 1);
      const Real *a_r = a + r * lda, *b_r = b + r * ldb;
      Vec<kWidth> sum{};
      Index i = 0;
      for (; i + kWidth <= columns; i += kWidth) sum += load<kWidth>(a_r + i) * load<kWidth>(b_r + i);
      for (; i < columns; ++i) sum[i % kWidth] += to_float(a_r[i]) * to_float(b_r[i]);
      square[k] = sum;
    }
    transpose<kWidth>(square);
    for (int apart = kWidth / 2; apart > 0; apart /= 2)
      for (int k = 0; k < apart; ++k) square[k] += square[k + apart];
    store<kWidth>(to + first, square[0]);
  }
}

}  // namespace

}  // namespace ISA
