// Keys and values of earlier positions, kept while tokens are generated: written in place, and reordered by
// rows.
//
//   cache_write    cache[b, starts[b] + t] = x[b, t]      x [B, T, G, D], starts [B], cache [B, S, G, D]
//   gather_rows    y[m] = x[ids[m]]                       x [N, C], ids [M], y [M, C]
//
// A start that would write outside of [0, S) is reported, and nothing of its row is written; so is an id
// outside [0, N), whose row becomes NaN. Elements are copied bit by bit.
#include "ops/copy_bytes.h"

namespace ISA {

void cache_write(In x, Ids starts, Out cache) {
  const Index B = x.size[0], T = x.size[1], G = x.size[2], D = x.size[3], S = cache.size[1];
  if (T == 0 || G * D == 0) return;
  const bool joined = G == 1 || (x.stride[2] == D && cache.stride[2] == D);
  const Index heads = joined ? 1 : G, bytes = (joined ? G * D : D) * Index{sizeof(Real)};
  for (Index b = 0; b < B; ++b) {
    const Index start = *starts.at(b);
    if (start < 0 || start + T > S) report_index_fault(b, start, max(0, S - T + 1));
  }
  parallel_rows(B * T, G * D, [&](Index n) {
    const Index b = n / T, t = n % T, start = *starts.at(b);
    if (start < 0 || start + T > S) return;
    for (Index g = 0; g < heads; ++g) copy_bytes(x.at(b, t, g), cache.at(b, start + t, g), bytes, false);
  });
}

void gather_rows(In x, Ids ids, Out y) {
  const Index N = x.size[0], C = x.size[1], M = y.size[0], pieces = ceil_div(C, kGrain);
  const bool past = streams(y.at(), M * C, y.stride[0]);
  const auto copy = [&](Index m, Index begin, Index end) {
    const Index id = *ids.at(m);
    if (id >= 0 && id < N)
      return copy_bytes(x.at(id, begin), y.at(m, begin), (end - begin) * Index{sizeof(Real)}, past);
    if (begin == 0) report_index_fault(m, id, N);
    const auto y_m = y.row(m);
    each(begin, end, [&](auto i) { y_m.set(i, splat<i.lanes>(__builtin_nanf(""))); });
  };
  if (pieces <= 1) return parallel_rows(M, C, [&](Index m) { copy(m, 0, C); });
  parallel(M * pieces, [&](Index chunk) {
    const Index begin = chunk % pieces * kGrain;
    copy(chunk / pieces, begin, min(C, begin + kGrain));
  });
}

}  // namespace ISA
