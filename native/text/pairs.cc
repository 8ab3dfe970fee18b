#include "pairs.h"

#include <algorithm>
#include <unordered_set>

#include "alphabet.h"
#include "pair_counts.h"

namespace text {

namespace {

constexpr std::size_t kChunks = 16;

// A pair and the words that it was found in at one time. Those that it comes to be in later are another
// candidate, as the same token can be made of other pairs.
struct Candidate {
  std::int64_t count;
  Pair pair;
  std::uint32_t places;  // index of the list of words

  // Of the heap: the most frequent is last, then the one of the lowest ids.
  bool operator<(const Candidate& other) const {
    if (count != other.count) return count < other.count;
    if (pair != other.pair) return pair > other.pair;
    return places > other.places;
  }
};

using Places = std::vector<std::uint32_t>;

void add_place(Places& places, std::uint32_t word) {
  if (places.empty() || places.back() != word) places.push_back(word);
}

struct Neighbours {
  std::int64_t count = 0;
  Places places;
};

class PairTrainer {
 public:
  PairTrainer(const Control& control, const Words& words, const PairOptions& options)
      : control_(control), words_(words), options_(options) {
    for (const std::string& token : options.special_tokens) tokens_.id_of(token);
    SymbolWords text(words, options, tokens_);
    symbols_ = std::move(text.symbols);
    begins_ = std::move(text.begins);
    lengths_.assign(words.size, 0);
    for (std::size_t i = 0; i < words.size; ++i) lengths_[i] = std::uint32_t(begins_[i + 1] - begins_[i]);
    token_lengths_.assign(tokens_.list.size(), 1);
  }

  PairVocabulary train() {
    count_pairs();
    merge_pairs();
    return {std::move(tokens_.list), unique(merges_)};
  }

 private:
  void count_pairs() {
    std::vector<PairMap<Neighbours>> found(kChunks);
    control_.each(kChunks, [&](std::size_t chunk, int) {
      PairMap<Neighbours>& pairs = found[chunk];
      for (std::size_t i = words_.size * chunk / kChunks; i < words_.size * (chunk + 1) / kChunks; ++i) {
        const std::uint32_t* symbol = symbols_.data() + begins_[i];
        for (std::uint32_t j = 0; j + 1 < lengths_[i]; ++j) {
          Neighbours& pair = pairs[pair_of(symbol[j], symbol[j + 1])];
          pair.count += std::int64_t(words_.counts[i]);
          add_place(pair.places, std::uint32_t(i));
        }
      }
    });
    PairMap<Neighbours> all;
    for (PairMap<Neighbours>& pairs : found) {
      pairs.each([&](Pair pair, Neighbours& part) {
        Neighbours& sum = all[pair];
        sum.count += part.count;
        sum.places.insert(sum.places.end(), part.places.begin(), part.places.end());
      });
      pairs = {};
    }
    all.each([&](Pair pair, Neighbours& sum) {
      counts_[pair] = sum.count;
      push(pair, std::move(sum.places));
    });
  }

  void merge_pairs() {
    const std::size_t most = options_.vocabulary_size;
    while (tokens_.list.size() < most && !heap_.empty()) {
      control_.check();
      std::pop_heap(heap_.begin(), heap_.end());
      const Candidate top = heap_.back();
      const std::int64_t count = counts_[top.pair];
      if (count != top.count) {  // it was counted anew since
        heap_.back().count = count;
        std::push_heap(heap_.begin(), heap_.end());
        continue;
      }
      heap_.pop_back();
      if (count < 1 || std::uint64_t(count) < options_.least_count) break;
      const std::uint32_t token = token_of(top.pair);
      merges_.push_back(top.pair);
      const Places places = std::move(places_[top.places]);
      places_[top.places] = {};
      for (std::uint32_t word : places) merge_in(word, top.pair, token);
      apply_changes(top.pair, token);
      control_.progress(tokens_.list.size(), most);
    }
  }

  std::uint32_t token_of(Pair pair) {
    const std::string& right = tokens_.list[right_of(pair)];
    const std::string& prefix = options_.prefix;
    const bool continues = right.compare(0, prefix.size(), prefix) == 0;
    const std::uint32_t token =
        tokens_.id_of(tokens_.list[left_of(pair)] + (continues ? right.substr(prefix.size()) : right));
    token_lengths_.resize(tokens_.list.size());
    token_lengths_[token] = token_lengths_[left_of(pair)] + token_lengths_[right_of(pair)];
    before_.resize(tokens_.list.size());
    after_.resize(tokens_.list.size());
    return token;
  }

