// Repeated parts of words, from sorted suffixes.
#include <algorithm>

#include "unicode.h"
#include "unigram.h"

namespace text {

namespace {

constexpr std::uint32_t kEnd = 0;  // ends each word
constexpr int kCharactersPerKey = 3, kBitsPerCharacter = 21;

struct Suffix {
  std::uint64_t key;  // some characters of it
  std::uint32_t begin;
};

struct Part {
  std::uint64_t weight;  // frequency · length
  std::uint32_t begin, length;
};

class Suffixes {
 public:
  Suffixes(const std::vector<std::uint32_t>& text, std::size_t longest) : text_(text), longest_(longest) {}

  // The parts that begin as all `suffixes` do, which have a common first character.
  void find_parts(std::vector<Suffix>& suffixes, std::vector<Part>& parts) const {
    sort(suffixes.data(), suffixes.data() + suffixes.size(), 0);
    struct Open {
      std::size_t length, first;
    };
    std::vector<Open> open;  // parts of growing length that the suffixes seen last begin with
    for (std::size_t i = 1; i <= suffixes.size(); ++i) {
      const std::size_t common =
          i < suffixes.size() ? common_length(suffixes[i - 1].begin, suffixes[i].begin) : 0;
      std::size_t first = i - 1;
      for (; !open.empty() && open.back().length > common; open.pop_back()) {
        first = open.back().first;
        const std::size_t length = open.back().length;
        if (length < 2 || length > longest_ || ends_within(suffixes[first].begin, length)) continue;
        parts.push_back({(i - first) * length, suffixes[first].begin, std::uint32_t(length)});
      }
      if (common > 0 && (open.empty() || open.back().length < common)) open.push_back({common, first});
    }
  }

 private:
  // Characters from `depth` on, without what follows the end of the word.
  std::uint64_t key_at(std::uint32_t begin, std::size_t depth) const {
    std::uint64_t key = 0;
    bool ended = false;
    for (std::size_t i = depth; i < depth + kCharactersPerKey; ++i) {
      const std::uint32_t c = ended ? kEnd : text_[begin + i];
      ended = c == kEnd;
      key = key << kBitsPerCharacter | c;
    }
    return key;
  }

  // By what they begin with, as far as it matters; those that agree so far are sorted by what follows.
  void sort(Suffix* first, Suffix* last, std::size_t depth) const {
    for (Suffix* s = first; s < last; ++s) s->key = key_at(s->begin, depth);
    std::sort(first, last, [](const Suffix& a, const Suffix& b) {
      return a.key != b.key ? a.key < b.key : a.begin < b.begin;
    });
    if (depth + kCharactersPerKey > longest_) return;
    constexpr std::uint64_t kLast = (std::uint64_t{1} << kBitsPerCharacter) - 1;
    while (first < last) {
      Suffix* end = first + 1;
      while (end < last && end->key == first->key) ++end;
      if (end - first > 1 && (first->key & kLast) != kEnd) sort(first, end, depth + kCharactersPerKey);
      first = end;
    }
  }

  // How many characters two suffixes begin with, at most one more than pieces have. The end of a word is a
  // character.
  std::size_t common_length(std::uint32_t a, std::uint32_t b) const {
    std::size_t length = 0;
    while (length <= longest_ && text_[a + length] == text_[b + length])
      if (text_[a + length++] == kEnd) break;
    return length;
  }
  bool ends_within(std::uint32_t begin, std::size_t length) const {
    return text_[begin + length - 1] == kEnd;
  }

  const std::vector<std::uint32_t>& text_;
  const std::size_t longest_;
};

}  // namespace

std::vector<Piece> seed_pieces(const Control& control, const Words& words, const UnigramOptions& options) {
  std::vector<std::uint32_t> text;
  std::vector<double> counts(0x110000);
  std::vector<std::size_t> occurrences(0x110000);
  for (std::size_t i = 0; i < words.size; ++i) {
    const std::string_view word = words[i];
    const char* const end = word.data() + word.size();
    for (const char* p = word.data(); p < end;) {
      const Character c = character_at(p, end);
      text.push_back(c.code_point);
      counts[c.code_point] += words.counts[i];
      ++occurrences[c.code_point];
      p += c.length;
    }
    text.push_back(kEnd);
  }
  counts[kEnd] = 0;

  std::vector<std::vector<Suffix>> buckets;  // by first character
  std::vector<std::uint32_t> bucket_of(counts.size());
  std::vector<Piece> seeds;
  for (std::uint32_t c = 0; c < counts.size(); ++c) {
    if (counts[c] == 0) continue;
    bucket_of[c] = std::uint32_t(buckets.size());
    buckets.emplace_back().reserve(occurrences[c]);
    seeds.push_back({{}, counts[c]});
    append_utf8(seeds.back().text, c);
  }
  std::stable_sort(seeds.begin(), seeds.end(),
                   [](const Piece& a, const Piece& b) { return a.score > b.score; });
  for (std::uint32_t i = 0; i < text.size(); ++i)
    if (text[i] != kEnd) buckets[bucket_of[text[i]]].push_back({0, i});
  std::vector<std::vector<Part>> found(buckets.size());
  const Suffixes suffixes(text, options.longest_piece);
  control.each(buckets.size(), [&](std::size_t i, int) {
    suffixes.find_parts(buckets[i], found[i]);
    buckets[i] = {};
  });

  std::vector<Part> parts;
  for (const std::vector<Part>& some : found) parts.insert(parts.end(), some.begin(), some.end());
  // Of equal weight, the one that is later by its characters.
  const auto is_before = [&](const Part& a, const Part& b) {
    if (a.weight != b.weight) return a.weight > b.weight;
    return std::lexicographical_compare(text.begin() + b.begin, text.begin() + b.begin + b.length,
                                        text.begin() + a.begin, text.begin() + a.begin + a.length);
  };
  control.check();
  const std::size_t room = options.seeds > seeds.size() ? options.seeds - seeds.size() : 0;
  if (parts.size() > room) {
    std::nth_element(parts.begin(), parts.begin() + std::ptrdiff_t(room), parts.end(), is_before);
    parts.resize(room);
  }
  std::sort(parts.begin(), parts.end(), is_before);
  for (const Part& part : parts) {
    seeds.push_back({{}, double(part.weight)});
    for (std::uint32_t i = 0; i < part.length; ++i) append_utf8(seeds.back().text, text[part.begin + i]);
  }
  return seeds;
}

}  // namespace text
