// Arithmetic of integers and floating-point numbers: what each lane computes by itself.
#include <cmath>
#include <limits>

#include "ptx_lanes.h"

namespace ptx {

namespace {

using std::int32_t;
using std::int64_t;
using std::uint32_t;
using std::uint64_t;
using Int128 = __int128;
using Unsigned128 = unsigned __int128;

struct Add {
  template <class T>
  static T run(T a, T b) {
    if constexpr (std::is_integral_v<T>)
      return T(Wide<T>(a) + Wide<T>(b));
    else
      return a + b;
  }
};

struct Subtract {
  template <class T>
  static T run(T a, T b) {
    if constexpr (std::is_integral_v<T>)
      return T(Wide<T>(a) - Wide<T>(b));
    else
      return a - b;
  }
};

// The low half of an integer product.
struct Multiply {
  template <class T>
  static T run(T a, T b) {
    if constexpr (std::is_integral_v<T>)
      return T(Wide<T>(a) * Wide<T>(b));
    else
      return a * b;
  }
};

struct MultiplyHigh {
  template <class T>
  static T run(T a, T b) {
    if constexpr (sizeof(T) == 8)
      return T((std::conditional_t<std::is_signed_v<T>, Int128, Unsigned128>(a) * b) >> 64);
    else
      return T((std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>(a) * b) >> kBits<T>);
  }
};

template <class Product>
struct MultiplyAdd {
  template <class T>
  static T run(T a, T b, T c) {
    return Add::run(Product::run(a, b), c);
  }
};

template <class D>
struct MultiplyWide {
  template <class T>
  static D run(T a, T b) {
    return D(D(a) * D(b));
  }
  template <class T>
  static D run(T a, T b, D c) {
    return Add::run(D(D(a) * D(b)), c);
  }
};

struct Fma {
  template <class T>
  static T run(T a, T b, T c) {
    return std::fma(a, b, c);
  }
};

// Division of integers by zero gives all ones, as the processor does it; the manual leaves it open.
struct Divide {
  template <class T>
  static T run(T a, T b) {
    if constexpr (std::is_integral_v<T>)
      return b == 0 ? T(-1) : std::is_signed_v<T> && b == T(-1) ? Subtract::run(T(0), a) : T(a / b);
    else
      return a / b;
  }
};

struct Remainder {
  template <class T>
  static T run(T a, T b) {
    return b == 0 ? a : std::is_signed_v<T> && b == T(-1) ? T(0) : T(a % b);
  }
};

// Of a NaN and a number the number; -0 is less than +0.
template <bool kMaximum>
struct Extreme {
  template <class T>
  static T run(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      return (a < b) != kMaximum ? a : b;
    } else {
      using U = Unsigned<T>;
      const U both = kMaximum ? U(bits_as<U>(a) & bits_as<U>(b)) : U(bits_as<U>(a) | bits_as<U>(b));
      return a != a ? b : b != b ? a : a == b ? bits_as<T>(both) : (a < b) != kMaximum ? a : b;
    }
  }
};
using Minimum = Extreme<false>;
using Maximum = Extreme<true>;

template <class Of>
struct NanFirst {
  template <class T>
  static T run(T a, T b) {
    return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : Of::run(a, b);
  }
};

struct Negate {
  template <class T>
  static T run(T a) {
    if constexpr (std::is_integral_v<T>)
      return Subtract::run(T(0), a);
    else
      return -a;
  }
};

struct Absolute {
  template <class T>
  static T run(T a) {
    if constexpr (std::is_integral_v<T>)
      return a < T(0) ? Negate::run(a) : a;
    else
      return std::fabs(a);
  }
};

struct CopySign {
  template <class T>
  static T run(T sign, T size) {
    return std::copysign(size, sign);
  }
};

FUNCTION_OF_ONE(Reciprocal, T(1) / x);
FUNCTION_OF_ONE(SquareRoot, std::sqrt(x));
FUNCTION_OF_ONE(ReciprocalRoot, T(1) / std::sqrt(x));
FUNCTION_OF_ONE(Exp2, std::exp2(x));
FUNCTION_OF_ONE(Log2, std::log2(x));
FUNCTION_OF_ONE(Sine, std::sin(x));
FUNCTION_OF_ONE(Cosine, std::cos(x));
FUNCTION_OF_ONE(HyperbolicTangent, std::tanh(x));
// NaN becomes 0.
FUNCTION_OF_ONE(Saturate, x > T(0) ? (x < T(1) ? x : T(1)) : T(0));

struct SumOfAbsoluteDifference {
  template <class T>
  static T run(T a, T b, T c) {
    return Add::run(c, a < b ? Subtract::run(b, a) : Subtract::run(a, b));
  }
};

// ---- add, sub and mad with the carry flag

enum Carry { kReadsCarry = 1, kWritesCarry = 2, kSubtracts = 4 };
enum class Product { none, low, high };

template <class T, Product kProduct>
void with_carry(Warp& warp, const Instruction& instruction, Mask active) {
  T result[kLanes];
  Mask carry = 0;
  const T *a = warp.lanes<T>(instruction[1]), *b = warp.lanes<T>(instruction[2]);
  for (int lane = 0; lane < kLanes; ++lane) {
    const T in = instruction.variant & kReadsCarry ? warp.carry >> lane & 1 : 0;
    Unsigned128 x = a[lane], y = b[lane];
    if constexpr (kProduct != Product::none) {
      const Unsigned128 product = x * y;
      x = T(kProduct == Product::low ? product : product >> kBits<T>);
      y = warp.lanes<T>(instruction[3])[lane];
    }
    const Unsigned128 total = instruction.variant & kSubtracts ? x - y - in : x + y + in;
    result[lane] = T(total);
    carry |= Mask(total >> kBits<T> & 1) << lane;
  }
  if (instruction.variant & kWritesCarry) warp.carry = (warp.carry & ~active) | (carry & active);
  warp.store(instruction[0], result, active);
}

template <Product kProduct>
Handler find_with_carry(const Opcode& opcode, Instruction& instruction) {
  const bool subtracts = opcode.name == "sub" || opcode.name == "subc";
  instruction.variant = std::uint8_t((opcode.name.back() == 'c' ? kReadsCarry : 0) |
                                     (opcode.has("cc") ? kWritesCarry : 0) | (subtracts ? kSubtracts : 0));
  if (bytes_of(opcode.types.back()) == 4) return with_carry<uint32_t, kProduct>;
  if (bytes_of(opcode.types.back()) == 8) return with_carry<uint64_t, kProduct>;
  return nullptr;
}

// ----

Handler find_wide_product(const Opcode& opcode, Instruction&) {
  const std::string& type = opcode.types.back();
  const bool adds = opcode.name == "mad";
#define WIDE(name, T, D) \
  if (type == name) return adds ? lanewise<MultiplyWide<D>, D, T, T, D> : lanewise<MultiplyWide<D>, D, T, T>;
  WIDE("u16", std::uint16_t, uint32_t)
  WIDE("s16", std::int16_t, int32_t)
  WIDE("u32", uint32_t, uint64_t)
  WIDE("s32", int32_t, int64_t)
#undef WIDE
  return nullptr;
}

const OpcodeEntry kTable[] = {
    ENTRY("add", " rn rz rm rp ftz ", numbers<Add, 2>(o)),
    ENTRY("sub", " rn rz rm rp ftz ", numbers<Subtract, 2>(o)),
    ENTRY("mul", " rn rz rm rp ftz ", floats<Multiply, 2>(o)),
    ENTRY("mul", " lo ", integers<Multiply, 2>(o)),
    ENTRY("mul", " hi ", integers<MultiplyHigh, 2>(o)),
    {"mul", " wide ", find_wide_product},
    ENTRY("mad", " rn ftz ", floats<Fma, 3>(o)),
    ENTRY("mad", " lo ", integers<MultiplyAdd<Multiply>, 3>(o)),
    ENTRY("mad", " hi ", integers<MultiplyAdd<MultiplyHigh>, 3>(o)),
    {"mad", " wide ", find_wide_product},
    ENTRY("fma", " rn rz rm rp ftz ", floats<Fma, 3>(o)),
    ENTRY("div", " rn rz rm rp full approx ftz ", numbers<Divide, 2>(o)),
    ENTRY("rem", "", integers<Remainder, 2>(o)),
    ENTRY("min", " ftz ", numbers<Minimum, 2>(o)),
    ENTRY("max", " ftz ", numbers<Maximum, 2>(o)),
    ENTRY("min", " ftz NaN ", floats<NanFirst<Minimum>, 2>(o)),
    ENTRY("max", " ftz NaN ", floats<NanFirst<Maximum>, 2>(o)),
    ENTRY("neg", " ftz ", numbers<Negate, 1>(o)),
    ENTRY("abs", " ftz ", numbers<Absolute, 1>(o)),
    ENTRY("copysign", "", floats<CopySign, 2>(o)),
    ENTRY("rcp", " rn rz rm rp approx ftz ", floats<Reciprocal, 1>(o)),
    ENTRY("sqrt", " rn rz rm rp approx ftz ", floats<SquareRoot, 1>(o)),
    ENTRY("rsqrt", " approx ftz ", floats<ReciprocalRoot, 1>(o)),
    ENTRY("ex2", " approx ftz ", floats<Exp2, 1>(o)),
    ENTRY("lg2", " approx ftz ", floats<Log2, 1>(o)),
    ENTRY("sin", " approx ftz ", floats<Sine, 1>(o)),
    ENTRY("cos", " approx ftz ", floats<Cosine, 1>(o)),
    ENTRY("tanh", " approx ", floats<HyperbolicTangent, 1>(o)),
    ENTRY("saturate", "", floats<Saturate, 1>(o)),
    ENTRY("sad", "", integers<SumOfAbsoluteDifference, 3>(o)),

    {"add", " cc ", find_with_carry<Product::none>},
    {"addc", " cc ", find_with_carry<Product::none>},
    {"sub", " cc ", find_with_carry<Product::none>},
    {"subc", " cc ", find_with_carry<Product::none>},
    {"mad", " lo cc ", find_with_carry<Product::low>},
    {"mad", " hi cc ", find_with_carry<Product::high>},
    {"madc", " lo cc ", find_with_carry<Product::low>},
    {"madc", " hi cc ", find_with_carry<Product::high>},
};

}  // namespace

Handler find_arithmetic(const Opcode& opcode, Instruction& instruction) {
  return find_in(kTable, opcode, instruction);
}

}  // namespace ptx
