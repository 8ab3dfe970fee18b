// One thread that runs commands in the order they were enqueued: the semantics of a CUDA stream, on a CPU;
// for another device, the thread that launches its work.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include "executor.h"
#include "recorder.h"

// Bytes on their way from one device to another: the queue of the first fills them in, that of the second
// waits for it.
struct Parcel {
  explicit Parcel(std::size_t bytes) : data(new (std::nothrow) char[bytes]) {}
  std::unique_ptr<char[]> data;
  KernelContext reports;  // of the sender: what went wrong in making the bytes is told where they go
  std::mutex mutex;
  std::condition_variable changed;
  enum { kFilling, kFull, kAbandoned } state = kFilling;
  void set(decltype(kFull) to) {
    std::lock_guard lock(mutex);
    state = to;
    changed.notify_all();
  }
};

struct Command {
  enum Kind { kKernel, kFill, kWrite, kNotify, kSend, kReceive, kBeginStep, kEndStep } kind;
  const KernelEntry* kernel;  // kKernel
  View views[kMaxViews];
  double scalars[kMaxScalars];
  char* to;    // kFill: where 0xff goes; kWrite, kNotify, kReceive: where the copy goes
  char* from;  // kWrite: copied and then freed; kNotify: copied first, if not null; kSend: copied
  std::size_t bytes;
  std::uint64_t ticket;  // kNotify: told to the listener when everything before it is done, unless 0
  std::shared_ptr<Parcel> parcel;  // kSend, kReceive
  RunTimes* times;                 // if not null: to be noted
};

class Queue {
 public:
  // `on_ticket` is called on the queue's thread (in synchronous mode: on the caller's).
  Queue(std::unique_ptr<Executor> executor, std::function<void(std::uint64_t)> on_ticket);
  ~Queue();

  // The command to fill in, then submit(). Waits when the queue is full.
  Command& next();
  void submit();
  // Returns when everything submitted has run.
  void drain();
  // Drops what has not started, lets the running kernel end at its next chunk, and ends the thread.
  void close();
  // How many commands were submitted, and how many have finished.
  std::uint64_t submitted() const { return tail_.load(std::memory_order_relaxed); }
  std::uint64_t finished() const { return head_.load(std::memory_order_acquire); }

  KernelContext& context() { return context_; }
  // Whether submit() runs the command on the calling thread before it returns.
  void set_synchronous(bool on);

 private:
  static constexpr std::uint64_t kCapacity = 2048;
  void serve();
  void run(Command& command);
  void carry_out(Command& command);
  void receive(Command& command);

  std::unique_ptr<Executor> executor_;
  std::function<void(std::uint64_t)> on_ticket_;
  std::unique_ptr<Command[]> ring_;
  alignas(64) std::atomic<std::uint64_t> head_{0};  // next to run
  alignas(64) std::atomic<std::uint64_t> tail_{0};  // next to fill
  std::atomic<bool> sleeping_{false};
  std::mutex mutex_;
  std::shared_ptr<Parcel> awaited_;
  std::condition_variable wake_;
  std::condition_variable progress_;
  KernelContext context_;
#if defined(__SANITIZE_ADDRESS__)
  static constexpr bool kAlwaysSynchronous = true;  // the arena of such a build frees for good (see arena.cc)
#else
  static constexpr bool kAlwaysSynchronous = false;
#endif
  bool synchronous_ = kAlwaysSynchronous;
  std::thread thread_;
};
