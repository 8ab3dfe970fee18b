// How lanes of a warp meet.
#pragma once
#include "check.h"
#include "execution.h"

// Where the kernel called the function that this stands in.
#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

namespace emulation {

constexpr std::uint32_t kAllLanes = ~0u;

// Returns when all lanes of `mask` have come with their arguments and the last has done `work(warp)` for all.
template <class Work>
inline void meet(std::uint32_t mask, const char* operation, const void* pc, void* arguments, Work&& work) {
  Thread* thread = current;
  Warp* warp = thread->warp;
  const std::uint32_t lane = 1u << thread->lane;
  if (!(mask & lane))
    fail("%s at %s: the mask %08x leaves out lane %u, which calls it", operation, source_line(pc).c_str(),
         mask, thread->lane);
  if (mask & ~warp->live)
    fail("%s at %s: the mask %08x names lanes that have ended or never were (%08x live)", operation,
         source_line(pc).c_str(), mask, warp->live);
  Rendezvous& rendezvous = warp->rendezvous[__builtin_ctz(mask)];
  if (!rendezvous.arrived) {
    rendezvous.mask = mask;
    rendezvous.operation = operation;
    rendezvous.pc = pc;
  } else if (rendezvous.mask != mask || rendezvous.operation != operation) {
    fail("divergent warp: %s (mask %08x) at %s meets %s (mask %08x) at %s", operation, mask,
         source_line(pc).c_str(), rendezvous.operation, rendezvous.mask, source_line(rendezvous.pc).c_str());
  }
  warp->arguments[thread->lane] = arguments;
  rendezvous.arrived |= lane;
  if (rendezvous.arrived != mask) {
    make_waiting(thread);
    wait_until_ready();
    return;
  }
  rendezvous.arrived = 0;
  if (checking && mask == kAllLanes && is_counting()) count_requests(warp);
  work(warp);
  make_ready(warp, thread->block, mask);
}

template <class F>
inline void each_lane(std::uint32_t mask, F&& f) {
  if (mask == kAllLanes) {
    for (unsigned lane = 0; lane < kLanes; lane++) f(lane);
    return;
  }
  for (; mask; mask &= mask - 1) f(unsigned(__builtin_ctz(mask)));
}

// Fails if these bytes are not within the shared memory of the block, or not aligned to their number.
void require_shared(const void* p, std::size_t bytes, const char* operation, const void* pc);

}  // namespace emulation
