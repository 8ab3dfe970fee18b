#include "options.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace emulation {

namespace {

bool is(const char* variable, const char* value) {
  const char* set = std::getenv(variable);
  return set && std::strcmp(set, value) == 0;
}

std::uint64_t number(const char* variable, std::uint64_t otherwise) {
  const char* set = std::getenv(variable);
  return set && *set ? std::strtoull(set, nullptr, 10) : otherwise;
}

Options read() {
  Options o;
  if (is("TRAINFORMER_CUDA_ORDER", "reverse")) o.order = Order::reverse;
  if (is("TRAINFORMER_CUDA_ORDER", "random")) o.order = Order::random;
  o.seed = number("TRAINFORMER_CUDA_SEED", o.seed);
  o.early_copies = is("TRAINFORMER_CUDA_COPIES", "early");
  o.lazy_streams = is("TRAINFORMER_CUDA_STREAMS", "lazy");
  o.workers = std::max(1, int(number("TRAINFORMER_CUDA_WORKERS", std::thread::hardware_concurrency())));
  o.capability = int(number("TRAINFORMER_CUDA_CAPABILITY", std::uint64_t(o.capability)));
  o.multiprocessors =
      std::max(1, int(number("TRAINFORMER_CUDA_MULTIPROCESSORS", std::uint64_t(o.multiprocessors))));
  if (const char* path = std::getenv("TRAINFORMER_CUDA_LAUNCHES"); path && *path) o.launches = strdup(path);
  if (const char* path = std::getenv("TRAINFORMER_CUDA_STATS"); path && *path) o.counts = strdup(path);
  return o;
}

}  // namespace

const Options& options() {
  static const Options read_once = read();
  return read_once;
}

}  // namespace emulation
