// The ways to cut a word into pieces.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "piece_trie.h"
#include "unicode.h"

namespace text {

class Lattice {
 public:
  // What computations on a word need, to be used again.
  struct Memory {
    struct Edge {
      std::size_t begin;
      std::uint32_t id;
      double weight;
    };
    std::vector<double> scores, expected;
    std::vector<Edge> edges;
    std::vector<std::size_t> first_edge;  // of those that end at each place
    std::vector<Edge> best;               // the last piece of the best way to each place
  };

  // scores: log probabilities by id; `least` of them. The unknown piece, one character that is none, has the
  // id scores.size().
  Lattice(PieceTrie&& trie, const std::vector<double>& scores, double least)
      : trie_(std::move(trie)), scores_(scores), unknown_score_(least - kUnknownPenalty) {}

  // add(id, expected count) for the pieces of a word that occurs `count` times.
  //   α(j) = ln Σ_i exp(α(i) + s(i, j)),  p(i | j) = exp(α(i) + s(i, j) − α(j)): of the ways to j, those by
  //   the edge from i.  γ(n) = count, γ(i) = Σ_j γ(j) · p(i | j); the expected count of an edge is γ(j) · p(i
  //   | j).
  template <class Add>
  void expect(std::string_view word, double count, Memory& memory, const Add& add) const {
    const std::size_t n = word.size();
    auto& [alpha, gamma, edges, first_edge, best] = memory;
    alpha.assign(n + 1, -kInfinity);
    alpha[0] = 0;
    edges.clear();
    first_edge.assign(n + 2, 0);
    for (std::size_t j = 1; j <= n; ++j) {
      first_edge[j] = edges.size();
      if (j < n && is_continuation(word[j])) continue;
      double top = -kInfinity;
      each_edge(word, j, [&](std::size_t i, std::uint32_t id, double score) {
        edges.push_back({i, id, alpha[i] + score});
        top = std::max(top, alpha[i] + score);
      });
      double sum = 0;
      for (std::size_t e = first_edge[j]; e < edges.size(); ++e)
        sum += edges[e].weight = std::exp(edges[e].weight - top);
      for (std::size_t e = first_edge[j]; e < edges.size(); ++e) edges[e].weight /= sum;
      alpha[j] = top + std::log(sum);
    }
    first_edge[n + 1] = edges.size();
    gamma.assign(n + 1, 0);
    gamma[n] = count;
    for (std::size_t j = n; j > 0; --j) {
      for (std::size_t e = first_edge[j]; e < first_edge[j + 1]; ++e) {
        const double expected = gamma[j] * edges[e].weight;
        gamma[edges[e].begin] += expected;
        add(edges[e].id, expected);
      }
    }
  }

  // visit(id) for the pieces of the most likely way, the last first, and its log probability. Pieces of
  // `excluded` bytes are not used (0: all are); if there is no way, nothing is visited.
  template <class Visit>
  double best(std::string_view word, std::size_t excluded, Memory& memory, const Visit& visit) const {
    const std::size_t n = word.size();
    memory.best.assign(n + 1, {0, 0, -kInfinity});
    memory.best[0].weight = 0;
    for (std::size_t j = 1; j <= n; ++j) {
      if (j < n && is_continuation(word[j])) continue;
      Memory::Edge& best = memory.best[j];
      each_edge(word, j, [&](std::size_t i, std::uint32_t id, double score) {
        const double sum = memory.best[i].weight + score;
        if (j - i != excluded && sum > best.weight) best = {i, id, sum};
      });
    }
    if (memory.best[n].weight == -kInfinity) return -kInfinity;
    for (std::size_t j = n; j > 0; j = memory.best[j].begin) visit(memory.best[j].id);
    return memory.best[n].weight;
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr double kUnknownPenalty = 10;

  static bool is_continuation(char byte) { return (byte & 0xc0) == 0x80; }

  // visit(begin, id, score) for the pieces that end at j, among them one of a single character.
  template <class Visit>
  void each_edge(std::string_view word, std::size_t j, const Visit& visit) const {
    std::size_t character = j - 1;
    while (character > 0 && is_continuation(word[character])) --character;
    bool has_character = false;
    trie_.each_ending(word, j, [&](std::size_t i, std::uint32_t id) {
      has_character = has_character || i == character;
      visit(i, id, scores_[id]);
    });
    if (!has_character) visit(character, std::uint32_t(scores_.size()), unknown_score_);
  }

  const PieceTrie trie_;
  const std::vector<double>& scores_;
  const double unknown_score_;
};

}  // namespace text
