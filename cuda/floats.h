// Adjacent elements as f32, read and written by accesses of 16 bytes.
#pragma once
#include "kernel.h"

namespace TABLE {

constexpr int kWide = 16 / sizeof(Real);  // elements of one access

// V elements. V is 1, or kWide where is_wide() says so.
template <int V>
struct Floats {
  float v[V];
  PRIMITIVE float& operator[](int i) { return v[i]; }
  PRIMITIVE float operator[](int i) const { return v[i]; }
};

template <int V>
PRIMITIVE Floats<V> load(const float* p) {
  Floats<V> x;
  if constexpr (V % 4 == 0) {
    UNROLL
    for (int i = 0; i < V; i += 4) {
      const uint4 words = prim::load_global16(p + i);
      x[i] = prim::as_float(words.x), x[i + 1] = prim::as_float(words.y);
      x[i + 2] = prim::as_float(words.z), x[i + 3] = prim::as_float(words.w);
    }
  } else {
    UNROLL
    for (int i = 0; i < V; ++i) x[i] = p[i];
  }
  return x;
}

template <int V>
PRIMITIVE Floats<V> load(const bf16* p) {
  Floats<V> x;
  if constexpr (V == 8) {
    const uint4 pairs = prim::load_global16(p);
    const std::uint32_t words[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
    UNROLL
    for (int i = 0; i < 4; ++i) {
      x[2 * i] = prim::as_float(words[i] << 16);
      x[2 * i + 1] = prim::as_float(words[i] & 0xffff0000u);
    }
  } else {
    UNROLL
    for (int i = 0; i < V; ++i) x[i] = prim::to_float(p[i]);
  }
  return x;
}

template <int V>
PRIMITIVE void store(float* p, const Floats<V>& x) {
  if constexpr (V % 4 == 0) {
    UNROLL
    for (int i = 0; i < V; i += 4)
      prim::store_global16(p + i, {prim::as_bits(x[i]), prim::as_bits(x[i + 1]), prim::as_bits(x[i + 2]),
                                   prim::as_bits(x[i + 3])});
  } else {
    UNROLL
    for (int i = 0; i < V; ++i) p[i] = x[i];
  }
}

template <int V>
PRIMITIVE void store(bf16* p, const Floats<V>& x) {
  if constexpr (V == 8) {
    prim::store_global16(p, {prim::pack_bf16(x[0], x[1]), prim::pack_bf16(x[2], x[3]),
                             prim::pack_bf16(x[4], x[5]), prim::pack_bf16(x[6], x[7])});
  } else {
    UNROLL
    for (int i = 0; i < V; ++i) p[i] = prim::to_bf16(x[i]);
  }
}

// The same value V times.
template <int V>
PRIMITIVE Floats<V> splat(float value) {
  Floats<V> x;
  UNROLL
  for (int i = 0; i < V; ++i) x[i] = value;
  return x;
}

// Whether accesses of 16 bytes can start at p.
inline bool is_wide(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }
// Whether they can at the beginning of every row of a view [.., rows, columns] of `rank` axes.
template <class T>
bool is_wide(const Typed<T>& view, int rank) {
  bool wide = is_wide(view.data);
  for (int axis = 0; axis < rank - 1; ++axis)
    wide = wide && (view.size[axis] == 1 || view.stride[axis] * Index{sizeof(T)} % 16 == 0);
  return wide;
}

// Threads of a block that share `count` pieces of work, which do not meet.
constexpr int kBlock = 256;
inline unsigned block_for(Index count) { return static_cast<unsigned>(count < kBlock ? count : kBlock); }
inline unsigned blocks_for(Index count) { return static_cast<unsigned>(ceil_div(count, kBlock)); }

// The number of this thread in the whole grid.
PRIMITIVE Index global_thread() { return Index{blockIdx.x} * blockDim.x + threadIdx.x; }

}  // namespace TABLE
