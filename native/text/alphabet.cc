// Words as tokens of one character each.
#include "alphabet.h"

#include <algorithm>
#include <limits>

#include "unicode.h"

namespace text {

const std::uint32_t* byte_alphabet() {
  static const std::vector<std::uint32_t> alphabet = [] {
    std::vector<std::uint32_t> made(256);
    std::uint32_t unused = 0x100;
    for (std::uint32_t b = 0; b < 256; ++b)
      made[b] = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae ? b : unused++;
    return made;
  }();
  return alphabet.data();
}

namespace {

// visit(code point) for each character of a word.
template <class Visit>
void each_character(std::string_view word, bool bytes, const Visit& visit) {
  const char* p = word.data();
  const char* const end = p + word.size();
  if (bytes) {
    for (; p < end; ++p) visit(byte_alphabet()[static_cast<unsigned char>(*p)]);
    return;
  }
  while (p < end) {
    const Character c = character_at(p, end);
    visit(c.code_point);
    p += c.length;
  }
}

std::string utf8(std::uint32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

// The characters of the words, without the rarest beyond the limit, by code point.
std::vector<std::uint32_t> kept_characters(const Words& words, const PairOptions& options) {
  std::vector<double> counts(0x110000);
  for (std::size_t i = 0; i < words.size; ++i)
    each_character(words[i], options.bytes, [&](std::uint32_t c) { counts[c] += words.counts[i]; });
  for (std::uint32_t c : options.alphabet) counts[c] = std::numeric_limits<double>::infinity();
  std::vector<std::uint32_t> kept;
  for (std::uint32_t c = 0; c < counts.size(); ++c)
    if (counts[c] > 0) kept.push_back(c);
  if (kept.size() > options.alphabet_limit) {
    std::stable_sort(kept.begin(), kept.end(), [&](auto a, auto b) { return counts[a] > counts[b]; });
    kept.resize(options.alphabet_limit);
    std::sort(kept.begin(), kept.end());
  }
  return kept;
}

}  // namespace

std::uint32_t Tokens::id_of(const std::string& token) {
  const auto [found, is_new] = ids_.emplace(token, std::uint32_t(list.size()));
  if (is_new) list.push_back(token);
  return found->second;
}

SymbolWords::SymbolWords(const Words& words, const PairOptions& options, Tokens& tokens) {
  constexpr std::uint32_t unknown = ~std::uint32_t{0};
  std::vector<std::uint32_t> first(0x110000, unknown), later(options.prefix.empty() ? 0 : 0x110000, unknown);
  for (std::uint32_t c : kept_characters(words, options)) first[c] = tokens.id_of(utf8(c));
  // A special token of one character counts as one of the alphabet.
  for (const std::string& token : options.special_tokens) {
    if (token.empty()) continue;
    const Character c = character_at(token.data(), token.data() + token.size());
    if (std::size_t(c.length) == token.size()) first[c.code_point] = tokens.id_of(token);
  }
  begins.reserve(words.size + 1);
  begins.push_back(0);
  symbols.reserve(words.size == 0 ? 0 : words.ends[words.size - 1]);
  for (std::size_t i = 0; i < words.size; ++i) {
    bool is_first = true;
    each_character(words[i], options.bytes, [&](std::uint32_t c) {
      if (first[c] != unknown) {
        std::uint32_t id = first[c];
        if (!is_first && !later.empty()) {
          if (later[c] == unknown) later[c] = tokens.id_of(options.prefix + utf8(c));
          id = later[c];
        }
        symbols.push_back(id);
      }
      is_first = false;
    });
    begins.push_back(symbols.size());
  }
}

}  // namespace text
