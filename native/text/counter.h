// Counts the words of text that comes in batches.
#pragma once
#include "control.h"
#include "split.h"
#include "words.h"

namespace text {

class Counter {
 public:
  explicit Counter(Splitting how) : how_(how) {}

  // Counts the words of `sequences`, on several threads.
  void add(const Control& control, const std::vector<std::string_view>& sequences);

  // All that was counted, in an order that depends on the threads.
  const WordTable& words();

 private:
  const Splitting how_;
  std::vector<WordTable> tables_;  // one a thread; their sum counts
};

// The lines of `text`, each with its line feed.
std::vector<std::string_view> lines_of(std::string_view text);

}  // namespace text
