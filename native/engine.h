// Tensors behind integer handles, and the checked way to run a kernel on them. One engine per JavaScript
// environment (main thread or worker); all its functions belong to that thread.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "arena.h"
#include "cpu.h"
#include "device_module.h"
#include "executor.h"
#include "queue.h"
#include "recorder.h"
#include "signature.h"

// What JavaScript gets as an error with that code.
struct EngineError : std::runtime_error {
  EngineError(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* code;
};

// Memory that belongs to JavaScript.
struct Loan {
  std::function<bool()> holds;  // is it still where it was?
  std::function<void()> end;    // it is not needed any more
};

// Where tensors live and are computed: the processor, or a device behind its module. Each has a queue and
// memory of its own.
struct Device {
  using Session = std::unique_ptr<DeviceSession, void (*)(DeviceSession*)>;
  Device(std::unique_ptr<MemorySource> memory, bool caches, std::unique_ptr<Executor> executor,
         std::function<void(std::uint64_t)> on_ticket)
      : arena(std::move(memory), caches), queue(std::move(executor), std::move(on_ticket)) {}
  // Waits until everything enqueued has run, on the device too.
  void finish();
  // Gives free memory back to the system.
  void trim();

  const DeviceModule* module = nullptr;  // null: the processor
  DeviceFacts facts{};
  int index = 0;          // among those of the module
  bool imagined = false;  // tensors have shapes and sizes there, but no elements, and nothing is computed
  Arena arena;
  Queue queue;  // last: its thread ends before anything else goes
};

// The memory of a tensor. It lives as long as its handle, or longer if JavaScript holds a view of it.
struct Storage {
  Device* device = nullptr;
  char* data = nullptr;
  Dtype dtype = Dtype::f32;
  Index length = 0;
  Block block{nullptr, 0};  // ours, or
  Loan loan;
  int references = 0;  // the handle, and each view or read in flight
  std::size_t bytes() const { return std::size_t(length) * kBytesPerElement[int(dtype)]; }
};

class Engine {
 public:
  explicit Engine(std::function<void(std::uint64_t)> on_ticket);

  // The number of device `index` of the module at `path`, loaded if it is not yet.
  int open_device(const std::string& path, double index);
  // The number of a device without elements.
  int open_imagined();
  std::int64_t allocate(double dtype, double length, double device);
  std::int64_t adopt(Dtype dtype, void* data, Index length, Loan loan);
  void free(double handle);
  void write(double handle, double offset, Dtype dtype, const void* data, Index length);
  // Copies elements from a tensor to one on any device.
  void copy(double from, double from_offset, double to, double to_offset, double length);
  // A range of a tensor, whose storage stays until release().
  struct Range {
    Storage* storage;
    char* data;
    std::size_t bytes;
    bool is_on_host() const { return storage->device->module == nullptr; }
  };
  Range pin(double handle, double offset, double length);
  void release(Storage* storage);
  // Tells `ticket` to the listener when all that was enqueued is done; first copies `range` to `to` unless
  // that is null.
  void notify(std::uint64_t ticket, const Range& range, void* to);
  // Copies `range` to `to` when all that was enqueued is done, and returns then.
  void read_now(const Range& range, void* to);
  // Runs kernel number `kernel` of the tables for `real`; `words` holds its arguments in the order of its
  // signature: a number is one word, a tensor is [handle, offset, size per axis, stride per axis], left out
  // [-1].
  void call(double kernel, double real, const double* words, std::size_t count);
  // What a device does between the two may be replayed the next time.
  void mark_step(double device, bool begins);
  void configure_device(double device, const char* name, double value);
  DeviceSteps steps(std::size_t device) const;
  // From here on the peak of a device is what is live there now, or more.
  void reset_peak(double device);
  // What is enqueued from here on is recorded, until end_recording(), which waits for it.
  void begin_recording();
  const Recorder& end_recording();
  void forget_recording() { recorder_.forget(); }

  void select_isa(const std::string& name);
  const Isa& isa() const { return *isa_; }
  void set_poison(bool on) { poison_ = on; }
  void set_synchronous(bool on);
  // Gives free memory back to the system, once everything enqueued has run.
  void trim();
  // Ends all queues, perhaps in the middle of a step.
  void close();
  const std::vector<Signature>& signatures() const { return signatures_; }
  const std::vector<std::unique_ptr<Device>>& devices() const { return devices_; }
  std::size_t tensors() const { return tensors_; }
  // Throws what kernels or the device reported since the last time, and forgets it.
  void throw_fault(Device& device);

 private:
  struct Slot {
    std::uint32_t generation = 1;
    std::unique_ptr<Storage> storage;
  };
  Device& host() { return *devices_.front(); }
  Device& device(double number);
  Storage& find(double handle, const char* what, const char* argument = nullptr);
  Storage& find_usable(double handle, const char* what, const char* argument = nullptr);
  char* find_range(const char* what, Storage& storage, double offset, double length);
  std::int64_t insert(std::unique_ptr<Storage> storage);
  void reclaim();
  // Puts a command on its queue; while that is asked for, with a record of it.
  void submit(Command& command, Device& where, double taken_ms, const double* words, std::size_t count,
              double kernel = -1, double real = -1);
  double now_if_recording() const { return recorder_.is_on() ? clock_ms() : 0; }
  void decode_view(const Parameter& parameter, const Signature& signature, Dtype real, const char* kernel,
                   const Device& device, const double*& words, const double* end, View& view, Index* sizes);

  std::function<void(std::uint64_t)> on_ticket_;
  std::vector<Signature> signatures_;
  const Isa* isa_;
  bool poison_ = false;
  bool synchronous_ = false;
  Recorder recorder_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::size_t tensors_ = 0;
  struct Retired {
    std::uint64_t after;  // commands of the host
    std::function<void()> end_loan;
  };
  std::deque<Retired> retired_;
  std::vector<Device::Session> sessions_;  // outlive the devices
  std::vector<std::unique_ptr<Device>>
      devices_;  // the processor first; last: their threads end before anything else goes
};
