// Scaled dot-product attention (formulas: ../../native/ops/attention.cc). The kernels are those of
// ../attention/: bf16 on tensor cores, f32 on the cores that multiply f32.
#include "../attention/masks.h"
#include "../kernel.h"

namespace TABLE {

using attention::Heads;
using attention::Masks;
using attention::Problem;

// y [B, T, H, padded D] = x · sign, with zeros behind D.
template <class X>
__global__ void attention_align(Heads<const X> x, int T, int H, int D, int padded, float sign, Index count,
                                X* y) {
  const Index at = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const int d = at % padded, h = at / padded % H;
  const Index row = at / padded / H;
  y[at] = d < D ? to<X>(to_float(x.at(row / T, h, row % T)[d]) * sign) : to<X>(0);
}

// Per query lse2 = lse · log₂e and delta = Σ_d dy · y, padded to whole tiles. Eight lanes a row.
__global__ void attention_statistics(Problem the, Heads<const Real> dy, Heads<const Real> y,
                                     Heads<const float> lse, float* lse2, float* delta, int padded,
                                     bool in_chunks) {
  constexpr int kLanes = 8, kChunk = 16 / sizeof(Real);
  const int lane = threadIdx.x % kLanes;
  const Index row = (Index{blockIdx.x} * blockDim.x + threadIdx.x) / kLanes;
  const int head = row / padded, i = row % padded, b = head / the.H, h = head % the.H;
  const bool is_there = b < the.B && i < the.T;
  float sum = 0;
  if (is_there) {
    const Real *dy_i = dy.at(b, h, i), *y_i = y.at(b, h, i);
    if (in_chunks) {
      for (int d = lane * kChunk; d < the.D; d += kLanes * kChunk) {
        const uint4 a = prim::load_global16(dy_i + d), c = prim::load_global16(y_i + d);
        const std::uint32_t as[4] = {a.x, a.y, a.z, a.w}, cs[4] = {c.x, c.y, c.z, c.w};
        UNROLL
        for (int n = 0; n < 4; ++n) {
          if constexpr (kIsBf16) {
            sum += prim::as_float(as[n] << 16) * prim::as_float(cs[n] << 16);
            sum += prim::as_float(as[n] & 0xffff0000u) * prim::as_float(cs[n] & 0xffff0000u);
          } else {
            sum += prim::as_float(as[n]) * prim::as_float(cs[n]);
          }
        }
      }
    } else {
      for (int d = lane; d < the.D; d += kLanes) sum += to_float(dy_i[d]) * to_float(y_i[d]);
    }
  }
  UNROLL
  for (int apart = 1; apart < kLanes; apart *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, apart);
  if (lane != 0 || b >= the.B) return;
  const float level = is_there ? *lse.at(b, h, i) : -attention::kInfinity;
  lse2[row] = level == -attention::kInfinity ? attention::kNoKey : level * attention::kLog2e;
  delta[row] = sum;
}

namespace {

template <class T, class V>
Heads<T> heads(const V& x) {
  const auto stride = [&](int axis) { return x.size[axis] > 1 ? x.stride[axis] : 0; };
  return {x.at(), stride(0), stride(1), stride(2)};
}

Heads<float> heads_of_lse(const View& x) {
  return {static_cast<float*>(x.data), x.stride[0], x.stride[2], x.stride[1]};
}

// False where there is nothing to compute, or nothing that could be.
bool describe(Problem& the, const View& q, const View& k, const IdsOpt& lengths, float scale, Index causal,
              Index window, float dropout, Index seed, Index position) {
  const Index D = q.size[3];
  if (D > attention::kMaxHead) {
    context().fail("attention: on cuda the head size is at most " + std::to_string(attention::kMaxHead) +
                   "; got " + std::to_string(D));
    return false;
  }
  if (q.size[1] > attention::kMaxTime || k.size[1] > attention::kMaxTime ||
      q.size[0] * q.size[2] > 0x7fffffff) {
    context().fail("attention: more than 2²⁸ positions or 2³¹ heads");
    return false;
  }
  the.B = int(q.size[0]), the.T = int(q.size[1]), the.S = int(k.size[1]);
  the.H = int(q.size[2]), the.G = int(k.size[2]), the.D = int(D);
  if (the.G == 0 || the.H % the.G != 0) return false;
  the.lengths = lengths ? lengths.at() : nullptr;
  the.lengths_stride = lengths.stride[0];
  the.scale = the.query_scale = scale;
  const Index all = the.T + the.S, behind = window > 0 && window <= all ? window - 1 : all;
  the.behind = int(behind), the.ahead = causal ? 0 : int(behind);
  the.dropout = {cuda::dropout_threshold(dropout), cuda::dropout_scale(dropout), std::uint64_t(seed),
                 std::uint64_t(position), dropout > 0};
  return true;
}

bool describe(Masks& masks, const View& q, const View& k, const IdsOpt& starts, const In32Opt& slopes,
              const IdsOpt& blocks, Index n) {
  const Index T = q.size[1], S = k.size[1];
  if (blocks && (n <= 0 || blocks.size[0] < ceil_div(T, n) || blocks.size[1] < ceil_div(S, n))) return false;
  masks = {starts ? starts.at() : nullptr,
           starts.stride[0],
           starts.stride[1],
           slopes ? slopes.at() : nullptr,
           slopes.stride[0],
           blocks ? blocks.at() : nullptr,
           blocks.stride[0],
           blocks.stride[1],
           int(n < attention::kMaxTime ? n : attention::kMaxTime)};
  return true;
}

// The sign of the scale goes into q, so that the kernels for tensor cores scale by a positive number: the
// greatest score is then the greatest product.
float take_sign(Problem& the) {
  float sign = 1;
  if (kIsBf16 && the.scale <= 0) {
    sign = the.scale < 0 ? -1.f : 0.f;
    the.scale = the.scale < 0 ? -the.scale : 1;
  }
  the.scale_log2 = the.scale * attention::kLog2e;
  return sign;
}

// x as the kernels for tensor cores read it: in rows of 16-byte chunks; if it is not such, a copy.
template <class X>
Heads<const X> align(const Typed<const X>& x, const Problem& the, Scratch& scratch, float sign = 1) {
  const Heads<const X> from = heads<const X>(x);
  if constexpr (sizeof(X) == 2) {
    if (sign == 1 && attention::in_chunks(from, the)) return from;
    const Index rows = x.size[1], columns = x.size[2], padded = ceil_div(the.D, 8) * 8;
    const Index count = the.B * rows * columns * padded;
    X* to = scratch.take<X>(count);
    launch(attention_align<X>, attention::grid(ceil_div(count, 256)), dim3(256), 0, from, int(rows),
           int(columns), the.D, int(padded), sign, count, to);
    return {to, rows * columns * padded, columns * padded, padded};
  }
  return from;
}

}  // namespace

void attention_forward(In q, In k, In v, IdsOpt lengths, IdsOpt starts, In32Opt slopes, IdsOpt blocks, Out y,
                       Out32 lse, float scale, Index causal, Index window, Index blockSize, float dropout,
                       Index seed, Index position) {
  Problem the;
  Masks masks;
  if (!describe(masks, q, k, starts, slopes, blocks, blockSize)) return;
  if (!describe(the, q, k, lengths, scale, causal, window, dropout, seed, position)) return;
  const float sign = take_sign(the);
  Scratch scratch;
  const auto q_rows = align(q, the, scratch, sign), k_rows = align(k, the, scratch),
             v_rows = align(v, the, scratch);
  if (masks.any())
    attention::forward(the, masks, q_rows, k_rows, v_rows, heads<Real>(y), heads_of_lse(lse));
  else
    attention::forward(the, q_rows, k_rows, v_rows, heads<Real>(y), heads_of_lse(lse));
}

void attention_backward(In dy, In q, In k, In v, IdsOpt lengths, IdsOpt starts, In32Opt slopes, IdsOpt blocks,
                        In y, In32 lse, Out dq, Out dk, Out dv, float scale, Index causal, Index window,
                        Index blockSize, float dropout, Index seed, Index position) {
  Problem the;
  Masks masks;
  if (!describe(masks, q, k, starts, slopes, blocks, blockSize)) return;
  if (!describe(the, q, k, lengths, scale, causal, window, dropout, seed, position) || the.D == 0) return;
  const float sign = take_sign(the);
  Scratch scratch;
  const Index padded = ceil_div(the.T, attention::kTimePadding) * attention::kTimePadding;
  const Index rows = the.B * the.H * padded;
  float *lse2 = scratch.take<float>(rows), *delta = scratch.take<float>(rows);
  const auto dy_heads = heads<const Real>(dy), y_heads = heads<const Real>(y);
  const Heads<float> levels = heads_of_lse(lse);
  launch(attention_statistics, attention::grid(rows * 8 / 256), dim3(256), 0, the, dy_heads, y_heads,
         Heads<const float>{levels.data, levels.batch, levels.row, levels.head}, lse2, delta, int(padded),
         attention::in_chunks(dy_heads, the) && attention::in_chunks(y_heads, the));
  const attention::Gradients<Real> of = {align(dy, the, scratch), align(q, the, scratch, sign),
                                         align(k, the, scratch),  align(v, the, scratch),
                                         heads<Real>(dq),         heads<Real>(dk),
                                         heads<Real>(dv)};
  if (masks.any()) {
    attention::backward_keys(the, masks, of, lse2, delta);
    attention::backward_queries(the, masks, of, lse2, delta);
  } else {
    attention::backward_keys(the, of, lse2, delta);
    attention::backward_queries(the, of, lse2, delta);
  }
}

}  // namespace TABLE
