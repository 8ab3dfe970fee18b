// addr2line, asked once for each instruction.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

#include "check.h"

namespace emulation {

namespace {

// What only wraps what a kernel does, or comes with the compiler.
bool is_wrapper(const std::string& path) {
  for (const char* wrapper : {"emulation/primitives.h", "emulation/hopper.h", "emulation/runtime.h"}) {
    if (path.find(wrapper) != std::string::npos) return true;
  }
  return path.rfind("/usr/", 0) == 0 || path.rfind("??", 0) == 0;
}

std::string short_name(const std::string& path) {
  const std::size_t slash = path.rfind('/'), begin = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(begin, path.find(' ', begin) - begin);
}

using Known = std::map<const void*, std::string>;

// Asks about instructions of one object, whose addresses in memory start at `base`.
void ask(const char* object, const char* base, const std::vector<const void*>& pcs, Known* known) {
  // An address is that of the next instruction.
  std::string command = std::string("addr2line -a -i -e '") + object + "'";
  for (const void* pc : pcs) {
    char address[32];
    std::snprintf(address, sizeof address, " %#zx", std::size_t(static_cast<const char*>(pc) - base - 1));
    command += address;
  }
  command += " 2>/dev/null";
  FILE* answer = popen(command.c_str(), "r");
  if (!answer) return;
  // For each: its address, then a line for the instruction and for each function it was inlined into, going
  // outward.
  char line[1024];
  std::size_t i = 0;
  bool settled = false;
  while (std::fgets(line, sizeof line, answer)) {
    std::string text(line);
    text.erase(text.find_last_not_of("\r\n") + 1);
    if (text.rfind("0x", 0) == 0) {
      i++;
      settled = false;
    } else if (i >= 1 && i <= pcs.size() && !settled) {
      settled = !is_wrapper(text);
      (*known)[pcs[i - 1]] = short_name(text);
    }
  }
  pclose(answer);
}

}  // namespace

std::vector<std::string> source_lines(const std::vector<const void*>& pcs) {
  Thread* const running = std::exchange(current, nullptr);  // nothing below is an access of the kernel
  static std::mutex mutex;
  static Known& known = *new Known;
  std::vector<std::string> lines;
  {
    std::lock_guard<std::mutex> lock(mutex);
    std::map<std::pair<const char*, const char*>, std::vector<const void*>> unknown;
    for (const void* pc : pcs) {
      Dl_info object;
      if (!known.count(pc) && dladdr(pc, &object))
        unknown[{object.dli_fname, static_cast<const char*>(object.dli_fbase)}].push_back(pc);
    }
    constexpr std::size_t kAtOnce = 1000;
    for (const auto& [object, asked] : unknown) {
      for (std::size_t i = 0; i < asked.size(); i += kAtOnce) {
        const auto end = asked.begin() + std::ptrdiff_t(std::min(i + kAtOnce, asked.size()));
        ask(object.first, object.second, {asked.begin() + std::ptrdiff_t(i), end}, &known);
      }
    }
    for (const void* pc : pcs) {
      const auto found = known.find(pc);
      lines.push_back(found == known.end() ? "??:0" : found->second);
    }
  }
  current = running;
  return lines;
}

std::string source_line(const void* pc) {
  Thread* const running = std::exchange(current, nullptr);
  std::string line = source_lines({pc})[0];
  current = running;
  return line;
}

}  // namespace emulation
