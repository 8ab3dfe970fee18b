// Cuts text into the words that are counted.
#pragma once
#include <functional>
#include <string_view>
#include <vector>

namespace text {

enum class Splitting {
  // What GPT-2's regular expression matches ('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+|
  // ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)
  words,
  // The same with a space before a sequence that has none
  words_after_space,
  // Pieces that a normalizer and a pre-tokenizer make the same words of as of the whole sequence: each is a
  // space, which
  // stands for any run of space, tab and line ends, and what follows up to the next such run. The first of a
  // sequence
  // has no space where the sequence has none, and the last may be a space alone.
  segments
};

// A sequence, or a part of one: the others begin at a space that follows a character that is seen.
struct Span {
  std::string_view text;
  bool begins;
};

// Cuts sequences so that none is much longer than `most` bytes, where that changes no word.
std::vector<Span> spans_of(const std::vector<std::string_view>& sequences, std::size_t most);

using Emit = std::function<void(std::string_view)>;

// `scratch` is memory for words that are not in the text as they are.
void split(Splitting how, const Span& span, std::string& scratch, const Emit& emit);

}  // namespace text
