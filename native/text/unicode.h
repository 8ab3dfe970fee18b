// Characters of UTF-8 and what class they are of.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "unicode_classes.h"

namespace text {

struct Character {
  std::uint32_t code_point;
  int length;  // in bytes
};

// The character at p < end. Bytes that are no UTF-8 are characters of one byte each.
inline Character character_at(const char* p, const char* end) {
  const auto byte = [&](int i) { return std::uint32_t(static_cast<unsigned char>(p[i])); };
  const auto continues = [&](int count) {
    if (end - p <= count) return false;
    for (int i = 1; i <= count; ++i)
      if ((byte(i) & 0xc0) != 0x80) return false;
    return true;
  };
  const std::uint32_t first = byte(0);
  if (first < 0xc0) return {first, 1};
  if (first < 0xe0 && continues(1)) return {(first & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (first >= 0xe0 && first < 0xf0 && continues(2))
    return {(first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  if (first >= 0xf0 && first < 0xf5 && continues(3)) {
    const std::uint32_t code_point =
        (first & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
    if (code_point < 0x110000) return {code_point, 4};
  }
  return {first, 1};
}

inline void append_utf8(std::string& to, std::uint32_t c) {
  if (c < 0x80) {
    to += char(c);
  } else if (c < 0x800) {
    to += {char(0xc0 | c >> 6), char(0x80 | (c & 0x3f))};
  } else if (c < 0x10000) {
    to += {char(0xe0 | c >> 12), char(0x80 | (c >> 6 & 0x3f)), char(0x80 | (c & 0x3f))};
  } else {
    to += {char(0xf0 | c >> 18), char(0x80 | (c >> 12 & 0x3f)), char(0x80 | (c >> 6 & 0x3f)),
           char(0x80 | (c & 0x3f))};
  }
}

using ClassTable = std::array<CharacterClass, 0x110000>;
const ClassTable& character_classes();

}  // namespace text
