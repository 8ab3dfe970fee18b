// Streams, events and graphs. Work usually runs when it is enqueued. Lazy streams keep it until somebody
// waits for it, as late as the rules allow: what does not wait for what it needs then sees memory as it was
// before.
#include <dlfcn.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "../../native/recorder.h"
#include "check.h"
#include "memory.h"
#include "options.h"
#include "runtime.h"

namespace emulation {

LaunchHook launch_hook;

struct Work {
  const void* what;  // two captures are alike if these are
  std::function<std::string()> run;
};

struct Stream {
  std::deque<Work> waiting;
  std::uint64_t done = 0;  // how much work has run
  std::string error;       // the first of that
  bool capturing = false;
  std::vector<Work> captured;
};

struct Event {
  Stream* stream = nullptr;
  std::uint64_t after = 0;  // so much work of the stream
  bool is_timed = false;
  std::shared_ptr<double> done_ms;  // null until recorded, NaN until that work is done
};

struct Graph {
  std::shared_ptr<const std::vector<Work>> work;
};

namespace {

// Held while lazy work runs: waiting for an event runs work of another stream. Recursive, since waiting is
// work.
std::recursive_mutex lazy_mutex;
std::set<Stream*>& all_streams() {
  static std::set<Stream*>& streams = *new std::set<Stream*>;
  return streams;
}

void run_until(Stream* stream, std::uint64_t count) {
  while (!stream->waiting.empty() && stream->done < count) {
    const Work work = std::move(stream->waiting.front());
    stream->waiting.pop_front();
    stream->done++;
    const std::string error = work.run();
    if (stream->error.empty()) stream->error = error;
  }
}

void run_everything() {
  if (!options().lazy_streams) return;
  std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
  for (Stream* stream : all_streams()) run_until(stream, ~std::uint64_t{0});
}

std::mutex pinned_mutex;
std::map<const char*, std::size_t>& pinned_memory() {
  static auto& memory = *new std::map<const char*, std::size_t>;
  return memory;
}
bool is_pinned(const void* p) {
  std::lock_guard<std::mutex> lock(pinned_mutex);
  auto after = pinned_memory().upper_bound(static_cast<const char*>(p));
  if (after == pinned_memory().begin()) return false;
  const auto& [data, bytes] = *std::prev(after);
  return static_cast<const char*>(p) < data + bytes;
}

const char kCopyIn[] = "copy_in", kCopyOut[] = "copy_out", kCopy[] = "copy", kFill[] = "fill",
           kWait[] = "wait", kTime[] = "time";

}  // namespace

// So that tests can tell which kernels they have run.
static void note_launch(const void* kernel) {
  static std::mutex mutex;
  static std::set<const void*> noted;
  std::lock_guard<std::mutex> lock(mutex);
  Dl_info info;
  if (!noted.insert(kernel).second || !dladdr(kernel, &info) || !info.dli_sname) return;
  if (FILE* file = std::fopen(options().launches, "a")) {
    std::fprintf(file, "%s\n", info.dli_sname);
    std::fclose(file);
  }
}

bool runs_at_once(const Stream* stream) { return !options().lazy_streams && !stream->capturing; }

std::string enqueue(Stream* stream, const void* what, std::function<std::string()> work) {
  if (stream->capturing) {
    stream->captured.push_back({what, std::move(work)});
    return "";
  }
  if (!options().lazy_streams) return work();
  std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
  stream->waiting.push_back({what, std::move(work)});
  return "";
}

std::string execute(const Launch& launch) {
  if (options().launches) note_launch(launch.kernel);
  return launch_hook ? launch_hook(launch) : run(launch);
}

}  // namespace emulation

namespace rt {

using emulation::all_streams;
using emulation::check_range;
using emulation::enqueue;
using emulation::is_pinned;
using emulation::lazy_mutex;
using emulation::options;
using emulation::pinned_memory;
using emulation::pinned_mutex;
using emulation::run_everything;
using emulation::run_until;
using emulation::runs_at_once;
using emulation::Work;

// ---- the device

std::string device_count(int* devices) {
  *devices = 1;
  return "";
}

std::string facts(int device, DeviceFacts* facts) {
  const std::string error = select(device);
  if (!error.empty()) return error;
  *facts = {};
  std::strcpy(facts->name, "CUDA emulation on the processor");
  facts->capability = options().capability;
  facts->multiprocessors = options().multiprocessors;
  facts->memory_bytes = Index(emulation::device_bytes());
  facts->free_bytes = Index(emulation::free_device_bytes());
  facts->emulated = true;
  return "";
}

std::string select(int device) {
  return device == 0 ? "" : "invalid device " + std::to_string(device) + ": the emulation has one";
}

std::size_t shared_bytes_per_block(int) { return emulation::shared_limit(options().capability); }

// ---- memory

std::string allocate(void** data, std::size_t bytes) { return emulation::allocate_device(data, bytes); }
std::string release(void* data) {
  run_everything();  // as cudaFree waits for the device
  return emulation::release_device(data);
}

std::string allocate_pinned(void** data, std::size_t bytes) {
  *data = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!*data) return "out of host memory";
  std::lock_guard<std::mutex> lock(pinned_mutex);
  pinned_memory()[static_cast<char*>(*data)] = bytes;
  return "";
}
std::string release_pinned(void* data) {
  if (!data) return "";
  run_everything();
  std::lock_guard<std::mutex> lock(pinned_mutex);
  if (!pinned_memory().erase(static_cast<char*>(data))) return "invalid pinned pointer";
  std::free(data);
  return "";
}

