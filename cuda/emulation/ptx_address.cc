// Where addresses lead.
#include <cstdio>

#include "ptx_machine.h"

namespace ptx {

using std::uint64_t;

namespace {

[[noreturn]] void outside(const char* memory, uint64_t address, std::size_t bytes, uint64_t begin,
                          uint64_t end) {
  std::string where = hexadecimal(address) + " is in no allocation";
  if (end > begin)
    where = "offset " + std::to_string(std::int64_t(address - begin)) + " of " + std::to_string(end - begin);
  throw Error(std::to_string(bytes) + " bytes out of bounds of " + memory + " memory: " + where);
}

char* in(const char* name, char* memory, uint64_t begin, std::size_t size, uint64_t address,
         std::size_t bytes) {
  if (address < begin || address + bytes > begin + size) outside(name, address, bytes, begin, begin + size);
  return memory + (address - begin);
}

}  // namespace

std::string hexadecimal(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

char* resolve_global(Warp& warp, uint64_t address, std::size_t bytes) {
  if (address < warp.known_begin || address + bytes > warp.known_end) {
    Extent extent = allocation_at(address);
    for (const auto& [name, variable] : warp.block->launch->module->variables) {
      const uint64_t begin = reinterpret_cast<uint64_t>(variable.data.get());
      if (address >= begin && address < begin + variable.bytes) extent = {begin, begin + variable.bytes};
    }
    if (address < extent.begin || address + bytes > extent.end)
      outside("global", address, bytes, extent.begin, extent.end);
    warp.known_begin = extent.begin, warp.known_end = extent.end;
  }
  return reinterpret_cast<char*>(address);
}

char* resolve(Warp& warp, Space space, uint64_t address, std::size_t bytes, int lane) {
  if (address % bytes != 0)
    throw Error(std::to_string(bytes) + " bytes at a misaligned address, " + hexadecimal(address));
  if (space == Space::generic) {
    space = address >> 60 == kSharedBase >> 60  ? Space::shared
            : address >> 60 == kLocalBase >> 60 ? Space::local
                                                : Space::global;
    if (space != Space::global) address &= kSharedBase - 1;
  }
  Block& block = *warp.block;
  switch (space) {
    case Space::shared:
      return in("shared", block.shared.data(), kSharedStart, block.shared.size(), address, bytes);
    case Space::local:
      return in("local", warp.local.data() + std::size_t(lane) * warp.local_bytes, 0, warp.local_bytes,
                address, bytes);
    case Space::param: {
      const std::vector<char>& parameters = block.launch->parameters;
      return in("parameter", const_cast<char*>(parameters.data()), 0, parameters.size(), address, bytes);
    }
    default:
      return resolve_global(warp, address, bytes);
  }
}

Space space_of(const Opcode& opcode) {
  if (opcode.has("global")) return Space::global;
  if (opcode.has("shared") || opcode.has("shared::cta")) return Space::shared;
  if (opcode.has("local")) return Space::local;
  if (opcode.has("param")) return Space::param;
  if (opcode.has("const")) return Space::constant;
  return Space::generic;
}

}  // namespace ptx
