#include "ptx_text.h"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace ptx {

namespace {

struct Token {
  std::string text;  // empty at the end of the file
  int line;
  std::size_t begin, end;
};

const char* const kTypes[] = {"u8",  "u16", "u32", "u64",   "s8",   "s16",    "s32",  "s64", "b8",  "b16",
                              "b32", "b64", "f16", "f16x2", "bf16", "bf16x2", "tf32", "f32", "f64", "pred"};

bool is_type(const std::string& word) {
  return std::any_of(std::begin(kTypes), std::end(kTypes), [&](const char* type) { return word == type; });
}

bool continues_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("_$.%", c); }

std::vector<Token> tokenize(const std::string& text) {
  std::vector<Token> tokens;
  int line = 1;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char c = text[at];
    if (c == '\n' || std::isspace(static_cast<unsigned char>(c))) {
      line += c == '\n';
      ++at;
      continue;
    }
    if (text.compare(at, 2, "//") == 0) {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    if (text.compare(at, 2, "/*") == 0) {
      at = std::min(text.find("*/", at), text.size() - 2) + 2;
      line += int(std::count(text.begin() + begin, text.begin() + at, '\n'));
      continue;
    }
    ++at;
    const bool negative_number =
        c == '-' && at < text.size() && std::isdigit(static_cast<unsigned char>(text[at]));
    if (c == '"') {
      at = std::min(text.find('"', at), text.size() - 1) + 1;
    } else if (continues_word(c) || negative_number) {
      while (at < text.size() && (continues_word(text[at]) || text.compare(at, 2, "::") == 0))
        at += text[at] == ':' ? 2 : 1;
    }
    tokens.push_back({text.substr(begin, at - begin), line, begin, at});
  }
  tokens.push_back({"", line, text.size(), text.size()});
  return tokens;
}

Opcode split_opcode(const std::string& text) {
  Opcode opcode{text, {}, {}, {}};
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t dot = std::min(text.find('.', at), text.size());
    const std::string part = text.substr(at, dot - at);
    if (at == 0)
      opcode.name = part;
    else
      (is_type(part) ? opcode.types : opcode.modifiers).push_back(part);
    at = dot + 1;
  }
  return opcode;
}

class Parser {
 public:
  Parser(const std::string& file, const std::string& text) : text_(text), tokens_(tokenize(text)) {
    module_.file = file;
  }

