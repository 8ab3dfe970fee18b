// Statements → instructions: operands find their places, opcodes their handlers.
#include <algorithm>

#include "ptx_names.h"

namespace ptx {

namespace {

class Decoder {
 public:
  Decoder(const FunctionText& text, const Module& module, const std::map<std::string, Meaning>& globals)
      : text_(text), module_(module), function_(std::make_unique<Function>()), names_(*function_, globals) {
    function_->name = text.name;
    function_->file = module.file;
    function_->is_entry = text.is_entry;
  }

  std::unique_ptr<Function> decode() {
    names_.declare_parameters(text_);
    for (const Statement& statement : text_.body) {
      line_ = statement.line;
      try {
        add(statement);
      } catch (const Error& error) {
        throw Error(module_.file + ":" + std::to_string(line_) + ": " + error.what() +
                    (statement.kind == Statement::instruction ? " in `" + statement.word + "`" : ""));
      }
    }
    for (const auto& [instruction, label] : branches_) function_->code[instruction].target = place_of(label);
    for (const auto& [instruction, targets] : indexed_) {
      std::vector<std::uint32_t> table;
      for (const OperandText& label : tables_.at(targets)) table.push_back(place_of(label.word));
      function_->code[instruction].target = std::uint32_t(function_->jump_tables.size());
      function_->jump_tables.push_back(std::move(table));
    }
    return std::move(function_);
  }

 private:
  std::uint32_t place_of(const std::string& label) const {
    const auto found = labels_.find(label);
    if (found == labels_.end()) throw Error(module_.file + ": no label " + label);
    return found->second;
  }

  // How wide operand `i` of an instruction is, where registers do not tell; 0: a predicate.
  static std::size_t width(const Opcode& opcode, std::size_t i) {
    const std::string& name = opcode.name;
    if (opcode.types.empty()) return 4;
    const std::size_t narrowest = opcode.types.back() == "pred" ? 0 : 2;
    const std::size_t last = std::max(bytes_of(opcode.types.back()), narrowest),
                      first = bytes_of(opcode.types.front());
    if (name == "shl" || name == "shr") return i == 2 ? 4 : last;
    if (name == "bfe") return i >= 2 ? 4 : last;
    if (name == "bfi") return i >= 3 ? 4 : last;
    if (name == "popc" || name == "clz" || name == "bfind") return i == 0 ? 4 : last;
    if (name == "setp") return i < 2 || i == 4 ? 0 : last;
    if (name == "selp") return i == 3 ? 0 : last;
    if (name == "testp") return i == 0 ? 0 : last;
    if (name == "cvt") return i == 0 ? first : last;
    if (name == "mul" || name == "mad") return opcode.has("wide") && (i == 0 || i == 3) ? 2 * last : last;
    if (name == "shfl") return i == 1 ? 0 : 4;
    if (name == "vote") return i == 1 || (i == 0 && last == 0) ? 0 : 4;
    if (name == "match") return i == 1 ? 0 : i == 2 ? last : 4;
    if (name == "mma" || name == "ldmatrix") return 4;
    return last;
  }

  // Whether a register may be wider than the instruction's type says.
  static bool is_relaxed(const std::string& name) {
    return name == "ld" || name == "ldu" || name == "st" || name == "cvt" || name == "bar" ||
           name == "barrier" || name == "cp" || name == "ldmatrix" || name == "atom" || name == "red";
  }

  // The operands in the order of handlers: pairs take two places wherever the opcode may have one.
  std::vector<Operand> operands(const Statement& statement, Instruction& instruction) {
    const Opcode& opcode = statement.opcode;
    const bool may_have_pair = opcode.name == "setp" || opcode.name == "shfl" || opcode.name == "match";
    std::vector<Operand> list;
    for (const OperandText& text : statement.operands) {
      const std::size_t place = list.size();
      if (text.kind == OperandText::address) {
        list.push_back(names_.address(text, instruction));
      } else if (text.kind == OperandText::list) {
        const bool is_move = opcode.name == "mov";
        const std::size_t count = text.items.size();
        if (is_move) instruction.variant = place == 0;
        if (!may_have_pair && opcode.name != "mma") instruction.vector = std::uint8_t(count);
        for (const OperandText& item : text.items)
          list.push_back(names_.value(item, is_move ? width(opcode, 0) / count : width(opcode, list.size())));
      } else {
        list.push_back(names_.value(text, width(opcode, place)));
      }
      if (may_have_pair && list.size() == 1) list.push_back({});
    }
    const bool is_packing = opcode.name == "mov" && instruction.vector > 1;
    if (!is_relaxed(opcode.name) && !is_packing) {
      for (std::size_t i = 0; i < list.size(); ++i) {
        if (list[i].present && list[i].bytes != width(opcode, i))
          throw Error("operand " + std::to_string(i) + " has " + std::to_string(list[i].bytes) + " bytes");
      }
    }
    while (list.size() < 16) list.push_back({});
    return list;
  }

  void add(const Statement& statement) {
    switch (statement.kind) {
      case Statement::registers:
        return names_.declare(statement.declared);
      case Statement::variable:
        return names_.declare(statement.declared_variable);
      case Statement::scope_begin:
        names_.open_scope();
        return;
      case Statement::scope_end:
        names_.close_scope();
        return;
      case Statement::label:
        labels_[statement.word] = std::uint32_t(function_->code.size());
        return;
      case Statement::targets:
        tables_[statement.word] = statement.operands;
        return;
      case Statement::instruction:
        return add_instruction(statement);
    }
  }

