#include "unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <unordered_map>

#include "lattice.h"

namespace text {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRarest = 0.5;        // a piece that is expected less often is dropped
constexpr double kMissingStep = 1e-4;  // between the scores of characters that have no piece

// ψ(x), the derivative of ln Γ: ψ(x) = ψ(x + 1) − 1/x, and from 7 on its series at x − ½.
double digamma(double x) {
  double result = 0;
  for (; x < 7; ++x) result -= 1 / x;
  x -= 0.5;
  const double s = 1 / (x * x);
  return result + std::log(x) + s * (1.0 / 24 + s * (-7.0 / 960 + s * (31.0 / 8064 - s * (127.0 / 30720))));
}

class UnigramTrainer {
 public:
  UnigramTrainer(const Control& control, const Words& words, const UnigramOptions& options)
      : control_(control), words_(words), options_(options), pieces_(seed_pieces(control, words, options)) {
    chunks_ = std::min<std::size_t>(16, words.size / 1024 + 1);
    double sum = 0;
    for (const Piece& piece : pieces_) sum += piece.score;
    scores_.resize(pieces_.size());
    for (std::size_t i = 0; i < pieces_.size(); ++i) scores_[i] = std::log(pieces_[i].score) - std::log(sum);
    alive_.resize(pieces_.size());
    std::iota(alive_.begin(), alive_.end(), 0);
    sort_reversed();
    characters_ = characters();
    if (characters_.size() > options.vocabulary_size) throw TooManyCharacters{characters_.size()};
  }

  std::vector<Piece> train() {
    const std::size_t wanted = options_.vocabulary_size * 11 / 10;
    const double first = std::log(double(std::max(alive_.size(), wanted + 1)));
    for (;;) {
      const double left = std::log(double(std::max(alive_.size(), wanted))) - std::log(double(wanted));
      control_.progress(std::size_t(1000 * (1 - left / (first - std::log(double(wanted))))), 1000);
      for (std::size_t i = 0; i < options_.iterations; ++i) {
        build_lattice();
        maximize(expected());
      }
      const std::size_t before = alive_.size();
      if (before + 1 <= wanted) break;  // with the unknown piece
      build_lattice();
      prune(wanted);
      if (alive_.size() >= before) break;  // those that are left have no alternative
    }
    return chosen();
  }

 private:
  // Pieces by their bytes, the last first: the trie's order, which dropping some does not change.
  void sort_reversed() {
    reversed_.resize(pieces_.size());
    for (std::size_t i = 0; i < pieces_.size(); ++i)
      reversed_[i].assign(pieces_[i].text.rbegin(), pieces_[i].text.rend());
    by_reversed_.resize(pieces_.size());
    std::iota(by_reversed_.begin(), by_reversed_.end(), 0);
    std::sort(by_reversed_.begin(), by_reversed_.end(),
              [&](auto a, auto b) { return reversed_[a] < reversed_[b]; });
  }

  void build_lattice() {
    std::vector<char> is_alive(pieces_.size());
    double least = kInfinity;
    for (std::uint32_t id : alive_) is_alive[id] = 1, least = std::min(least, scores_[id]);
    std::vector<std::string_view> sorted;
    std::vector<std::uint32_t> ids;
    for (std::uint32_t id : by_reversed_) {
      if (!is_alive[id]) continue;
      sorted.push_back(reversed_[id]);
      ids.push_back(id);
    }
    lattice_ = std::make_unique<Lattice>(PieceTrie(sorted, ids), scores_, least);
  }

  // The sum over the words of what visit(lattice, word, count, sums, path) adds to `sums`, by piece; the last
  // is the unknown piece. Chunks and the order in which they are added do not depend on the threads.
  template <class Visit>
  std::vector<double> summed(const Visit& visit) {
    std::vector<std::vector<double>> sums(chunks_);
    control_.each(chunks_, [&](std::size_t chunk, int) {
      sums[chunk].assign(pieces_.size() + 1, 0);
      Lattice::Memory memory;
      for (std::size_t i = words_.size * chunk / chunks_; i < words_.size * (chunk + 1) / chunks_; ++i) {
        if (i % 1024 == 0) control_.check();
        visit(words_[i], words_.counts[i], sums[chunk], memory);
      }
    });
    for (std::size_t chunk = 1; chunk < chunks_; ++chunk)
      for (std::size_t i = 0; i <= pieces_.size(); ++i) sums[0][i] += sums[chunk][i];
    return std::move(sums[0]);
  }

  std::vector<double> expected() {
    return summed(
        [&](std::string_view word, double count, std::vector<double>& sums, Lattice::Memory& memory) {
          lattice_->expect(word, count, memory, [&](std::uint32_t id, double c) { sums[id] += c; });
        });
  }

