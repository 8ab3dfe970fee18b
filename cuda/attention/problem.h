// What every kernel of attention knows of the call (formulas and masks: ../../native/ops/attention.cc), and
// the host functions of the two dtypes.
//
//   q, y [B, T, H, D]    k, v [B, S, G, D]    lse [B, H, T]    lengths [B]
//
// Query i stands at key i + S − T and sees the keys j with −behind ≤ j − (i + S − T) ≤ ahead and j <
// lengths[b].
#pragma once
#include "../../native/contract.h"
#include "../philox.h"

namespace attention {

constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
constexpr float kInfinity = __builtin_inff();
constexpr float kNoKey =
    1e30f;  // log₂ of the sum of a query that sees no key, for the backward pass: no weight
constexpr int kMaxHead = 256;  // D
constexpr Index kMaxTime = Index{1} << 28;

__host__ __device__ constexpr int least(int a, int b) { return a < b ? a : b; }
__host__ __device__ constexpr int most(int a, int b) { return a > b ? a : b; }
__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Rows of the heads of a tensor: [B, T, H, D], of which an axis may have any stride but the last.
template <class T>
struct Heads {
  T* data;
  Index batch, row, head;  // strides
  __host__ __device__ T* at(int b, int h, Index i) const { return data + b * batch + h * head + i * row; }
};

// Which weights dropout keeps. Weight number ((b·H + h)·T + i)·S + j of the stream of uniforms is kept if it
// is ≥ p.
struct Dropout {
  std::uint32_t threshold;
  float scale;
  std::uint64_t seed, position;
  bool on;

  PRIMITIVE bool keeps(std::uint64_t weight) const {
    const uint4 words = cuda::philox_block(seed, position + weight / 4);
    const std::uint32_t low = weight & 1 ? words.y : words.x, high = weight & 1 ? words.w : words.z;
    return cuda::dropout_keeps(weight & 2 ? high : low, threshold);
  }
  // Bit n: whether weight number `first` + n is kept, for n < kCount ≤ 32.
  template <int kCount>
  PRIMITIVE std::uint32_t kept(std::uint64_t first) const {
    const std::uint64_t block = position + first / 4;
    std::uint64_t bits = 0;
    for (int n = 0; n <= kCount / 4; ++n) {
      const uint4 words = cuda::philox_block(seed, block + n);
      const std::uint32_t four =
          cuda::dropout_keeps(words.x, threshold) | cuda::dropout_keeps(words.y, threshold) << 1 |
          cuda::dropout_keeps(words.z, threshold) << 2 | cuda::dropout_keeps(words.w, threshold) << 3;
      bits |= std::uint64_t{four} << 4 * n;
    }
    return static_cast<std::uint32_t>(bits >> (first & 3));
  }
};

struct Problem {
  int B, T, S, H, G, D;
  const std::int32_t* lengths;
  Index lengths_stride;
  float scale, scale_log2;  // of the scores, > 0 (see take_sign in ../ops/attention.cu); times log₂e
  float query_scale;        // of dq: the scale of the call
  int behind, ahead;
  Dropout dropout;

  // The keys of sequence b, and those of them that query i sees.
  PRIMITIVE int keys(int b) const { return lengths ? most(0, least(S, lengths[b * lengths_stride])) : S; }
  PRIMITIVE int first_seen(int i) const { return most(0, i + S - T - behind); }
  PRIMITIVE int seen_until(int keys, int i) const { return most(0, least(keys, i + S - T + ahead + 1)); }
  // The queries that see key j, which may lie outside of [0, T).
  PRIMITIVE int first_seeing(int j) const { return j - (S - T) - ahead; }
  PRIMITIVE int seeing_until(int j) const { return j - (S - T) + behind + 1; }
  // The number of a weight in the stream of random numbers; `head` is b·H + h.
  PRIMITIVE std::uint64_t weight(int head, int i, int j) const {
    return (static_cast<std::uint64_t>(head) * T + i) * S + j;
  }
};

// Tiles along one axis: [first, end) have something to see, [whole_first, whole_end) of them need no mask.
// They are walked from the last to the first, so that only the first one that is loaded can be ragged.
struct Walk {
  int first, end, whole_first, whole_end;

  PRIMITIVE Walk(int begin, int until, int whole_begin, int whole_until, int size) {
    first = begin / size;
    end = until > begin ? ceil_div(until, size) : first;
    whole_first = most(first, ceil_div(most(0, whole_begin), size));
    whole_end = least(end, most(0, whole_until) / size);
    if (whole_first >= whole_end) whole_first = whole_end = first;
  }
  // masked() or whole() for each tile t.
  template <class Masked, class Whole>
  PRIMITIVE void run(int& t, const Masked& masked, const Whole& whole) const {
    for (int whole_until = whole_end; t >= first; whole_until = first) {
      for (; t >= whole_until; --t) masked();
      for (; t >= whole_first; --t) whole();
    }
  }
};

// Of the host. What is called delta [B·H, padded T] is Σ_d dy · y of a query, and lse2 its lse · log₂e.
void forward(const Problem& the, Heads<const float> q, Heads<const float> k, Heads<const float> v,
             Heads<float> y, Heads<float> lse);
void forward(const Problem& the, Heads<const bf16> q, Heads<const bf16> k, Heads<const bf16> v, Heads<bf16> y,
             Heads<float> lse);
template <class T>
struct Gradients {
  Heads<const T> dy, q, k, v;
  Heads<T> dq, dk, dv;
};
constexpr int kTimePadding = 128;
void backward_keys(const Problem& the, const Gradients<float>& of, const float* lse2, const float* delta);
void backward_keys(const Problem& the, const Gradients<bf16>& of, const float* lse2, const float* delta);
void backward_queries(const Problem& the, const Gradients<float>& of, const float* lse2, const float* delta);
void backward_queries(const Problem& the, const Gradients<bf16>& of, const float* lse2, const float* delta);

}  // namespace attention
