// Bits of integers: logic, shifts, fields, counts.
#include <algorithm>

#include "ptx_lanes.h"

namespace ptx {

namespace {

using std::int32_t;
using std::int64_t;
using std::uint32_t;
using std::uint64_t;

FUNCTION_OF_TWO(And, a& b);
FUNCTION_OF_TWO(Or, a | b);
FUNCTION_OF_TWO(Xor, a ^ b);
FUNCTION_OF_ONE(Not, T(~x));

struct ShiftLeft {
  template <class T>
  static T run(T a, uint32_t n) {
    return n >= unsigned(kBits<T>) ? T(0) : T(Wide<T>(a) << n);
  }
};

struct ShiftRight {
  template <class T>
  static T run(T a, uint32_t n) {
    if (n >= unsigned(kBits<T>)) return std::is_signed_v<T> && a < T(0) ? T(-1) : T(0);
    return T(a >> n);
  }
};

template <bool kLeft, bool kWrap>
struct FunnelShift {
  static uint32_t run(uint32_t low, uint32_t high, uint32_t n) {
    n = kWrap ? n & 31 : std::min(n, 32u);
    const uint64_t both = uint64_t{high} << 32 | low;
    return uint32_t(kLeft ? (both << n) >> 32 : both >> n);
  }
};

struct ExtractBits {
  template <class T>
  static T run(T a, uint32_t position, uint32_t length) {
    constexpr uint32_t kTop = kBits<T> - 1;
    position &= 255, length &= 255;
    if (length == 0) return 0;
    const bool sign = std::is_signed_v<T> && (a >> std::min(position + length - 1, kTop) & 1);
    const uint64_t ones = length > 63 ? ~uint64_t{0} : (uint64_t{1} << length) - 1;
    const uint64_t bits = position > kTop ? 0 : uint64_t(Unsigned<T>(a)) >> position;
    const uint64_t beyond =
        position > kTop ? ~uint64_t{0} : ~(uint64_t(Unsigned<T>(~Unsigned<T>(0))) >> position);
    const uint64_t filled = sign ? bits | beyond : bits;
    return T((filled & ones) | (sign ? ~ones : 0));
  }
};

struct InsertBits {
  template <class T>
  static T run(T a, T b, uint32_t position, uint32_t length) {
    position &= 255, length &= 255;
    if (position >= unsigned(kBits<T>)) return b;
    const uint64_t ones = (length > 63 ? ~uint64_t{0} : (uint64_t{1} << length) - 1) << position;
    return T((uint64_t(b) & ~ones) | (uint64_t(a) << position & ones));
  }
};

struct Permute {
  static uint32_t run(uint32_t a, uint32_t b, uint32_t selector) {
    const uint64_t bytes = uint64_t{b} << 32 | a;
    uint32_t result = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t select = selector >> (4 * i) & 15;
      uint32_t byte = uint32_t(bytes >> (8 * (select & 7))) & 255;
      if (select & 8) byte = byte & 128 ? 255 : 0;
      result |= byte << (8 * i);
    }
    return result;
  }
};

struct Logic3 {
  static uint32_t run(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
    uint32_t result = 0;
    for (int i = 0; i < 8; ++i) {
      const uint32_t term = (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
      result |= table >> i & 1 ? term : 0;
    }
    return result;
  }
};

struct PopulationCount {
  template <class T>
  static uint32_t run(T a) {
    return uint32_t(__builtin_popcountll(a));
  }
};

struct LeadingZeros {
  template <class T>
  static uint32_t run(T a) {
    return a == 0 ? kBits<T> : uint32_t(__builtin_clzll(a)) - (64 - kBits<T>);
  }
};

struct ReverseBits {
  template <class T>
  static T run(T a) {
    T result = 0;
    for (int i = 0; i < kBits<T>; ++i) result |= T(a >> i & 1) << (kBits<T> - 1 - i);
    return result;
  }
};

// The highest bit that is not the sign; kShift: how far it is from the top.
template <bool kShift>
struct FindBit {
  template <class T>
  static uint32_t run(T a) {
    const Unsigned<T> bits = a < T(0) ? Unsigned<T>(~a) : Unsigned<T>(a);
    if (bits == 0) return ~0u;
    const uint32_t zeros = LeadingZeros::run(bits);
    return kShift ? zeros : kBits<T> - 1 - zeros;
  }
};

template <class F>
Handler shifts(const Opcode& opcode) {
  const std::string& type = opcode.types.back();
  const bool is_signed = type[0] == 's';
  switch (bytes_of(type)) {
    case 2:
      return is_signed ? lanewise<F, std::int16_t, std::int16_t, uint32_t>
                       : lanewise<F, std::uint16_t, std::uint16_t, uint32_t>;
    case 4:
      return is_signed ? lanewise<F, int32_t, int32_t, uint32_t> : lanewise<F, uint32_t, uint32_t, uint32_t>;
    default:
      return is_signed ? lanewise<F, int64_t, int64_t, uint32_t> : lanewise<F, uint64_t, uint64_t, uint32_t>;
  }
}

template <class F>
Handler counts(const Opcode& opcode) {
  return bytes_of(opcode.types.back()) == 4 ? lanewise<F, uint32_t, uint32_t>
                                            : lanewise<F, uint32_t, uint64_t>;
}

const OpcodeEntry kTable[] = {
    ENTRY("and", "", integers<And, 2>(o)),
    ENTRY("or", "", integers<Or, 2>(o)),
    ENTRY("xor", "", integers<Xor, 2>(o)),
    ENTRY("not", "", integers<Not, 1>(o)),
    ENTRY("shl", "", shifts<ShiftLeft>(o)),
    ENTRY("shr", "", shifts<ShiftRight>(o)),
    ENTRY("shf", " l wrap ", lanewise<FunnelShift<true, true>, uint32_t, uint32_t, uint32_t, uint32_t>),
    ENTRY("shf", " l clamp ", lanewise<FunnelShift<true, false>, uint32_t, uint32_t, uint32_t, uint32_t>),
    ENTRY("shf", " r wrap ", lanewise<FunnelShift<false, true>, uint32_t, uint32_t, uint32_t, uint32_t>),
    ENTRY("shf", " r clamp ", lanewise<FunnelShift<false, false>, uint32_t, uint32_t, uint32_t, uint32_t>),
    ENTRY("bfe", "",
          o.types.back() == "u32"   ? lanewise<ExtractBits, uint32_t, uint32_t, uint32_t, uint32_t>
          : o.types.back() == "s32" ? lanewise<ExtractBits, int32_t, int32_t, uint32_t, uint32_t>
          : o.types.back() == "u64" ? lanewise<ExtractBits, uint64_t, uint64_t, uint32_t, uint32_t>
                                    : lanewise<ExtractBits, int64_t, int64_t, uint32_t, uint32_t>),
    ENTRY("bfi", "",
          o.types.back() == "b32" ? lanewise<InsertBits, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t>
                                  : lanewise<InsertBits, uint64_t, uint64_t, uint64_t, uint32_t, uint32_t>),
    ENTRY("prmt", "", lanewise<Permute, uint32_t, uint32_t, uint32_t, uint32_t>),
    ENTRY("lop3", "", lanewise<Logic3, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t>),
    ENTRY("popc", "", counts<PopulationCount>(o)),
    ENTRY("clz", "", counts<LeadingZeros>(o)),
    ENTRY("brev", "", integers<ReverseBits, 1>(o)),
    ENTRY("bfind", "",
          o.types.back() == "s32"   ? lanewise<FindBit<false>, uint32_t, int32_t>
          : o.types.back() == "s64" ? lanewise<FindBit<false>, uint32_t, int64_t>
                                    : counts<FindBit<false>>(o)),
    ENTRY("bfind", " shiftamt ",
          o.types.back() == "s32"   ? lanewise<FindBit<true>, uint32_t, int32_t>
          : o.types.back() == "s64" ? lanewise<FindBit<true>, uint32_t, int64_t>
                                    : counts<FindBit<true>>(o)),
};

}  // namespace

Handler find_bits(const Opcode& opcode, Instruction& instruction) {
  return find_in(kTable, opcode, instruction);
}

}  // namespace ptx
