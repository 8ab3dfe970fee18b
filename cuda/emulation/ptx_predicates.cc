// Comparisons, predicates, selection, mov.
#include <cmath>

#include "ptx_lanes.h"

namespace ptx {

namespace {

using std::int32_t;
using std::int64_t;
using std::uint32_t;
using std::uint64_t;
// ---- setp

enum Combination : std::uint8_t { kAlone, kAnd, kOr, kXor };

// p = (a ? b) and c; q = !(a ? b) and c: operands p, q, a, b, c
template <class F, class T>
void set_predicate(Warp& warp, const Instruction& instruction, Mask active) {
  const T *a = warp.lanes<T>(instruction[2]), *b = warp.lanes<T>(instruction[3]);
  Mask holds = 0;
  for (int lane = 0; lane < kLanes; ++lane) holds |= Mask(F::run(a[lane], b[lane])) << lane;
  const auto combined = [&](Mask value) {
    if (instruction.variant == kAlone) return value;
    const Mask c = warp.predicate(instruction[4]);
    return instruction.variant == kAnd ? value & c : instruction.variant == kOr ? value | c : value ^ c;
  };
  const Mask p = combined(holds), q = combined(~holds);
  warp.set_predicate(instruction[0], p, active);
  if (instruction[1].present) warp.set_predicate(instruction[1], q, active);
}

#define COMPARISON(Name, expression) \
  struct Name {                      \
    template <class T>               \
    static bool run(T a, T b) {      \
      return expression;             \
    }                                \
  }
COMPARISON(Equal, a == b);
COMPARISON(Less, a < b);
COMPARISON(LessEqual, a <= b);
COMPARISON(Greater, a > b);
COMPARISON(GreaterEqual, a >= b);
COMPARISON(NotEqual, a<b || a> b);
COMPARISON(EqualOrNan, !(a < b || a > b));
COMPARISON(LessOrNan, !(a >= b));
COMPARISON(LessEqualOrNan, !(a > b));
COMPARISON(GreaterOrNan, !(a <= b));
COMPARISON(GreaterEqualOrNan, !(a < b));
COMPARISON(NotEqualOrNan, !(a == b));
COMPARISON(BothNumbers, a == a && b == b);
COMPARISON(AnyNan, a != a || b != b);

template <class F>
Handler comparison_of_floats(const std::string& type) {
  return type == "f32"   ? set_predicate<F, float>
         : type == "f64" ? set_predicate<F, double>
                         : Handler(nullptr);
}

template <class F>
Handler comparison(const std::string& type) {
  if (const Handler handler = comparison_of_floats<F>(type)) return handler;
  if (type == "u16" || type == "b16") return set_predicate<F, std::uint16_t>;
  if (type == "s16") return set_predicate<F, std::int16_t>;
  if (type == "u32" || type == "b32") return set_predicate<F, uint32_t>;
  if (type == "s32") return set_predicate<F, int32_t>;
  if (type == "u64" || type == "b64") return set_predicate<F, uint64_t>;
  if (type == "s64") return set_predicate<F, int64_t>;
  return nullptr;
}

Handler find_comparison(const Opcode& opcode, Instruction& instruction) {
  instruction.variant = opcode.has("and") ? kAnd : opcode.has("or") ? kOr : opcode.has("xor") ? kXor : kAlone;
  const std::string &how = opcode.modifiers.at(0), &type = opcode.types.back();
  if (how == "eq") return comparison<Equal>(type);
  if (how == "ne") return comparison<NotEqual>(type);
  if (how == "lt" || how == "lo") return comparison<Less>(type);
  if (how == "le" || how == "ls") return comparison<LessEqual>(type);
  if (how == "gt" || how == "hi") return comparison<Greater>(type);
  if (how == "ge" || how == "hs") return comparison<GreaterEqual>(type);
  if (how == "equ") return comparison_of_floats<EqualOrNan>(type);
  if (how == "ltu") return comparison_of_floats<LessOrNan>(type);
  if (how == "leu") return comparison_of_floats<LessEqualOrNan>(type);
  if (how == "gtu") return comparison_of_floats<GreaterOrNan>(type);
  if (how == "geu") return comparison_of_floats<GreaterEqualOrNan>(type);
  if (how == "neu") return comparison_of_floats<NotEqualOrNan>(type);
  if (how == "num") return comparison_of_floats<BothNumbers>(type);
  if (how == "nan") return comparison_of_floats<AnyNan>(type);
  return nullptr;
}

template <class T>
void select(Warp& warp, const Instruction& instruction, Mask active) {
  const T *a = warp.lanes<T>(instruction[1]), *b = warp.lanes<T>(instruction[2]);
  const Mask which = warp.predicate(instruction[3]);
  T result[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = which >> lane & 1 ? a[lane] : b[lane];
  warp.store(instruction[0], result, active);
}

template <int kOperation>
void combine_predicates(Warp& warp, const Instruction& instruction, Mask active) {
  const Mask a = warp.predicate(instruction[1]);
  const auto b = [&] { return warp.predicate(instruction[2]); };
  Mask value = a;
  if constexpr (kOperation == '&') value = a & b();
  if constexpr (kOperation == '|') value = a | b();
  if constexpr (kOperation == '^') value = a ^ b();
  if constexpr (kOperation == '~') value = ~a;
  warp.set_predicate(instruction[0], value, active);
}

template <class T>
void test_property(Warp& warp, const Instruction& instruction, Mask active) {
  Mask holds = 0;
  for_each_lane(active, [&](int lane) {
    const T x = warp.lanes<T>(instruction[1])[lane];
    const int kind = std::fpclassify(x);
    const bool known[] = {kind != FP_NAN && kind != FP_INFINITE,
                          kind == FP_INFINITE,
                          kind != FP_NAN,
                          kind == FP_NAN,
                          kind == FP_NORMAL,
                          kind == FP_SUBNORMAL};
    holds |= Mask(known[instruction.variant]) << lane;
  });
  warp.set_predicate(instruction[0], holds, active);
}

Handler find_test(const Opcode& opcode, Instruction& instruction) {
  const char* const kProperties[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
  for (std::uint8_t i = 0; i < 6; ++i)
    if (opcode.has(kProperties[i])) instruction.variant = i;
  return opcode.types.back() == "f32" ? test_property<float> : test_property<double>;
}

// ---- mov

void pack(Warp& warp, const Instruction& instruction, Mask active) {
  for_each_lane(active, [&](int lane) {
    uint64_t value = 0;
    for (int i = instruction.vector; i > 0; --i) {
      const Operand& part = instruction[i];
      value = value << (8 * part.bytes) | warp.get(part, lane);
    }
    warp.set(instruction[0], lane, value);
  });
}

void unpack(Warp& warp, const Instruction& instruction, Mask active) {
  for_each_lane(active, [&](int lane) {
    uint64_t value = warp.get(instruction[instruction.vector], lane);
    const int bits = 8 * instruction[instruction.vector].bytes / instruction.vector;
    for (int i = 0; i < instruction.vector; ++i, value >>= bits)
      if (instruction[i].present) warp.set(instruction[i], lane, value);
  });
}

struct Identity {
  template <class T>
  static T run(T x) {
    return x;
  }
};

Handler find_move(const Opcode& opcode, Instruction& instruction) {
  if (instruction.vector > 1) return instruction.variant ? unpack : pack;
  const std::string& type = opcode.types.back();
  if (type == "pred") return combine_predicates<'='>;
  switch (bytes_of(type)) {
    case 2:
      return lanewise<Identity, std::uint16_t, std::uint16_t>;
    case 4:
      return lanewise<Identity, uint32_t, uint32_t>;
    default:
      return lanewise<Identity, uint64_t, uint64_t>;
  }
}

Handler on_predicates(const Opcode& opcode, Handler handler) {
  return opcode.types.back() == "pred" ? handler : nullptr;
}

const OpcodeEntry kTable[] = {
    ENTRY("and", "", on_predicates(o, combine_predicates<'&'>)),
    ENTRY("or", "", on_predicates(o, combine_predicates<'|'>)),
    ENTRY("xor", "", on_predicates(o, combine_predicates<'^'>)),
    ENTRY("not", "", on_predicates(o, combine_predicates<'~'>)),
    {"setp", " eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu num nan and or xor ", find_comparison},
    ENTRY("selp", "",
          bytes_of(o.types.back()) == 2   ? select<std::uint16_t>
          : bytes_of(o.types.back()) == 4 ? select<uint32_t>
                                          : select<uint64_t>),
    {"testp", " finite infinite number notanumber normal subnormal ", find_test},
    {"mov", "", find_move},
};

}  // namespace

Handler find_predicates(const Opcode& opcode, Instruction& instruction) {
  return find_in(kTable, opcode, instruction);
}

}  // namespace ptx
