// Words as tokens of one character each: where training starts.
#pragma once
#include <unordered_map>

#include "pairs.h"

namespace text {

// Tokens by id.
class Tokens {
 public:
  // The id of a token, a new one if it has none.
  std::uint32_t id_of(const std::string& token);

  std::vector<std::string> list;

 private:
  std::unordered_map<std::string, std::uint32_t> ids_;
};

struct SymbolWords {
  // Adds the characters that are kept to `tokens`; words are without the others.
  SymbolWords(const Words& words, const PairOptions& options, Tokens& tokens);

  std::vector<std::uint32_t> symbols;  // word after word
  std::vector<std::size_t> begins;     // of each word, and the end of the last
};

}  // namespace text
