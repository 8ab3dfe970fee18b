// What the engine, the kernel tables and the backends agree on. No code, so it may be included anywhere.
#pragma once
#include <cstddef>
#include <cstdint>

using Index = std::ptrdiff_t;

enum class Dtype : int { f32, bf16, i32 };
constexpr int kDtypes = 3;
constexpr Index kBytesPerElement[kDtypes] = {4, 2, 4};

constexpr int kMaxRank = 4;
constexpr int kMaxViews = 16;
constexpr int kMaxScalars = 12;

// A tensor as a kernel sees it: where it starts, how many elements along each axis, how far apart (in elements).
// An optional argument that was left out has data == nullptr.
struct View {
  void* data;
  Index size[kMaxRank];
  Index stride[kMaxRank];
};

// One kernel of one table: its name, its parameter list as kernels.def spells it, and how to call it.
struct KernelEntry {
  const char* name;
  const char* signature;
  void (*call)(const View* views, const double* scalars);
};

// The kernels of one instruction set for one activation dtype.
struct KernelTable {
  const char* isa;
  Dtype real;
  const KernelEntry* kernels;
  int count;
  bool multiplies_bf16;  // products multiply bf16 by the processor's own instructions; else they widen to f32
};