  ModuleText module() {
    while (!peek().empty()) {
      const std::string word = take();
      if (word == ".version" || word == ".address_size") {
        take();
      } else if (word == ".target") {
        do take();
        while (accept(","));
      } else if (word == ".entry" || word == ".func") {
        function(word == ".entry");
      } else if (word == ".global" || word == ".const" || word == ".shared") {
        module_.variables.push_back(variable(word));
        expect(";");
      } else if (word == ".file") {
        skip_line();
      } else if (word == ".section") {
        while (take() != "}") {
        }
      } else if (word != ".visible" && word != ".extern" && word != ".weak" && word != ".common" &&
                 word != ";") {
        fail("'" + word + "' at the top level");
      }
    }
    return std::move(module_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(module_.file + ":" + std::to_string(tokens_[at_ ? at_ - 1 : 0].line) + ": " + why);
  }
  const std::string& peek() const { return tokens_[at_].text; }
  std::string take() {
    if (peek().empty()) fail("the file ends early");
    return tokens_[at_++].text;
  }
  bool accept(const char* word) {
    if (peek() != word) return false;
    ++at_;
    return true;
  }
  void expect(const char* word) {
    if (take() != word) fail(std::string("expected '") + word + "', not '" + tokens_[at_ - 1].text + "'");
  }
  void skip_line() {
    const int line = tokens_[at_ - 1].line;
    while (!peek().empty() && tokens_[at_].line == line) ++at_;
  }

  static bool is_number(const std::string& word) {
    return !word.empty() && std::isdigit(static_cast<unsigned char>(word[word[0] == '-' && word.size() > 1]));
  }
  std::uint64_t integer() {
    const std::string word = take();
    if (!is_number(word)) fail("expected a number, not '" + word + "'");
    return word[0] == '-' ? std::uint64_t(std::stoll(word, nullptr, 0)) : std::stoull(word, nullptr, 0);
  }
  OperandText number() {
    OperandText operand;
    operand.kind = OperandText::number;
    const std::string prefix = peek().substr(0, 2);
    if (prefix == "0f" || prefix == "0F" || prefix == "0d" || prefix == "0D") {
      operand.is_float = true;
      operand.bits = std::stoull(take().substr(2), nullptr, 16);
    } else {
      operand.bits = integer();
    }
    return operand;
  }

  // The rest of ".global .align 4 .b8 name[24] = {...}", its space already read.
  Variable variable(const std::string& space) {
    Variable variable;
    variable.space = space == ".shared"  ? Space::shared
                     : space == ".local" ? Space::local
                     : space == ".param" ? Space::param
                     : space == ".const" ? Space::constant
                                         : Space::global;
    std::string type;
    for (std::string word = take();; word = take()) {
      if (word == ".align") {
        variable.align = integer();
      } else if (word[0] == '.' && is_type(word.substr(1))) {
        type = word.substr(1);
      } else if (word[0] != '.') {  // past .ptr, .global and the like
        variable.name = word;
        break;
      }
    }
    const std::size_t element = bytes_of(type);
    variable.align = std::max(variable.align, element);
    variable.bytes = element;
    while (accept("[")) {
      variable.bytes = peek() == "]" ? 0 : variable.bytes * integer();
      expect("]");
    }
    if (accept("=")) {
      const bool listed = accept("{");
      do {
        const std::uint64_t value = number().bits;
        for (std::size_t i = 0; i < element; ++i) variable.initial.push_back(std::uint8_t(value >> (8 * i)));
      } while (listed && accept(","));
      if (listed) expect("}");
    }
    return variable;
  }

  std::vector<Variable> parameters() {
    std::vector<Variable> list;
    while (!accept(")")) {
      expect(".param");
      list.push_back(variable(".param"));
      accept(",");
    }
    return list;
  }

  void function(bool is_entry) {
    FunctionText function;
    function.is_entry = is_entry;
    if (accept("(")) function.results = parameters();
    function.name = take();
    if (accept("(")) function.parameters = parameters();
    while (peek() != "{" && peek() != ";") take();  // .maxntid and other advice
    if (accept(";")) return;                        // declared only
    expect("{");
    for (int depth = 1; depth > 0;) statement(function.body, depth);
    module_.functions.push_back(std::move(function));
  }

  void statement(std::vector<Statement>& body, int& depth) {
    Statement statement{};
    statement.line = tokens_[at_].line;
    const std::size_t begin = tokens_[at_].begin;
    std::string word = take();
    if (word == "{" || word == "}") {
      depth += word == "{" ? 1 : -1;
      statement.kind = word == "{" ? Statement::scope_begin : Statement::scope_end;
      if (depth > 0) body.push_back(std::move(statement));
      return;
    }
    if (word == ";") return;
    if (word == ".loc") return skip_line();
    if (word == ".pragma") {
      while (take() != ";") {
      }
      return;
    }
    if (word == ".reg") {
      declare_registers(body, statement);
      return;
    }
    if (word == ".local" || word == ".shared" || word == ".param") {
      statement.kind = Statement::variable;
      statement.declared_variable = variable(word);
      expect(";");
      body.push_back(std::move(statement));
      return;
    }
    if (accept(":")) {
      statement.kind = Statement::label;
      statement.word = word;
      if (accept(".branchtargets")) {
        statement.kind = Statement::targets;
        do statement.operands.push_back(operand());
        while (accept(","));
        expect(";");
      }
      body.push_back(std::move(statement));
      return;
    }
    statement.kind = Statement::instruction;
    if (word == "@") {
      statement.guard_negated = accept("!");
      statement.guard = take();
      word = take();
    }
    statement.opcode = split_opcode(word);
    if (peek() != ";") {
      do statement.operands.push_back(operand());
      while (accept(","));
    }
    expect(";");
    statement.word = text_.substr(begin, tokens_[at_ - 1].end - begin);
    std::replace(statement.word.begin(), statement.word.end(), '\t', ' ');
    body.push_back(std::move(statement));
  }

  void declare_registers(std::vector<Statement>& body, Statement statement) {
    statement.kind = Statement::registers;
    const std::string type = take().substr(1);
    do {
      statement.declared = {type, take(), -1};
      if (accept("<")) {
        statement.declared.count = int(integer());
        expect(">");
      }
      body.push_back(statement);
    } while (accept(","));
    expect(";");
  }

  OperandText operand() {
    OperandText operand;
    if (peek() == "{" || peek() == "(") {
      const char* close = take() == "{" ? "}" : ")";
      operand.kind = OperandText::list;
      while (!accept(close)) {
        operand.items.push_back(this->operand());
        accept(",");
      }
      return operand;
    }
    if (accept("[")) {
      operand.kind = OperandText::address;
      if (is_number(peek()))
        operand.bits = integer();
      else
        operand.word = take();
      if (accept("+")) operand.bits += integer();
      expect("]");
      return operand;
    }
    if (is_number(peek())) return number();
    operand.negated = accept("!");
    operand.word = take();
    if (accept("+")) operand.bits = integer();
    if (!accept("|")) return operand;
    OperandText pair;
    pair.kind = OperandText::list;
    pair.items = {operand, this->operand()};
    return pair;
  }

  const std::string& text_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  ModuleText module_;
};

}  // namespace

bool Opcode::has(const char* modifier) const {
  return std::find(modifiers.begin(), modifiers.end(), modifier) != modifiers.end();
}

std::size_t bytes_of(const std::string& type) {
  if (type == "pred") return 0;
  if (type == "bf16x2" || type == "f16x2" || type == "tf32") return 4;
  if (type == "bf16") return 2;
  return std::stoul(type.substr(1)) / 8;
}

ModuleText parse(const std::string& file, const std::string& text) { return Parser(file, text).module(); }

}  // namespace ptx
