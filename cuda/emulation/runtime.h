// The host side of the emulated device: the functions of ../rt.h.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "../../native/device_module.h"
#include "execution.h"

namespace emulation {

// When set, runs every launch in the place of the compiled kernel; what it returns is what the launch
// returns. It must be set before anything is launched.
using LaunchHook = std::string (*)(const Launch&);
extern LaunchHook launch_hook;

struct Stream;
struct Event;
struct Graph;

// `work` when its turn comes; `what` tells it from other work of a graph (the kernel of a launch).
std::string enqueue(Stream* stream, const void* what, std::function<std::string()> work);
// Whether what is enqueued runs at once.
bool runs_at_once(const Stream* stream);
// By the launch hook or by run().
std::string execute(const Launch& launch);

// A kernel and its arguments, kept until they run.
template <class... P>
class Call {
 public:
  template <class... A>
  explicit Call(void (*kernel)(P...), const A&... arguments)
      : kernel_(kernel), arguments_(static_cast<P>(arguments)...) {}

  std::string launch(dim3 grid, dim3 block, std::size_t shared_bytes) const {
    return launch(grid, block, shared_bytes, std::index_sequence_for<P...>());
  }

 private:
  template <std::size_t... I>
  std::string launch(dim3 grid, dim3 block, std::size_t shared_bytes, std::index_sequence<I...>) const {
    const Argument list[] = {{&std::get<I>(arguments_), sizeof(P), alignof(P)}..., {}};
    return execute({reinterpret_cast<const void*>(kernel_), grid, block, shared_bytes, call, this, list,
                    sizeof...(P), sizeof *this});
  }
  static void call(const void* self) {
    const Call& call = *static_cast<const Call*>(self);
    std::apply(call.kernel_, call.arguments_);
  }

  void (*kernel_)(P...);
  std::tuple<P...> arguments_;
};

}  // namespace emulation

namespace rt {

using Stream = emulation::Stream*;
using Event = emulation::Event*;
using Graph = emulation::Graph*;

std::string device_count(int* devices);
std::string facts(int device, DeviceFacts* facts);
std::string select(int device);
std::size_t shared_bytes_per_block(int device);

std::string allocate(void** data, std::size_t bytes);
std::string release(void* data);
std::string allocate_pinned(void** data, std::size_t bytes);
std::string release_pinned(void* data);
std::string copy_in(void* device, const void* host, std::size_t bytes, Stream stream);
std::string copy_out(void* host, const void* device, std::size_t bytes, Stream stream);
std::string copy(void* to, const void* from, std::size_t bytes, Stream stream);
std::string fill(void* data, int byte, std::size_t bytes, Stream stream);

std::string create(Stream* stream);
std::string create(Event* event);
std::string create_timed(Event* event);
std::string elapsed_ms(float* ms, Event from, Event to);
void destroy(Stream stream);
void destroy(Event event);
std::string record(Event event, Stream stream);
std::string wait(Stream stream, Event event);
std::string synchronize(Event event);
std::string synchronize(Stream stream);

std::string begin_capture(Stream stream);
std::string end_capture(Stream stream, Graph* graph, bool* updated);
std::string launch(Graph graph, Stream stream);
void destroy(Graph graph);

template <class... P, class... A>
std::string launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
                   const A&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
  std::string refused = emulation::refuse(grid, block, shared_bytes);
  if (!refused.empty()) return refused;
  const emulation::Call<P...> call(kernel, arguments...);
  if (emulation::runs_at_once(stream)) return call.launch(grid, block, shared_bytes);
  return emulation::enqueue(stream, reinterpret_cast<const void*>(kernel),
                            [=] { return call.launch(grid, block, shared_bytes); });
}

}  // namespace rt
