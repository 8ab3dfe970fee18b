// Random tensors. Element i has word i % 4 of the Philox block with the counter position + ⌊i / 4⌋
// (../philox.h).
//
//   uniform        y = low + (high − low) · u         u = (word >> 8) · 2⁻²⁴ in [0, 1)
//   normal         y = mean + std · z                 z by Box & Muller 1958 from the words (0, 1), (2, 3) of
//   a block:
//                  z₀ = r cos(2πu₁), z₁ = r sin(2πu₁), r = √(−2 ln(1 − u₀)), at most 5.8
//
// In f32, where the processor computes normals in f64: turns are split exactly, so that they agree to some
// units in the last place.
#include "../floats.h"
#include "../philox.h"
#include "../turns.h"

namespace TABLE {

// The values of a block of words.
struct Uniform {
  float low, range;
  PRIMITIVE Floats<4> operator()(uint4 words) const {
    return {fmaf(cuda::uniform_of(words.x), range, low), fmaf(cuda::uniform_of(words.y), range, low),
            fmaf(cuda::uniform_of(words.z), range, low), fmaf(cuda::uniform_of(words.w), range, low)};
  }
};

struct Normal {
  float mean, std;
  PRIMITIVE Floats<4> operator()(uint4 words) const {
    Floats<4> y;
    pair(words.x, words.y, &y[0], &y[1]);
    pair(words.z, words.w, &y[2], &y[3]);
    return y;
  }
  PRIMITIVE void pair(std::uint32_t radius_word, std::uint32_t angle_word, float* y_0, float* y_1) const {
    const float radius = std * sqrtf(-2 * logf(1 - cuda::uniform_of(radius_word)));
    const int turn = static_cast<int>(angle_word >> 8), quarters = (turn + (1 << 21)) >> 22;
    constexpr float kUnit = 6.283185307179586f / (1 << 24);
    const cuda::Direction towards =
        cuda::direction_of(quarters, static_cast<float>(turn - (quarters << 22)) * kUnit);
    *y_0 = fmaf(radius, towards.cosine, mean);
    *y_1 = fmaf(radius, towards.sine, mean);
  }
};

constexpr int kDrawn = kWide > 4 ? kWide : 4;  // elements of a thread

template <bool kIsWide, class F>
__global__ void draw(F f, Index count, Real* y, Index seed, Index position) {
  const Index i = global_thread() * kDrawn;
  if (i >= count) return;
  Floats<kDrawn> values;
  UNROLL
  for (int block = 0; block < kDrawn / 4; ++block) {
    const Floats<4> four = f(cuda::philox_block(seed, position + i / 4 + block));
    UNROLL
    for (int k = 0; k < 4; ++k) values[4 * block + k] = four[k];
  }
  if (kIsWide && i + kDrawn <= count) return store<kDrawn>(y + i, values);
  UNROLL
  for (int k = 0; k < kDrawn; ++k)
    if (i + k < count) y[i + k] = to<Real>(values[k]);
}

template <class F>
void draw_all(const F& f, Out y, Index seed, Index position) {
  const Index count = y.size[0], threads = ceil_div(count, kDrawn);
  launch(is_wide(y.data) ? draw<true, F> : draw<false, F>, blocks_for(threads), block_for(threads), 0, f,
         count, y.at(), seed, position);
}

void uniform(Out y, float low, float high, Index seed, Index position) {
  draw_all(Uniform{low, high - low}, y, seed, position);
}

void normal(Out y, float mean, float std, Index seed, Index position) {
  draw_all(Normal{mean, std}, y, seed, position);
}

}  // namespace TABLE
