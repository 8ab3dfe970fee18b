#include "execution.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "async_units.h"
#include "check.h"
#include "fiber.h"
#include "job.h"
#include "options.h"

namespace emulation {

__thread Thread* current = nullptr;

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kSharedBytes = 228 * 1024;

char* map_memory(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    std::perror("CUDA emulation: mmap");
    std::abort();
  }
  return static_cast<char*>(p);
}

// What a thread of the host needs to run blocks: stacks, shared memory, the threads and warps of one block.
// Made once.
class Worker {
 public:
  Worker();
  ~Worker();
  Worker(const Worker&) = delete;

  void run_block(Job& job, std::size_t number);
  // What a fiber does: one thread after the other, until the next to run is one that waits on another stack.
  [[noreturn]] void run_threads();
  void switch_from(Thread* thread);
  [[noreturn]] void abandon_block(const char* why);

 private:
  void start_block(const Launch& launch, std::size_t number);
  void forget_threads();
  unsigned choose(std::uint32_t ready, unsigned last);
  Thread* choose_thread(Warp* warp, unsigned lane);
  void begin(Thread* thread, unsigned stack);
  void end(Thread* thread);
  unsigned take_stack();
  void begin_on_own_stack(Thread* thread);
  [[noreturn]] void leave_block();
  [[noreturn]] void report_deadlock();
  std::uint64_t random();

  char* stacks_;
  char* shared_;
  std::unique_ptr<Thread[]> threads_;
  std::unique_ptr<Warp[]> warps_;
  AsyncUnits units_;
  Block block_{};
  Job* job_ = nullptr;
  void* outside_ = nullptr;  // where the block was entered
  unsigned stacks_made_ = 0;
  std::vector<unsigned> free_stacks_;
  const Order order_ = options().order;
  std::uint64_t random_ = 1;
};

__thread Worker* worker __attribute__((tls_model("initial-exec"))) = nullptr;

void fiber_main() { worker->run_threads(); }

Worker::Worker()
    : stacks_(map_memory(kStackBytes * kMaxThreads)),
      shared_(map_memory(kSharedBytes + kPage)),
      threads_(std::make_unique<Thread[]>(kMaxThreads)),
      warps_(std::make_unique<Warp[]>(kMaxWarps)) {
  mprotect(shared_ + kSharedBytes, kPage, PROT_NONE);
  free_stacks_.reserve(kMaxThreads);
  for (unsigned i = 0; i < kMaxThreads; i++) {
    Thread& thread = threads_[i];
    thread.number = i;
    thread.lane = i % kLanes;
    thread.warp = &warps_[i / kLanes];
    thread.block = &block_;
  }
  for (unsigned i = 0; i < kMaxWarps; i++) {
    warps_[i].number = i;
    warps_[i].threads = &threads_[i * kLanes];
  }
  block_.warps = warps_.get();
  block_.units = &units_;
}

Worker::~Worker() {
  munmap(stacks_, kStackBytes * kMaxThreads);
  munmap(shared_, kSharedBytes + kPage);
}

// ---- a block

void Worker::start_block(const Launch& launch, std::size_t number) {
  const dim3 grid = launch.grid;
  const unsigned threads = launch.block.x * launch.block.y * launch.block.z;
  block_.index = {unsigned(number % grid.x), unsigned(number / grid.x % grid.y),
                  unsigned(number / (std::size_t(grid.x) * grid.y))};
  block_.grid = grid;
  block_.block = launch.block;
  // Up to the guard page behind it, and of values that make a number of none.
  block_.shared_bytes = launch.shared_bytes;
  const std::size_t rounded = (launch.shared_bytes + 127) / 128 * 128;
  block_.shared = reinterpret_cast<unsigned char*>(shared_) + kSharedBytes - rounded;
  if (launch.shared_bytes) std::memset(block_.shared, 0xff, launch.shared_bytes);
  block_.threads = block_.live = threads;
  block_.warp_count = (threads + kLanes - 1) / kLanes;
  block_.ready_warps = std::uint32_t((std::uint64_t{1} << block_.warp_count) - 1);
  block_.arrived = 0;
  units_.clear();
  if (checking) check_block_begun();
  for (unsigned i = 0; i < block_.warp_count; i++) {
    Warp& warp = warps_[i];
    const unsigned lanes = threads - i * kLanes;
    warp.live = warp.ready = lanes >= kLanes ? ~0u : (1u << lanes) - 1;
    warp.begun = 0;
    warp.epoch = 0;
  }
  random_ = (options().seed + number) * 0x9E3779B97F4A7C15ull | 1;
}

void Worker::run_block(Job& job, std::size_t number) {
  job_ = &job;
  start_block(job.launch, number);
  const unsigned warp = choose(block_.ready_warps, kLanes - 1);
  Thread* first = &warps_[warp].threads[choose(warps_[warp].ready, kLanes - 1)];
  begin_on_own_stack(first);
  current = first;
  emulation_switch_stack(&outside_, first->stack_pointer);
  if (job.failed) forget_threads();
}

// What a block that failed left behind.
void Worker::forget_threads() {
  free_stacks_.clear();
  for (unsigned i = 0; i < stacks_made_; i++) free_stacks_.push_back(i);
  for (unsigned i = 0; i < kMaxWarps; i++) {
    for (Rendezvous& rendezvous : warps_[i].rendezvous) rendezvous.arrived = 0;
  }
  if (checking) check_block_abandoned();
}

void Worker::leave_block() {
  current = nullptr;
  void* left;
  emulation_switch_stack(&left, outside_);
  __builtin_unreachable();
}

