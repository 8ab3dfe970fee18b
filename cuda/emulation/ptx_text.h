// PTX text → its statements, names unresolved. Of the PTX language: what nvcc emits, and inline assembly.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace ptx {

using Error = std::runtime_error;

// "mad.wide.s32": name "mad", modifiers {"wide"}, types {"s32"}.
struct Opcode {
  std::string text, name;
  std::vector<std::string> modifiers, types;
  bool has(const char* modifier) const;
};

struct OperandText {
  enum Kind { name, number, address, list };
  Kind kind = name;
  std::string word;                // the name; the base of an address, empty if it has none
  std::uint64_t bits = 0;          // of a number; the offset of an address
  bool is_float = false;           // a number written as the bits of an f32 or f64
  bool negated = false;            // !%p
  std::vector<OperandText> items;  // of {a, b}, (a, b) and a|b
};

enum class Space { generic, global, shared, local, param, constant };

struct Variable {
  Space space;
  std::string name;
  std::size_t align = 1;
  std::size_t bytes = 0;
  std::vector<std::uint8_t> initial;
};

struct Registers {
  std::string type, name;
  int count = -1;  // -1: one register of this very name, else name0, name1, ...
};

struct Statement {
  enum Kind { instruction, label, registers, variable, targets, scope_begin, scope_end };
  Kind kind;
  int line;
  std::string word;  // a label; the text of an instruction
  Opcode opcode;
  std::string guard;  // a predicate register, or empty
  bool guard_negated = false;
  std::vector<OperandText> operands;  // of `targets`: the labels
  Registers declared;
  Variable declared_variable;
};

struct FunctionText {
  std::string name;
  bool is_entry = false;
  std::vector<Variable> results, parameters;
  std::vector<Statement> body;
};

struct ModuleText {
  std::string file;
  std::vector<Variable> variables;
  std::vector<FunctionText> functions;
};

// Bytes of a type such as "b32"; 0 for "pred".
std::size_t bytes_of(const std::string& type);

// Throws Error, which names file and line.
ModuleText parse(const std::string& file, const std::string& text);

}  // namespace ptx
