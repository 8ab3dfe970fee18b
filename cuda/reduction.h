// Reductions: of x over some axes, for each place along the others, which are kept.
//
// Threads share the terms of one result and meet in shared memory; many terms are split into pieces first,
// whose results a second kernel reduces. How follows from the shape alone, so the bits do too.
#pragma once
#include "axes.h"
#include "floats.h"

namespace TABLE {

using cuda::Axes;

// An operation has a Value, the Value of nothing, that of an element (the r-th), and combines two of them.
struct Sum {
  using Value = float;
  PRIMITIVE static Value nothing() { return 0; }
  PRIMITIVE static Value of(float x, Index) { return x; }
  PRIMITIVE static Value combine(Value a, Value b) { return a + b; }
  PRIMITIVE static Value across(Value v, int step) { return __shfl_xor_sync(0xffffffffu, v, step); }
};

// Where the terms are: elements of x, or the results of pieces.
template <class Op>
struct Elements {
  const Real* x;
  template <int V>
  PRIMITIVE void take(Index at, Index r, Index step, typename Op::Value (&values)[V]) const {
    const Floats<V> terms = load<V>(x + at);
    UNROLL
    for (int k = 0; k < V; ++k) values[k] = Op::of(terms[k], r + k * step);
  }
};
template <class Op>
struct Pieces {
  const typename Op::Value* x;
  template <int V>
  PRIMITIVE void take(Index at, Index, Index, typename Op::Value (&values)[V]) const {
    UNROLL
    for (int k = 0; k < V; ++k) values[k] = x[at + k];
  }
};

// Where a result goes: a place in two tensors.
template <class Op>
struct ToPieces {
  typename Op::Value* y;
  PRIMITIVE void put(Index at, Index, typename Op::Value v) const { y[at] = v; }
};

// Strides of kept axes are those in x and in the two tensors of the sink, strides of reduced ones in x.
struct Reduction {
  Axes<3> kept;  // but the innermost of them if that is `columns`
  Axes<1> reduced;
  Index columns = 1, column_stride[3] = {};
  Index count, piece, pieces;  // `count` terms in `pieces` of `piece`

