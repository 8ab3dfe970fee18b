// What a kernel may ask of the process it runs in. Kernels never allocate, throw or lock; they call these.
#pragma once
#include "contract.h"

// Runs body(closure, i) for i in [0, chunks), on several threads. The chunks are the caller's: which thread takes
// which one changes nothing in the result.
void parallel_chunks(Index chunks, void (*body)(void* closure, Index chunk), void* closure);

// A thread's scratch memory: a stack. What is taken stays until the mark is given back.
constexpr std::size_t kScratchBytes = std::size_t{1} << 28;
char* scratch_mark();
char* scratch_take(std::size_t bytes);  // 64-byte aligned
void scratch_release(char* mark);

// Reports that data (not shapes, which are checked before) made no sense: element `position` holds `value`, which is
// not in [0, limit). The first fault of a queue is thrown by the next read. The kernel goes on.
void report_index_fault(Index position, Index value, Index limit);
