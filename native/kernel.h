// What a CPU kernel file sees: typed views, rows of lanes, and parallel loops. Compiled once per instruction set and
// activation dtype, in the namespace ISA; nothing here may leave that namespace (see `npm test`: symbols).
#pragma once
#include "runtime.h"
#include "simd.h"

namespace ISA {

// A row of elements; row[i] loads lanes as f32, row.set(i, v) stores them rounded to T, row.set(i, v, true) past the
// caches: see streams().
template <class T>
struct Row {
  T* p;
  template <int N>
  Vec<N> operator[](Lanes<N> i) const { return load<N>(p + i.at); }
  template <int N>
  void set(Lanes<N> i, Vec<N> v) const { store<N>(p + i.at, v); }
  template <int N>
  void set(Lanes<N> i, Vec<N> v, bool streams) const { streams ? stream<N>(p + i.at, v) : store<N>(p + i.at, v); }
  template <int N>
  void add(Lanes<N> i, Vec<N> v) const { store<N>(p + i.at, load<N>(p + i.at) + v); }
};

template <class T>
struct Typed : View {
  template <class... I>
  T* at(I... i) const {
    Index axis = 0, offset = 0;
    ((offset += i * stride[axis++]), ...);
    return static_cast<T*>(data) + offset;
  }
  template <class... I>
  Row<T> row(I... i) const {
    return {at(i...)};
  }
  explicit operator bool() const { return data != nullptr; }
};

#include "parameters.h"

// Scratch memory of this thread, until the end of the block.
class Scratch {
 public:
  Scratch() : mark_(scratch_mark()) {}
  ~Scratch() { scratch_release(mark_); }
  Scratch(const Scratch&) = delete;
  float* floats(Index count) { return reinterpret_cast<float*>(scratch_take(count * sizeof(float))); }

 private:
  char* mark_;
};

// f(i) for i in [0, chunks), on several threads.
template <class F>
inline void parallel(Index chunks, const F& f) {
  parallel_chunks(chunks, [](void* closure, Index i) { (*static_cast<const F*>(closure))(i); },
                  const_cast<void*>(static_cast<const void*>(&f)));
}

inline Index min(Index a, Index b) { return a < b ? a : b; }
inline Index max(Index a, Index b) { return a > b ? a : b; }
inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// How many elements one chunk of a memory-bound loop handles: long enough to pay for handing it out, and the same for
// any number of threads.
constexpr Index kGrain = 16384;

// f(n) for each row; `cost` elements are touched per row.
template <class F>
inline void parallel_rows(Index rows, Index cost, const F& f) {
  const Index block = max(1, kGrain / max(cost, 1));
  parallel(ceil_div(rows, block), [&](Index chunk) {
    const Index end = min(rows, (chunk + 1) * block);
    for (Index n = chunk * block; n < end; ++n) f(n);
  });
}

// Whether to store the `count` elements of y, which are not read here, past the caches. That spares reading y first,
// and nothing is lost if y is too large to be found in a cache afterwards. (Measured: from 8 MiB on an operation and
// the next one that reads its result are faster, below slower.) `strides`: of the rows of y, joined by |.
constexpr Index kStreamBytes = Index{8} << 20;
template <class T>
inline bool streams(const T* y, Index count, Index strides = 0) {
  const std::uintptr_t places =
      reinterpret_cast<std::uintptr_t>(y) | (static_cast<std::uintptr_t>(strides) * sizeof(T));
  return kLanes > 1 && places % 64 == 0 && count * Index{sizeof(T)} >= kStreamBytes;
}

// f(lanes) over [0, count), in parallel.
template <class F>
inline void parallel_each(Index count, const F& f) {
  parallel(ceil_div(count, kGrain), [&](Index chunk) { each(chunk * kGrain, min(count, (chunk + 1) * kGrain), f); });
}

// y = f(lanes) over all of y, in parallel. An f that captures by value is not read from memory again after each store.
template <class T, class F>
inline void parallel_map(const Typed<T>& y, const F& f) {
  const Index count = y.size[0];
  const bool past = streams(y.at(), count);
  parallel(ceil_div(count, kGrain), [&](Index chunk) {
    const Index begin = chunk * kGrain, end = min(count, begin + kGrain);
    const Row<T> to = y.row();
    const F own = f;
    if (past)
      each(begin, end, [=](auto i) { to.set(i, own(i), true); });
    else
      each(begin, end, [=](auto i) { to.set(i, own(i)); });
  });
}

// f(n, rows...) for each row n, where rows[k] is a private f32 row of into[k].size[0] elements that f adds to. The
// private rows belong to fixed blocks of rows and are summed in the order of the blocks: the same bits for any number
// of threads. An Acc without data gets a row that is thrown away.
template <int K, class F>
inline void accumulate_rows(Index rows, Index columns, const Acc (&into)[K], const F& f) {
  constexpr Index kMaxColumns = kScratchBytes / sizeof(float) / 4 * 3 / K;
  if (columns > kMaxColumns) return report_index_fault(0, columns, kMaxColumns + 1);
  constexpr Index kMaxPartials = kScratchBytes / sizeof(float) / 4;
  const Index max_blocks = max(1, min(32, kMaxPartials / max(K * columns, 1)));
  const Index block = max(ceil_div(rows, max_blocks), max(1, kGrain / max(columns, 1)));
  const Index blocks = ceil_div(rows, block);
  if (blocks == 0) return;
  Scratch scratch;
  float* partial = scratch.floats(blocks * K * columns);
  parallel(blocks, [&](Index b) {
    float* mine = partial + b * K * columns;
    for (Index i = 0; i < K * columns; ++i) mine[i] = 0;
    const Index end = min(rows, (b + 1) * block);
    for (Index n = b * block; n < end; ++n) f(n, mine);
  });
  for (int k = 0; k < K; ++k) {
    if (!into[k]) continue;
    parallel_each(columns, [&](auto i) {
      auto total = load<i.lanes>(partial + k * columns + i.at);
      for (Index b = 1; b < blocks; ++b) total += load<i.lanes>(partial + (b * K + k) * columns + i.at);
      into[k].row().add(i, total);
    });
  }
}

#define SHAPE(...)
#define KERNEL(name, ...) void name(__VA_ARGS__);
#include "kernels.def"
#undef KERNEL

}  // namespace ISA
