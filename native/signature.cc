#include "signature.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>

namespace {

// Splits at commas that are not inside parentheses and trims the pieces.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> pieces(1);
  int depth = 0;
  for (char c : text) {
    depth += (c == '(') - (c == ')');
    if (c == ',' && depth == 0)
      pieces.emplace_back();
    else if (c != ' ' || !pieces.back().empty())
      pieces.back() += c;
  }
  for (std::string& piece : pieces)
    while (!piece.empty() && piece.back() == ' ') piece.pop_back();
  return pieces;
}

bool take_suffix(std::string& text, const char* suffix) {
  const std::size_t length = std::char_traits<char>::length(suffix);
  if (text.size() < length || text.compare(text.size() - length, length, suffix) != 0) return false;
  text.resize(text.size() - length);
  return true;
}

const std::map<std::string, Parameter::Type> kTypes = {
    {"In", Parameter::kIn},   {"Out", Parameter::kOut}, {"In32", Parameter::kIn32}, {"Out32", Parameter::kOut32},
    {"Acc", Parameter::kAcc}, {"Ids", Parameter::kIds}, {"OutIds", Parameter::kOutIds}};

}  // namespace

Signature Signature::parse(const char* text) {
  Signature signature;
  for (const std::string& piece : split(text)) {
    Parameter parameter;
    const std::size_t space = piece.find(' ');
    parameter.type_name = piece.substr(0, space);
    std::string rest = piece.substr(space + 1), type = parameter.type_name;
    parameter.optional = take_suffix(type, "Opt");
    parameter.strided = take_suffix(type, "Strided");
    const auto known = kTypes.find(type);
    parameter.type = known == kTypes.end() ? Parameter::kNumber : known->second;
    const std::size_t open = rest.find('(');
    if (open != std::string::npos) {
      for (const std::string& size : split(rest.substr(open + 1, rest.rfind(')') - open - 1))) {
        if (std::isdigit(static_cast<unsigned char>(size[0]))) {
          parameter.sizes.push_back(-std::atoi(size.c_str()) - 1);
          continue;
        }
        auto at = std::find(signature.symbols.begin(), signature.symbols.end(), size);
        if (at == signature.symbols.end()) at = signature.symbols.insert(at, size);
        parameter.sizes.push_back(int(at - signature.symbols.begin()));
      }
      rest.resize(rest.find(' '));
    }
    parameter.name = rest;
    signature.parameters.push_back(std::move(parameter));
  }
  return signature;
}

Dtype dtype_of(Parameter::Type type, Dtype real) {
  switch (type) {
    case Parameter::kIn:
    case Parameter::kOut: return real;
    case Parameter::kIds:
    case Parameter::kOutIds: return Dtype::i32;
    default: return Dtype::f32;
  }
}
