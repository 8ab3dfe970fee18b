// Atomics, and asynchronous copies.
#include <algorithm>

#include "ptx_lanes.h"

namespace ptx {

namespace {

using std::uint32_t;
using std::uint64_t;

// ---- atom and red: operands [result,] address, b[, c]

struct Exchange {
  template <class T>
  static T run(T, T b, T) {
    return b;
  }
};
struct CompareAndSwap {
  template <class T>
  static T run(T old, T b, T c) {
    return old == b ? c : old;
  }
};
#define ATOMIC(Name, expression) \
  struct Name {                  \
    template <class T>           \
    static T run(T a, T b, T) {  \
      return T(expression);      \
    }                            \
  }
ATOMIC(AtomicAdd, Wide<T>(a) + Wide<T>(b));
ATOMIC(AtomicMin, std::min(a, b));
ATOMIC(AtomicMax, std::max(a, b));
ATOMIC(AtomicAnd, a& b);
ATOMIC(AtomicOr, a | b);
ATOMIC(AtomicXor, a ^ b);

template <class F, class T>
void atomic(Warp& warp, const Instruction& instruction, Mask active) {
  const int address = instruction.variant;  // 1 if there is a result
  for_each_lane(active, [&](int lane) {
    T* p = reinterpret_cast<T*>(
        resolve(warp, instruction.space, warp.address(instruction[address], lane), sizeof(T), lane));
    const T b = T(warp.get(instruction[address + 1], lane));
    const T c = std::is_same_v<F, CompareAndSwap> ? T(warp.get(instruction[address + 2], lane)) : T(0);
    T old = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    while (
        !__atomic_compare_exchange_n(p, &old, F::run(old, b, c), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    if (address) warp.set(instruction[0], lane, uint64_t(Unsigned<T>(old)));
  });
}

template <class F>
Handler atomic_of(const std::string& type) {
  if (type == "u32" || type == "b32") return atomic<F, uint32_t>;
  if (type == "s32") return atomic<F, std::int32_t>;
  if (type == "u64" || type == "b64") return atomic<F, uint64_t>;
  if (type == "s64") return atomic<F, std::int64_t>;
  return nullptr;  // of floating-point sums the order would be left to chance
}

Handler find_atomic(const Opcode& opcode, Instruction& instruction) {
  instruction.space = space_of(opcode);
  instruction.variant = opcode.name == "atom";
  const std::string& type = opcode.types.back();
  if (opcode.has("exch")) return atomic_of<Exchange>(type);
  if (opcode.has("cas")) return atomic_of<CompareAndSwap>(type);
  if (opcode.has("add")) return atomic_of<AtomicAdd>(type);
  if (opcode.has("min")) return atomic_of<AtomicMin>(type);
  if (opcode.has("max")) return atomic_of<AtomicMax>(type);
  if (opcode.has("and")) return atomic_of<AtomicAnd>(type);
  if (opcode.has("or")) return atomic_of<AtomicOr>(type);
  if (opcode.has("xor")) return atomic_of<AtomicXor>(type);
  return nullptr;
}

// ---- cp.async: operands to, from, bytes[, bytes that are read]. It lands when its thread waits, unless told
// otherwise.

void land(const Copy& copy) {
  std::memcpy(copy.to, copy.from, copy.valid);
  std::memset(copy.to + copy.valid, 0, copy.bytes - copy.valid);
}

void copy_async(Warp& warp, const Instruction& instruction, Mask active) {
  for_each_lane(active, [&](int lane) {
    const uint32_t bytes = uint32_t(warp.get(instruction[2], lane));
    const uint32_t valid = instruction[3].present ? uint32_t(warp.get(instruction[3], lane)) : bytes;
    if (valid > bytes)
      throw Error("cp.async of " + std::to_string(valid) + " bytes of " + std::to_string(bytes));
    const uint64_t from = warp.address(instruction[1], lane);
    if (from % bytes != 0) throw Error("cp.async from a misaligned address, " + hexadecimal(from));
    LaneCopies& copies = warp.copies[lane];
    const Copy copy{resolve(warp, Space::shared, warp.address(instruction[0], lane), bytes, lane),
                    valid ? resolve_global(warp, from, valid) : nullptr, bytes, valid, copies.committed};
    if (warp.block->launch->early_copies)
      land(copy);
    else
      copies.pending.push_back(copy);
  });
}

void commit_copies(Warp& warp, const Instruction&, Mask active) {
  for_each_lane(active, [&](int lane) { ++warp.copies[lane].committed; });
}

// Waits for the copies of all but the last `pending` groups, and with `everything` for those of no group yet.
void land_groups(LaneCopies& copies, uint32_t pending, bool everything) {
  auto landed = copies.pending.begin();
  for (; landed != copies.pending.end() && (everything || landed->group + pending < copies.committed);
       ++landed)
    land(*landed);
  copies.pending.erase(copies.pending.begin(), landed);
}

void wait_for_groups(Warp& warp, const Instruction& instruction, Mask active) {
  for_each_lane(active, [&](int lane) {
    land_groups(warp.copies[lane], uint32_t(warp.get(instruction[0], lane)), false);
  });
}

void wait_for_copies(Warp& warp, const Instruction&, Mask active) {
  for_each_lane(active, [&](int lane) { land_groups(warp.copies[lane], 0, true); });
}

Handler find_copy(const Opcode& opcode, Instruction&) {
  if (opcode.has("commit_group")) return commit_copies;
  if (opcode.has("wait_group")) return wait_for_groups;
  if (opcode.has("wait_all")) return wait_for_copies;
  return opcode.has("shared") && opcode.has("global") ? copy_async : nullptr;
}

const OpcodeEntry kTable[] = {
    {"atom", " global shared relaxed acquire release acq_rel gpu sys cta exch cas add min max and or xor ",
     find_atomic},
    {"red", " global shared relaxed release gpu sys cta add min max and or xor ", find_atomic},
    {"cp", " async ca cg shared global L2::64B L2::128B L2::256B commit_group wait_group wait_all ",
     find_copy},
};

}  // namespace

Handler find_async(const Opcode& opcode, Instruction& instruction) {
  return find_in(kTable, opcode, instruction);
}

}  // namespace ptx
