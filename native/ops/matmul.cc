// Matrix products.
//
//   a [B, M, K]    b [B, K, N]    bias [N]    pre, slope, residual, y [B, M, N]      M rows, N columns
//
//   matmul               pre = a · b + bias
//                        y   = activation(pre) + residual    0 none, 1 gelu, 2 gelutanh, 3 relu, 4 silu
//                        y   = a · b ∘ activation′(slope)    instead, if there is a slope
//   matmul_packed        the same for B = 1 and b in panels (gemm/pack_weight.h)
//   matmul_accumulate    y   = a · b, and what was in y before if add = 1; y in f32
//   pack_weight          b in panels, from f32
//
// a and b may have any strides: a transposed operand is a view, and a stride of 0 along B uses one for all. The
// gradients are products again: da = dy · bᵀ and db += aᵀ · dy. All sums are in f32; y and pre are rounded once.
#include "gemm/gemm.h"
#include "ops/activations.h"

namespace ISA {

namespace {

// Bias, activation or its slope, residual, and rounding, on a tile of sums.
struct Finish {
  static constexpr bool kAdds = false;
  In32Opt bias;
  InOpt slope, residual;
  OutOpt pre;
  Out y;
  Index activation, batch;

  void prefetch(Index m, Index n, Index rows, Index columns) const {
    prefetch_tile(y, batch, m, n, rows, columns);
  }
  __attribute__((noinline)) void operator()(const float* tile, Index stride, Index m, Index n, Index rows,
                                            Index columns) const {
    const auto apply = [&](const auto& activate) {
      for (Index r = 0; r < rows; ++r) {
        const Row<const float> sums{tile + r * stride};
        const auto bias_n = bias ? bias.row(n) : Row<const float>{};
        const auto residual_r = residual ? residual.row(batch, m + r, n) : Row<const Real>{};
        const auto pre_r = pre ? pre.row(batch, m + r, n) : Row<Real>{};
        const auto y_r = y.row(batch, m + r, n);
        each(columns, [&](auto i) {
          auto x = sums[i];
          if (bias) x += bias_n[i];
          if (pre) pre_r.set(i, x);
          x = activate(i, x);
          if (residual) x += residual_r[i];
          y_r.set(i, x);
        });
      }
    };
    const auto sloped = [&](const auto& f) {
      for (Index r = 0; r < rows; ++r) {
        const Row<const float> sums{tile + r * stride};
        const auto slope_r = slope.row(batch, m + r, n);
        const auto y_r = y.row(batch, m + r, n);
        each(columns, [&](auto i) { y_r.set(i, sums[i] * f(i, slope_r[i])); });
      }
    };
    if (slope) {
      switch (activation) {
        case 1: return sloped([](auto i, auto x) { return gelu_slope<i.lanes>(x); });
        case 2: return sloped([](auto i, auto x) { return gelutanh_slope<i.lanes>(x); });
        case 3: return sloped([](auto i, auto x) { return relu_slope<i.lanes>(x); });
        case 4: return sloped([](auto i, auto x) { return silu_slope<i.lanes>(x); });
      }
    }
    switch (activation) {
      case 1: return apply([](auto i, auto x) { return gelu<i.lanes>(x); });
      case 2: return apply([](auto i, auto x) { return gelutanh<i.lanes>(x); });
      case 3: return apply([](auto i, auto x) { return relu<i.lanes>(x); });
      case 4: return apply([](auto i, auto x) { return silu<i.lanes>(x); });
      default: return apply([](auto, auto x) { return x; });
    }
  }
};

// y += sums.
struct Accumulate {
  static constexpr bool kAdds = true;
  Acc y;
  Index batch;

  void prefetch(Index, Index, Index, Index) const {}  // loads overlap by themselves: measured, no gain
  __attribute__((noinline)) void operator()(const float* tile, Index stride, Index m, Index n, Index rows,
                                            Index columns) const {
    for (Index r = 0; r < rows; ++r) {
      const Row<const float> sums{tile + r * stride};
      const auto y_r = y.row(batch, m + r, n);
      each(columns, [&](auto i) { y_r.add(i, sums[i]); });
    }
  }
};

// y = sums. Large results are not read before they have left the caches: they are streamed to memory, where rows are
// aligned.
struct Overwrite : Accumulate {
  static constexpr bool kAdds = false;
  static constexpr Index kStreamed = 1 << 18;  // elements: gradients are read when all others have been made
  bool streams;

