// How the commands of a queue are carried out: by the processor, or by a device behind its module. All but
// the destructor is called on the queue's thread.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "device_module.h"
#include "threads.h"

class Executor {
 public:
  virtual ~Executor() = default;
  virtual void call(const KernelEntry& kernel, const View* views, const double* scalars) = 0;
  virtual void fill(void* to, int byte, std::size_t bytes) = 0;
  // From memory of the host, which may go when it returns.
  virtual void write(void* to, const void* from, std::size_t bytes) = 0;
  // To memory of the host, done when it returns.
  virtual void read(void* to, const void* from, std::size_t bytes) = 0;
  virtual void begin_step() {}
  virtual void end_step() {}
  // Sets `when` to the time at which all that came before is done: now, or when finish() returns.
  virtual void note_time(double& when) = 0;
  // Waits until everything is done; leaves what went wrong in the queue's context.
  virtual void finish(KernelContext&) {}
};

std::unique_ptr<Executor> host_executor();
// `session` must outlive it.
std::unique_ptr<Executor> device_executor(const DeviceModule& module, DeviceSession* session);
