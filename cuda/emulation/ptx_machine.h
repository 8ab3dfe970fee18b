// What the interpreter of PTX works on: decoded functions, and the state of a block and its warps.
//
// An instruction runs for a whole warp at once. A register is a vector of 32 lanes, each as wide as its type;
// a predicate is a mask of 32 bits. Immediates and special registers are registers too, filled before a
// function starts.
#pragma once
#include <cstring>
#include <deque>
#include <map>
#include <memory>

#include "ptx_text.h"

namespace ptx {

constexpr int kLanes = 32;
using Mask = std::uint32_t;
constexpr Mask kAllLanes = ~Mask{0};

struct Size3 {
  std::uint32_t x, y, z;
  std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

// What a generic address adds to one of shared or local memory.
constexpr std::uint64_t kSharedBase = std::uint64_t{1} << 60;
constexpr std::uint64_t kLocalBase = std::uint64_t{2} << 60;

// Shared memory starts at this shared address: nobody may count on 0.
constexpr std::uint64_t kSharedStart = 1024;

struct Operand {
  std::uint32_t at = 0;    // bytes from the start of the registers to lane 0
  std::uint8_t bytes = 0;  // of a lane; 0 for a predicate
  bool present = false;
  std::int64_t offset = 0;  // of an address
};

struct Warp;
struct Instruction;
using Handler = void (*)(Warp&, const Instruction&, Mask active);

// How the program goes on. `meet`: the lanes of the instruction's mask come together first.
enum class Flow : std::uint8_t { next, branch, indexed_branch, call, leave, barrier, meet };

enum class Rounding : std::uint8_t { nearest, zero, down, up };

struct Instruction {
  Handler run = nullptr;
  const Operand* operands = nullptr;
  std::uint32_t guard = 0;
  bool guarded = false, guard_negated = false;
  Flow flow = Flow::next;
  Space space = Space::generic;
  Rounding rounding = Rounding::nearest;
  std::uint8_t vector = 1;      // elements that a load or store moves
  std::uint8_t variant = 0;     // a handler's own
  std::uint32_t target = 0;     // of a branch; the function that a call calls
  std::int8_t membermask = -1;  // which operand tells the lanes that meet; -1: all 32
  std::uint32_t line = 0;
  const Operand& operator[](int i) const { return operands[i]; }
};

// Where a function keeps a .param variable: `bytes` for each lane, lane after lane.
struct Slot {
  std::uint32_t at = 0, bytes = 0;
};

struct CallSite {
  std::string callee;
  std::vector<Slot> results, arguments;
};

// A register that is filled before a function starts: special register `which` of kSpecialNames, plus `add`.
struct Special {
  int which;
  std::uint32_t at, bytes;
  std::uint64_t add;
};

struct Function {
  std::string name, file;
  bool is_entry = false;
  std::vector<Instruction> code;
  std::vector<std::string> text;  // of each instruction
  std::deque<std::vector<Operand>> operands;
  std::vector<char> registers;  // as they are at the start: immediates in place
  std::vector<Special> specials;
  std::vector<Slot> results, parameters;                               // of a function
  std::vector<std::pair<std::size_t, std::size_t>> kernel_parameters;  // of an entry: offset and bytes
  std::size_t parameter_bytes = 0, local_bytes = 0;
  std::vector<std::vector<std::uint32_t>> jump_tables;
  std::vector<CallSite> calls;
};

// The last is the address of the local memory of the function that runs.
constexpr char kLocalFrameName[] = "%local_frame";
extern const char* const kSpecialNames[];

// The functions and variables of one .ptx file.
struct Module {
  std::string file;
  std::map<std::string, std::unique_ptr<Function>> functions;
  struct Memory {
    std::unique_ptr<char[]> data;
    std::size_t bytes;
  };
  std::map<std::string, Memory> variables;
};

// Decodes every function. Throws Error.
std::unique_ptr<Module> decode(const ModuleText& text);

struct Launch {
  const Module* module;
  const Function* kernel;
  Size3 grid, block;
  std::size_t shared_bytes;
  std::vector<char> parameters;
  bool early_copies;
  bool reversed;  // the last warp of a block goes first
};

struct Block {
  const Launch* launch;
  Size3 index;
  std::vector<char> shared;
};

// Lanes that are at the same instruction.
struct Group {
  std::uint32_t pc;
  Mask lanes;
  enum State : std::uint8_t { ready, meeting, at_barrier } state;
};

// A cp.async under way.
struct Copy {
  char* to;
  const char* from;
  std::uint32_t bytes, valid;
  std::uint32_t group;
};

struct LaneCopies {
  std::vector<Copy> pending;
  std::uint32_t committed = 0;
};

struct Warp {
  Block* block;
  char* registers;  // of the function that runs
  Mask live = 0, carry = 0;
  std::uint32_t index = 0;
  std::vector<Group> groups;
  std::vector<char> frame;
  std::vector<char> local;  // of each lane local_bytes
  std::size_t local_bytes = 0, local_start = 0;
  LaneCopies copies[kLanes];
  // Global memory that was last found to be allocated.
  std::uint64_t known_begin = 0, known_end = 0;

