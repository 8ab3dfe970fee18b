// Matrix products by another library, in a process of its own: the peer of bench/gemm.bench.ts, which
// compiles this file with gemm_blas.cc or gemm_onednn.cc.
//
// Reads a JSON object per line, in exactly this form, and answers each with one:
//
//   {"threads":1}     opens the library; answers with {"version"} or {"missing"}
//   {"layout":"NT","M":1,"N":1,"K":1,"dtype":"f32","packed":false,"repetitions":1}
//                     answers with {"ms", "peakBytes"}: of all repetitions, and the largest memory of the
//                     process so far; ms is -1 if the library has no such product
#include "gemm.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>

Buffer random_numbers(long count, bool bf16) {
  const Buffer buffer = allocate(count * (bf16 ? 2 : 4));
  std::uint32_t state = 1;
  for (long i = 0; i < count; ++i) {
    state = state * 1664525 + 1013904223;
    const float x = static_cast<float>(state >> 8) / (1 << 23) - 1;
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if (bf16)
      static_cast<std::uint16_t*>(buffer.get())[i] = bits >> 16;
    else
      static_cast<float*>(buffer.get())[i] = x;
  }
  return buffer;
}

namespace {

double now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

// Not getrusage(), whose answer includes the parent's memory at the time of the fork.
double peak_bytes() {
  std::FILE* status = std::fopen("/proc/self/status", "r");
  char line[256];
  long kilobytes = 0;
  while (status && std::fgets(line, sizeof line, status)) std::sscanf(line, "VmHWM: %ld kB", &kilobytes);
  if (status) std::fclose(status);
  return 1024.0 * kilobytes;
}

// All variants of one product stay prepared, because they take turns.
class Prepared {
 public:
  const std::function<void()>& find(const Product& p, const std::string& size, const std::string& variant) {
    if (size != size_) variants_.clear();
    size_ = size;
    const auto found = variants_.find(variant);
    if (found != variants_.end()) return found->second;
    return variants_[variant] = prepare(p);
  }

 private:
  std::string size_;
  std::map<std::string, std::function<void()>> variants_;
};

}  // namespace

int main(int count, char** arguments) {
  char line[512];
  if (!std::fgets(line, sizeof line, stdin)) return 1;
  try {
    std::printf("{\"version\":\"%s\"}\n", open_library(count > 1 ? arguments[1] : "").c_str());
  } catch (const std::exception& error) {
    std::printf("{\"missing\":\"%s\"}\n", error.what());
    return 1;
  }
  std::fflush(stdout);

  Prepared prepared;
  while (std::fgets(line, sizeof line, stdin)) {
    char layout[3], dtype[5], packed[6];
    long M, N, K, repetitions;
    const int read =
        std::sscanf(line,
                    "{\"layout\":\"%2[NT]\",\"M\":%ld,\"N\":%ld,\"K\":%ld,\"dtype\":\"%4[a-z0-9]\","
                    "\"packed\":%5[a-z],\"repetitions\":%ld}",
                    layout, &M, &N, &K, dtype, packed, &repetitions);
    if (read != 7) return 1;
    const bool is_bf16 = std::strcmp(dtype, "bf16") == 0, is_packed = std::strcmp(packed, "true") == 0;
    const bool a_transposed = layout[0] == 'T', b_transposed = layout[1] == 'T';
    const std::string size =
        std::string(layout) + " " + std::to_string(M) + " " + std::to_string(N) + " " + std::to_string(K);
    const auto& run = prepared.find({is_bf16, a_transposed, b_transposed, a_transposed, is_packed, M, N, K},
                                    size, std::string(dtype) + packed);
    const double start = now_ms();
    if (run)
      for (long i = 0; i < repetitions; ++i) run();
    std::printf("{\"ms\":%.6f,\"peakBytes\":%.0f}\n", run ? now_ms() - start : -1.0, peak_bytes());
    std::fflush(stdout);
  }
}
