// Which pieces end at a place of a word.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace text {

// A trie of the pieces' bytes, last byte first. Children lie one after the other, by byte.
class PieceTrie {
 public:
  // `pieces` reversed, each once, sorted; `ids` in the same order.
  PieceTrie(const std::vector<std::string_view>& pieces, const std::vector<std::uint32_t>& ids) {
    struct Range {
      std::size_t first, last;
    };
    std::vector<Range> ranges{{0, pieces.size()}};  // of the pieces below each node
    nodes_.push_back({});
    labels_.push_back(0);
    // Level after level, so that nodes are made in the order in which they are looked at.
    std::size_t depth = 0;
    for (std::size_t node = 0, level_end = 1; node < nodes_.size(); ++node) {
      if (node == level_end) ++depth, level_end = nodes_.size();
      auto [first, last] = ranges[node];
      if (first < last && pieces[first].size() == depth) nodes_[node].piece = std::int32_t(ids[first++]);
      nodes_[node].children = std::uint32_t(nodes_.size());
      while (first < last) {
        const char byte = pieces[first][depth];
        std::size_t end = first + 1;
        while (end < last && pieces[end][depth] == byte) ++end;
        ++nodes_[node].count;
        nodes_.push_back({});
        labels_.push_back(byte);
        ranges.push_back({first, end});
        first = end;
      }
    }
  }

  // visit(begin, id) for each piece that ends at `end`, the shortest first.
  template <class Visit>
  void each_ending(std::string_view word, std::size_t end, const Visit& visit) const {
    std::size_t node = 0;
    for (std::size_t begin = end; begin > 0;) {
      const Node& parent = nodes_[node];
      const char* const labels = labels_.data() + parent.children;
      const void* found = parent.count == 0 ? nullptr : std::memchr(labels, word[--begin], parent.count);
      if (!found) return;
      node = parent.children + std::size_t(static_cast<const char*>(found) - labels);
      if (nodes_[node].piece >= 0) visit(begin, std::uint32_t(nodes_[node].piece));
    }
  }

 private:
  struct Node {
    std::uint32_t children = 0;
    std::uint16_t count = 0;
    std::int32_t piece = -1;
  };
  std::vector<Node> nodes_;
  std::vector<char> labels_;
};

}  // namespace text
