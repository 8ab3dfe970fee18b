// The host side of a device: memory, copies, streams, events, graphs, launches; on the CUDA runtime under nvcc, on the
// emulation otherwise (emulation/runtime.h declares the same functions). What returns a std::string returns an empty
// one when all went well, else what went wrong.
#pragma once
#include <string>

#include "../native/device_module.h"
#include "prim.h"

#if !defined(__CUDACC__)
#include "emulation/runtime.h"
#else

namespace rt {

using Stream = cudaStream_t;
using Event = cudaEvent_t;
using Graph = cudaGraphExec_t;

inline std::string check(cudaError_t error) {
  return error == cudaSuccess ? "" : std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
}

// ---- devices

inline std::string cuda_version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}
// How many there are; or why none, and what to do.
inline std::string device_count(int* devices) {
  *devices = 0;
  const cudaError_t error = cudaGetDeviceCount(devices);
  if (error == cudaSuccess && *devices > 0) return "";
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const std::string needed = "for CUDA " + cuda_version(runtime) + " or newer";
  if (driver == 0) return "this machine has no NVIDIA driver (libcuda.so.1): install one " + needed;
  if (error == cudaErrorInsufficientDriver)
    return "the NVIDIA driver is for CUDA " + cuda_version(driver) + ": update it to one " + needed;
  if (error == cudaSuccess || error == cudaErrorNoDevice)
    return "the NVIDIA driver finds no GPU that this process may use (see CUDA_VISIBLE_DEVICES)";
  return check(error);
}
// Of this thread from now on.
inline std::string select(int device) { return check(cudaSetDevice(device)); }
// Selects the device.
inline std::string facts(int device, DeviceFacts* facts) {
  *facts = {};
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device)) return check(error);
  for (std::size_t i = 0; i + 1 < sizeof facts->name && properties.name[i]; i++) facts->name[i] = properties.name[i];
  facts->capability = 10 * properties.major + properties.minor;
  facts->multiprocessors = properties.multiProcessorCount;
  std::size_t free_bytes = 0, all_bytes = 0;
  if (const cudaError_t error = cudaSetDevice(device)) return check(error);
  if (const cudaError_t error = cudaMemGetInfo(&free_bytes, &all_bytes)) return check(error);
  facts->memory_bytes = Index(all_bytes);
  facts->free_bytes = Index(free_bytes);
  if (const cudaError_t error = cudaDriverGetVersion(&facts->driver_version)) return check(error);
  return check(cudaRuntimeGetVersion(&facts->runtime_version));
}
// What one block may ask for.
inline std::size_t shared_bytes_per_block(int device) {
  int bytes = 0;
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return std::size_t(bytes);
}

// ---- memory

inline std::string allocate(void** data, std::size_t bytes) { return check(cudaMalloc(data, bytes)); }
inline std::string release(void* data) { return check(cudaFree(data)); }
// Host memory that copies can overlap with computing.
inline std::string allocate_pinned(void** data, std::size_t bytes) { return check(cudaMallocHost(data, bytes)); }
inline std::string release_pinned(void* data) { return check(cudaFreeHost(data)); }
inline std::string copy_in(void* device, const void* host, std::size_t bytes, Stream stream) {
  return check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream));
}
inline std::string copy_out(void* host, const void* device, std::size_t bytes, Stream stream) {
  return check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream));
}
inline std::string copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream));
}
inline std::string fill(void* data, int byte, std::size_t bytes, Stream stream) {
  return check(cudaMemsetAsync(data, byte, bytes, stream));
}

// ---- streams and events

inline std::string create(Stream* stream) { return check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking)); }
inline std::string create(Event* event) { return check(cudaEventCreateWithFlags(event, cudaEventDisableTiming)); }
// One whose time can be asked for.
inline std::string create_timed(Event* event) { return check(cudaEventCreate(event)); }
// Between two such events, both done.
inline std::string elapsed_ms(float* ms, Event from, Event to) { return check(cudaEventElapsedTime(ms, from, to)); }
inline void destroy(Stream stream) { cudaStreamDestroy(stream); }
inline void destroy(Event event) { cudaEventDestroy(event); }
inline std::string record(Event event, Stream stream) { return check(cudaEventRecord(event, stream)); }
inline std::string wait(Stream stream, Event event) { return check(cudaStreamWaitEvent(stream, event, 0)); }
inline std::string synchronize(Event event) { return check(cudaEventSynchronize(event)); }
inline std::string synchronize(Stream stream) { return check(cudaStreamSynchronize(stream)); }

// ---- graphs: what is launched between begin and end is recorded and not run

inline std::string begin_capture(Stream stream) {
  return check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
}
// Puts the recorded work into `graph`: in the place of what it holds if that has the same launches in the same order
// (arguments may differ), as a new one otherwise. *updated tells which.
inline std::string end_capture(Stream stream, Graph* graph, bool* updated) {
  cudaGraph_t recorded;
  if (const cudaError_t error = cudaStreamEndCapture(stream, &recorded)) return check(error);
  *updated = false;
  if (*graph) {
    cudaGraphExecUpdateResultInfo result;
    *updated = cudaGraphExecUpdate(*graph, recorded, &result) == cudaSuccess;
    if (!*updated) {
      cudaGetLastError();  // a different step is no error
      cudaGraphExecDestroy(*graph);
      *graph = nullptr;
    }
  }
  const cudaError_t error = *updated ? cudaSuccess : cudaGraphInstantiate(graph, recorded, 0);
  cudaGraphDestroy(recorded);
  return check(error);
}
inline std::string launch(Graph graph, Stream stream) { return check(cudaGraphLaunch(graph, stream)); }
inline void destroy(Graph graph) { cudaGraphExecDestroy(graph); }

// ---- launches

template <class... P, class... A>
std::string launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
                   const A&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
    if (error != cudaSuccess) return check(error);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...));
}

}  // namespace rt
#endif