  Overwrite(const Acc& y, Index batch) : Accumulate{y, batch} {
    const bool large = y.size[1] * y.size[2] >= kStreamed;
    const auto start = reinterpret_cast<std::uintptr_t>(y.at(batch));
    streams = large && kLanes > 1 && start % 64 == 0 && y.stride[1] % kLanes == 0;
  }
  __attribute__((noinline)) void operator()(const float* tile, Index stride, Index m, Index n, Index rows,
                                            Index columns) const {
    const Index whole = streams ? columns / kLanes * kLanes : 0;
    for (Index r = 0; r < rows; ++r) {
      const Row<const float> sums{tile + r * stride};
      const auto y_r = y.row(batch, m + r, n);
      for (Index c = 0; c < whole; c += kLanes) stream<kLanes>(y_r.p + c, sums[Lanes<kLanes>{c}]);
      each(whole, columns, [&](auto i) { y_r.set(i, sums[i]); });
    }
  }
};

// The products of a batch: small ones in parallel, each on one thread, large ones one after another on all
// threads. `shared`: they have the same result, so that two must not run at once.
template <class F>
inline void multiply_batch(const In& a, const In& b, bool shared, const F& epilogue) {
  const Index B = a.size[0], M = a.size[1], K = a.size[2], N = b.size[2], multiplications = max(1, M * N * K);
  const bool alone = B > 1 && !shared && multiplications <= kAloneMultiplications;
  const auto multiply = [&](Index i) {
    gemm({M, N, K, {a.at(i), a.stride[1], a.stride[2]}, {b.at(i), b.stride[2], b.stride[1]}, alone},
         epilogue(i));
  };
  if (!alone) {
    for (Index i = 0; i < B; ++i) multiply(i);
    return;
  }
  const Index block = ceil_div(kChunkMultiplications, multiplications);
  parallel(ceil_div(B, block), [&](Index chunk) {
    for (Index i = chunk * block; i < min(B, (chunk + 1) * block); ++i) multiply(i);
  });
}

// Whether the rows of all products lie as those of one.
inline bool rows_follow(const View& x) { return !x.data || x.stride[0] == x.size[1] * x.stride[1]; }
inline void join_rows(View& x) {
  if (x.data) x.size[1] *= x.size[0], x.size[0] = 1;
}

}  // namespace

void matmul(InStrided a, InStrided b, In32Opt bias, InOpt slope, InOpt residual, OutOpt pre, Out y,
            Index activation) {
  const bool follow = rows_follow(a) && rows_follow(slope) && rows_follow(residual) && rows_follow(pre);
  if (b.stride[0] == 0 && follow && rows_follow(y))
    join_rows(a), join_rows(slope), join_rows(residual), join_rows(pre), join_rows(y);
  multiply_batch(a, b, false, [&](Index i) { return Finish{bias, slope, residual, pre, y, activation, i}; });
}

void matmul_packed(InStrided a, In32 b, In32Opt bias, InOpt slope, InOpt residual, OutOpt pre, Out y,
                   Index activation) {
  const Index M = a.size[1], K = a.size[2], N = y.size[2];
  if (!holds_packed(b, K, N)) return;
  gemm({M, N, K, {a.at(), a.stride[1], a.stride[2]}, {}, false, {b.at(), words_of(K), 0}},
       Finish{bias, slope, residual, pre, y, activation, 0});
}

void matmul_accumulate(InStrided a, InStrided b, Acc y, Index add) {
  if (b.stride[0] == 0 && rows_follow(a) && rows_follow(y)) join_rows(a), join_rows(y);
  const bool shared = y.stride[0] == 0;
  if (add || (shared && a.size[0] > 1))
    multiply_batch(a, b, shared, [&](Index i) { return Accumulate{y, i}; });
  else
    multiply_batch(a, b, shared, [&](Index i) { return Overwrite{y, i}; });
}

void pack_weight(In32Strided b, Out32 packed) {
  const Index K = b.size[0], N = b.size[1];
  if (!holds_packed(packed, K, N)) return;
  const ColumnPanels panels{N};
  const Index group = max(1, kGrain / max(1, K * kGemm.columns()));
  parallel(ceil_div(panels.panels, group), [&](Index chunk) {
    const Index first = chunk * group, end = min(panels.panels, first + group);
    pack_panels(OperandOf<float>{b.at(), b.stride[1], b.stride[0]}, panels, first, end, K,
                packed.at() + panels.start(first) * words_of(K));
  });
}

}  // namespace ISA
