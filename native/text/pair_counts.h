// How often each pair of neighbours occurs: open addressing.
#pragma once
#include <cstdint>
#include <vector>

namespace text {

using Pair = std::uint64_t;  // left id in the upper half, right id in the lower
constexpr Pair pair_of(std::uint32_t left, std::uint32_t right) { return Pair{left} << 32 | right; }
constexpr std::uint32_t left_of(Pair pair) { return std::uint32_t(pair >> 32); }
constexpr std::uint32_t right_of(Pair pair) { return std::uint32_t(pair); }

// Values by pair, which begin as V().
template <class V>
class PairMap {
 public:
  V& operator[](Pair pair) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[find(pair)];
    if (slot.pair == kFree) slot.pair = pair, ++size_;
    return slot.value;
  }
  std::size_t size() const { return size_; }
  template <class Visit>
  void each(const Visit& visit) {
    for (Slot& slot : slots_)
      if (slot.pair != kFree) visit(slot.pair, slot.value);
  }

 private:
  static constexpr Pair kFree = ~Pair{0};
  struct Slot {
    Pair pair = kFree;
    V value{};
  };

  std::size_t find(Pair pair) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = std::size_t((pair * 0x9e3779b97f4a7c15) >> 20) & mask;
    while (slots_[i].pair != kFree && slots_[i].pair != pair) i = (i + 1) & mask;
    return i;
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 1024 : 2 * slots_.size());
    old.swap(slots_);
    for (Slot& slot : old)
      if (slot.pair != kFree) slots_[find(slot.pair)] = std::move(slot);
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace text
