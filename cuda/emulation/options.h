// What the environment asks of the emulation, read once.
#pragma once
#include <cstdint>

namespace emulation {

enum class Order { forward, reverse, random };

struct Options {
  Order order = Order::forward;  // TRAINFORMER_CUDA_ORDER: which lane, warp and block runs next
  std::uint64_t seed = 1;        // TRAINFORMER_CUDA_SEED, of the random order
  bool early_copies = false;     // TRAINFORMER_CUDA_COPIES=early: cp.async lands at once, not at its wait
  bool lazy_streams = false;     // TRAINFORMER_CUDA_STREAMS=lazy: work runs when somebody waits for it
  int workers = 1;               // TRAINFORMER_CUDA_WORKERS: host threads that run blocks (default: all)
  int capability = 80;           // TRAINFORMER_CUDA_CAPABILITY
  int multiprocessors = 4;       // TRAINFORMER_CUDA_MULTIPROCESSORS
  const char* launches = nullptr;  // TRAINFORMER_CUDA_LAUNCHES: where the name of each kernel that ran goes, once
  const char* counts = nullptr;  // TRAINFORMER_CUDA_STATS: where the checked build writes its counts
};

const Options& options();

}  // namespace emulation
