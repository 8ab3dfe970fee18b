// How a function of numbers becomes the handler of an instruction.
#pragma once
#include <cfenv>
#include <tuple>
#include <type_traits>
#include <utility>

#include "ptx_machine.h"

namespace ptx {

template <class T>
using Unsigned = std::conditional_t<sizeof(T) == 2, std::uint16_t,
                                    std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;

template <class T>
constexpr int kBits = int(sizeof(T) * 8);

// To compute with: no narrower than an int, and it wraps.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

template <class To, class From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// Names for functions of one and two numbers of any type.
#define FUNCTION_OF_ONE(Name, expression) \
  struct Name {                           \
    template <class T>                    \
    static T run(T x) {                   \
      return expression;                  \
    }                                     \
  }
#define FUNCTION_OF_TWO(Name, expression) \
  struct Name {                           \
    template <class T>                    \
    static T run(T a, T b) {              \
      return T(expression);               \
    }                                     \
  }

template <class F, class D, class... S, std::size_t... I>
void apply_lanewise(Warp& warp, const Instruction& instruction, Mask active, std::index_sequence<I...>) {
  D result[kLanes];
  const std::tuple<const S*...> sources{warp.lanes<S>(instruction[int(I) + 1])...};
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = F::run(std::get<I>(sources)[lane]...);
  warp.store(instruction[0], result, active);
}

// Operand 0 of type D becomes F of operands 1, 2, ... of types S.
template <class F, class D, class... S>
void lanewise(Warp& warp, const Instruction& instruction, Mask active) {
  apply_lanewise<F, D, S...>(warp, instruction, active, std::index_sequence_for<S...>{});
}

// The same in the instruction's rounding mode. The operands are read and the result is written between the
// calls, so the compiler cannot compute elsewhere.
template <class F, class D, class... S>
void lanewise_rounded(Warp& warp, const Instruction& instruction, Mask active) {
  constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  std::fesetround(kModes[int(instruction.rounding)]);
  lanewise<F, D, S...>(warp, instruction, active);
  std::fesetround(FE_TONEAREST);
}

// Subnormal numbers are zeros on the way in and out.
template <class F>
struct Flushed {
  static float flush(float x) {
    return (bits_as<std::uint32_t>(x) & 0x7f800000u)
               ? x
               : bits_as<float>(bits_as<std::uint32_t>(x) & 0x80000000u);
  }
  template <class... T>
  static float run(T... x) {
    return flush(F::run(flush(x)...));
  }
};

template <class F, class T, int kSources>
constexpr Handler same_type() {
  if constexpr (kSources == 1) return lanewise<F, T, T>;
  if constexpr (kSources == 2) return lanewise<F, T, T, T>;
  if constexpr (kSources == 3) return lanewise<F, T, T, T, T>;
}

template <class F, int kSources>
Handler integers(const Opcode& opcode) {
  const std::string& type = opcode.types.back();
  if (type == "u16" || type == "b16") return same_type<F, std::uint16_t, kSources>();
  if (type == "s16") return same_type<F, std::int16_t, kSources>();
  if (type == "u32" || type == "b32") return same_type<F, std::uint32_t, kSources>();
  if (type == "s32") return same_type<F, std::int32_t, kSources>();
  if (type == "u64" || type == "b64") return same_type<F, std::uint64_t, kSources>();
  if (type == "s64") return same_type<F, std::int64_t, kSources>();
  return nullptr;
}

template <class F, class T, int kSources>
constexpr Handler rounded_type() {
  if constexpr (kSources == 1) return lanewise_rounded<F, T, T>;
  if constexpr (kSources == 2) return lanewise_rounded<F, T, T, T>;
  if constexpr (kSources == 3) return lanewise_rounded<F, T, T, T, T>;
}

template <class F, int kSources>
Handler floats(const Opcode& opcode) {
  const bool rounded = opcode.has("rz") || opcode.has("rm") || opcode.has("rp");
  if (opcode.types.back() == "f64")
    return rounded ? rounded_type<F, double, kSources>() : same_type<F, double, kSources>();
  if (opcode.types.back() != "f32") return nullptr;
  if (opcode.has("ftz"))
    return rounded ? rounded_type<Flushed<F>, float, kSources>() : same_type<Flushed<F>, float, kSources>();
  return rounded ? rounded_type<F, float, kSources>() : same_type<F, float, kSources>();
}

template <class F, int kSources>
Handler numbers(const Opcode& opcode) {
  const Handler handler = floats<F, kSources>(opcode);
  return handler ? handler : integers<F, kSources>(opcode);
}

// What an opcode may look like, and its handler.
struct OpcodeEntry {
  const char* name;
  const char* modifiers;  // those known, with spaces around each
  Handler (*find)(const Opcode& opcode, Instruction& instruction);
};

// An entry whose handler is an expression of the opcode o.
#define ENTRY(name, modifiers, ...)                                                                        \
  {                                                                                                        \
    name, modifiers, []([[maybe_unused]] const Opcode& o, Instruction&) -> Handler { return __VA_ARGS__; } \
  }

// Null unless the table has the name, all modifiers and a handler for the types.
template <std::size_t kCount>
Handler find_in(const OpcodeEntry (&table)[kCount], const Opcode& opcode, Instruction& instruction) {
  for (const OpcodeEntry& entry : table) {
    if (opcode.name != entry.name) continue;
    bool known = true;
    for (const std::string& modifier : opcode.modifiers)
      known = known && std::strstr(entry.modifiers, (" " + modifier + " ").c_str());
    if (!known) continue;
    if (const Handler handler = entry.find(opcode, instruction)) return handler;
  }
  return nullptr;
}

}  // namespace ptx
