// Copies of memory by vectors.
#pragma once
#include "kernel.h"

namespace ISA {

namespace {

// y = x for `count` bytes; past the caches in blocks of 64 bytes.
inline void copy_bytes(const void* x, void* y, Index count, bool past) {
  const Row<const float> from{static_cast<const float*>(x)};
  const Row<float> to{static_cast<float*>(y)};
  const Index whole = past ? count / 64 * 64 : 0;
  each(whole / 4, [&](auto i) { to.set(i, from[i], true); });
  __builtin_memmove(static_cast<char*>(y) + whole, static_cast<const char*>(x) + whole,
                    std::size_t(count - whole));
}

}  // namespace

}  // namespace ISA
