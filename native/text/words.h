// Words and how often each occurs.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace text {

// Words laid one after the other: word i is the bytes from ends[i − 1] (0 for the first) to ends[i].
struct Words {
  const char* bytes;
  const std::uint32_t* ends;
  const double* counts;
  std::size_t size;

  std::string_view operator[](std::size_t i) const {
    const std::uint32_t begin = i == 0 ? 0 : ends[i - 1];
    return {bytes + begin, ends[i] - begin};
  }
};

// Counts equal words: open addressing over an arena of their bytes.
class WordTable {
 public:
  struct Entry {
    std::uint64_t offset;
    std::uint32_t length, hash;
    std::uint64_t count;
  };

  void add(std::string_view word, std::uint64_t count = 1) { add(word, count, hash_of(word)); }
  void add(const WordTable& other) {
    for (const Entry& entry : other.entries_) add(other.word(entry), entry.count, entry.hash);
  }

  const std::vector<Entry>& entries() const { return entries_; }
  std::string_view word(const Entry& entry) const { return {arena_.data() + entry.offset, entry.length}; }
  std::size_t bytes() const { return arena_.size(); }

 private:
  static std::uint32_t hash_of(std::string_view word) {
    constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15;
    std::uint64_t hash = word.size();
    const char* p = word.data();
    std::size_t left = word.size();
    for (; left >= 8; p += 8, left -= 8) hash = mixed(hash ^ loaded(p, 8)) * kMultiplier;
    if (left > 0) hash = mixed(hash ^ loaded(p, left)) * kMultiplier;
    return std::uint32_t(mixed(hash) >> 32);
  }
  static std::uint64_t mixed(std::uint64_t x) { return (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9; }
  static std::uint64_t loaded(const char* p, std::size_t length) {
    std::uint64_t word = 0;
    std::memcpy(&word, p, length);
    return word;
  }

  void add(std::string_view word, std::uint64_t count, std::uint32_t hash) {
    if (2 * (entries_.size() + 1) > slots_.size()) grow();
    for (std::size_t i = hash & mask_;; i = (i + 1) & mask_) {
      if (slots_[i] == 0) {
        slots_[i] = std::uint32_t(entries_.size() + 1);
        entries_.push_back({arena_.size(), std::uint32_t(word.size()), hash, count});
        arena_.insert(arena_.end(), word.begin(), word.end());
        return;
      }
      Entry& entry = entries_[slots_[i] - 1];
      if (entry.hash == hash && this->word(entry) == word) {
        entry.count += count;
        return;
      }
    }
  }

  void grow() {
    mask_ = slots_.empty() ? 1023 : 2 * slots_.size() - 1;
    slots_.assign(mask_ + 1, 0);
    for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
      std::size_t i = entries_[entry].hash & mask_;
      while (slots_[i] != 0) i = (i + 1) & mask_;
      slots_[i] = std::uint32_t(entry + 1);
    }
  }

  std::vector<char> arena_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;  // number of the entry plus 1; 0: free
  std::size_t mask_ = 0;
};

}  // namespace text
