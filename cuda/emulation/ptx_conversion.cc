// cvt: between integers, floating-point types and their packed pairs.
#include <immintrin.h>

#include <cmath>
#include <limits>

#include "ptx_lanes.h"

namespace ptx {

namespace {

using std::uint16_t;
using std::uint32_t;

struct Bf16 {
  uint16_t bits;
};
struct Tf32 {
  uint32_t bits;
};
struct F16 {
  uint16_t bits;
};

uint16_t round_to_bf16(float x) {
  const uint32_t bits = bits_as<uint32_t>(x);
  return x != x ? 0x7fff : uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// To the nearest of 10 bits, ties away from zero.
uint32_t round_to_tf32(float x) {
  const uint32_t bits = bits_as<uint32_t>(x);
  return x != x ? 0x7fffffff : std::isinf(x) ? bits : (bits + 0x1000) & 0xffffe000u;
}

template <class T>
auto widened(T x) {
  return x;
}
float widened(Bf16 x) { return bits_as<float>(uint32_t{x.bits} << 16); }
float widened(F16 x) { return _cvtsh_ss(x.bits); }

template <class T>
constexpr bool kIsFloating = std::is_floating_point_v<T>;

// To an integer: out of range becomes the nearest, NaN what the manual says.
template <class To, class From>
To integer_of(From x, Rounding rounding) {
  using Limits = std::numeric_limits<To>;
  if (x != x) {
    if (sizeof(From) < 8 && sizeof(To) < 8) return 0;
    return To(Unsigned<std::conditional_t<sizeof(To) == 1, uint16_t, To>>(1) << (sizeof(To) * 8 - 1));
  }
  switch (rounding) {
    case Rounding::nearest:
      x = std::nearbyint(x);
      break;
    case Rounding::zero:
      x = std::trunc(x);
      break;
    case Rounding::down:
      x = std::floor(x);
      break;
    case Rounding::up:
      x = std::ceil(x);
      break;
  }
  if (x <= From(Limits::min())) return Limits::min();
  if (x >= From(Limits::max())) return Limits::max();
  return To(x);
}

enum Variant { kSaturates = 1, kToWhole = 2, kFlushes = 4 };

float flush(float x) {
  const uint32_t bits = bits_as<uint32_t>(x);
  return bits & 0x7f800000u ? x : bits_as<float>(bits & 0x80000000u);
}

template <class To, class From>
To converted(From from, const Instruction& instruction) {
  auto x = widened(from);
  using X = decltype(x);
  if constexpr (std::is_same_v<X, float>) {
    if (instruction.variant & kFlushes) x = flush(x);
  }
  if constexpr (std::is_integral_v<To>) {
    if constexpr (kIsFloating<X>) {
      return integer_of<To>(x, instruction.rounding);
    } else if (instruction.variant & kSaturates) {
      using Limits = std::numeric_limits<To>;
      const __int128 wide = x;
      return wide < Limits::min() ? Limits::min() : wide > Limits::max() ? Limits::max() : To(x);
    } else {
      return To(x);
    }
  } else {
    if constexpr (kIsFloating<X>) {
      if (instruction.variant & kToWhole) {
        switch (instruction.rounding) {
          case Rounding::nearest:
            x = std::nearbyint(x);
            break;
          case Rounding::zero:
            x = std::trunc(x);
            break;
          case Rounding::down:
            x = std::floor(x);
            break;
          case Rounding::up:
            x = std::ceil(x);
            break;
        }
      }
      if (instruction.variant & kSaturates) x = x > X(0) ? (x < X(1) ? x : X(1)) : X(0);
    }
    if constexpr (std::is_same_v<To, Bf16>)
      return {round_to_bf16(float(x))};
    else if constexpr (std::is_same_v<To, Tf32>)
      return {round_to_tf32(float(x))};
    else if constexpr (std::is_same_v<To, F16>)
      return {uint16_t(_cvtss_sh(float(x), _MM_FROUND_TO_NEAREST_INT))};
    else
      return To(x);
  }
}

// What a register keeps of a value narrower than itself: extended by its sign if it has one.
template <class T>
std::uint64_t extended(T value) {
  if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return std::uint64_t(std::int64_t(value));
  } else {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
  }
}

template <class To, class From>
void convert(Warp& warp, const Instruction& instruction, Mask active) {
  const bool directed = !(instruction.variant & kToWhole) && instruction.rounding != Rounding::nearest &&
                        !std::is_integral_v<To>;
  constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  if (directed) std::fesetround(kModes[int(instruction.rounding)]);
  const Operand& source = instruction[1];
  const char* from = warp.lanes<char>(source);
  if (source.bytes == sizeof(From) && instruction[0].bytes == sizeof(To)) {
    To result[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      From x;
      std::memcpy(&x, from + lane * sizeof(From), sizeof x);
      result[lane] = converted<To>(x, instruction);
    }
    warp.store(instruction[0], result, active);
  } else {
    for_each_lane(active, [&](int lane) {
      From x;
      std::memcpy(&x, from + lane * source.bytes, sizeof x);
      warp.set(instruction[0], lane, extended(converted<To>(x, instruction)));
    });
  }
  if (directed) std::fesetround(FE_TONEAREST);
}

// Operand 1 becomes the high half, operand 2 the low half.
template <class Half>
void convert_pair(Warp& warp, const Instruction& instruction, Mask active) {
  const float *high = warp.lanes<float>(instruction[1]), *low = warp.lanes<float>(instruction[2]);
  uint32_t result[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    result[lane] = uint32_t(extended(converted<Half>(high[lane], instruction))) << 16 |
                   uint32_t(extended(converted<Half>(low[lane], instruction)));
  }
  warp.store(instruction[0], result, active);
}

template <class To>
Handler from_type(const std::string& type) {
  if (type == "u8") return convert<To, std::uint8_t>;
  if (type == "s8") return convert<To, std::int8_t>;
  if (type == "u16") return convert<To, uint16_t>;
  if (type == "s16") return convert<To, std::int16_t>;
  if (type == "u32") return convert<To, uint32_t>;
  if (type == "s32") return convert<To, std::int32_t>;
  if (type == "u64") return convert<To, std::uint64_t>;
  if (type == "s64") return convert<To, std::int64_t>;
  if (type == "bf16") return convert<To, Bf16>;
  if (type == "f16") return convert<To, F16>;
  if (type == "f32") return convert<To, float>;
  if (type == "f64") return convert<To, double>;
  return nullptr;
}

Handler find_conversion_of(const Opcode& opcode, Instruction& instruction) {
  const std::string &to = opcode.types.at(0), &from = opcode.types.at(1);
  const bool whole = opcode.has("rni") || opcode.has("rzi") || opcode.has("rmi") || opcode.has("rpi");
  instruction.variant = std::uint8_t((opcode.has("sat") ? kSaturates : 0) | (whole ? kToWhole : 0) |
                                     (opcode.has("ftz") ? kFlushes : 0));
  if (opcode.has("rna") != (to == "tf32")) return nullptr;
  const bool narrow = to == "tf32" || to == "bf16" || to == "bf16x2" || to == "f16" || to == "f16x2";
  if (narrow) {
    if (from != "f32" || instruction.rounding != Rounding::nearest) return nullptr;
    return to == "tf32"     ? convert<Tf32, float>
           : to == "bf16"   ? convert<Bf16, float>
           : to == "bf16x2" ? convert_pair<Bf16>
           : to == "f16"    ? convert<F16, float>
                            : convert_pair<F16>;
  }
  if (to == "u8") return from_type<std::uint8_t>(from);
  if (to == "s8") return from_type<std::int8_t>(from);
  if (to == "u16") return from_type<uint16_t>(from);
  if (to == "s16") return from_type<std::int16_t>(from);
  if (to == "u32") return from_type<uint32_t>(from);
  if (to == "s32") return from_type<std::int32_t>(from);
  if (to == "u64") return from_type<std::uint64_t>(from);
  if (to == "s64") return from_type<std::int64_t>(from);
  if (to == "f32") return from_type<float>(from);
  if (to == "f64") return from_type<double>(from);
  return nullptr;
}

const OpcodeEntry kTable[] = {{"cvt", " rn rz rm rp rni rzi rmi rpi rna sat ftz ", find_conversion_of}};

}  // namespace

Handler find_conversion(const Opcode& opcode, Instruction& instruction) {
  return find_in(kTable, opcode, instruction);
}

}  // namespace ptx