  template <class T>
  T* lanes(const Operand& operand) {
    return reinterpret_cast<T*>(registers + operand.at);
  }
  Mask& predicate(const Operand& operand) { return *reinterpret_cast<Mask*>(registers + operand.at); }
  void set_predicate(const Operand& operand, Mask value, Mask active) {
    Mask& p = predicate(operand);
    p = (p & ~active) | (value & active);
  }
  // Element i of the active lanes becomes values[i].
  template <class T>
  void store(const Operand& operand, const T (&values)[kLanes], Mask active) {
    T* to = lanes<T>(operand);
    if (active == kAllLanes) {
      std::memcpy(to, values, sizeof values);
      return;
    }
    for (int lane = 0; lane < kLanes; ++lane) to[lane] = active >> lane & 1 ? values[lane] : to[lane];
  }
  // A register of any width, its value extended with zeros or cut.
  std::uint64_t get(const Operand& operand, int lane) {
    switch (operand.bytes) {
      case 0:
        return predicate(operand) >> lane & 1;
      case 2:
        return lanes<std::uint16_t>(operand)[lane];
      case 4:
        return lanes<std::uint32_t>(operand)[lane];
      default:
        return lanes<std::uint64_t>(operand)[lane];
    }
  }
  void set(const Operand& operand, int lane, std::uint64_t value) {
    switch (operand.bytes) {
      case 0:
        return set_predicate(operand, value & 1 ? kAllLanes : 0, Mask{1} << lane);
      case 2:
        lanes<std::uint16_t>(operand)[lane] = std::uint16_t(value);
        return;
      case 4:
        lanes<std::uint32_t>(operand)[lane] = std::uint32_t(value);
        return;
      default:
        lanes<std::uint64_t>(operand)[lane] = value;
    }
  }
  std::uint64_t address(const Operand& operand, int lane) {
    return get(operand, lane) + std::uint64_t(operand.offset);
  }
};

template <class F>
void for_each_lane(Mask active, F&& f) {
  for (; active; active &= active - 1) f(__builtin_ctz(active));
}

// The allocation of global memory that an address is in; none: end <= begin.
struct Extent {
  std::uint64_t begin = 0, end = 0;
};
extern Extent (*allocation_at)(std::uint64_t address);

// Where `bytes` at an address of a space are; throws Error unless they are all there and aligned.
char* resolve(Warp& warp, Space space, std::uint64_t address, std::size_t bytes, int lane);

// The same of global memory, which need not be aligned.
char* resolve_global(Warp& warp, std::uint64_t address, std::size_t bytes);
std::string hexadecimal(std::uint64_t value);

// The space that an opcode names.
Space space_of(const Opcode& opcode);

// The handler of an opcode, null if there is none of this kind.
Handler find_arithmetic(const Opcode& opcode, Instruction& instruction);
Handler find_bits(const Opcode& opcode, Instruction& instruction);
Handler find_predicates(const Opcode& opcode, Instruction& instruction);
Handler find_conversion(const Opcode& opcode, Instruction& instruction);
Handler find_async(const Opcode& opcode, Instruction& instruction);
Handler find_memory(const Opcode& opcode, Instruction& instruction);
Handler find_collective(const Opcode& opcode, Instruction& instruction);

}  // namespace ptx
