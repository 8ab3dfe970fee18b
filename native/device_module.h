// What the engine and the module of another device agree on. The module is a shared library of its own,
// loaded when its device is first asked for; it exports one function, trainformer_device_module. Plain data
// and C calling: the two may come from different compilers.
#pragma once
#include "contract.h"

// What a device says of itself.
struct DeviceFacts {
  char name[256];
  int capability;  // 10 · major + minor of the compute capability: 80, 86, 89, 90, 100, 120
  int multiprocessors;
  Index memory_bytes;
  Index free_bytes;
  int driver_version;   // 1000 · major + 10 · minor, of the CUDA version that the driver supports
  int runtime_version;  // the same, of the runtime inside the module
  bool emulated;        // on the processor, for tests
};

// The first element of the data that made no sense (see report_index_fault in runtime.h).
struct DeviceFault {
  int raised;
  Index position, value, limit;
};

// How the steps of a session were launched, when they are recorded as graphs.
struct DeviceSteps {
  Index replayed;  // by a graph that was there already
  Index recorded;  // by a new one
};

// One stream of work on a device. What returns a message returns null when all went well; a message stays
// valid until the next call with the same session. `allocate` and `release` are called on the engine's
// thread, `create` and `destroy` too, the rest on the thread of the queue.
struct DeviceSession;

struct DeviceModule {
  int version;  // kDeviceModuleVersion
  const KernelTable* f32;
  const KernelTable* bf16;
  // How many devices there are; or why none, in words for the user.
  const char* (*probe)(int* devices);
  const char* (*facts)(int device, DeviceFacts* facts);
  const char* (*create)(int device, DeviceSession** session);
  void (*destroy)(DeviceSession* session);
  const char* (*allocate)(DeviceSession* session, void** data, Index bytes);
  void (*release)(DeviceSession* session, void* data);
  // Sets an option of the kernels: "strict" (f32 products by 3×TF32 instead of bf16×3), "graphs" (steps as
  // CUDA graphs).
  const char* (*configure)(DeviceSession* session, const char* name, double value);
  const char* (*call)(DeviceSession* session, const KernelEntry* kernel, const View* views,
                      const double* scalars);
  const char* (*fill)(DeviceSession* session, void* data, int byte, Index bytes);
  // From host memory, which may go when the call returns.
  const char* (*write)(DeviceSession* session, void* to, const void* from, Index bytes);
  // To host memory, done when the call returns.
  const char* (*read)(DeviceSession* session, void* to, const void* from, Index bytes);
  // The work between them is one step, which may be replayed as a graph.
  const char* (*begin_step)(DeviceSession* session);
  const char* (*end_step)(DeviceSession* session);
  // Sets *when to the time at which the work so far is done, in milliseconds of the clock of recorder.h; the
  // next finish() does so at the latest.
  const char* (*note_time)(DeviceSession* session, double* when);
  void (*steps)(DeviceSession* session, DeviceSteps* steps);
  // Waits for everything; tells and forgets the first fault.
  const char* (*finish)(DeviceSession* session, DeviceFault* fault);
};

constexpr int kDeviceModuleVersion = 2;
using DeviceModuleFunction = const DeviceModule* (*)();
