// Attention of one query a row, T = 1, as where a text is continued: keys and values are read once, and reading
// them is all the time it takes. Lanes are channels, where tiles have queries in them.
#pragma once
#include "ops/attention_problem.h"

namespace ISA {

namespace {

constexpr Index kTokenKeys = 64;  // whose weights are known before their values are added; whole vectors

// y += Σ p[j] · v[j] for n rows of v, four at a time: y is loaded and stored once for four rows.
inline void add_values(const float* p, Index n, const Row<const Real>* v, Index D, float* y) {
  Index j = 0;
  for (; j + 4 <= n; j += 4)
    each(D, [&](auto i) {
      store<i.lanes>(y + i.at, load<i.lanes>(y + i.at) + (p[j] * v[j][i] + p[j + 1] * v[j + 1][i]) +
                                   (p[j + 2] * v[j + 2][i] + p[j + 3] * v[j + 3][i]));
    });
  for (; j < n; ++j)
    each(D, [&](auto i) { store<i.lanes>(y + i.at, load<i.lanes>(y + i.at) + p[j] * v[j][i]); });
}

// The query of head h in row b, without dropout and blocks. See attention.cc for the formulas; scores are to the
// base 2 here as well.
inline void attend_token(const Problem& the, Index b, Index h, const In& q, const In& k, const In& v, const Out& y,
                         const Out32& lse) {
  const auto& [starts, slopes, blocks, block_size] = the.masks;
  const Index D = the.D, g = h / (the.H / the.G);
  const Index first = starts ? max(the.first_seen(0), *starts.at(b, 0)) : the.first_seen(0);
  const Index end = the.seen_until(the.keys(b), 0);
  const float factor = the.scale * kLog2e, slope = slopes ? *slopes.at(h) * kLog2e : 0;
  Scratch scratch;
  float *query = scratch.floats(D), *sum_y = scratch.floats(D), *p = scratch.floats(kTokenKeys);
  const auto q_0 = q.row(b, 0, h);
  each(D, [&](auto i) {
    store<i.lanes>(query + i.at, q_0[i] * factor);
    store<i.lanes>(sum_y + i.at, Vec<i.lanes>{});
  });

  float reference = -kInfinity, total = 0;
  for (Index j0 = first; j0 < end; j0 += kTokenKeys) {
    const Index n = min(kTokenKeys, end - j0);
    Row<const Real> values[kTokenKeys];
    for (Index j = 0; j < kTokenKeys; ++j) p[j] = -kInfinity;
    for (Index j = 0; j < n; ++j) {
      const auto k_j = k.row(b, j0 + j, g);
      values[j] = v.row(b, j0 + j, g);
      p[j] = sum(D, [&](auto i) { return load<i.lanes>(query + i.at) * k_j[i]; }) +
             slope * static_cast<float>(j0 + j - (the.S - 1));
    }
    const float greatest = maximum(n, [&](auto i) { return load<i.lanes>(p + i.at); });
    const float now = greatest > reference ? greatest : reference;
    const float shrink = reference == -kInfinity ? 0 : exp2(splat<kWidth>(reference - now))[0];
    Vec<kWidth> added{};
    for (Index j = 0; j < kTokenKeys; j += kWidth) {
      const Vec<kWidth> weights = exp2(load<kWidth>(p + j) - now);
      store<kWidth>(p + j, weights);
      added += weights;
    }
    total = total * shrink + add_lanes<kWidth>(added);
    if (shrink != 1)
      each(D, [&](auto i) { store<i.lanes>(sum_y + i.at, load<i.lanes>(sum_y + i.at) * shrink); });
    add_values(p, n, values, D, sum_y);
    reference = now;
  }
  const auto y_0 = y.row(b, 0, h);
  const float inverse = total == 0 ? 0 : 1 / total;
  each(D, [&](auto i) { y_0.set(i, load<i.lanes>(sum_y + i.at) * inverse); });
  *lse.at(b, h, 0) = total == 0 ? -kInfinity : (reference + log2(splat<kWidth>(total))[0]) * kLn2;
}

}  // namespace

}  // namespace ISA
