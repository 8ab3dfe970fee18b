// The parameter lists of kernels.def, parsed once, so that every call can be checked against them.
#pragma once
#include <string>
#include <vector>

#include "contract.h"

struct Parameter {
  enum Type { kIn, kOut, kIn32, kOut32, kAcc, kIds, kOutIds, kNumber } type;
  bool optional = false;
  bool strided = false;     // the last axis may have any stride
  std::string type_name;    // as written
  std::string name;
  std::vector<int> sizes;   // per axis: >= 0 a symbol of this signature, < 0 the number -(size) - 1
  bool is_overwritten() const { return type == kOut || type == kOut32 || type == kOutIds; }
};

struct Signature {
  std::vector<Parameter> parameters;
  std::vector<std::string> symbols;  // "N", "C", ... by index
  static Signature parse(const char* text);
};

// The dtype a parameter takes in a table whose activations are `real`.
Dtype dtype_of(Parameter::Type type, Dtype real);
