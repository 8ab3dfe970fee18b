// The device module: sessions, their memory, and the kernel tables of both activation dtypes (see
// ../native/device_module.h).
#include <cstdlib>
#include <cstring>
#include <memory>

#include "../native/device_module.h"
#include "context.h"
#include "staging.h"
#include "step_graph.h"
#include "timing.h"
#include "try.h"

namespace cuda_f32 {
extern const KernelTable table;
}
namespace cuda_bf16 {
extern const KernelTable table;
}

struct DeviceSession {
  int device;
  cuda::Context context;
  cuda::Staging staging;
  cuda::StepGraph step;
  cuda::Timing timing;
  bool uses_graphs = false;
  std::string message;

  ~DeviceSession();
  std::string create();
  std::string end_step();
  std::string write(void* to, const void* from, std::size_t bytes);
  std::string read(void* to, const void* from, std::size_t bytes);
  std::string finish(DeviceFault* fault);
  std::string configure(const std::string& name, double value);
};

namespace {

// The device that this thread works with.
std::string select(const DeviceSession& session) {
  thread_local int selected = -1;
  if (selected == session.device) return "";
  TRY(rt::select(session.device));
  selected = session.device;
  return "";
}

// Runs `body` on the session's device; null, or what went wrong.
template <class F>
const char* within(DeviceSession* session, const F& body) {
  std::string error = select(*session);
  if (error.empty()) error = body();
  if (error.empty()) return nullptr;
  session->message = std::move(error);
  return session->message.c_str();
}

const char* kept(std::string error) {
  thread_local std::string message;
  message = std::move(error);
  return message.empty() ? nullptr : message.c_str();
}

const char* probe(int* devices) { return kept(rt::device_count(devices)); }
const char* facts(int device, DeviceFacts* facts) { return kept(rt::facts(device, facts)); }

const char* create(int device, DeviceSession** session) {
  auto made = std::make_unique<DeviceSession>();
  made->device = device;
  std::string error = select(*made);
  if (error.empty()) error = made->create();
  if (error.empty()) *session = made.release();
  return kept(std::move(error));
}

void destroy(DeviceSession* session) {
  select(*session);
  delete session;
}

const char* allocate(DeviceSession* session, void** data, Index bytes) {
  const std::string error = select(*session);  // the message belongs to the queue's thread
  return kept(error.empty() ? rt::allocate(data, std::size_t(bytes)) : error);
}
void release(DeviceSession* session, void* data) {
  select(*session);
  rt::release(data);
}

const char* configure(DeviceSession* session, const char* name, double value) {
  return kept(session->configure(name, value));
}

const char* call(DeviceSession* session, const KernelEntry* kernel, const View* views,
                 const double* scalars) {
  return within(session, [&]() -> std::string {
    cuda::current = &session->context;
    kernel->call(views, scalars);
    cuda::current = nullptr;
    const std::string error = std::move(session->context.error);
    session->context.error.clear();
    return error.empty() ? "" : std::string(kernel->name) + ": " + error;
  });
}

const char* fill(DeviceSession* session, void* data, int byte, Index bytes) {
  return within(session, [&] {
    session->context.note_work(session);
    return rt::fill(data, byte, std::size_t(bytes), session->context.stream);
  });
}
const char* write(DeviceSession* session, void* to, const void* from, Index bytes) {
  return within(session, [&] { return session->write(to, from, std::size_t(bytes)); });
}
const char* read(DeviceSession* session, void* to, const void* from, Index bytes) {
  return within(session, [&] { return session->read(to, from, std::size_t(bytes)); });
}
const char* note_time(DeviceSession* session, double* when) {
  return within(session, [&]() -> std::string {
    if (session->step.is_recording()) return "the kernels of a step that is recorded as a graph cannot be timed";
    return session->timing.note(when, session->context.stream);
  });
}
const char* finish(DeviceSession* session, DeviceFault* fault) {
  return within(session, [&] { return session->finish(fault); });
}

const char* begin_step(DeviceSession* session) {
  return within(session, [&]() -> std::string {
    if (!session->uses_graphs || session->step.is_recording()) return "";
    session->context.launches = 0;
    return session->step.begin(session->context.stream);
  });
}
void steps(DeviceSession* session, DeviceSteps* steps) { *steps = {session->step.replayed, session->step.recorded}; }
const char* end_step(DeviceSession* session) {
  return within(session, [&] { return session->end_step(); });
}

}  // namespace

std::string DeviceSession::create() {
  DeviceFacts facts{};
  TRY(rt::facts(device, &facts));
  if (facts.capability < 80)
    return std::string(facts.name) + " has compute capability " + std::to_string(facts.capability / 10) + "." +
           std::to_string(facts.capability % 10) + ": the kernels need 8.0 or newer (Ampere)";
  context.capability = facts.capability;
  context.multiprocessors = facts.multiprocessors;
  context.shared_bytes = rt::shared_bytes_per_block(device);
  const char* hopper = std::getenv("TRAINFORMER_HOPPER");
  context.hopper = hopper && *hopper == '1';
  TRY(rt::create(&context.stream));
  TRY(rt::allocate(reinterpret_cast<void**>(&context.fault), sizeof(cuda::Fault)));
  TRY(rt::fill(context.fault, 0, sizeof(cuda::Fault), context.stream));
  return staging.create();
}

DeviceSession::~DeviceSession() {
  if (context.stream) {
    rt::synchronize(context.stream);
    rt::destroy(context.stream);
  }
  if (context.fault) rt::release(context.fault);
}

std::string DeviceSession::end_step() {
  if (!step.is_recording()) return "";
  TRY(step.launch(context.stream, context.launches));
  return staging.launched(context.stream);
}

std::string DeviceSession::write(void* to, const void* from, std::size_t bytes) {
  if (step.is_recording() && bytes > staging.capacity()) TRY(end_step());
  context.note_work(&staging);
  return staging.write(to, from, bytes, context.stream, step.is_recording());
}

std::string DeviceSession::read(void* to, const void* from, std::size_t bytes) {
  TRY(end_step());
  return staging.read(to, from, bytes, context.stream);
}

std::string DeviceSession::finish(DeviceFault* fault) {
  TRY(end_step());
  cuda::Fault found;
  TRY(staging.read(&found, context.fault, sizeof found, context.stream));
  TRY(timing.resolve());
  if (!found.raised) return "";
  *fault = {1, found.position, found.value, found.limit};
  return rt::fill(context.fault, 0, sizeof found, context.stream);
}

std::string DeviceSession::configure(const std::string& name, double value) {
  if (name == "strict")
    context.strict = value != 0;
  else if (name == "hopper")
    context.hopper = value != 0;
  else if (name == "graphs")
    uses_graphs = value != 0;
  else
    return "CUDA has no setting " + name;
  return "";
}

extern "C" __attribute__((visibility("default"))) const DeviceModule* trainformer_device_module() {
  static const DeviceModule module = {
      kDeviceModuleVersion,
      &cuda_f32::table,
      &cuda_bf16::table,
      probe,
      facts,
      create,
      destroy,
      allocate,
      release,
      configure,
      call,
      fill,
      write,
      read,
      begin_step,
      end_step,
      note_time,
      steps,
      finish,
  };
  return &module;
}
