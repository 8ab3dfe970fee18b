// Random tensors. Element i is a function of seed, position and i alone: words of Philox4x32-10 (philox.h), of which
// element i has word (i & 3) of the block with the counter position + ⌊i / 4⌋.
//
//   uniform        y = low + (high − low) · u         u = (word >> 8) · 2⁻²⁴ in [0, 1)
//   normal         y = mean + std · z                 z by Box & Muller 1958 from the words (0, 1), (2, 3) of a block:
//                  z₀ = r cos(2πu₁), z₁ = r sin(2πu₁), r = √(−2 ln(1 − u₀)), in double, at most 5.8
#include "kernel.h"
#include "ops/philox.h"

namespace ISA {

namespace {

constexpr Index kWords = 256;

// f(begin, end, words) over [0, count): elements [begin, end) and their words.
template <class F>
void parallel_words(Index count, Index seed, Index position, const F& f) {
  parallel(ceil_div(count, kGrain), [&](Index chunk) {
    alignas(64) std::uint32_t words[kWords];
    const Index end = min(count, (chunk + 1) * kGrain);
    for (Index begin = chunk * kGrain; begin < end; begin += kWords) {
      philox_blocks(std::uint64_t(seed), std::uint64_t(position) + std::uint64_t(begin / 4), kWords / 4, words);
      f(begin, min(end, begin + kWords), words);
    }
  });
}

}  // namespace

void uniform(Out y, float low, float high, Index seed, Index position) {
  const auto to = y.row();
  parallel_words(y.size[0], seed, position, [&](Index begin, Index end, const std::uint32_t* words) {
    each(begin, end, [&](auto i) { to.set(i, uniform<i.lanes>(words + (i.at - begin)) * (high - low) + low); });
  });
}

void normal(Out y, float mean, float std, Index seed, Index position) {
  parallel_words(y.size[0], seed, position, [&](Index begin, Index end, const std::uint32_t* words) {
    constexpr double kUnit = 1.0 / (1 << 24), kTurn = 6.283185307179586;
    for (Index i = begin; i < end; i += 2, words += 2) {
      const double radius = __builtin_sqrt(-2 * __builtin_log(1 - (words[0] >> 8) * kUnit));
      const double angle = (words[1] >> 8) * kUnit * kTurn;
      assign(*y.at(i), float(mean + std * radius * __builtin_cos(angle)));
      if (i + 1 < end) assign(*y.at(i + 1), float(mean + std * radius * __builtin_sin(angle)));
    }
  });
}

}  // namespace ISA
