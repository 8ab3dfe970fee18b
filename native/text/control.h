// How work that takes long is told to stop, says how far it is, and is spread over threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>

namespace text {

struct Stopped {};  // thrown by whoever notices that it shall stop

class Control {
 public:
  // cells: [0] not 0: stop; [1] done, [2] of how much; they belong to whoever asked for the work
  Control(std::int32_t* cells, int threads) : threads(threads), cells_(cells) {}

  const int threads;
  void stop() { stopped_.store(true, std::memory_order_relaxed); }
  void check() const {
    if (stopped_.load(std::memory_order_relaxed) || __atomic_load_n(cells_, __ATOMIC_RELAXED) != 0)
      throw Stopped();
  }
  void progress(std::size_t done, std::size_t total) const {
    __atomic_store_n(cells_ + 2, std::int32_t(total), __ATOMIC_RELAXED);
    __atomic_store_n(cells_ + 1, std::int32_t(done), __ATOMIC_RELAXED);
  }

  // body(chunk, thread) for every chunk below `count`, in any order, on as many threads as allowed and
  // granted. Throws Stopped, and bad_alloc for what else a body throws. What a chunk computes must not depend
  // on the thread.
  void each(std::size_t count, const std::function<void(std::size_t, int)>& body) const;

 private:
  std::int32_t* const cells_;
  std::atomic<bool> stopped_{false};
};

}  // namespace text
