// Sums over rows that may be a vocabulary long: in f64, of short sums in f32.
#pragma once
#include "kernel.h"

namespace ISA {

namespace {

// Σ f(i) over a row.
template <class F>
double sum_row(Index count, const F& f) {
  constexpr Index kShort = 1024;
  double total = 0;
  for (Index begin = 0; begin < count; begin += kShort)
    total += double(sum(min(kShort, count - begin), [&](auto i) { return f(Lanes<i.lanes>{begin + i.at}); }));
  return total;
}

}  // namespace

}  // namespace ISA
