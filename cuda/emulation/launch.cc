// Distributes the blocks of a grid over threads of the host.
#include <chrono>
#include <condition_variable>
#include <deque>
#include <numeric>
#include <thread>

#include "check.h"
#include "job.h"
#include "options.h"

namespace emulation {

namespace {

// Threads that help with grids which take long. They live as long as the process.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; i++) std::thread([this] { help(); }).detach();
  }
  void offer(Job& job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(&job);
    }
    work_.notify_all();
  }
  // Returns when nobody works for the job any more.
  void withdraw(Job& job) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (auto i = jobs_.begin(); i != jobs_.end(); ++i) {
      if (*i == &job) {
        jobs_.erase(i);
        break;
      }
    }
    idle_.wait(lock, [&] { return job.helpers == 0; });
  }

 private:
  Job* find() {
    for (Job* job : jobs_) {
      if (job->has_blocks()) return job;
    }
    return nullptr;
  }
  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Job* job;
      work_.wait(lock, [&] { return (job = find()) != nullptr; });
      job->helpers++;
      lock.unlock();
      while (run_next_block(*job)) {
      }
      lock.lock();
      if (--job->helpers == 0) idle_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_, idle_;
  std::deque<Job*> jobs_;
};

Pool& pool() {
  static Pool* const forever = new Pool(options().workers - 1);
  return *forever;
}

// Most grids of tests end within this time, and waking somebody takes as long.
constexpr std::chrono::microseconds kAlone{50};

void run_blocks(Job& job) {
  if (job.blocks == 1 || options().workers == 1 || checking) {
    while (run_next_block(job)) {
    }
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  bool offered = false;
  while (run_next_block(job)) {
    if (!offered && job.has_blocks() && std::chrono::steady_clock::now() - begin > kAlone) {
      pool().offer(job);
      offered = true;
    }
  }
  if (offered) pool().withdraw(job);
}

std::string shape(dim3 d) {
  return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
}

}  // namespace

std::string refuse(dim3 g, dim3 b, std::size_t shared_bytes) {
  const std::size_t threads = std::size_t(b.x) * b.y * b.z;
  if (threads == 0 || b.x > kMaxThreads || b.y > kMaxThreads || b.z > 64 || threads > kMaxThreads)
    return "invalid configuration: blocks of " + shape(b) + " threads";
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535)
    return "invalid configuration: a grid of " + shape(g) + " blocks";
  const std::size_t limit = shared_limit(options().capability);
  if (shared_bytes > limit)
    return "invalid configuration: " + std::to_string(shared_bytes) +
           " bytes of shared memory, a block has " + std::to_string(limit);
  return "";
}

std::size_t shared_limit(int capability) {
  switch (capability) {
    case 80:
    case 87:
      return 163 * 1024;
    case 90:
    case 100:
    case 103:
      return 227 * 1024;
    default:
      return 99 * 1024;
  }
}

std::string run(const Launch& launch) {
  Job job(launch);
  if (options().order == Order::reverse) {
    job.first = job.blocks - 1;
    job.step = job.blocks - 1;
  } else if (options().order == Order::random) {
    job.first = std::size_t(options().seed * 0x9E3779B97F4A7C15ull >> 33) % job.blocks;
    job.step = job.blocks / 2 + 1;
    while (std::gcd(job.step, job.blocks) != 1) job.step++;
  }
  if (checking) {
    std::lock_guard<std::mutex> lock(check_mutex);
    check_launch(launch);
    run_blocks(job);
  } else {
    run_blocks(job);
  }
  return job.error;
}

}  // namespace emulation
