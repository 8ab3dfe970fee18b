// Cross entropy of softmax(x · weightᵀ + bias) and integer targets, whose logits are never all there.
//
//   x, dx [N, C]    weight, dweight [V, C]    bias, dbias [V]    targets, lse [N]    loss, scale [1]
//
//   logits   = x · weightᵀ + bias                       [N, V]: a block of rows, a chunk of classes at a time
//   loss     of the logits as in crossentropy.cc        its weight is called scale; logits are not rounded
//   dlogits  = dloss · scale · (e^(logits − lse) − q)   logits made once more; rounded for the products
//   dx      += dlogits · weight
//   dweight += dlogitsᵀ · x
//   dbias   += Σₙ dlogits
//
// The weight comes in f32 as well as packed (see gemm/pack_weight.h), which products of bf16 need.
// The sums are f32 and grow chunk by chunk. Those of dx, dweight and dbias that are left out are not made.
#include "crossentropy.h"
#include "gemm/gemm.h"

namespace ISA {

namespace {

// 4 MB of logits stay in the L3 cache. Fewer classes in a chunk would pack x and read and write dx more
// often, fewer rows the weights and dweight; more of either are no faster.
constexpr Index kRows = 1024;
constexpr Index kClasses = 1024;

// How far apart the rows of a chunk lie: so that neighbours fall into different sets of a cache.
constexpr Index kStride = kClasses + 64 / sizeof(Real);

// Rows [n, n + rows) of x times classes [v, v + classes).
struct Part {
  Index n, rows, v, classes;
};

// The chunk of logits.
struct StoreLogits {
  static constexpr bool kAdds = false;
  Part part;
  In32Opt bias;
  float* logits;

  void prefetch(Index, Index, Index, Index) const {}
  __attribute__((noinline)) void operator()(const float* tile, Index stride, Index m, Index n, Index rows,
                                            Index columns) const {
    const Row<const float> bias_n{bias ? bias.at(part.v + n) : nullptr};
    for (Index r = 0; r < rows; ++r) {
      const Row<const float> sums{tile + r * stride};
      const Row<float> to{logits + (m + r) * kStride + n};
      each(columns, [&](auto i) { to.set(i, bias ? sums[i] + bias_n[i] : sums[i]); });
    }
  }
};

// The chunk of dlogits.
struct StoreSlopes {
  static constexpr bool kAdds = false;
  Part part;
  In32Opt bias;
  Ids targets;
  In32 lse;
  Index V, ignoreIndex;
  float labelSmoothing, scale;
  Real* dlogits;

  void prefetch(Index, Index, Index, Index) const {}
  __attribute__((noinline)) void operator()(const float* tile, Index stride, Index m, Index n, Index rows,
                                            Index columns) const {
    const Row<const float> bias_n{bias ? bias.at(part.v + n) : nullptr};
    const float everywhere = labelSmoothing / float(V);
    for (Index r = 0; r < rows; ++r) {
      const Index row = part.n + m + r, target = *targets.at(row);
      const Row<Real> to{dlogits + (m + r) * kStride + n};
      if (!has_target(target, V, ignoreIndex)) {
        each(columns, [&](auto i) { to.set(i, splat<i.lanes>(0.f)); });
        continue;
      }
      const Row<const float> sums{tile + r * stride};
      const float lse_n = *lse.at(row);
      const auto excess = [&](auto i) {
        return exp<i.lanes>((bias ? sums[i] + bias_n[i] : sums[i]) - lse_n) - everywhere;
      };
      each(columns, [&](auto i) { to.set(i, excess(i) * scale); });
      const Index chosen = target - part.v - n;
      if (chosen >= 0 && chosen < columns)
        assign(to.p[chosen], (excess(Lanes<1>{chosen})[0] - (1 - labelSmoothing)) * scale);
    }
  }
};

// y += sums, y from row `first` on.
struct AddRows {
  static constexpr bool kAdds = true;
  Acc y;
  Index first;

  void prefetch(Index, Index, Index, Index) const {}
  __attribute__((noinline)) void operator()(const float* tile, Index stride, Index m, Index n, Index rows,
                                            Index columns) const {
    for (Index r = 0; r < rows; ++r) {
      const Row<const float> sums{tile + r * stride};
      const auto y_r = y.row(first + m + r, n);
      each(columns, [&](auto i) { y_r.add(i, sums[i]); });
    }
  }
};

// The weight: as it is, which products of f32 can read, or packed for y = x · weightᵀ and dx = dy · weight.
struct Weight {
  In32 rows;
  In32Opt forward, backward;

