// A unigram language model of pieces: many are cut down to few by likelihood.
//   Kudo, "Subword Regularization", 2018; the seeds, the order of steps and the losses are those of Hugging
//   Face's tokenizers
#pragma once
#include <string>
#include <vector>

#include "control.h"
#include "words.h"

namespace text {

struct UnigramOptions {
  std::size_t vocabulary_size;
  std::size_t longest_piece;  // in characters
  std::size_t seeds;
  std::size_t iterations;  // of expectation and maximization before each pruning
  double shrinking_factor;
  std::vector<std::uint32_t> alphabet;  // characters that need not occur
};

struct Piece {
  std::string text;
  double score;  // log probability
};

// More characters than the vocabulary has room for.
struct TooManyCharacters {
  std::size_t count;
};

// By falling score. Throws TooManyCharacters.
std::vector<Piece> train_unigram(const Control& control, const Words& words, const UnigramOptions& options);

// The characters of the words by falling count, then the repeated parts of words that are longer, by falling
// frequency · length: pieces with these numbers as scores. A part is one that more than one thing follows.
std::vector<Piece> seed_pieces(const Control& control, const Words& words, const UnigramOptions& options);

}  // namespace text
