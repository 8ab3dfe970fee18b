// The host side of the emulated device: what goes wrong is told, streams and graphs keep their order, several
// threads use the device at once. Prints what is not as it should be.
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "rt.h"

constexpr int kThreads = 64;

struct Range {
  float* data;
  int size;
};

__global__ void add(Range x, float value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < x.size) x.data[i] += value;
}
__global__ void sum(float* total, Range x) {
  float partial = 0;
  for (int i = threadIdx.x; i < x.size; i += 32) partial += x.data[i];
  for (int lanes = 16; lanes; lanes /= 2) partial += __shfl_xor_sync(0xffffffffu, partial, lanes);
  if (threadIdx.x == 0) *total = partial;
}
__global__ void never_meets() {
  if (threadIdx.x == 3) __syncthreads();
}

namespace {

std::atomic<int> failures{0};

void expect(bool right, const char* what, const std::string& got = "") {
  if (right) return;
  failures++;
  std::printf("%s %s\n", what, got.c_str());
}
void succeeds(const std::string& error, const char* what) { expect(error.empty(), what, error); }
void fails(const std::string& error, const char* text, const char* what) {
  expect(error.find(text) != std::string::npos, what, error);
}
#define SUCCEEDS(call) succeeds(call, #call)
#define FAILS(call, text) fails(call, text, #call)

struct Device {
  rt::Stream stream;
  Range x{nullptr, 1000};
  float* total;

  Device() {
    SUCCEEDS(rt::create(&stream));
    SUCCEEDS(rt::allocate(reinterpret_cast<void**>(&x.data), x.size * sizeof(float)));
    SUCCEEDS(rt::allocate(reinterpret_cast<void**>(&total), sizeof(float)));
    SUCCEEDS(rt::fill(x.data, 0, x.size * sizeof(float), stream));
  }
  ~Device() {
    rt::destroy(stream);
    SUCCEEDS(rt::release(x.data));
    SUCCEEDS(rt::release(total));
  }
  std::string add(float value) {
    return rt::launch(::add, dim3((x.size + kThreads - 1) / kThreads), kThreads, 0, stream, x, value);
  }
  float result() {
    float value = 0;
    SUCCEEDS(rt::launch(sum, 1, 32, 0, stream, total, x));
    SUCCEEDS(rt::copy_out(&value, total, sizeof value, stream));
    SUCCEEDS(rt::synchronize(stream));
    return value;
  }
};

void facts() {
  int devices = 0;
  DeviceFacts facts;
  SUCCEEDS(rt::device_count(&devices));
  expect(devices == 1, "one device");
  SUCCEEDS(rt::facts(0, &facts));
  expect(facts.emulated && facts.capability == 80, "facts");
  expect(rt::shared_bytes_per_block(0) == 163 * 1024, "shared bytes");
  FAILS(rt::select(1), "invalid device 1");
}

void errors() {
  Device d;
  FAILS(rt::launch(sum, 1, 2048, 0, d.stream, d.total, d.x), "blocks of (2048, 1, 1) threads");
  FAILS(rt::launch(sum, dim3(1, 70000), 32, 0, d.stream, d.total, d.x), "a grid of (1, 70000, 1) blocks");
  FAILS(rt::launch(sum, 1, 32, 164 * 1024, d.stream, d.total, d.x), "bytes of shared memory");
  FAILS(rt::fill(d.x.data, 0, 4001, d.stream), "4001 bytes at offset 0 of an allocation of 4000");
  FAILS(rt::copy(d.x.data + 999, d.x.data, 8, d.stream), "8 bytes at offset 3996");
  void* all;
  FAILS(rt::allocate(&all, std::size_t{1} << 50), "out of memory");
  FAILS(rt::release(d.x.data + 1), "invalid device pointer");
  float* data;
  SUCCEEDS(rt::allocate(reinterpret_cast<void**>(&data), 4));
  SUCCEEDS(rt::release(data));
  FAILS(rt::release(data), "invalid device pointer");
  FAILS(rt::fill(data, 0, 4, d.stream), "not of a live allocation");
}

void faults() {
  Device d;
  std::string error = rt::launch(never_meets, 1, kThreads, 0, d.stream);
  if (error.empty()) error = rt::synchronize(d.stream);
  fails(error, "divergent barrier", "a kernel that fails");
  expect(d.result() == 0, "the next kernel");
}

void graphs() {
  Device d;
  rt::Graph graph{};
  bool updated = true;
  for (const float value : {1.0f, 2.0f}) {
    SUCCEEDS(rt::begin_capture(d.stream));
    SUCCEEDS(d.add(value));
    SUCCEEDS(rt::fill(d.total, 0, 4, d.stream));
    FAILS(rt::synchronize(d.stream), "captured");
    SUCCEEDS(rt::end_capture(d.stream, &graph, &updated));
    expect(updated == (value == 2.0f), "the same launches again");
  }
  expect(d.result() == 0, "what is captured does not run");
  SUCCEEDS(rt::launch(graph, d.stream));
  SUCCEEDS(rt::launch(graph, d.stream));
  expect(d.result() == 4000, "a graph that ran twice");
  SUCCEEDS(rt::begin_capture(d.stream));
  SUCCEEDS(rt::fill(d.total, 0, 4, d.stream));
  SUCCEEDS(rt::end_capture(d.stream, &graph, &updated));
  expect(!updated, "other launches");
  rt::destroy(graph);
}

void pinned() {
  Device d;
  float* host;
  SUCCEEDS(rt::allocate_pinned(reinterpret_cast<void**>(&host), 4000));
  for (int i = 0; i < 1000; i++) host[i] = 1;
  rt::Event copied;
  SUCCEEDS(rt::create(&copied));
  SUCCEEDS(rt::copy_in(d.x.data, host, 4000, d.stream));
  SUCCEEDS(rt::record(copied, d.stream));
  SUCCEEDS(rt::synchronize(copied));
  for (int i = 0; i < 1000; i++) host[i] = 2;  // the copy is over
  expect(d.result() == 1000, "pinned memory");
  rt::destroy(copied);
  SUCCEEDS(rt::release_pinned(host));
}

void many_threads() {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([t] {
      for (int round = 0; round < 3; round++) {
        Device d;
        for (int i = 0; i < 50; i++) SUCCEEDS(d.add(float(t)));
        if (t == 0) {
          std::string error = rt::launch(never_meets, 500, kThreads, 0, d.stream);
          if (error.empty()) error = rt::synchronize(d.stream);
          fails(error, "divergent barrier", "a kernel that fails");
        }
        expect(d.result() == 50000.0f * float(t), "several threads");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main() {
  facts();
  errors();
  faults();
  graphs();
  pinned();
  many_threads();
  return failures ? 1 : 0;
}
