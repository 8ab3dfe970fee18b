// One grid that runs: what the threads of the host that run its blocks share.
#pragma once
#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include "execution.h"

namespace emulation {

struct Job {
  const Launch& launch;
  std::size_t blocks;
  std::size_t first = 0, step = 1;  // what runs as number i is block (first + i · step) mod blocks
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex error_mutex;
  std::string error;  // the first
  int helpers = 0;    // beside the thread that launched; the pool guards it

  explicit Job(const Launch& launch)
      : launch(launch), blocks(std::size_t(launch.grid.x) * launch.grid.y * launch.grid.z) {}
  bool has_blocks() const { return !failed && next < blocks; }
  void fail(std::string why) {
    std::lock_guard<std::mutex> lock(error_mutex);
    if (!failed.exchange(true)) error = std::move(why);
  }
};

// Runs the next block of the job on this thread of the host; false if there is none.
bool run_next_block(Job& job);

}  // namespace emulation