std::string copy_in(void* device, const void* host, std::size_t bytes, Stream stream) {
  const std::string error = check_range(device, bytes);
  if (!error.empty() || bytes == 0) return error;
  if (runs_at_once(stream)) return std::memcpy(device, host, bytes), "";
  if (!stream->capturing && !is_pinned(host)) {  // then it is taken before the call returns
    auto bytes_now = std::make_shared<std::vector<char>>(static_cast<const char*>(host),
                                                         static_cast<const char*>(host) + bytes);
    return enqueue(stream, emulation::kCopyIn,
                   [=] { return std::memcpy(device, bytes_now->data(), bytes), std::string(); });
  }
  return enqueue(stream, emulation::kCopyIn, [=] { return std::memcpy(device, host, bytes), std::string(); });
}

std::string copy_out(void* host, const void* device, std::size_t bytes, Stream stream) {
  const std::string error = check_range(device, bytes);
  if (!error.empty() || bytes == 0) return error;
  if (runs_at_once(stream)) return std::memcpy(host, device, bytes), "";
  const std::string late =
      enqueue(stream, emulation::kCopyOut, [=] { return std::memcpy(host, device, bytes), std::string(); });
  // To memory that is not pinned it is done when the call returns.
  return late.empty() && !stream->capturing && !is_pinned(host) ? synchronize(stream) : late;
}

std::string copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  std::string error = check_range(to, bytes);
  if (error.empty()) error = check_range(from, bytes);
  if (!error.empty() || bytes == 0) return error;
  if (runs_at_once(stream)) return std::memmove(to, from, bytes), "";
  return enqueue(stream, emulation::kCopy, [=] { return std::memmove(to, from, bytes), std::string(); });
}

std::string fill(void* data, int byte, std::size_t bytes, Stream stream) {
  const std::string error = check_range(data, bytes);
  if (!error.empty() || bytes == 0) return error;
  if (runs_at_once(stream)) return std::memset(data, byte, bytes), "";
  return enqueue(stream, emulation::kFill, [=] { return std::memset(data, byte, bytes), std::string(); });
}

// ---- streams and events

std::string create(Stream* stream) {
  *stream = new emulation::Stream;
  std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
  all_streams().insert(*stream);
  return "";
}
std::string create(Event* event) {
  *event = new emulation::Event;
  return "";
}
std::string create_timed(Event* event) {
  *event = new emulation::Event;
  (*event)->is_timed = true;
  return "";
}
std::string elapsed_ms(float* ms, Event from, Event to) {
  std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
  if (!from->done_ms || !to->done_ms) return "the time of an event that was not recorded, or not to be timed";
  *ms = float(*to->done_ms - *from->done_ms);
  return std::isnan(*ms) ? "the time of an event that is not done" : "";
}

void destroy(Stream stream) {
  std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
  run_until(stream, ~std::uint64_t{0});
  all_streams().erase(stream);
  delete stream;
  if (emulation::checking && emulation::is_counting()) emulation::write_counts();
}
void destroy(Event event) { delete event; }

std::string record(Event event, Stream stream) {
  if (stream->capturing) return "events cannot be recorded into a capture";
  std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
  if (event->is_timed) {  // a work of its own, which the next wait for the event runs
    event->done_ms = std::make_shared<double>(std::nan(""));
    const auto note = [done_ms = event->done_ms] { return *done_ms = clock_ms(), std::string(); };
    const std::string error = enqueue(stream, emulation::kTime, note);
    if (!error.empty()) return error;
  }
  event->stream = stream;
  event->after = stream->done + stream->waiting.size();
  return "";
}

std::string wait(Stream stream, Event event) {
  if (stream->capturing) return "a capture cannot wait for an event that is not of it";
  if (!options().lazy_streams || !event->stream || event->stream == stream) return "";
  return enqueue(stream, emulation::kWait, [other = event->stream, after = event->after] {
    std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
    if (all_streams().count(other)) run_until(other, after);
    return std::string();
  });
}

std::string synchronize(Event event) {
  std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
  Stream stream = event->stream;
  if (!stream || !all_streams().count(stream)) return "";
  run_until(stream, event->after);
  return std::exchange(stream->error, "");
}

std::string synchronize(Stream stream) {
  if (stream->capturing) return "a stream that is captured cannot be waited for";
  std::lock_guard<std::recursive_mutex> lock(lazy_mutex);
  run_until(stream, ~std::uint64_t{0});
  return std::exchange(stream->error, "");
}

// ---- graphs

std::string begin_capture(Stream stream) {
  if (stream->capturing) return "the stream is captured already";
  stream->capturing = true;
  stream->captured.clear();
  return "";
}

std::string end_capture(Stream stream, Graph* graph, bool* updated) {
  if (!stream->capturing) return "the stream is not captured";
  stream->capturing = false;
  auto recorded = std::make_shared<const std::vector<Work>>(std::move(stream->captured));
  stream->captured.clear();
  *updated = false;
  if (*graph) {
    const std::vector<Work>& old = *(*graph)->work;
    *updated = old.size() == recorded->size() &&
               std::equal(old.begin(), old.end(), recorded->begin(),
                          [](const Work& a, const Work& b) { return a.what == b.what; });
  } else {
    *graph = new emulation::Graph;
  }
  (*graph)->work = std::move(recorded);
  return "";
}

std::string launch(Graph graph, Stream stream) {
  if (stream->capturing) return "a graph cannot be launched into a capture";
  return enqueue(stream, graph, [work = graph->work] {
    for (const Work& each : *work) {
      const std::string error = each.run();
      if (!error.empty()) return error;
    }
    return std::string();
  });
}

void destroy(Graph graph) { delete graph; }

}  // namespace rt
