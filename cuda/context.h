// Where a kernel's host function runs: the stream, its scratch memory, what is known of the device, what went
// wrong.
#pragma once
#include <string>
#include <vector>

#include "../native/contract.h"
#include "rt.h"

namespace cuda {

// In device memory: the first element of the data that made no sense.
struct Fault {
  int raised;
  Index position, value, limit;
};

// Scratch memory of one stream: a stack of device memory. Work runs in the order of the stream, so what was
// given back may be taken again at once.
class ScratchStack {
 public:
  ~ScratchStack();
  struct Mark {
    std::size_t slab, used;
  };
  Mark mark() const { return {slab_, used_}; }
  void release(Mark mark) { slab_ = mark.slab, used_ = mark.used; }
  // 256-byte aligned; null if the device has no such amount (the context then fails).
  void* take(std::size_t bytes);

 private:
  struct Slab {
    char* data;
    std::size_t bytes;
  };
  void forget_slabs(std::size_t from);

  std::vector<Slab> slabs_;
  std::size_t slab_ = 0, used_ = 0;
};

struct Context {
  rt::Stream stream{};
  Fault* fault = nullptr;
  ScratchStack scratch;
  int capability = 80;  // 10 · major + minor
  int multiprocessors = 1;
  std::size_t shared_bytes = 0;  // a block may have
  bool strict = false;           // f32 products by 3×TF32 instead of bf16×3
  bool hopper = false;           // large bf16 products, and attention, by wgmma, on capability 90
  std::uint64_t launches = 0;    // identifies the sequence of what a step enqueued so far
  std::string error;             // of the call at hand; it launches nothing more
  void note_work(const void* what) {
    launches = (launches ^ reinterpret_cast<std::uintptr_t>(what)) * 0x9e3779b97f4a7c15u + 1;
  }
  void fail(const std::string& why) {
    if (error.empty()) error = why;
  }
};

// That of the call that runs on this thread.
extern thread_local Context* current;
inline Context& context() { return *current; }

// Scratch memory until the end of the block.
class Scratch {
 public:
  Scratch() : mark_(context().scratch.mark()) {}
  ~Scratch() { context().scratch.release(mark_); }
  Scratch(const Scratch&) = delete;
  template <class T>
  T* take(Index count) {
    return static_cast<T*>(context().scratch.take(std::size_t(count) * sizeof(T)));
  }

 private:
  ScratchStack::Mark mark_;
};

// Enqueues a kernel; a launch of no blocks is nothing. After an error nothing is launched any more.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, const A&... arguments) {
  Context& here = context();
  if (!here.error.empty() || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  here.note_work(reinterpret_cast<const void*>(kernel));
  here.error = rt::launch(kernel, grid, block, shared_bytes, here.stream, arguments...);
}

__host__ __device__ constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

}  // namespace cuda
