#include "executor.h"

#include <cstring>

#include "recorder.h"

namespace {

class HostExecutor : public Executor {
 public:
  void call(const KernelEntry& kernel, const View* views, const double* scalars) override {
    kernel.call(views, scalars);
  }
  void fill(void* to, int byte, std::size_t bytes) override { std::memset(to, byte, bytes); }
  void write(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void read(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void note_time(double& when) override { when = clock_ms(); }
};

class DeviceExecutor : public Executor {
 public:
  DeviceExecutor(const DeviceModule& module, DeviceSession* session) : module_(module), session_(session) {}

  void call(const KernelEntry& kernel, const View* views, const double* scalars) override {
    note(module_.call(session_, &kernel, views, scalars));
  }
  void fill(void* to, int byte, std::size_t bytes) override {
    note(module_.fill(session_, to, byte, Index(bytes)));
  }
  void write(void* to, const void* from, std::size_t bytes) override {
    note(module_.write(session_, to, from, Index(bytes)));
  }
  void read(void* to, const void* from, std::size_t bytes) override {
    note(module_.read(session_, to, from, Index(bytes)));
  }
  void begin_step() override { note(module_.begin_step(session_)); }
  void end_step() override { note(module_.end_step(session_)); }
  void note_time(double& when) override { note(module_.note_time(session_, &when)); }

  void finish(KernelContext& context) override {
    DeviceFault fault{};
    note(module_.finish(session_, &fault));
    if (!failure_.empty() && !context.failed.load()) {
      context.failure = std::move(failure_);
      failure_.clear();
      context.failed.store(true);
    }
    if (fault.raised && !context.faulted.load()) {
      context.fault_position = fault.position;
      context.fault_value = fault.value;
      context.fault_limit = fault.limit;
      context.faulted.store(true);
    }
  }

 private:
  void note(const char* error) {
    if (error && failure_.empty()) failure_ = error;
  }

  const DeviceModule& module_;
  DeviceSession* session_;
  std::string failure_;  // the first that was not reported yet
};

}  // namespace

std::unique_ptr<Executor> host_executor() { return std::make_unique<HostExecutor>(); }
std::unique_ptr<Executor> device_executor(const DeviceModule& module, DeviceSession* session) {
  return std::make_unique<DeviceExecutor>(module, session);
}
