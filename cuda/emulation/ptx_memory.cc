// Loads, stores, atomics, addresses, asynchronous copies.
#include <algorithm>

#include "ptx_lanes.h"

namespace ptx {

namespace {

using std::uint32_t;
using std::uint64_t;

// ---- ld, st: operands are the elements of the vector and the address, in the order of the instruction

template <class T>
void load(Warp& warp, const Instruction& instruction, Mask active) {
  const int count = instruction.vector;
  const Operand& from = instruction[count];
  for_each_lane(active, [&](int lane) {
    const char* p = resolve(warp, instruction.space, warp.address(from, lane), count * sizeof(T), lane);
    for (int i = 0; i < count; ++i, p += sizeof(T)) {
      if (!instruction[i].present) continue;
      T value;
      std::memcpy(&value, p, sizeof value);
      if (instruction[i].bytes == sizeof(T))
        warp.lanes<T>(instruction[i])[lane] = value;
      else
        warp.set(instruction[i], lane, uint64_t(std::int64_t(value)));
    }
  });
}

template <class T>
void store(Warp& warp, const Instruction& instruction, Mask active) {
  const int count = instruction.vector;
  for_each_lane(active, [&](int lane) {
    char* p = resolve(warp, instruction.space, warp.address(instruction[0], lane), count * sizeof(T), lane);
    for (int i = 1; i <= count; ++i, p += sizeof(T)) {
      const T value = T(warp.get(instruction[i], lane));
      std::memcpy(p, &value, sizeof value);
    }
  });
}

// .param variables of functions and calls; `target` has the bytes of the variable for one lane.
char* in_slot(Warp& warp, const Instruction& instruction, const Operand& slot, int lane, std::size_t bytes) {
  if (slot.offset < 0 || std::size_t(slot.offset) + bytes > instruction.target)
    throw Error("beyond the end of a parameter");
  return warp.registers + slot.at + std::size_t(lane) * instruction.target + slot.offset;
}

template <class T>
void load_slot(Warp& warp, const Instruction& instruction, Mask active) {
  const int count = instruction.vector;
  for_each_lane(active, [&](int lane) {
    const char* p = in_slot(warp, instruction, instruction[count], lane, count * sizeof(T));
    for (int i = 0; i < count; ++i) {
      T value;
      std::memcpy(&value, p + i * sizeof(T), sizeof value);
      warp.set(instruction[i], lane, uint64_t(std::int64_t(value)));
    }
  });
}

template <class T>
void store_slot(Warp& warp, const Instruction& instruction, Mask active) {
  const int count = instruction.vector;
  for_each_lane(active, [&](int lane) {
    char* p = in_slot(warp, instruction, instruction[0], lane, count * sizeof(T));
    for (int i = 1; i <= count; ++i, p += sizeof(T)) {
      const T value = T(warp.get(instruction[i], lane));
      std::memcpy(p, &value, sizeof value);
    }
  });
}

enum Where { kMemory, kSlot };

#define FOR_TYPE(function)                                                 \
  const std::string& type = opcode.types.back();                           \
  const bool is_signed = type[0] == 's';                                   \
  switch (bytes_of(type)) {                                                \
    case 1:                                                                \
      return is_signed ? function<std::int8_t> : function<std::uint8_t>;   \
    case 2:                                                                \
      return is_signed ? function<std::int16_t> : function<std::uint16_t>; \
    case 4:                                                                \
      return is_signed ? function<std::int32_t> : function<std::uint32_t>; \
    default:                                                               \
      return function<std::uint64_t>;                                      \
  }

Handler find_load(const Opcode& opcode, Instruction& instruction) {
  instruction.space = space_of(opcode);
  if (instruction.variant == kSlot) {
    FOR_TYPE(load_slot)
  }
  FOR_TYPE(load)
}

Handler find_store(const Opcode& opcode, Instruction& instruction) {
  instruction.space = space_of(opcode);
  if (instruction.variant == kSlot) {
    FOR_TYPE(store_slot)
  }
  FOR_TYPE(store)
}

// ---- addresses

template <class T, int kSign>
void change_space(Warp& warp, const Instruction& instruction, Mask active) {
  const uint64_t base = instruction.space == Space::shared  ? kSharedBase
                        : instruction.space == Space::local ? kLocalBase
                                                            : 0;
  for_each_lane(active, [&](int lane) {
    warp.set(instruction[0], lane, warp.get(instruction[1], lane) + (kSign > 0 ? base : -base));
  });
}

Handler find_change_of_space(const Opcode& opcode, Instruction& instruction) {
  instruction.space = space_of(opcode);
  if (opcode.types.back() != "u64") return nullptr;
  return opcode.has("to") ? change_space<uint64_t, -1> : change_space<uint64_t, 1>;
}

// ----

void nothing(Warp&, const Instruction&, Mask) {}

Handler find_nothing(const Opcode&, Instruction&) { return nothing; }

const OpcodeEntry kTable[] = {
    {"ld",
     " global shared shared::cta local param const volatile relaxed acquire weak gpu sys cta nc ca cg cs cv "
     "lu v2 v4 "
     "L1::evict_last L1::evict_first L1::no_allocate L2::64B L2::128B L2::256B ",
     find_load},
    {"ldu", " global v2 v4 ", find_load},
    {"st",
     " global shared shared::cta local param volatile relaxed release weak gpu sys cta wb cg cs wt v2 v4 "
     "L1::evict_last L1::evict_first L1::no_allocate ",
     find_store},
    {"cvta", " to global shared local const param ", find_change_of_space},
    {"membar", " gl cta sys ", find_nothing},
    {"fence", " sc acq_rel gl cta gpu sys ", find_nothing},
    {"prefetch", " global local L1 L2 ", find_nothing},
    {"nanosleep", "", find_nothing},
};

}  // namespace

Handler find_memory(const Opcode& opcode, Instruction& instruction) {
  return find_in(kTable, opcode, instruction);
}

}  // namespace ptx
