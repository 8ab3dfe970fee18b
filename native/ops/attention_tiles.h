// The tiles of attention: how they are loaded, multiplied and exponentiated. A tile is a small row-major
// matrix of f32 in scratch memory; its row length is a multiple of kWidth, so that no loop over a row has a
// tail.
#pragma once
#include "kernel.h"
#include "philox.h"

namespace ISA {

namespace {

constexpr int kWidth =
    kLanes > 1 ? kLanes : 4;  // the compiler splits or emulates four lanes where there is one
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTileRows = 8;  // of 32 registers: 16 sums
#else
constexpr int kTileRows = 6;  // of 16 registers: 12 sums
#endif

inline Index padded(Index count) { return ceil_div(count, kWidth) * kWidth; }
inline void clear(float* p, Index count) {
  __builtin_memset(p, 0, static_cast<std::size_t>(count) * sizeof *p);
}

// kRows × kVectors·kWidth sums stay in registers: an element of a, broadcast, times a row of b.
template <bool kTransposed, int kRows, int kVectors>
inline void multiply_block(Index depth, const float* a, Index lda, const float* b, Index ldb, float* c,
                           Index ldc, bool add) {
  Vec<kWidth> sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = add ? load<kWidth>(c + r * ldc + v * kWidth) : Vec<kWidth>{};
  for (Index k = 0; k < depth; ++k) {
    Vec<kWidth> b_k[kVectors];
    for (int v = 0; v < kVectors; ++v) b_k[v] = load<kWidth>(b + k * ldb + v * kWidth);
    for (int r = 0; r < kRows; ++r) {
      const Vec<kWidth> a_rk = splat<kWidth>(kTransposed ? a[k * lda + r] : a[r * lda + k]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] += a_rk * b_k[v];
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store<kWidth>(c + r * ldc + v * kWidth, sum[r][v]);
}

// Row r of a product has terms only at depths [from + r, until + r): a triangle, such as a causal mask
// leaves.
struct Band {
  Index from, until;
};
constexpr Band kWhole = {-(Index{1} << 60), Index{1} << 60};

template <bool kTransposed, int kVectors>
inline void multiply_panel(Index rows, Index depth, const float* a, Index lda, const float* b, Index ldb,
                           float* c, Index ldc, bool add, Band band) {
  const auto block = [&](auto size, Index r) {
    const Index first = max(0, band.from + r), last = min(depth, band.until + r + size.lanes - 1);
    const float* a_r = kTransposed ? a + first * lda + r : a + r * lda + first;
    multiply_block<kTransposed, size.lanes, kVectors>(last - first, a_r, lda, b + first * ldb, ldb,
                                                      c + r * ldc, ldc, add);
  };
  Index r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) block(Lanes<kTileRows>{}, r);
  for (; r + 4 <= rows; r += 4) block(Lanes<4>{}, r);
  for (; r < rows; ++r) block(Lanes<1>{}, r);
}

// c [rows, columns] = a·b, or += with `add`; a [rows, depth], or [depth, rows] if kTransposed; b [depth,
// columns]. Columns are a multiple of kWidth. Terms outside of the band are zeros that need not be there.
template <bool kTransposed>
inline void multiply(Index rows, Index columns, Index depth, const float* a, Index lda, const float* b,
                     Index ldb, float* c, Index ldc, bool add, Band band) {
  Index n = 0;
  for (; n + 2 * kWidth <= columns; n += 2 * kWidth)
    multiply_panel<kTransposed, 2>(rows, depth, a, lda, b + n, ldb, c + n, ldc, add, band);
  if (n < columns) multiply_panel<kTransposed, 1>(rows, depth, a, lda, b + n, ldb, c + n, ldc, add, band);
}

// to [rows, padded(columns)] = from [rows, columns] · factor, padded with zeros.
template <class T>
inline void load_rows(const T* from, Index stride, Index rows, Index columns, float factor, float* to) {
  const Index ld = padded(columns), whole = columns / kWidth * kWidth;
  for (Index r = 0; r < rows; ++r, from += stride, to += ld) {
    for (Index i = 0; i < whole; i += kWidth) store<kWidth>(to + i, load<kWidth>(from + i) * factor);
    for (Index i = whole; i < ld; ++i) to[i] = i < columns ? to_float(from[i]) * factor : 0;
  }
}

// to [columns, ld] = (from [rows, columns] · factor)ᵀ; rows up to padded(rows) are zeros.
template <class T>
inline void load_transposed(const T* from, Index stride, Index rows, Index columns, float factor, float* to,
                            Index ld) {
  const Index whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (Index r = 0; r < whole_rows; r += 4)
    for (Index i = 0; i < whole_columns; i += 4) {
      const T* p = from + r * stride + i;
      const Vec<4> a = load<4>(p) * factor, b = load<4>(p + stride) * factor;
      const Vec<4> c = load<4>(p + 2 * stride) * factor, d = load<4>(p + 3 * stride) * factor;
      const Vec<4> ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                   AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const Vec<4> cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                   CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      store<4>(to + i * ld + r, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
      store<4>(to + (i + 1) * ld + r, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
      store<4>(to + (i + 2) * ld + r, __builtin_shufflevector(AB, CD, 0, 1, 4, 5));
      store<4>(to + (i + 3) * ld + r, __builtin_shufflevector(AB, CD, 2, 3, 6, 7));
    }
  for (Index i = whole_columns; i < columns; ++i)
    for (Index r = 0; r < whole_rows; ++r) to[i * ld + r] = to_float(from[r * stride + i]) * factor;
  for (Index i = 0; i < columns; ++i)
    for (Index r = whole_rows; r < padded(rows); ++r)
      to[i * ld + r] = r < rows ? to_float(from[r * stride + i]) * factor : 0;
}

template <class T>
inline void store_row(const float* from, Index columns, float factor, T* to) {
  const Row<const float> from_row{from};
  const Row<T> to_row{to};
  each(columns, [&](auto i) { to_row.set(i, from_row[i] * factor); });
}

inline Vec<kWidth> lane_numbers() {
  Vec<kWidth> lane{};
  for (int k = 0; k < kWidth; ++k) lane[k] = static_cast<float>(k);
  return lane;
}

// 2ˣ for x ≤ 127: n = round(x), 2ʳ by a minimax polynomial for |r| ≤ ½ (relative error 9.2e-8). The constant
// that rounds also adds the bias of the exponent, so that its low bits, shifted, are 2ⁿ. Below 2⁻¹²⁶ and for
// −∞ it is 0.
inline Vec<kWidth> exp2(Vec<kWidth> x) {
  const Vec<kWidth> magic = splat<kWidth>(12582912.f + 127.f);  // 1.5·2²³ + bias
  const Vec<kWidth> shifted = x + magic;
  const Vec<kWidth> r = x - (shifted - magic);
  Vec<kWidth> p = splat<kWidth>(1.326472731307149e-3f);
  p = p * r + 9.671512991189957e-3f;
  p = p * r + 5.550733581185341e-2f;
  p = p * r + 2.4022242426872253e-1f;
  p = p * r + 6.931470036506653e-1f;
  p = p * r + 1.f;
  const Vec<kWidth> power = (Vec<kWidth>)((WordVec<kWidth>)shifted << 23);
  return x < -126.f ? Vec<kWidth>{} : p * power;
}

// log₂ x of a normal number: x = m·2ᵉ with m in [√½, √2), log m = 2·artanh(t), t = (m − 1) / (m + 1).
inline float log2(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const std::int32_t e = static_cast<std::int32_t>(bits - 0x3f3504f3u) >> 23;
  bits -= static_cast<std::uint32_t>(e) << 23;
  float m;
  __builtin_memcpy(&m, &bits, sizeof m);
  const float t = (m - 1) / (m + 1), z = t * t;
  const float series = 1 + z * (1 / 3.f + z * (1 / 5.f + z * (1 / 7.f + z * (1 / 9.f))));
  return static_cast<float>(e) + t * series * 2.885390081777927f;
}

// The random numbers of dropout: element ((b·H + h)·T + i)·S + j of a stream of uniforms is kept if it is ≥
// p.
struct Dropout {
  float p;
  std::uint64_t seed, position;
  explicit operator bool() const { return p > 0; }
  float scale() const { return p <= 0 ? 1 : p < 1 ? 1 / (1 - p) : 0; }

  // out[0, count) = the uniforms from element `first` on. Writes up to padded(count); count ≤ kMost.
  static constexpr Index kMost = 128;
  void uniforms(std::uint64_t first, Index count, float* out) const {
    std::uint32_t words[kMost + kWidth + 8];
    const Index skip = static_cast<Index>(first & 3);
    philox_blocks(seed, position + first / 4, ceil_div(skip + count, 4), words);
    for (Index i = 0; i < count; i += kWidth) store<kWidth>(out + i, uniform<kWidth>(words + skip + i));
  }
};

}  // namespace

}  // namespace ISA
