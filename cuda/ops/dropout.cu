// Dropout: each element is zeroed with probability p, the others are scaled so that the mean stays.
//
//   x, y [N]
//
//   forward        y  = keep · x / (1 − p)             keep = u ≥ p
//   backward       dx = keep · dy / (1 − p)            u of element i as in random.cu: uniform
//
// The mask is a function of seed, position and i: it is drawn again by the backward pass and never stored. A
// thread has the elements of one or two Philox blocks.
#include "../floats.h"
#include "../philox.h"

namespace TABLE {

constexpr int kDropped = kWide > 4 ? kWide : 4;  // elements of a thread

template <bool kIsWide>
__global__ void drop_elements(const Real* x, Real* y, Index count, float scale, std::uint32_t threshold,
                              Index seed, Index position) {
  const Index i = global_thread() * kDropped;
  if (i >= count) return;
  const bool is_whole = kIsWide && i + kDropped <= count;
  Floats<kDropped> value;
  if (is_whole) {
    value = load<kDropped>(x + i);
  } else {
    UNROLL
    for (int k = 0; k < kDropped; ++k) value[k] = i + k < count ? to_float(x[i + k]) : 0;
  }
  UNROLL
  for (int block = 0; block < kDropped / 4; ++block) {
    const uint4 drawn = cuda::philox_block(seed, position + i / 4 + block);
    const std::uint32_t words[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
    UNROLL
    for (int k = 0; k < 4; ++k) {
      float& v = value[4 * block + k];
      v = cuda::dropout_keeps(words[k], threshold) ? v * scale : 0;
    }
  }
  if (is_whole) return store<kDropped>(y + i, value);
  UNROLL
  for (int k = 0; k < kDropped; ++k)
    if (i + k < count) y[i + k] = to<Real>(value[k]);
}

namespace {

void drop(In x, Out y, float p, Index seed, Index position) {
  const Index count = y.size[0], threads = ceil_div(count, kDropped);
  const auto kernel = is_wide(x.data) && is_wide(y.data) ? drop_elements<true> : drop_elements<false>;
  launch(kernel, blocks_for(threads), block_for(threads), 0, x.at(), y.at(), count, cuda::dropout_scale(p),
         cuda::dropout_threshold(p), seed, position);
}

}  // namespace

void dropout_forward(In x, Out y, float p, Index seed, Index position) { drop(x, y, p, seed, position); }

void dropout_backward(In dy, Out dx, float p, Index seed, Index position) { drop(dy, dx, p, seed, position); }

}  // namespace TABLE
