// Rows of a table by number.
//
//   ids [N]    weight [V, C]    y [N, C]
//
//   forward        y[n] = weight[ids[n]]
//   backward       dweight[ids[n]] += dy[n]            n = 0, 1, …
//
// An id outside [0, V) is reported and gives a row of NaN; the backward pass skips it. The gradient is split by columns,
// or by ranges of the table where rows are short, so that rows with the same id are added by one thread, in order.
#include "kernel.h"

namespace ISA {

void embedding_forward(Ids ids, In32 weight, Out y) {
  const Index N = y.size[0], C = y.size[1], V = weight.size[0];
  parallel_rows(N, C, [&](Index n) {
    const Index id = *ids.at(n);
    const auto y_n = y.row(n);
    if (id >= 0 && id < V) {
      const auto weight_id = weight.row(id);
      return each(C, [&](auto i) { y_n.set(i, weight_id[i]); });
    }
    report_index_fault(n, id, V);
    each(C, [&](auto i) { y_n.set(i, splat<i.lanes>(__builtin_nanf(""))); });
  });
}

void embedding_backward(In dy, Ids ids, Acc dweight) {
  constexpr Index kColumns = 128, kRanges = 8;
  const Index N = dy.size[0], C = dy.size[1], V = dweight.size[0];
  const bool by_columns = C >= 4 * kColumns;
  const Index columns = by_columns ? kColumns : C;
  const Index range = by_columns ? V : max(1, ceil_div(V, kRanges));
  parallel(by_columns ? ceil_div(C, columns) : ceil_div(V, range), [&](Index chunk) {
    const Index begin = by_columns ? chunk * columns : 0, end = min(C, begin + columns);
    const Index first = by_columns ? 0 : chunk * range, last = min(V, first + range);
    for (Index n = 0; n < N; ++n) {
      const Index id = *ids.at(n);
      if (id < first || id >= last) continue;
      const auto dy_n = dy.row(n);
      const auto dweight_id = dweight.row(id);
      each(begin, end, [&](auto i) { dweight_id.add(i, dy_n[i]); });
    }
  });
}

}  // namespace ISA
