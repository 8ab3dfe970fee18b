// What an op of this backend sees: the parameter types of ../native/kernels.def, and its own declarations. Compiled once
// for each activation dtype (REAL is f32 or bf16), in the namespace TABLE.
//
// A file of ops/ holds, op by op, the __global__ functions and the host function that the contract names, which
// chooses a grid and launches them. __global__ functions belong to the namespace TABLE and never to an unnamed one:
// tests find their PTX by name.
#pragma once
#include "../native/contract.h"
#include "context.h"
#include "prim.h"

#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)
#define TABLE JOINED(cuda_, REAL)

namespace cuda {
using Real_f32 = float;
using Real_bf16 = bf16;
}  // namespace cuda

namespace TABLE {

using Real = cuda::JOINED(Real_, REAL);
constexpr bool kIsBf16 = sizeof(Real) == 2;

using cuda::ceil_div;
using cuda::context;
using cuda::launch;
using cuda::Scratch;

template <class T>
struct Typed : View {
  // Where element (i, j, ...) is.
  template <class... I>
  __host__ __device__ T* at(I... i) const {
    Index axis = 0, offset = 0;
    ((offset += i * stride[axis++]), ...);
    return static_cast<T*>(data) + offset;
  }
  __host__ __device__ explicit operator bool() const { return data != nullptr; }
};

#include "../native/parameters.h"

// An activation as f32, and back, rounded to the nearest.
PRIMITIVE float to_float(float x) { return x; }
PRIMITIVE float to_float(bf16 x) { return prim::to_float(x); }
template <class T>
PRIMITIVE T to(float x) {
  if constexpr (sizeof(T) == 2)
    return prim::to_bf16(x);
  else
    return x;
}

#define SHAPE(...)
#define KERNEL(name, ...) void name(__VA_ARGS__);
#include "../native/kernels.def"
#undef KERNEL

}  // namespace TABLE
