// The process's worker threads and the scratch memory of each thread.
#pragma once
#include <atomic>
#include <string>

#include "runtime.h"

// Who runs kernels on the calling thread: lets workers report to the right queue and stop when it is closed.
struct KernelContext {
  std::atomic<bool> stopping{false};
  std::atomic<bool> faulted{false};
  Index fault_position = 0, fault_value = 0, fault_limit = 0;
  std::atomic<bool> failed{false};
  std::string failure;  // of the device itself, in its words: written while `failed` is false
};
// Passes what one has to report on to another; both then report it. Neither may be reporting something new meanwhile.
void pass_on_reports(const KernelContext& from, KernelContext& to);
extern thread_local KernelContext* current_context;

int available_cores();
int thread_count();
void set_thread_count(int count);
