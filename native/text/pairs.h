// Byte pair encoding: the most frequent pair of neighbours becomes a token, again and again.
//   Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016
// Ties, ids and what is counted are those of Hugging Face's tokenizers.
#pragma once
#include <string>
#include <vector>

#include "control.h"
#include "words.h"

namespace text {

struct PairOptions {
  std::size_t vocabulary_size;
  std::uint64_t least_count;  // of a pair that is merged
  std::size_t
      longest_token;  // in characters: no longer one is made of pairs; the first pairs are always counted
  std::size_t alphabet_limit;  // how many characters are kept
  bool bytes;                  // a character is a byte, of which byte_alphabet() has the code point
  std::string prefix;          // of a token that does not begin a word
  std::vector<std::string> special_tokens;
  std::vector<std::uint32_t> alphabet;  // characters that need not occur
};

struct PairVocabulary {
  std::vector<std::string> tokens;                              // by id
  std::vector<std::pair<std::uint32_t, std::uint32_t>> merges;  // by rank
};

// The visible characters that stand for the 256 bytes in GPT-2's vocabulary.
const std::uint32_t* byte_alphabet();

PairVocabulary train_pairs(const Control& control, const Words& words, const PairOptions& options);

}  // namespace text
