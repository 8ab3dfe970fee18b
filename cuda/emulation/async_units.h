// What a block of compute capability 9.0 has under way (see hopper.h), and the operations on it.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "hopper.h"
#include "meet.h"

namespace emulation {

struct TileCopy {
  TensorMap map;
  std::uint32_t to, barrier;
  int at[4];
  const void* pc;
  std::uint32_t rows() const { return map.box[1] * map.box[2] * (map.rank == 4 ? map.box[3] : 1); }
  std::uint32_t bytes() const { return map.box[0] * rows() * 2; }
};

// Threads that wait for the same.
struct Meeting {
  const char* operation = nullptr;
  const void* pc = nullptr;
  unsigned expected = 0;
  std::vector<Thread*> waiting;
};
struct BarrierWait {
  Thread* thread;
  std::uint32_t barrier;
  int parity;
  const void* pc;
};

constexpr unsigned kWarpgroup = 128, kProductM = 64, kProductN = 256, kProductK = 16;
constexpr int kFragment = 4;        // words of a left operand that a thread holds
constexpr int kMaxRegisters = 256;  // of a thread

// The sums of products under way. (No vectors of numbers in this file: the checked build might link those of
// the kernels, whose accesses are checked.)
struct ProductSums {
  float* registers[kWarpgroup];
  int columns;
  int products;  // that are still to be added
  float values[kProductM][kProductN];
  float b[kProductK][kProductN];  // of the one that is being added
};
struct ProductOperand {
  std::uint64_t descriptor;
  bool transposed;
  int extent;  // rows of a, or columns of b
  std::uint32_t address(int i, int k) const;
  // The addresses of its pieces of 16 bytes.
  template <class F>
  void each_piece(F&& f) const {
    for (int i = 0; i < extent; i += transposed ? 8 : 1) {
      for (int k = 0; k < int(kProductK); k += transposed ? 1 : 8) f(address(i, k));
    }
  }
  bool overlaps(std::uint32_t begin, std::uint32_t end) const;
};
// A left operand in registers: where each thread of the warpgroup has its words, and what they are.
struct RegisterOperand {
  const std::uint32_t* registers[kWarpgroup];
  std::uint32_t values[kWarpgroup][kFragment];
};
struct Product {
  ProductOperand a, b;
  std::unique_ptr<RegisterOperand> held;  // in the place of a
  ProductSums* sums;
  bool adds;
  bool done;
  const void* pc;
};
// What a thread told product_fence.
struct FencedRegisters {
  const std::uint32_t* registers;
  int count;
  std::uint32_t values[kMaxRegisters];
};
struct Warpgroup {
  Meeting meeting;
  float* registers[kWarpgroup];
  const std::uint32_t* held[kWarpgroup];
  bool fenced = false;
  FencedRegisters named[kWarpgroup];  // to the fence
  std::vector<Product> products;      // not waited for
  std::vector<CopyGroup> groups;      // of them
  std::vector<std::unique_ptr<ProductSums>> sums;
};

struct Writer {
  unsigned thread;  // plus 1; 0 after its fence_async
};

// What a block has under way.
struct AsyncUnits {
  std::vector<TileCopy> tiles;
  std::vector<BarrierWait> waits;
  bool unfenced = false;        // a barrier was made since the last barrier_init_fence
  std::vector<Writer> writers;  // of pieces of 16 bytes of shared memory, when checking
  Meeting named[16];
  Warpgroup warpgroups[kMaxThreads / kWarpgroup];

  void clear();
  void note_write(std::size_t offset, std::size_t bytes, unsigned thread);
  // Lets a tile land; which one, `choose(count)` tells. False if there is none.
  template <class Choose>
  bool land_one(Choose&& choose) {
    if (tiles.empty()) return false;
    land(std::size_t(choose(tiles.size())));
    return true;
  }
  // By the last thread of the block.
  void require_idle() const;
  // Of threads that wait here; returns if none do.
  void report_deadlock() const;

 private:
  void land(std::size_t tile);
};

// ---- of the block that runs

inline AsyncUnits& units() { return *current->block->units; }

inline char* at_shared(std::uint32_t address) {
  return reinterpret_cast<char*>(current->block->shared) + (address - kSharedBase);
}

// Bits 4 … 6 of an address are XORed with bits 7 … 9.
constexpr std::uint32_t swizzled(std::uint32_t address) { return address ^ (address >> 3 & 0x70); }
// The swizzle repeats after an atom, of 8 rows.
constexpr std::uint32_t kAtom = 1024, kAtomRow = 128;

inline void wake(std::vector<Thread*>& threads) {
  for (Thread* thread : threads) make_ready(thread->warp, thread->block, 1u << thread->lane);
  threads.clear();
}

// Returns when `expected` threads have come and the last has done `work`.
template <class Work>
void meet_some(Meeting& meeting, const char* operation, unsigned expected, const void* pc, Work&& work) {
  if (meeting.waiting.empty()) {
    meeting.operation = operation;
    meeting.pc = pc;
    meeting.expected = expected;
  } else if (meeting.operation != operation || meeting.expected != expected) {
    fail("divergent warpgroup: %s (%u threads) at %s meets %s (%u threads) at %s", operation, expected,
         source_line(pc).c_str(), meeting.operation, meeting.expected, source_line(meeting.pc).c_str());
  }
  if (meeting.waiting.size() + 1 < expected) {
    meeting.waiting.push_back(current);
    make_waiting(current);
    wait_until_ready();
    return;
  }
  work();
  wake(meeting.waiting);
}

}  // namespace emulation