  // Makes every `pair` of a word one token, from the left, and notes which pairs are gone and which are new.
  void merge_in(std::uint32_t word, Pair pair, std::uint32_t token) {
    const std::uint32_t left = left_of(pair), right = right_of(pair);
    const auto count = std::int64_t(words_.counts[word]);
    std::uint32_t* const symbol = symbols_.data() + begins_[word];
    const std::uint32_t length = lengths_[word];
    std::uint32_t to = 0;
    for (std::uint32_t from = 0; from < length; ++to) {
      if (symbol[from] != left || from + 1 == length || symbol[from + 1] != right) {
        symbol[to] = symbol[from++];
        continue;
      }
      from += 2;
      symbol[to] = token;
      if (to > 0) {
        Change& change = touched(before_, touched_before_, symbol[to - 1]);
        change.lost += count;
        if (is_short(symbol[to - 1], token)) change.gained += count, add_place(change.places, word);
      }
      if (from < length) {
        touched(after_, touched_after_, symbol[from]).lost += count;
        if (is_short(symbol[from], token)) {
          Change& change = symbol[from] == token ? touched(before_, touched_before_, token)
                                                 : touched(after_, touched_after_, symbol[from]);
          change.gained += count, add_place(change.places, word);
        }
      }
    }
    lengths_[word] = to;
  }

  bool is_short(std::uint32_t neighbour, std::uint32_t token) const {
    return token_lengths_[neighbour] + token_lengths_[token] < options_.longest_token;
  }

  // What a merge changes for the pairs of one neighbour: `lost` of those with the parts of the token,
  // `gained` of those with the token, in `places`.
  struct Change {
    std::int64_t lost = 0, gained = 0;
    Places places;
  };

  static Change& touched(std::vector<Change>& changes, std::vector<std::uint32_t>& list,
                         std::uint32_t neighbour) {
    Change& change = changes[neighbour];
    if (change.lost == 0 && change.gained == 0) list.push_back(neighbour);
    return change;
  }

  void apply_changes(Pair merged, std::uint32_t token) {
    for (std::uint32_t x : touched_before_) {
      counts_[pair_of(x, left_of(merged))] -= before_[x].lost;
      if (before_[x].gained != 0) counts_[pair_of(x, token)] += before_[x].gained;
    }
    for (std::uint32_t y : touched_after_) {
      counts_[pair_of(right_of(merged), y)] -= after_[y].lost;
      if (after_[y].gained != 0) counts_[pair_of(token, y)] += after_[y].gained;
    }
    for (std::uint32_t x : touched_before_) push(pair_of(x, token), take(before_[x]));
    for (std::uint32_t y : touched_after_) push(pair_of(token, y), take(after_[y]));
    touched_before_.clear();
    touched_after_.clear();
  }

  static Places take(Change& change) {
    Places places = std::move(change.places);
    change = {};
    return places;
  }

  void push(Pair pair, Places&& places) {
    if (places.empty()) return;
    const std::int64_t count = counts_[pair];
    if (count < 1) return;
    places.shrink_to_fit();
    heap_.push_back({count, pair, std::uint32_t(places_.size())});
    std::push_heap(heap_.begin(), heap_.end());
    places_.push_back(std::move(places));
  }

  // Each pair once, where it was merged last.
  static std::vector<std::pair<std::uint32_t, std::uint32_t>> unique(const std::vector<Pair>& merges) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> kept;
    std::unordered_set<Pair> seen;
    for (auto pair = merges.rbegin(); pair != merges.rend(); ++pair)
      if (seen.insert(*pair).second) kept.emplace_back(left_of(*pair), right_of(*pair));
    std::reverse(kept.begin(), kept.end());
    return kept;
  }

  const Control& control_;
  const Words& words_;
  const PairOptions& options_;
  Tokens tokens_;
  std::vector<std::uint32_t> token_lengths_;  // in characters
  std::vector<std::uint32_t> symbols_, lengths_;
  std::vector<std::size_t> begins_;
  PairMap<std::int64_t> counts_;  // not of a pair that was merged: it keeps the count that it had
  std::vector<Candidate> heap_;
  std::vector<Places> places_;
  std::vector<Pair> merges_;
  std::vector<Change> before_, after_;  // by neighbour
  std::vector<std::uint32_t> touched_before_, touched_after_;
};

}  // namespace

PairVocabulary train_pairs(const Control& control, const Words& words, const PairOptions& options) {
  return PairTrainer(control, words, options).train();
}

}  // namespace text
