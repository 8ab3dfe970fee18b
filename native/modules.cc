#include "modules.h"

#include <dlfcn.h>

#include <cstring>
#include <map>
#include <mutex>

#include "engine.h"

namespace {

// The kernels must be those of this addon, argument by argument.
bool is_same_contract(const KernelTable& a, const KernelTable& b) {
  if (a.count != b.count) return false;
  for (int i = 0; i < a.count; ++i)
    if (std::strcmp(a.kernels[i].name, b.kernels[i].name) != 0 ||
        std::strcmp(a.kernels[i].signature, b.kernels[i].signature) != 0)
      return false;
  return true;
}

class DeviceMemory : public MemorySource {
 public:
  DeviceMemory(const DeviceModule& module, DeviceSession* session, Index limit)
      : module_(module), session_(session), limit_(std::size_t(limit)) {}
  char* map(std::size_t bytes) override {
    void* data = nullptr;
    return module_.allocate(session_, &data, Index(bytes > 0 ? bytes : 1)) ? nullptr
                                                                           : static_cast<char*>(data);
  }
  void unmap(char* data, std::size_t) override { module_.release(session_, data); }
  std::size_t limit() const override { return limit_; }

 private:
  const DeviceModule& module_;
  DeviceSession* session_;
  std::size_t limit_;
};

}  // namespace

const DeviceModule& load_module(const std::string& path) {
  static std::mutex mutex;
  static std::map<std::string, const DeviceModule*> loaded;
  std::lock_guard lock(mutex);
  const auto refuse = [&](const std::string& why) -> void {
    throw EngineError("ERR_NO_DEVICE", path + ": " + why);
  };
  const DeviceModule*& module = loaded[path];
  if (module) return *module;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = dlerror();
    refuse(why ? why : "cannot be loaded");
  }
  const auto function = reinterpret_cast<DeviceModuleFunction>(dlsym(library, "trainformer_device_module"));
  if (!function) refuse("is not a device module");
  const DeviceModule* found = function();
  if (found->version != kDeviceModuleVersion || !is_same_contract(*found->f32, *isas().front().f32))
    refuse("belongs to another version of trainformer");
  module = found;
  return *module;
}

std::unique_ptr<MemorySource> device_memory(const DeviceModule& module, DeviceSession* session,
                                            const DeviceFacts& facts) {
  return std::make_unique<DeviceMemory>(module, session, facts.memory_bytes);
}
