#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

thread_local KernelContext* current_context = nullptr;

void pass_on_reports(const KernelContext& from, KernelContext& to) {
  if (from.failed.load() && !to.failed.load()) {
    to.failure = from.failure;
    to.failed.store(true);
  }
  if (from.faulted.load() && !to.faulted.load()) {
    to.fault_position = from.fault_position;
    to.fault_value = from.fault_value;
    to.fault_limit = from.fault_limit;
    to.faulted.store(true);
  }
}

namespace {

#if defined(__x86_64__)
inline void relax() { __builtin_ia32_pause(); }
// What a kernel stored past the caches is seen by whoever is told afterwards that the kernel ended.
inline void finish_stores() { __builtin_ia32_sfence(); }
#else
#if defined(__aarch64__)
inline void relax() { asm volatile("yield"); }
#else
inline void relax() {}
#endif
inline void finish_stores() {}
#endif

constexpr int kSpins = 4000;  // some tens of microseconds, then sleep

// One parallel region at a time. Workers join while it is open; the caller works along, closes it and waits for those
// that joined. A caller that finds the pool busy does its chunks alone: same chunks, same bits.
class Pool {
 public:
  static Pool& instance() {
    static Pool* pool = new Pool;  // never destroyed: workers outlive static destructors
    return *pool;
  }

  void run(Index chunks, void (*body)(void*, Index), void* closure) {
    const int helpers = int(std::min<Index>(limit_.load(std::memory_order_relaxed), chunks) - 1);
    if (helpers <= 0 || !busy_.try_lock()) return work_alone(chunks, body, closure);
    start_workers(helpers);
    body_ = body, closure_ = closure, chunks_ = chunks, context_ = current_context, helpers_ = helpers;
    next_.store(0, std::memory_order_relaxed);
    joined_.store(kOpen, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard lock(sleep_mutex_);
      wake_.notify_all();
    }
    take_chunks();
    joined_.fetch_and(~kOpen, std::memory_order_acq_rel);
    while (joined_.load(std::memory_order_acquire) != 0) relax();
    busy_.unlock();
  }

  int limit() const { return limit_.load(std::memory_order_relaxed); }
  void set_limit(int count) { limit_.store(count, std::memory_order_relaxed); }

 private:
  static constexpr unsigned kOpen = 1u << 31;

  static void work_alone(Index chunks, void (*body)(void*, Index), void* closure) {
    for (Index i = 0; i < chunks; ++i) {
      if (current_context && current_context->stopping.load(std::memory_order_relaxed)) break;
      body(closure, i);
    }
    finish_stores();
  }

  void take_chunks() {
    KernelContext* context = context_;
    for (;;) {
      const Index i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= chunks_ || (context && context->stopping.load(std::memory_order_relaxed))) break;
      body_(closure_, i);
    }
    finish_stores();
  }

  // As many as the system grants: the caller does what is left.
  void start_workers(int wanted) try {
    for (; started_ < wanted; ++started_) std::thread(&Pool::serve, this, started_).detach();
  } catch (const std::system_error&) {
  }

  void serve(int rank) {
    unsigned long seen = 0;
    for (;;) {
      wait_for_news(seen);
      seen = generation_.load(std::memory_order_acquire);
      unsigned joined = joined_.load(std::memory_order_acquire);
      while ((joined & kOpen) && !joined_.compare_exchange_weak(joined, joined + 1, std::memory_order_acq_rel)) {
      }
      if (!(joined & kOpen)) continue;
      if (rank < helpers_) {
        current_context = context_;
        take_chunks();
        current_context = nullptr;
      }
      joined_.fetch_sub(1, std::memory_order_release);
    }
  }

  void wait_for_news(unsigned long seen) {
    for (int i = 0; i < kSpins; ++i) {
      if (generation_.load(std::memory_order_acquire) != seen) return;
      relax();
    }
    std::unique_lock lock(sleep_mutex_);
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] { return generation_.load(std::memory_order_seq_cst) != seen; });
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }

  std::mutex busy_;
  int started_ = 0;
  std::atomic<int> limit_{available_cores()};

  void (*body_)(void*, Index) = nullptr;
  void* closure_ = nullptr;
  Index chunks_ = 0;
  KernelContext* context_ = nullptr;
  int helpers_ = 0;
  alignas(64) std::atomic<Index> next_{0};
  alignas(64) std::atomic<unsigned> joined_{0};
  alignas(64) std::atomic<unsigned long> generation_{0};

  std::mutex sleep_mutex_;
  std::condition_variable wake_;
  std::atomic<int> sleepers_{0};
};

// Reserved once a thread and touched as needed: growing never moves and never allocates.
class Scratch {
 public:
  Scratch() {
    void* memory =
        mmap(nullptr, kScratchBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = top_ = static_cast<char*>(memory);
  }
  ~Scratch() { munmap(base_, kScratchBytes); }
  char* top() const { return top_; }
  char* take(std::size_t bytes) {
    char* taken = top_;
    top_ += (bytes + 63) & ~std::size_t{63};
    if (top_ > base_ + kScratchBytes) __builtin_trap();  // kernels take bounded amounts: a bug, not an input
    return taken;
  }
  void release(char* mark) { top_ = mark; }

 private:
  char* base_;
  char* top_;
};

thread_local Scratch scratch;

}  // namespace

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

int thread_count() { return Pool::instance().limit(); }
void set_thread_count(int count) { Pool::instance().set_limit(count); }

void parallel_chunks(Index chunks, void (*body)(void*, Index), void* closure) {
  Pool::instance().run(chunks, body, closure);
}

char* scratch_mark() { return scratch.top(); }
char* scratch_take(std::size_t bytes) { return scratch.take(bytes); }
void scratch_release(char* mark) { scratch.release(mark); }

void report_index_fault(Index position, Index value, Index limit) {
  KernelContext* context = current_context;
  if (!context || context->faulted.exchange(true)) return;
  context->fault_position = position, context->fault_value = value, context->fault_limit = limit;
}
