#include "split.h"

#include <memory>

#include "unicode.h"

namespace text {

const ClassTable& character_classes() {
  static const std::unique_ptr<ClassTable> table = [] {
    auto made = std::make_unique<ClassTable>();
    constexpr std::size_t count = sizeof kClassRuns / sizeof *kClassRuns;
    for (std::size_t run = 0; run < count; ++run) {
      const std::uint32_t end = run + 1 < count ? kClassRuns[run + 1] >> 3 : 0x110000;
      for (std::uint32_t c = kClassRuns[run] >> 3; c < end; ++c)
        (*made)[c] = CharacterClass(kClassRuns[run] & 7);
    }
    return made;
  }();
  return *table;
}

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_visible_ascii(char c) { return c > ' ' && c < 0x7f; }

// The length of an English contraction at p, which is an apostrophe; 0 if there is none.
std::size_t contraction(const char* p, const char* end) {
  if (end - p < 2) return 0;
  if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd') return 2;
  if (end - p < 3) return 0;
  const std::string_view two(p + 1, 2);
  return two == "re" || two == "ve" || two == "ll" ? 3 : 0;
}

class WordSplitter {
 public:
  WordSplitter(std::string_view text, const Emit& emit)
      : end_(text.data() + text.size()), classes_(character_classes()), emit_(emit) {
    const char* p = text.data();
    while (p < end_) {
      const char* stop = after_word(p);
      emit_({p, std::size_t(stop - p)});
      p = stop;
    }
  }

 private:
  // The class at p, of which `hidden` is no other here, and where the next character begins.
  CharacterClass class_at(const char* p, const char*& next) const {
    const Character c = character_at(p, end_);
    next = p + c.length;
    const CharacterClass found = classes_[c.code_point];
    return found == CharacterClass::hidden ? CharacterClass::other : found;
  }

  const char* after_word(const char* p) const {
    if (*p == '\'')
      if (const std::size_t length = contraction(p, end_)) return p + length;
    const char* next;
    CharacterClass run = class_at(p, next);
    if (*p == ' ' && next < end_) {
      const char* second;
      const CharacterClass following = class_at(next, second);
      if (following != CharacterClass::space) run = following, next = second;
    }
    const char* last = p;  // where the last character of the run begins
    while (next < end_) {
      const char* after;
      if (class_at(next, after) != run) break;
      last = next;
      next = after;
    }
    // Space before something else leaves its last character to that, or to a word of its own.
    return run == CharacterClass::space && next < end_ && last > p ? last : next;
  }

  const char* const end_;
  const ClassTable& classes_;
  const Emit& emit_;
};

// Whether no normalizer drops the character that ends at p, or makes a space of it.
bool ends_visibly(const char* begin, const char* p) {
  if (is_visible_ascii(p[-1])) return true;
  const char* start = p - 1;
  while (start > begin && p - start < 4 && (*start & 0xc0) == 0x80) --start;
  const CharacterClass found = character_classes()[character_at(start, p).code_point];
  return found != CharacterClass::space && found != CharacterClass::hidden;
}

void split_segments(const Span& span, std::string& scratch, const Emit& emit) {
  const char* p = span.text.data();
  const char* const end = p + span.text.size();
  while (p < end) {
    const char* blanks = p;
    while (p < end && is_blank(*p)) ++p;
    const char* const begin = p;
    do {
      while (p < end && is_blank(*p)) ++p;
      while (p < end && !is_blank(*p)) ++p;
    } while (p < end && !ends_visibly(begin, p));
    const std::string_view segment(begin, std::size_t(p - begin));
    if (blanks == begin) {
      emit(segment);
    } else if (begin[-1] == ' ') {
      emit({begin - 1, segment.size() + 1});
    } else {
      scratch.assign(1, ' ').append(segment);
      emit(scratch);
    }
  }
}

}  // namespace

std::vector<Span> spans_of(const std::vector<std::string_view>& sequences, std::size_t most) {
  std::vector<Span> spans;
  spans.reserve(sequences.size());
  for (std::string_view rest : sequences) {
    bool begins = true;
    while (!rest.empty()) {
      std::size_t cut = most;
      while (cut < rest.size() && !(rest[cut] == ' ' && is_visible_ascii(rest[cut - 1]))) ++cut;
      spans.push_back({rest.substr(0, cut), begins});
      rest.remove_prefix(std::min(cut, rest.size()));
      begins = false;
    }
  }
  return spans;
}

void split(Splitting how, const Span& span, std::string& scratch, const Emit& emit) {
  if (how == Splitting::segments) return split_segments(span, scratch, emit);
  if (how == Splitting::words_after_space && span.begins && span.text.front() != ' ') {
    scratch.assign(1, ' ').append(span.text);
    WordSplitter(scratch, emit);
  } else {
    WordSplitter(span.text, emit);
  }
}

}  // namespace text
