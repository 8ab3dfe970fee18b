#include "collectives.h"

#include "meet.h"

namespace emulation {

namespace {

constexpr char kSyncWarp[] = "__syncwarp", kShuffle[] = "shuffle", kVote[] = "vote";

}  // namespace

void sync_threads(int line, const char* file) {
  Thread* thread = current;
  Block* block = thread->block;
  if (block->live < block->threads)
    fail("divergent barrier: __syncthreads at %s:%d after %u threads have ended", file, line,
         block->threads - block->live);
  if (!block->arrived) {
    block->line = line;
    block->file = file;
  } else if (block->line != line) {
    fail("divergent barrier: __syncthreads at %s:%d while others wait at %s:%d", file, line, block->file,
         block->line);
  }
  if (++block->arrived < block->live) {
    make_waiting(thread);
    wait_until_ready();
    return;
  }
  block->arrived = 0;
  if (checking) check_barrier(block);
  for (unsigned i = 0; i < block->warp_count; i++) {
    Warp* warp = &block->warps[i];
    if (warp->live) make_ready(warp, block, warp->live);
  }
}

void sync_warp(std::uint32_t mask) {
  meet(mask, kSyncWarp, CALLER, nullptr, [](Warp* warp) { warp->epoch++; });
}

namespace {

// The lane whose value `lane` gets: its own where there is none.
int shuffle_source(int lane, Shuffle kind, int operand, int width) {
  const int begin = lane & ~(width - 1), end = begin + width;
  switch (kind) {
    case Shuffle::from:
      return begin + (operand & (width - 1));
    case Shuffle::exclusive_or:
      return (lane ^ operand) < end ? lane ^ operand : lane;
    case Shuffle::down:
      return lane + operand < end ? lane + operand : lane;
    default:
      return lane - operand >= begin ? lane - operand : lane;
  }
}

}  // namespace

std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, Shuffle kind, int operand, int width) {
  const Thread* thread = current;
  Warp* const own = thread->warp;
  const unsigned lane = thread->lane;
  own->values[lane] = value;
  own->sources[lane] = std::uint8_t(shuffle_source(int(lane), kind, operand, width) % int(kLanes));
  meet(mask, kShuffle, CALLER, nullptr, [mask](Warp* warp) {
    each_lane(mask, [&](unsigned l) {
      const unsigned source = warp->sources[l];
      warp->results[l] =
          mask >> source & 1 ? warp->values[source] : ~std::uint64_t{0};  // of a lane that is not there
    });
  });
  return own->results[lane];
}

std::uint32_t ballot(std::uint32_t mask, bool predicate) {
  const Thread* thread = current;
  Warp* const own = thread->warp;
  const unsigned lane = thread->lane;
  own->values[lane] = std::uint64_t{predicate} << lane;
  meet(mask, kVote, CALLER, nullptr, [mask](Warp* warp) {
    std::uint64_t result = 0;
    each_lane(mask, [&](unsigned l) { result |= warp->values[l]; });
    each_lane(mask, [&](unsigned l) { warp->results[l] = result; });
  });
  return std::uint32_t(own->results[lane]);
}

// ---- atomics

namespace {

void check_atomic(int* p, const void* pc) {
  if (checking) check_access(p, sizeof *p, Access::atomic, pc);
}

template <class F>
int update(int* p, F&& f) {
  int old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, f(old), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}

}  // namespace

int atomic_add(int* p, int v) {
  check_atomic(p, CALLER);
  return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
}
int atomic_min(int* p, int v) {
  check_atomic(p, CALLER);
  return update(p, [v](int old) { return old < v ? old : v; });
}
int atomic_max(int* p, int v) {
  check_atomic(p, CALLER);
  return update(p, [v](int old) { return old > v ? old : v; });
}
int atomic_exchange(int* p, int v) {
  check_atomic(p, CALLER);
  return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);
}
int atomic_compare_and_swap(int* p, int expected, int desired) {
  check_atomic(p, CALLER);
  __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
void fence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

}  // namespace emulation
