#include "counter.h"

#include <string>

namespace text {

namespace {
constexpr std::size_t kChunkBytes = std::size_t{1} << 17;
}

void Counter::add(const Control& control, const std::vector<std::string_view>& sequences) {
  const std::vector<Span> spans = spans_of(sequences, kChunkBytes);
  std::vector<std::size_t> chunks{0};  // where each begins among the spans
  for (std::size_t i = 0, bytes = 0; i < spans.size(); ++i) {
    bytes += spans[i].text.size();
    if (bytes < kChunkBytes && i + 1 < spans.size()) continue;
    chunks.push_back(i + 1);
    bytes = 0;
  }
  if (tables_.size() < std::size_t(control.threads)) tables_.resize(std::size_t(control.threads));
  std::vector<std::string> scratch(tables_.size());
  control.each(chunks.size() - 1, [&](std::size_t chunk, int thread) {
    WordTable& table = tables_[std::size_t(thread)];
    const Emit count = [&](std::string_view word) { table.add(word); };
    for (std::size_t i = chunks[chunk]; i < chunks[chunk + 1]; ++i)
      split(how_, spans[i], scratch[std::size_t(thread)], count);
  });
}

const WordTable& Counter::words() {
  if (tables_.empty()) tables_.resize(1);
  for (; tables_.size() > 1; tables_.pop_back()) tables_.front().add(tables_.back());
  return tables_.front();
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

}  // namespace text
