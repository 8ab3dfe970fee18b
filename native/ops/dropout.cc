// Dropout: each element is zeroed with probability p, the others are scaled so that the mean stays.
//
//   x, y [N]
//
//   forward        y  = keep · x / (1 − p)             keep = u ≥ p
//   backward       dx = keep · dy / (1 − p)            u of element i as in random.cc: uniform
//
// The mask is a function of seed, position and i: it is drawn again by the backward pass and never stored.
#include "kernel.h"
#include "ops/philox.h"

namespace ISA {

namespace {

void drop(In x, Out y, float p, Index seed, Index position) {
  constexpr Index kWords = 256;
  const auto from = x.row();
  const auto to = y.row();
  const Index N = x.size[0];
  const bool past = streams(to.p, N);
  const float scale = p < 1 ? 1 / (1 - p) : 0;
  const auto least = static_cast<std::int32_t>(__builtin_ceilf(p * 16777216.f));  // u ≥ p as upper 24 bits of the word
  parallel(ceil_div(N, kGrain), [&](Index chunk) {
    alignas(64) std::uint32_t words[kWords];
    const Index end = min(N, (chunk + 1) * kGrain);
    for (Index begin = chunk * kGrain; begin < end; begin += kWords) {
      philox_blocks(std::uint64_t(seed), std::uint64_t(position) + std::uint64_t(begin / 4), kWords / 4, words);
      each(begin, min(end, begin + kWords), [&](auto i) {
        const auto kept = from[i] * scale;
        const auto bits = (IntVec<i.lanes>)(read_vector<WordVec<i.lanes>>(words + (i.at - begin)) >> 8);
        to.set(i, bits >= least ? kept : splat<i.lanes>(0.f), past);
      });
    }
  });
}

}  // namespace

void dropout_forward(In x, Out y, float p, Index seed, Index position) { drop(x, y, p, seed, position); }

void dropout_backward(In dy, Out dx, float p, Index seed, Index position) { drop(dy, dx, p, seed, position); }

}  // namespace ISA
