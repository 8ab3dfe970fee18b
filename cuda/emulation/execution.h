// How a grid runs on the processor. Every thread of a block is a fiber; a worker (a thread of the host) runs
// a block by switching between its fibers, which happens only where threads meet: at barriers, shuffles,
// matrix products. The last lane to arrive does the work of all and goes on; the others become ready again. A
// thread that meets nobody costs no switch: the next one begins on the stack it leaves.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vector_types.h"

namespace emulation {

constexpr unsigned kLanes = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxWarps = kMaxThreads / kLanes;

struct AsyncUnits;
struct Block;
struct Thread;

// A cp.async that was issued. It lands when its thread waits for it (or at once, if the options say so).
struct AsyncCopy {
  char* to;
  const char* from;
  int bytes, valid;  // the bytes past the first `valid` become zero
  bool landed;
  const void* pc;
};

struct CopyGroup {
  unsigned end;  // among the copies of the thread
};

struct AsyncCopies {
  std::vector<AsyncCopy> copies;  // in the order of issue
  std::vector<CopyGroup> groups;  // that were committed
  unsigned waited_groups = 0;
  unsigned waited_copies = 0;
  bool empty() const { return copies.empty() && groups.empty(); }
  // Those that were waited for, when they are many.
  void forget_landed() {
    if (waited_groups < 16) return;
    copies.erase(copies.begin(), copies.begin() + waited_copies);
    groups.erase(groups.begin(), groups.begin() + waited_groups);
    for (CopyGroup& group : groups) group.end -= waited_copies;
    waited_groups = waited_copies = 0;
  }
  void clear() { copies.clear(), groups.clear(), waited_groups = waited_copies = 0; }
};

// The lanes that `mask` names meet here; `arrived` of them are waiting.
struct Rendezvous {
  std::uint32_t mask, arrived;
  const char* operation;
  const void* pc;  // of the first to arrive
};

struct Warp {
  std::uint32_t live;   // lanes that have not ended
  std::uint32_t ready;  // of these, lanes that wait for nobody
  std::uint32_t begun;  // lanes that have a stack
  std::uint32_t epoch;  // how often __syncwarp was passed since the last __syncthreads (when checking)
  unsigned number;
  Thread* threads;               // of lanes 0 to 31
  void* arguments[kLanes];       // of the operation each waiting lane takes part in
  std::uint64_t values[kLanes];  // the same, of shuffles and votes
  std::uint64_t
      results[kLanes];  // which a lane takes when it goes on, before it can come to another operation
  std::uint8_t sources[kLanes];   // of shuffles: the lane whose value each gets
  Rendezvous rendezvous[kLanes];  // by the lowest lane of the mask
};

struct Thread {
  uint3 index;
  unsigned lane, number;  // in the warp, in the block
  Warp* warp;
  Block* block;
  void* stack_pointer;
  unsigned stack;
  AsyncCopies async;
};

struct Block {
  uint3 index;
  dim3 block, grid;
  unsigned char* shared;  // dynamic shared memory, shared_bytes of it
  std::size_t shared_bytes;
  unsigned warp_count, threads;
  unsigned live;              // threads that have not ended
  std::uint32_t ready_warps;  // warps with a ready lane
  unsigned arrived;           // threads waiting at __syncthreads
  int line;                   // which one
  const char* file;
  Warp* warps;
  AsyncUnits* units;
};

// The 32-bit address at which shared memory starts.
constexpr std::uint32_t kSharedBase = 1024;

// That of the fiber that runs on this thread of the host; null outside of kernels.
extern __thread Thread* current __attribute__((tls_model("initial-exec")));

struct Argument {
  const void* data;
  std::size_t bytes, alignment;
};

struct Launch {
  const void* kernel;
  dim3 grid, block;
  std::size_t shared_bytes;
  void (*entry)(const void* arguments);  // calls the kernel with them
  const void* arguments;
  const Argument* list;  // the same, one by one
  std::size_t count;
  std::size_t arguments_bytes;  // of what `arguments` points to
};

// Why the device does not run such a grid; empty if it does.
std::string refuse(dim3 grid, dim3 block, std::size_t shared_bytes);

// Runs a grid to its end. Empty, or what went wrong first.
std::string run(const Launch& launch);

// What a device of this capability lets one block have of shared memory.
std::size_t shared_limit(int capability);

// ---- for the operations at which threads meet

// Ends the block: the launch fails with this message.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Leaves this thread, which is not ready any more, for another one; returns when it is ready again and was
// chosen.
void wait_until_ready();

// Makes lanes ready.
inline void make_ready(Warp* warp, Block* block, std::uint32_t lanes) {
  warp->ready |= lanes;
  block->ready_warps |= 1u << warp->number;
}

// Makes this lane wait.
inline void make_waiting(Thread* thread) {
  if (!(thread->warp->ready &= ~(1u << thread->lane)))
    thread->block->ready_warps &= ~(1u << thread->warp->number);
}

}  // namespace emulation