  // Whether there is what the products need.
  bool serves(bool both) const {
    const Index V = rows.size[0], C = rows.size[1];
    if (sizeof(Real) == 4 && !forward) return true;
    if (!forward || (both && !backward)) return report_index_fault(0, 0, 0), false;
    return holds_packed(forward, C, V) && (!both || holds_packed(backward, V, C));
  }
  // Classes from v on, as columns, and as what is summed over.
  PackedPanels columns(Index v) const {
    const Index length = words_of(rows.size[1]);
    return forward ? PackedPanels{forward.at() + v * length, length, 0} : PackedPanels{};
  }
  PackedPanels sums(Index v) const {
    return backward ? PackedPanels{backward.at(), words_of(rows.size[0]), v / kWordElements} : PackedPanels{};
  }
  const Real* at(Index v) const { return reinterpret_cast<const Real*>(rows.at(v)); }  // only if Real is f32
};

template <class Epilogue>
inline void multiply_logits(In x, const Weight& weight, const Part& part, const Epilogue& epilogue) {
  gemm({part.rows, part.classes, x.size[1], {x.at(part.n), x.stride[0], 1},
        {weight.at(part.v), weight.rows.stride[0], 1}, false, weight.columns(part.v)},
       epilogue);
}

inline void add_column_sums(const Real* dlogits, const Part& part, Acc to) {
  constexpr Index kColumns = 256;
  parallel(ceil_div(part.classes, kColumns), [&](Index chunk) {
    const Index begin = chunk * kColumns, columns = min(kColumns, part.classes - begin);
    float totals[kColumns] = {};
    const Row<float> sums{totals};
    for (Index r = 0; r < part.rows; ++r) {
      const Row<const Real> row{dlogits + r * kStride + begin};
      each(columns, [&](auto i) { sums.add(i, row[i]); });
    }
    const auto to_v = to.row(part.v + begin);
    each(columns, [&](auto i) { to_v.add(i, sums[i]); });
  });
}

}  // namespace

void linearcrossentropy_forward(In x, In32 weight, In32Opt forward, In32Opt bias, Ids targets, Out32 loss, Out32 lse,
                                Out32 scale, Index ignoreIndex, float labelSmoothing, Index mean) {
  const Index N = x.size[0], V = weight.size[0];
  const Weight w{weight, forward, {}};
  if (!w.serves(false)) return;
  const Index block = even_block(N, kRows, 1), chunk = even_block(V, kClasses, 64);
  const auto counts = [&](Index n) { return has_target(*targets.at(n), V, ignoreIndex); };
  Scratch scratch;
  float* logits = scratch.floats(block * kStride);
  double total = 0;
  Index count = 0;
  for (Index n = 0; n < N; n += block) {
    const Index rows = min(block, N - n);
    RowSums sums[kRows];
    float chosen[kRows];
    for (Index v = 0; v < V; v += chunk) {
      const Part part{n, rows, v, min(chunk, V - v)};
      multiply_logits(x, w, part, StoreLogits{part, bias, logits});
      parallel_rows(rows, part.classes, [&](Index r) {
        if (!counts(n + r)) return;
        const float* row = logits + r * kStride;
        sums[r].add(row, part.classes, labelSmoothing != 0);
        const Index target = *targets.at(n + r) - v;
        if (target >= 0 && target < part.classes) chosen[r] = row[target];
      });
    }
    for (Index r = 0; r < rows; ++r) {
      *lse.at(n + r) = 0;
      if (counts(n + r)) {
        *lse.at(n + r) = float(sums[r].lse());
        total += sums[r].loss(chosen[r], V, labelSmoothing);
        ++count;
      } else if (*targets.at(n + r) != ignoreIndex) {
        report_index_fault(n + r, *targets.at(n + r), V);
      }
    }
  }
  *scale.at() = mean ? 1 / float(count) : 1;
  *loss.at() = float(mean ? total / double(count) : total);
}

void linearcrossentropy_backward(In32 dloss, In x, In32 weight, In32Opt forward, In32Opt backward, In32Opt bias,
                                 Ids targets, In32 lse, In32 scale, AccOpt dx, AccOpt dweight, AccOpt dbias,
                                 Index ignoreIndex, float labelSmoothing) {
  const Index N = x.size[0], C = x.size[1], V = weight.size[0];
  const Index block = even_block(N, kRows, 1), chunk = even_block(V, kClasses, 64);
  const float all = *dloss.at() * *scale.at();
  const Weight w{weight, forward, backward};
  if (!w.serves(true)) return;
  Scratch scratch;
  Real* dlogits = reinterpret_cast<Real*>(scratch.floats(block * kStride));
  for (Index n = 0; n < N; n += block) {
    const Index rows = min(block, N - n);
    for (Index v = 0; v < V; v += chunk) {
      const Part part{n, rows, v, min(chunk, V - v)};
      multiply_logits(x, w, part,
                      StoreSlopes{part, bias, targets, lse, V, ignoreIndex, labelSmoothing, all, dlogits});
      if (dx)
        gemm({rows, C, part.classes, {dlogits, kStride, 1}, {w.at(v), 1, weight.stride[0]}, false, w.sums(v)},
             AddRows{dx, n});
      if (dweight)
        gemm({part.classes, C, rows, {dlogits, 1, kStride}, {x.at(n), 1, x.stride[0]}, false},
             AddRows{dweight, v});
      if (dbias) add_column_sums(dlogits, part, dbias);
    }
  }
}

}  // namespace ISA