void Worker::abandon_block(const char* why) {
  const uint3 b = block_.index, t = std::exchange(current, nullptr)->index;
  char place[160];
  std::snprintf(place, sizeof place, " [block (%u, %u, %u), thread (%u, %u, %u)]", b.x, b.y, b.z, t.x, t.y,
                t.z);
  job_->fail(std::string(why) + place);
  leave_block();
}

// ---- its threads

std::uint64_t Worker::random() {  // xorshift
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_ >> 11;
}

// The next to run of the lanes (or warps) that are ready, where `last` ran last.
unsigned Worker::choose(std::uint32_t ready, unsigned last) {
  if (order_ == Order::forward) {
    const std::uint32_t later = last < 31 ? ready & ~0u << (last + 1) : 0;
    return unsigned(__builtin_ctz(later ? later : ready));
  }
  if (order_ == Order::reverse) {
    const std::uint32_t earlier = ready & ((1u << last) - 1);
    return unsigned(31 - __builtin_clz(earlier ? earlier : ready));
  }
  for (auto skipped = random() % unsigned(__builtin_popcount(ready)); skipped; skipped--) ready &= ready - 1;
  return unsigned(__builtin_ctz(ready));
}

// Null if nobody is ready.
Thread* Worker::choose_thread(Warp* warp, unsigned lane) {
  if (!warp->ready || order_ == Order::random) {
    while (!block_.ready_warps) {
      const bool landed = units_.land_one([this](std::size_t count) {
        return order_ == Order::forward ? 0 : order_ == Order::reverse ? count - 1 : random() % count;
      });
      if (!landed) return nullptr;
    }
    const unsigned next = choose(block_.ready_warps, warp->number);
    if (next != warp->number) {
      warp = &warps_[next];
      lane = order_ == Order::reverse ? 0 : kLanes - 1;
    }
  }
  return &warp->threads[choose(warp->ready, lane)];
}

void Worker::begin(Thread* thread, unsigned stack) {
  const dim3 extent = block_.block;
  const unsigned i = thread->number;
  if (extent.y == 1 && extent.z == 1)
    thread->index = {i, 0, 0};
  else
    thread->index = {i % extent.x, i / extent.x % extent.y, i / (extent.x * extent.y)};
  thread->stack = stack;
  thread->warp->begun |= 1u << thread->lane;
  if (!thread->async.empty()) thread->async.clear();
}

void Worker::begin_on_own_stack(Thread* thread) {
  const unsigned stack = take_stack();
  begin(thread, stack);
  // Stacks that begin at equal offsets of their pages would compete for the same lines of the cache.
  char* top = stacks_ + (stack + 1) * kStackBytes - stack * 1216 % 16384;
  thread->stack_pointer = prepare_stack(top, fiber_main);
}

void Worker::end(Thread* thread) {
  for (const AsyncCopy& copy : thread->async.copies) {
    if (!copy.landed) fail("a thread ends while its cp.async is under way");
  }
  Warp* warp = thread->warp;
  make_waiting(thread);
  warp->live &= ~(1u << thread->lane);
  if (!--block_.live) units_.require_idle();
  if (checking && !warp->live && is_counting()) count_requests(warp);
  if (block_.arrived)
    fail("divergent barrier: a thread ends while %u wait at __syncthreads at %s:%d", block_.arrived,
         block_.file, block_.line);
}

void Worker::run_threads() {
  for (;;) {
    Thread* thread = current;
    job_->launch.entry(job_->launch.arguments);
    end(thread);
    if (!block_.live) {
      free_stacks_.push_back(thread->stack);
      leave_block();
    }
    Thread* next = choose_thread(thread->warp, thread->lane);
    if (!next) report_deadlock();
    current = next;
    if (next->warp->begun >> next->lane & 1) {
      free_stacks_.push_back(thread->stack);
      void* left;
      emulation_switch_stack(&left, next->stack_pointer);
    } else {
      begin(next, thread->stack);
    }
  }
}

void Worker::switch_from(Thread* thread) {
  Thread* next = choose_thread(thread->warp, thread->lane);
  if (!next) report_deadlock();
  if (next == thread) return;
  current = next;
  if (!(next->warp->begun >> next->lane & 1)) begin_on_own_stack(next);
  emulation_switch_stack(&thread->stack_pointer, next->stack_pointer);
}

unsigned Worker::take_stack() {
  if (free_stacks_.empty()) {
    mprotect(stacks_ + stacks_made_ * kStackBytes, kPage, PROT_NONE);
    return stacks_made_++;
  }
  const unsigned stack = free_stacks_.back();
  free_stacks_.pop_back();
  return stack;
}

void Worker::report_deadlock() {
  for (unsigned i = 0; i < block_.warp_count; i++) {
    for (const Rendezvous& r : warps_[i].rendezvous) {
      if (!r.arrived) continue;
      fail("deadlock: %s at %s of warp %u waits for lanes %08x, and only %08x come (%08x live)", r.operation,
           source_line(r.pc).c_str(), i, r.mask, r.arrived, warps_[i].live);
    }
  }
  units_.report_deadlock();
  fail("divergent barrier: %u of %u threads come to __syncthreads at %s:%d", block_.arrived, block_.live,
       block_.file, block_.line);
}

}  // namespace

void wait_until_ready() { worker->switch_from(current); }

void fail(const char* format, ...) {
  char why[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  if (!current) {
    std::fprintf(stderr, "CUDA emulation, outside of a kernel: %s\n", why);
    std::abort();
  }
  worker->abandon_block(why);
}

bool run_next_block(Job& job) {
  static thread_local std::unique_ptr<Worker> owned;
  if (!owned) {
    owned = std::make_unique<Worker>();
    worker = owned.get();
  }
  if (job.failed) return false;
  const std::size_t i = job.next++;
  if (i >= job.blocks) return false;
  worker->run_block(job, (job.first + i * job.step) % job.blocks);
  return true;
}

}  // namespace emulation