  // Variational: p(x) ∝ exp ψ(c(x)), which takes from what is rare.
  void maximize(const std::vector<double>& expected) {
    double sum = 0;
    alive_.erase(
        std::remove_if(alive_.begin(), alive_.end(), [&](auto id) { return expected[id] < kRarest; }),
        alive_.end());
    for (std::uint32_t id : alive_) sum += expected[id];
    for (std::uint32_t id : alive_) scores_[id] = digamma(expected[id]) - digamma(sum);
  }

  void prune(std::size_t wanted) {
    const std::vector<double> counts =
        summed([&](std::string_view word, double count, std::vector<double>& sums, Lattice::Memory& memory) {
          lattice_->best(word, 0, memory, [&](std::uint32_t id) { sums[id] += count; });
        });
    double sum = 0, total = counts.back();
    for (std::uint32_t id : alive_) total += counts[id];
    for (std::size_t i = 0; i < words_.size; ++i) sum += words_.counts[i];
    const std::size_t size = alive_.size() + 1;

    struct Candidate {
      std::uint32_t id;
      double loss;
    };
    std::vector<std::uint32_t> kept;
    std::vector<Candidate> candidates;
    Lattice::Memory memory;
    std::vector<std::uint32_t> others;
    for (std::uint32_t id : alive_) {
      const std::string& piece = pieces_[id].text;
      const double count = counts[id];
      others.clear();
      const double alternative =
          lattice_->best(piece, piece.size(), memory, [&](std::uint32_t other) { others.push_back(other); });
      if (others.empty()) {  // one character
        kept.push_back(id);
      } else if (alternative > scores_[id]) {
        if (count > 0) kept.push_back(id);
      } else if (count > 0) {
        // Hugging Face's count of what is added to the sum is that of all pieces, not of the alternative's.
        const double log_sum = std::log(total + count * double(size - 1));
        double log_alternative = 0;
        for (std::uint32_t other : others) log_alternative += std::log(counts[other] + count) - log_sum;
        candidates.push_back({id, count / sum * (std::log(count) - std::log(total) - log_alternative)});
      }
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.loss > b.loss; });
    const std::size_t most = std::max(wanted, std::size_t(double(size) * options_.shrinking_factor));
    for (const Candidate& candidate : candidates) {
      if (kept.size() + 1 >= most) break;
      kept.push_back(candidate.id);
    }
    alive_ = std::move(kept);
  }

  // Every character, those that have a piece and those that need one.
  std::vector<std::string> characters() const {
    std::vector<std::uint32_t> wanted = options_.alphabet;
    for (const Piece& piece : pieces_) {
      const Character c = character_at(piece.text.data(), piece.text.data() + piece.text.size());
      if (std::size_t(c.length) != piece.text.size()) break;  // characters come first
      wanted.push_back(c.code_point);
    }
    for (std::size_t i = 0; i < words_.size; ++i)
      if (words_[i].find('\0') != std::string_view::npos) wanted.push_back(0);  // ends the text of the seeds
    std::sort(wanted.begin(), wanted.end());
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    std::vector<std::string> found(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) append_utf8(found[i], wanted[i]);
    return found;
  }

  std::vector<Piece> chosen() const {
    std::unordered_map<std::string_view, double> scores;
    for (std::uint32_t id : alive_) scores.emplace(pieces_[id].text, scores_[id]);
    double least = 0;
    for (const auto& [piece, score] : scores) least = std::min(least, score);
    std::vector<Piece> result;
    for (const std::string& character : characters_) {
      const auto found = scores.find(character);
      result.push_back({character, found != scores.end() ? found->second : least});
      if (found != scores.end())
        scores.erase(found);
      else
        least += kMissingStep;
    }
    for (std::uint32_t id : alive_) {
      if (result.size() >= options_.vocabulary_size) break;
      if (scores.count(pieces_[id].text) != 0) result.push_back({pieces_[id].text, scores_[id]});
    }
    std::stable_sort(result.begin(), result.end(),
                     [](const Piece& a, const Piece& b) { return a.score > b.score; });
    return result;
  }

  const Control& control_;
  const Words& words_;
  const UnigramOptions& options_;
  const std::vector<Piece> pieces_;  // the seeds; an id is an index of them
  std::size_t chunks_;
  std::vector<double> scores_;
  std::vector<std::uint32_t> alive_, by_reversed_;
  std::vector<std::string> reversed_, characters_;
  std::unique_ptr<Lattice> lattice_;
};

}  // namespace

std::vector<Piece> train_unigram(const Control& control, const Words& words, const UnigramOptions& options) {
  return UnigramTrainer(control, words, options).train();
}

}  // namespace text
