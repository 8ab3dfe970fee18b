#include "queue.h"

#include <cstdlib>
#include <cstring>

namespace {
constexpr int kSpins = 2000;
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
}  // namespace

Queue::Queue(std::function<void(std::uint64_t)> on_ticket)
    : on_ticket_(std::move(on_ticket)), ring_(new Command[kCapacity]) {}

Queue::~Queue() { close(); }

Command& Queue::next() {
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (tail - head_.load(std::memory_order_acquire) >= kCapacity) {
    std::unique_lock lock(mutex_);
    progress_.wait(lock, [&] { return tail - head_.load(std::memory_order_acquire) < kCapacity / 2; });
  }
  return ring_[tail % kCapacity];
}

void Queue::submit() {
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (synchronous_) {
    KernelContext* outer = current_context;
    current_context = &context_;
    run(ring_[tail % kCapacity]);
    current_context = outer;
    return;
  }
  if (!thread_.joinable()) thread_ = std::thread(&Queue::serve, this);
  // Exchanges, here and in serve(), and no stores: emulators of ARM64 let a later load overtake a store.
  tail_.exchange(tail + 1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst)) {
    std::lock_guard lock(mutex_);
    wake_.notify_one();
  }
}

void Queue::drain() {
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  std::unique_lock lock(mutex_);
  progress_.wait(lock, [&] { return head_.load(std::memory_order_acquire) >= tail; });
}

void Queue::set_synchronous(bool on) {
  drain();
  synchronous_ = on || kAlwaysSynchronous;
}

void Queue::close() {
  context_.stopping.store(true);
  {
    std::lock_guard lock(mutex_);
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  for (std::uint64_t i = head_.load(); i < tail_.load(); ++i)
    if (Command& left = ring_[i % kCapacity]; left.kind == Command::kWrite) std::free(left.from);
  head_.store(tail_.load());
}

void Queue::serve() {
  current_context = &context_;
  for (;;) {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    for (int i = 0; i < kSpins && tail_.load(std::memory_order_acquire) == head; ++i) {
      if (context_.stopping.load(std::memory_order_relaxed)) return;
      relax();
    }
    if (tail_.load(std::memory_order_acquire) == head) {
      std::unique_lock lock(mutex_);
      sleeping_.exchange(true, std::memory_order_seq_cst);
      wake_.wait(lock, [&] { return context_.stopping.load() || tail_.load(std::memory_order_seq_cst) != head; });
      sleeping_.store(false, std::memory_order_relaxed);
    }
    if (context_.stopping.load(std::memory_order_relaxed)) return;
    run(ring_[head % kCapacity]);
    head_.store(head + 1, std::memory_order_release);
    // A producer that waits for room or for the end is rare: wake it at a coarse grain or when the queue runs dry.
    if (head % 256 == 255 || tail_.load(std::memory_order_acquire) == head + 1) {
      std::lock_guard lock(mutex_);
      progress_.notify_all();
    }
  }
}

void Queue::run(Command& command) {
  switch (command.kind) {
    case Command::kKernel: command.kernel(command.views, command.scalars); break;
    case Command::kFill: std::memset(command.to, 0xff, command.bytes); break;
    case Command::kWrite:
      std::memcpy(command.to, command.from, command.bytes);
      std::free(command.from);
      break;
    case Command::kNotify:
      if (command.from) std::memcpy(command.to, command.from, command.bytes);
      on_ticket_(command.ticket);
      break;
  }
}
