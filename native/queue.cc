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

Queue::Queue(std::unique_ptr<Executor> executor, std::function<void(std::uint64_t)> on_ticket)
    : executor_(std::move(executor)), on_ticket_(std::move(on_ticket)), ring_(new Command[kCapacity]) {}

Queue::~Queue() { close(); }

Command& Queue::next() {
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (tail - head_.load(std::memory_order_acquire) >= kCapacity) {
    std::unique_lock lock(mutex_);
    progress_.wait(lock, [&] { return tail - head_.load(std::memory_order_acquire) < kCapacity / 2; });
  }
  Command& command = ring_[tail % kCapacity];
  command.times = nullptr;
  return command;
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
    if (awaited_) awaited_->set(Parcel::kAbandoned);
  }
  if (thread_.joinable()) thread_.join();
  for (std::uint64_t i = head_.load(); i < tail_.load(); ++i) {
    Command& left = ring_[i % kCapacity];
    if (left.kind == Command::kWrite) std::free(left.from);
    if (left.kind == Command::kSend) left.parcel->set(Parcel::kAbandoned);
    left.parcel.reset();
  }
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
      wake_.wait(lock,
                 [&] { return context_.stopping.load() || tail_.load(std::memory_order_seq_cst) != head; });
      sleeping_.store(false, std::memory_order_relaxed);
    }
    if (context_.stopping.load(std::memory_order_relaxed)) return;
    run(ring_[head % kCapacity]);
    head_.store(head + 1, std::memory_order_release);
    // A producer that waits for room or for the end is rare: wake it at a coarse grain or when the queue runs
    // dry.
    if (head % 256 == 255 || tail_.load(std::memory_order_acquire) == head + 1) {
      std::lock_guard lock(mutex_);
      progress_.notify_all();
    }
  }
}

void Queue::run(Command& command) {
  RunTimes* const times = command.times;
  if (!times) return carry_out(command);
  executor_->note_time(times->start);
  carry_out(command);
  executor_->note_time(times->end);
}

void Queue::carry_out(Command& command) {
  switch (command.kind) {
    case Command::kKernel:
      executor_->call(*command.kernel, command.views, command.scalars);
      break;
    case Command::kFill:
      executor_->fill(command.to, 0xff, command.bytes);
      break;
    case Command::kWrite:
      executor_->write(command.to, command.from, command.bytes);
      std::free(command.from);
      break;
    case Command::kNotify:
      if (command.from) executor_->read(command.to, command.from, command.bytes);
      executor_->finish(context_);
      if (command.ticket) on_ticket_(command.ticket);
      break;
    case Command::kSend:
      executor_->read(command.parcel->data.get(), command.from, command.bytes);
      executor_->finish(context_);
      pass_on_reports(context_, command.parcel->reports);
      command.parcel->set(Parcel::kFull);
      command.parcel.reset();
      break;
    case Command::kReceive:
      receive(command);
      command.parcel.reset();
      break;
    case Command::kBeginStep:
      executor_->begin_step();
      break;
    case Command::kEndStep:
      executor_->end_step();
      break;
  }
}

// The sender may be closed before it has run, and so may this queue.
void Queue::receive(Command& command) {
  Parcel& parcel = *command.parcel;
  {
    std::lock_guard lock(mutex_);
    if (context_.stopping.load()) return;
    awaited_ = command.parcel;
  }
  std::unique_lock lock(parcel.mutex);
  parcel.changed.wait(lock, [&] { return parcel.state != Parcel::kFilling; });
  if (parcel.state == Parcel::kFull) {
    executor_->write(command.to, parcel.data.get(), command.bytes);
    pass_on_reports(parcel.reports, context_);
  }
  lock.unlock();
  std::lock_guard unlisted(mutex_);
  awaited_.reset();
}
