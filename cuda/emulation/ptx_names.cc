#include "ptx_names.h"

namespace ptx {

const char* const kSpecialNames[] = {"%tid.x",       "%tid.y",       "%tid.z",       "%ntid.x",
                                     "%ntid.y",      "%ntid.z",      "%ctaid.x",     "%ctaid.y",
                                     "%ctaid.z",     "%nctaid.x",    "%nctaid.y",    "%nctaid.z",
                                     "%laneid",      "%warpid",      "%lanemask_eq", "%lanemask_lt",
                                     "%lanemask_le", "%lanemask_gt", "%lanemask_ge", "%dynamic_smem_size",
                                     kLocalFrameName};

namespace {
constexpr std::size_t kSpecials = sizeof kSpecialNames / sizeof *kSpecialNames;
}  // namespace

Names::Names(Function& function, const std::map<std::string, Meaning>& globals)
    : function_(function), scopes_{globals} {
  open_scope();
}

std::uint32_t Names::reserve(std::size_t bytes) {
  const std::size_t at = (function_.registers.size() + 31) / 32 * 32;
  function_.registers.resize(at + bytes);
  return std::uint32_t(at);
}

Slot Names::declare_slot(const Variable& variable) {
  const Slot slot{reserve(variable.bytes * kLanes), std::uint32_t(variable.bytes)};
  scopes_.back()[variable.name] = {Meaning::slot, slot.at, slot.bytes, 0};
  return slot;
}

void Names::declare_parameters(const FunctionText& text) {
  if (!text.is_entry) {
    for (const Variable& variable : text.results) function_.results.push_back(declare_slot(variable));
    for (const Variable& variable : text.parameters) function_.parameters.push_back(declare_slot(variable));
    return;
  }
  std::size_t& bytes = function_.parameter_bytes;
  for (const Variable& variable : text.parameters) {
    bytes = (bytes + variable.align - 1) / variable.align * variable.align;
    function_.kernel_parameters.emplace_back(bytes, variable.bytes);
    scopes_.back()[variable.name] = {Meaning::constant, 0, 8, bytes};
    bytes += variable.bytes;
  }
}

void Names::declare(const Variable& variable) {
  if (variable.space == Space::param) {
    declare_slot(variable);
    return;
  }
  if (variable.space != Space::local) throw Error("static shared memory");
  std::size_t& bytes = function_.local_bytes;
  bytes = (bytes + variable.align - 1) / variable.align * variable.align;
  scopes_.back()[variable.name] = {Meaning::local, 0, 8, bytes};
  bytes += variable.bytes;
}

void Names::declare(const Registers& registers) {
  const std::uint32_t bytes = std::uint32_t(bytes_of(registers.type));
  if (registers.count < 0) {
    scopes_.back()[registers.name] = {Meaning::reg, reserve_register(bytes), bytes, 0};
    return;
  }
  for (int i = 0; i < registers.count; ++i)
    scopes_.back()[registers.name + std::to_string(i)] = {Meaning::reg, reserve_register(bytes), bytes, 0};
}

const Meaning* Names::find(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->find(name);
    if (found != scope->end()) return &found->second;
  }
  return nullptr;
}

Operand Names::constant(std::uint64_t value, std::size_t bytes) {
  Operand& operand = constants_[{value, bytes}];
  if (operand.present) return operand;
  operand = {reserve_register(bytes), std::uint8_t(bytes), true, 0};
  char* to = function_.registers.data() + operand.at;
  if (bytes == 0) {
    const Mask mask = value & 1 ? kAllLanes : 0;
    std::memcpy(to, &mask, sizeof mask);
  }
  for (int lane = 0; bytes && lane < kLanes; ++lane) std::memcpy(to + lane * bytes, &value, bytes);
  return operand;
}

Operand Names::special(std::size_t which, std::size_t bytes, std::uint64_t add) {
  for (const Special& special : function_.specials) {
    if (special.which == int(which) && special.add == add && special.bytes == bytes)
      return {special.at, std::uint8_t(bytes), true, 0};
  }
  const std::uint32_t at = reserve_register(bytes);
  function_.specials.push_back({int(which), at, std::uint32_t(bytes), add});
  return {at, std::uint8_t(bytes), true, 0};
}

Operand Names::value(const OperandText& text, std::size_t bytes) {
  if (text.negated) throw Error("a negated operand");
  if (text.kind == OperandText::number) return constant(text.bits, bytes);
  if (text.word == "_") return {};
  if (text.word == "WARP_SZ") return constant(kLanes, bytes);
  for (std::size_t i = 0; i < kSpecials; ++i)
    if (text.word == kSpecialNames[i]) return special(i, 4, 0);
  const Meaning* meaning = find(text.word);
  if (!meaning) throw Error("unknown name " + text.word);
  switch (meaning->kind) {
    case Meaning::reg:
      return {meaning->at, std::uint8_t(meaning->bytes), true, 0};
    case Meaning::constant:
      return constant(meaning->value + text.bits, bytes);
    case Meaning::local:
      return special(kSpecials - 1, 8, meaning->value + text.bits);
    default:
      throw Error(text.word + " is no value");
  }
}

Operand Names::address(const OperandText& text, Instruction& instruction) {
  if (text.word.empty()) return constant(text.bits, 8);
  OperandText base = text;
  base.kind = OperandText::name;
  base.bits = 0;
  const Meaning* meaning = find(text.word);
  if (meaning && meaning->kind == Meaning::slot) {
    instruction.variant = 1;
    instruction.target = meaning->bytes;
    return {meaning->at, 0, true, std::int64_t(text.bits)};
  }
  Operand operand = value(base, 8);
  operand.offset = std::int64_t(text.bits);
  return operand;
}

}  // namespace ptx