  void add_instruction(const Statement& statement) {
    const Opcode& opcode = statement.opcode;
    Instruction instruction;
    instruction.line = std::uint32_t(statement.line);
    if (!statement.guard.empty()) {
      const Meaning* guard = names_.find(statement.guard);
      if (!guard || guard->kind != Meaning::reg || guard->bytes != 0)
        throw Error("a guard that is no predicate");
      instruction.guard = guard->at;
      instruction.guarded = true;
      instruction.guard_negated = statement.guard_negated;
    }
    const std::uint32_t here = std::uint32_t(function_->code.size());
    if (opcode.name == "bra") {
      instruction.flow = Flow::branch;
      branches_.emplace_back(here, statement.operands.at(0).word);
    } else if (opcode.name == "brx") {
      instruction.flow = Flow::indexed_branch;
      use(instruction, {names_.value(statement.operands.at(0), 4)});
      indexed_.emplace_back(here, statement.operands.at(1).word);
    } else if (opcode.name == "call") {
      add_call(statement, instruction);
    } else if (opcode.name == "ret" || opcode.name == "exit") {
      instruction.flow = Flow::leave;
      if (opcode.name == "exit" && !text_.is_entry) throw Error("exit within a function");
    } else if ((opcode.name == "bar" || opcode.name == "barrier") && !opcode.has("warp")) {
      const bool whole_block =
          opcode.has("sync") && statement.operands.size() == 1 && statement.operands[0].bits == 0;
      if (!whole_block || !text_.is_entry) throw Error("not the barrier of a whole block");
      instruction.flow = Flow::barrier;
    } else {
      add_operation(statement, instruction);
      return;
    }
    push(instruction, statement);
  }

  void add_operation(const Statement& statement, Instruction& instruction) {
    Opcode opcode = statement.opcode;
    const bool saturates = opcode.has("sat") && opcode.name != "cvt";
    if (saturates) opcode.modifiers.erase(std::find(opcode.modifiers.begin(), opcode.modifiers.end(), "sat"));
    use(instruction, operands(statement, instruction));
    const auto directed = [&](const char* mode) {
      return opcode.has(mode) || opcode.has((std::string(mode) + "i").c_str());
    };
    instruction.rounding = directed("rz")   ? Rounding::zero
                           : directed("rm") ? Rounding::down
                           : directed("rp") ? Rounding::up
                                            : Rounding::nearest;
    const auto handler = [&](const Opcode& opcode, Instruction& instruction) {
      for (const auto find : {find_arithmetic, find_bits, find_predicates, find_conversion, find_memory,
                              find_async, find_collective}) {
        if (const Handler handler = find(opcode, instruction)) return handler;
      }
      throw Error("an opcode that the interpreter does not know: " + opcode.text);
    };
    instruction.run = handler(opcode, instruction);
    push(instruction, statement);
    if (!saturates) return;
    instruction.rounding = Rounding::nearest;
    use(instruction, {instruction[0], instruction[0]});
    instruction.run = handler({"saturate", "saturate", {}, opcode.types}, instruction);
    push(instruction, statement);
  }

  void add_call(const Statement& statement, Instruction& instruction) {
    std::size_t i = 0;
    CallSite call;
    const auto slots = [&](std::vector<Slot>& list) {
      if (i >= statement.operands.size() || statement.operands[i].kind != OperandText::list) return;
      for (const OperandText& item : statement.operands[i].items) {
        const Meaning* meaning = names_.find(item.word);
        if (!meaning || meaning->kind != Meaning::slot) throw Error(item.word + " is no parameter");
        list.push_back({meaning->at, meaning->bytes});
      }
      ++i;
    };
    slots(call.results);
    call.callee = statement.operands.at(i++).word;
    slots(call.arguments);
    instruction.flow = Flow::call;
    instruction.target = std::uint32_t(function_->calls.size());
    function_->calls.push_back(std::move(call));
  }

  void use(Instruction& instruction, std::vector<Operand> list) {
    function_->operands.push_back(std::move(list));
    instruction.operands = function_->operands.back().data();
  }
  void push(const Instruction& instruction, const Statement& statement) {
    function_->code.push_back(instruction);
    function_->text.push_back(statement.word);
  }

  const FunctionText& text_;
  const Module& module_;
  std::unique_ptr<Function> function_;
  Names names_;
  std::map<std::string, std::uint32_t> labels_;
  std::map<std::string, std::vector<OperandText>> tables_;
  std::vector<std::pair<std::uint32_t, std::string>> branches_, indexed_;
  int line_ = 0;
};

}  // namespace

std::unique_ptr<Module> decode(const ModuleText& text) {
  auto module = std::make_unique<Module>();
  module->file = text.file;
  std::map<std::string, Meaning> globals;
  for (const Variable& variable : text.variables) {
    if (variable.space == Space::shared) {
      if (variable.bytes != 0) throw Error(text.file + ": static shared memory, " + variable.name);
      globals[variable.name] = {Meaning::constant, 0, 8, kSharedStart};
      continue;
    }
    Module::Memory memory{std::make_unique<char[]>(variable.bytes), variable.bytes};
    std::memset(memory.data.get(), 0, variable.bytes);
    std::memcpy(memory.data.get(), variable.initial.data(), variable.initial.size());
    globals[variable.name] = {Meaning::constant, 0, 8, reinterpret_cast<std::uint64_t>(memory.data.get())};
    module->variables[variable.name] = std::move(memory);
  }
  for (const FunctionText& function : text.functions)
    module->functions[function.name] = Decoder(function, *module, globals).decode();
  return module;
}

}  // namespace ptx