  // f(term r, where it is) for terms begin, begin + step, …
  template <class F>
  PRIMITIVE void each_term(Index begin, Index end, Index step, const F& f) const {
    if (reduced.rank <= 1) {
      const Index stride = reduced.rank == 1 ? reduced.stride[0][0] : 0;
      for (Index r = begin; r < end; r += step) f(r, r * stride);
    } else {
      for (Index r = begin; r < end; r += step) {
        Index at[1];
        reduced.locate(r, at);
        f(r, at[0]);
      }
    }
  }
};

// The threads of a row of the block share one result.
template <class Op, int V, class Source, class Sink>
__global__ void reduce_rows(Source source, Sink sink, Reduction shape) {
  using Value = typename Op::Value;
  DYNAMIC_SHARED(shared);
  const Index results = shape.kept.count() * shape.pieces;
  const Index n = Index{blockIdx.x} * blockDim.y + threadIdx.y;
  Index result, piece, at[3];
  cuda::divide(n, shape.pieces, &result, &piece);
  shape.kept.locate(result, at);
  Value total = Op::nothing();
  if (n < results) {
    const Index begin = piece * shape.piece,
                end = begin + shape.piece < shape.count ? begin + shape.piece : shape.count;
    shape.each_term(begin + threadIdx.x * V, end, Index{blockDim.x} * V, [&](Index r, Index where) {
      if (V > 1 && r + V > end) {
        for (Index k = 0; k < end - r; ++k) {
          Value term[1];
          source.template take<1>(at[0] + where + k, r + k, 1, term);
          total = Op::combine(total, term[0]);
        }
      } else {
        Value terms[V];
        source.template take<V>(at[0] + where, r, 1, terms);
        UNROLL
        for (int k = 0; k < V; ++k) total = Op::combine(total, terms[k]);
      }
    });
  }
  for (int step = (blockDim.x < 32 ? blockDim.x : 32) / 2; step > 0; step /= 2)
    total = Op::combine(total, Op::across(total, step));
  if (blockDim.x > 32) {
    const unsigned warps = blockDim.x / 32;
    Value* const totals = reinterpret_cast<Value*>(shared) + threadIdx.y * warps;
    if (threadIdx.x % 32 == 0) totals[threadIdx.x / 32] = total;
    __syncthreads();
    total = totals[0];
    for (unsigned warp = 1; warp < warps; ++warp) total = Op::combine(total, totals[warp]);
  }
  if (threadIdx.x == 0 && n < results) {
    if (shape.pieces > 1) at[1] = piece * shape.kept.count() + result;
    sink.put(at[1], at[2], total);
  }
}

// The threads of a column of the block share V results that are adjacent in x.
template <class Op, int V, class Source, class Sink>
__global__ void reduce_columns(Source source, Sink sink, Reduction shape) {
  using Value = typename Op::Value;
  DYNAMIC_SHARED(shared);
  const Index across = (shape.columns + blockDim.x * V - 1) / (blockDim.x * V);
  Index rest, block, result, piece, at[3];
  cuda::divide(Index{blockIdx.x}, across, &rest, &block);
  cuda::divide(rest, shape.pieces, &result, &piece);
  shape.kept.locate(result, at);
  const Index column = (block * blockDim.x + threadIdx.x) * V;
  Value totals[V];
  UNROLL
  for (int k = 0; k < V; ++k) totals[k] = Op::nothing();
  if (column < shape.columns) {
    const Index begin = piece * shape.piece,
                end = begin + shape.piece < shape.count ? begin + shape.piece : shape.count;
    const Index from = at[0] + column * shape.column_stride[0];
    shape.each_term(begin + threadIdx.y, end, blockDim.y, [&](Index r, Index where) {
      Value terms[V];
      source.template take<V>(from + where, r, 0, terms);
      UNROLL
      for (int k = 0; k < V; ++k) totals[k] = Op::combine(totals[k], terms[k]);
    });
  }
  Value* const mine = reinterpret_cast<Value*>(shared) + (threadIdx.y * blockDim.x + threadIdx.x) * V;
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y >= half && threadIdx.y < 2 * half) {
      UNROLL
      for (int k = 0; k < V; ++k) mine[k] = totals[k];
    }
    __syncthreads();
    if (threadIdx.y < half) {
      UNROLL
      for (int k = 0; k < V; ++k) totals[k] = Op::combine(totals[k], mine[half * blockDim.x * V + k]);
    }
  }
  if (threadIdx.y != 0 || column >= shape.columns) return;
  UNROLL
  for (int k = 0; k < V; ++k) {
    const Index place = column + k;
    if (shape.pieces > 1)
      sink.put((piece * shape.kept.count() + result) * shape.columns + place, 0, totals[k]);
    else
      sink.put(at[1] + place * shape.column_stride[1], at[2] + place * shape.column_stride[2], totals[k]);
  }
}

inline unsigned power_of_two_from(Index n, unsigned most) {
  unsigned power = 1;
  while (power < most && power < n) power *= 2;
  return power;
}

template <class Op, int V, class Source, class Sink>
void launch_reduce_rows(const Source& source, const Sink& sink, const Reduction& shape) {
  const Index results = shape.kept.count() * shape.pieces;
  const unsigned threads = power_of_two_from(ceil_div(shape.piece, 4 * V), 256);
  unsigned rows = 1;
  while (threads * rows < 32 || (threads * rows < 256 && rows < results)) rows *= 2;
  const std::size_t shared_bytes = threads > 32 ? threads / 32 * rows * sizeof(typename Op::Value) : 0;
  launch(reduce_rows<Op, V, Source, Sink>, static_cast<unsigned>(ceil_div(results, rows)),
         dim3(threads, rows), shared_bytes, source, sink, shape);
}

template <class Op, int V, class Source, class Sink>
void launch_reduce_columns(const Source& source, const Sink& sink, const Reduction& shape) {
  const unsigned threads = power_of_two_from(ceil_div(shape.columns, V), 32);
  const unsigned rows = power_of_two_from(ceil_div(shape.piece, 4), 256 / threads);
  const Index blocks = shape.kept.count() * shape.pieces * ceil_div(shape.columns, threads * V);
  launch(reduce_columns<Op, V, Source, Sink>, static_cast<unsigned>(blocks), dim3(threads, rows),
         threads * rows * V * sizeof(typename Op::Value), source, sink, shape);
}

