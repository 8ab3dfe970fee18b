// What the names of a function stand for: registers, parameters, local variables, addresses.
#pragma once
#include <map>

#include "ptx_machine.h"

namespace ptx {

// What a name stands for.
struct Meaning {
  enum Kind { reg, slot, constant, local } kind;
  std::uint32_t at = 0;     // of a register or slot
  std::uint32_t bytes = 0;  // of a lane
  std::uint64_t value = 0;  // of a constant: an address; of a local variable: where it is in the frame
};

// Gives every register, constant and parameter of a function its place.
class Names {
 public:
  Names(Function& function, const std::map<std::string, Meaning>& globals);

  void open_scope() { scopes_.emplace_back(); }
  void close_scope() { scopes_.pop_back(); }
  void declare_parameters(const FunctionText& text);
  void declare(const Variable& variable);
  void declare(const Registers& registers);

  // Null if there is none.
  const Meaning* find(const std::string& name) const;
  // A register, number or address, as a vector of lanes; `bytes` wide if that is open.
  Operand value(const OperandText& text, std::size_t bytes);
  // That of a load or store, which learns whether it is of a parameter.
  Operand address(const OperandText& text, Instruction& instruction);

 private:
  std::uint32_t reserve(std::size_t bytes);
  std::uint32_t reserve_register(std::size_t bytes) { return reserve(bytes ? bytes * kLanes : sizeof(Mask)); }
  Slot declare_slot(const Variable& variable);
  Operand constant(std::uint64_t value, std::size_t bytes);
  Operand special(std::size_t which, std::size_t bytes, std::uint64_t add);

  Function& function_;
  std::vector<std::map<std::string, Meaning>> scopes_;
  std::map<std::pair<std::uint64_t, std::size_t>, Operand> constants_;
};

}  // namespace ptx
