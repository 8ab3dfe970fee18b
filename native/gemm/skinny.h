// The matrix product for a few rows of a: bound by reading b, which is read once, where it lies.
//
//   b contiguous along n   y[m, :] = Σ_k a[m, k] · b[k, :]      rows of b added to sums in the L1 cache
//   b contiguous along k   y[m, n] = a[m, :] · b[:, n]          dot products
#pragma once
#include "product.h"

namespace ISA {

constexpr Index kSkinnyFloats = 1 << 15;  // of b that pay for handing out a chunk
constexpr Index kSkinnySums = 4096;       // of a chunk: they stay in the L1 cache

// sums[r][n] += Σ_k a[r][k] · b[k][n], for k < depth and n < columns.
template <int rows, int depth>
inline void add_scaled_rows(const float* a, Index K, const Real* b, Index k_stride, Index columns,
                            float* sums, Index stride) {
  constexpr int N = kGemm.lanes;
  const auto step = [&](auto i) {
    Vec<i.lanes> b_k[depth];
#pragma GCC unroll 4
    for (int k = 0; k < depth; ++k) b_k[k] = load<i.lanes>(b + k * k_stride + i.at);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      float* to = sums + r * stride + i.at;
      Vec<i.lanes> sum = load<i.lanes>(to);
#pragma GCC unroll 4
      for (int k = 0; k < depth; ++k) sum += splat<i.lanes>(a[r * K + k]) * b_k[k];
      store<i.lanes>(to, sum);
    }
  };
  Index n = 0;
  for (; n + N <= columns; n += N) step(Lanes<N>{n});
  for (; n < columns; ++n) step(Lanes<1>{n});
}

// sums[r] = Σ_k a[r][k] · b[k], for r < rows. One column of b at a time: memory is fastest when read end to end.
template <int rows>
inline void dot_products(const float* a, Index K, const Real* b, float* sums, Index stride) {
  constexpr int N = kGemm.lanes, kChains = 4;
  Vec<N> sum[rows][kChains] = {};
  const auto step = [&](int chain, Index k) {
    const Vec<N> b_k = load<N>(b + k);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) sum[r][chain] += load<N>(a + r * K + k) * b_k;
  };
  Index k = 0;
  for (; k + kChains * N <= K; k += kChains * N)
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) step(chain, k + chain * N);
  for (; k + N <= K; k += N) step(0, k);
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
    float total = add_lanes<N>((sum[r][0] + sum[r][1]) + (sum[r][2] + sum[r][3]));
    for (Index j = k; j < K; ++j) total += a[r * K + j] * to_float(b[j]);
    sums[r * stride] = total;
  }
}

// The sums of `rows` rows of a and a chunk of columns of b.
template <int rows>
__attribute__((noinline)) void skinny_sums(const float* a, Index K, Operand b, Index columns, float* sums,
                                           Index stride) {
  if (b.stride == 1) {
    for (int r = 0; r < rows; ++r)
      for (Index n = 0; n < columns; ++n) sums[r * stride + n] = 0;
    Index k = 0;
    for (; k + 4 <= K; k += 4)
      add_scaled_rows<rows, 4>(a + k, K, b.at(0, k), b.k_stride, columns, sums, stride);
    for (; k < K; ++k) add_scaled_rows<rows, 1>(a + k, K, b.at(0, k), b.k_stride, columns, sums, stride);
  } else {
    for (Index n = 0; n < columns; ++n) dot_products<rows>(a, K, b.at(n, 0), sums + n, stride);
  }
}

template <class Epilogue>
inline void multiply_skinny(const Product& p, const Epilogue& epilogue) {
  Scratch scratch;
  float* a = scratch.floats(p.M * p.K);
  for (Index m = 0; m < p.M; ++m)
    for (Index k = 0; k < p.K; ++k) a[m * p.K + k] = to_float(*p.a.at(m, k));
  const Index wanted = max(ceil_div(p.N, kChunks), max(64, kSkinnyFloats / max(1, p.K)));
  const Index columns = min(kSkinnySums / p.M / 16, ceil_div(wanted, 16)) * 16;
  for_chunks(ceil_div(p.N, columns), p.alone, [&](Index chunk) {
    const Index n = chunk * columns, count = min(columns, p.N - n);
    alignas(64) float sums[kSkinnySums];
    Index m = 0;
    const auto next_rows = [&](auto rows) {
      for (; m + rows.lanes <= p.M; m += rows.lanes)
        skinny_sums<rows.lanes>(a + m * p.K, p.K, p.b.from(n, 0), count, sums + m * columns, columns);
    };
    if (kGemm.rows > 6 || p.b.stride == 1) next_rows(Lanes<4>{});
    next_rows(Lanes<2>{});
    next_rows(Lanes<1>{});
    epilogue(sums, columns, 0, n, p.M, count);
  });
}

}  // namespace ISA