template <class Op, class Sink>
void launch_reduce(const Real* x, bool by_columns, bool wide, const Sink& sink, const Reduction& shape) {
  const Elements<Op> source{x};
  if (by_columns)
    wide ? launch_reduce_columns<Op, kWide>(source, sink, shape)
         : launch_reduce_columns<Op, 1>(source, sink, shape);
  else
    wide ? launch_reduce_rows<Op, kWide>(source, sink, shape)
         : launch_reduce_rows<Op, 1>(source, sink, shape);
}

// The results of pieces [pieces, results], which are kept in the order of shape.kept and its columns.
template <class Op, class Sink>
void reduce_pieces(const typename Op::Value* partial, const Sink& sink, Reduction shape) {
  Index step = shape.columns;
  for (int axis = shape.kept.rank - 1; axis >= 0; --axis) {
    shape.kept.stride[0][axis] = step;
    step *= shape.kept.size[axis];
  }
  if (shape.columns == 1 && shape.kept.rank > 0) {  // the innermost axis has the columns
    const int last = shape.kept.rank - 1;
    shape.columns = shape.kept.size[last];
    for (int k = 0; k < 3; ++k) shape.column_stride[k] = shape.kept.stride[k][last];
    shape.kept = shape.kept.without(last);
  }
  shape.column_stride[0] = 1;
  shape.reduced = {};
  shape.reduced.push(shape.pieces, {step});
  shape.count = shape.piece = shape.pieces;
  shape.pieces = 1;
  launch_reduce_columns<Op, 1>(Pieces<Op>{partial}, sink, shape);
}

// Of x, whose terms are `reduced` (the stride that counts is the first).
template <class Op, class Sink>
void reduce(const Real* x, Axes<3> kept, const Axes<1>& reduced, const Sink& sink) {
  constexpr Index kEnoughBlocks = 512, kFewRows = 32, kShortRow = 2048;
  Reduction shape;
  const int last = kept.rank - 1;
  const bool rows_are_dense = reduced.rank > 0 && reduced.stride[0][reduced.rank - 1] == 1;
  const bool by_columns = last >= 0 && (kept.stride[0][last] == 1 || !rows_are_dense);
  if (by_columns) {
    shape.columns = kept.size[last];
    for (int k = 0; k < 3; ++k) shape.column_stride[k] = kept.stride[k][last];
    kept = kept.without(last);
  }
  shape.kept = kept;
  shape.reduced = reduced;
  shape.count = reduced.count();
  bool wide = is_wide(x) && kept.steps_by(0, kWide);
  Index blocks, most;
  if (by_columns) {
    wide = wide && shape.column_stride[0] == 1 && shape.columns % kWide == 0 && reduced.steps_by(0, kWide);
    blocks = kept.count() * ceil_div(shape.columns, 32 * (wide ? kWide : 1));
    most = ceil_div(shape.count, kFewRows);
  } else {
    wide = wide && rows_are_dense && reduced.rank == 1;
    blocks = kept.count();
    most = ceil_div(shape.count, kShortRow);
  }
  if (blocks == 0) return;
  const Index wanted = ceil_div(kEnoughBlocks, blocks);
  shape.pieces = wanted < most ? wanted : most > 0 ? most : 1;
  shape.piece = ceil_div(ceil_div(shape.count, shape.pieces), kWide) * kWide;
  shape.pieces = shape.count > 0 ? ceil_div(shape.count, shape.piece) : 1;
  if (shape.pieces == 1) return launch_reduce<Op>(x, by_columns, wide, sink, shape);
  Scratch scratch;
  auto* const partial = scratch.take<typename Op::Value>(shape.pieces * kept.count() * shape.columns);
  launch_reduce<Op>(x, by_columns, wide, ToPieces<Op>{partial}, shape);
  reduce_pieces<Op>(partial, sink, shape);
}

}  // namespace TABLE
