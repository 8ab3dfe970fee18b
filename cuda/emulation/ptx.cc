// Runs the PTX that nvcc made of the kernels in the place of the compiled ones: what the inline assembly of
// ../prim.h says is executed too. What this is linked into runs every launch so; TRAINFORMER_CUDA_PTX names
// the folder of the .ptx files.

#include <dirent.h>
#include <dlfcn.h>

#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>

#include "memory.h"
#include "options.h"
#include "ptx_execute.h"
#include "runtime.h"

namespace ptx {

namespace {

Extent device_allocation_at(std::uint64_t address) {
  const void* p = reinterpret_cast<const void*>(address);
  if (!emulation::is_device_memory(p)) return {};
  const emulation::Allocation found = emulation::allocation_at(p);
  const std::uint64_t begin = reinterpret_cast<std::uint64_t>(found.data);
  return {begin, begin + found.bytes};
}

// A file is decoded when a kernel of it first runs.
struct File {
  std::string path, name;
  std::once_flag decoded;
  std::unique_ptr<Module> module;
};

struct Library {
  std::deque<File> files;
  std::map<std::string, File*> kernels;
};

Library& library() {
  static Library* const forever = new Library;
  return *forever;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) throw Error("cannot read " + path);
  return text.str();
}

// The name by which the linker knows a function.
std::string name_of(const void* kernel) {
  Dl_info info;
  return dladdr(kernel, &info) && info.dli_sname && info.dli_saddr == kernel ? info.dli_sname : "";
}

// Finds the kernels of every .ptx file of a folder: how many there are.
int load(const std::string& folder) {
  DIR* const directory = opendir(folder.c_str());
  if (!directory) throw Error("cannot open " + folder);
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name.size() < 5 || name.compare(name.size() - 4, 4, ".ptx") != 0) continue;
    File& file = library().files.emplace_back();
    file.name = name;
    file.path = folder + "/" + name;
    const std::string text = text_of(file.path), mark = ".entry ";
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
      at += mark.size();
      library().kernels[text.substr(at, text.find('(', at) - at)] = &file;
    }
  }
  closedir(directory);
  return int(library().kernels.size());
}

std::string run(const std::string& kernel, const emulation::Launch& request) try {
  const auto found = library().kernels.find(kernel);
  if (found == library().kernels.end()) return kernel + ": no PTX of it";
  File& file = *found->second;
  std::call_once(file.decoded, [&] { file.module = decode(parse(file.name, text_of(file.path))); });
  const Function* const function = file.module->functions.at(kernel).get();
  const auto size3 = [](dim3 size) { return Size3{size.x, size.y, size.z}; };
  Launch launch{file.module.get(),
                function,
                size3(request.grid),
                size3(request.block),
                request.shared_bytes,
                std::vector<char>(function->parameter_bytes),
                emulation::options().early_copies,
                emulation::options().order != emulation::Order::forward};
  if (request.count != function->kernel_parameters.size())
    return kernel + ": another number of arguments than its PTX";
  for (std::size_t i = 0; i < request.count; ++i) {
    const auto [offset, bytes] = function->kernel_parameters[i];
    if (bytes != request.list[i].bytes)
      return kernel + ": argument " + std::to_string(i) + " has " + std::to_string(request.list[i].bytes) +
             " bytes, in PTX " + std::to_string(bytes);
    std::memcpy(launch.parameters.data() + offset, request.list[i].data, bytes);
  }
  Executor executor(launch);
  const std::uint64_t blocks = launch.grid.count();
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t block = launch.reversed ? blocks - 1 - i : i, rows = block / launch.grid.x;
    executor.run_block({std::uint32_t(block % launch.grid.x), std::uint32_t(rows % launch.grid.y),
                        std::uint32_t(rows / launch.grid.y)});
  }
  return "";
} catch (const std::exception& error) {
  return kernel + ": " + error.what();
}

std::string load_once() {
  const char* folder = std::getenv("TRAINFORMER_CUDA_PTX");
  if (!folder || !*folder) return "TRAINFORMER_CUDA_PTX does not name the folder of the PTX files";
  try {
    return load(folder) > 0 ? "" : std::string("no kernels in ") + folder;
  } catch (const Error& error) {
    return error.what();
  }
}

std::string run_by_name(const emulation::Launch& launch) {
  static const std::string error = load_once();
  if (!error.empty()) return error;
  const std::string name = name_of(launch.kernel);
  return name.empty() ? "a kernel without a name: it is not exported" : run(name, launch);
}

const bool installed = (emulation::launch_hook = run_by_name, true);

}  // namespace

Extent (*allocation_at)(std::uint64_t address) = device_allocation_at;

}  // namespace ptx
