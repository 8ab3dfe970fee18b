// Gradient norm, Adam and AdamW, in the order of PyTorch's operations. Formulas:
// ../../native/ops/optimizer.cc.
//
//   x, parameter, m, v, largest, gradient [N]    square, norm [1]
//   adamw_packed: parameter, m, v, gradient [N, K]    forward, backward: see ../gemm/packed.h
#include "../clipping.h"
#include "../gemm/packed.h"
#include "../rows.h"

namespace TABLE {

// ---- square += Σ x², norm = √square

constexpr Index kNormBlocks = 1024;

// partial [blocks]: a block has every blocks-th part of x.
template <int V>
__global__ void square_norm_parts(const float* x, Index count, float* partial) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  Floats<V> sums = splat<V>(0.f);
  const Index step = Index{gridDim.x} * blockDim.x * V;
  Index i = global_thread() * V;
  for (; i + V <= count; i += step) {
    const Floats<V> x_i = load<V>(x + i);
    UNROLL
    for (int k = 0; k < V; ++k) sums[k] = fmaf(x_i[k], x_i[k], sums[k]);
  }
  for (; i < count; ++i) sums[0] = fmaf(x[i], x[i], sums[0]);
  float total = 0;
  UNROLL
  for (int k = 0; k < V; ++k) total += sums[k];
  total = team.sum(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

__global__ void square_norm_total(const float* partial, int count, float* square, float* norm) {
  DYNAMIC_SHARED(shared);
  Team team(shared);
  float total = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) total += partial[i];
  total = team.sum(total);
  if (threadIdx.x != 0) return;
  *square += total;
  *norm = sqrtf(*square);
}

void square_norm(In32 x, Acc square, Out32 norm) {
  constexpr int V = 4;
  const Index N = x.size[0];
  const bool wide = is_wide(x.data);
  const Index pieces = ceil_div(N, wide ? V : 1);
  const TeamBlock team(pieces);
  const Index wanted = ceil_div(pieces, Index{4} * team.threads),
              blocks = wanted < kNormBlocks ? wanted : kNormBlocks;
  Scratch scratch;
  float* const partial = scratch.take<float>(blocks);
  launch(wide ? square_norm_parts<V> : square_norm_parts<1>, static_cast<unsigned>(blocks), team.threads,
         team.shared_bytes, x.at(), N, partial);
  const TeamBlock last(blocks);
  launch(square_norm_total, 1, last.threads, last.shared_bytes, partial, static_cast<int>(blocks),
         square.at(), norm.at());
}

// ---- a step

struct Adam {
  Clipping clipping;
  float decay, coupled, step, root2, rest1, rest2, keep2, epsilon;

  // The scalars come in f64: 1 − β₂ of a β₂ near 1 would lose digits in f32.
  Adam(const In32Opt& norm, double maxNorm, double learningRate, double beta1, double beta2, double eps,
       double weightDecay, double coupledDecay, double correction1, double correction2)
      : clipping(norm, maxNorm),
        decay(static_cast<float>(1 - learningRate * weightDecay)),
        coupled(static_cast<float>(coupledDecay)),
        step(static_cast<float>(learningRate / correction1)),
        root2(static_cast<float>(sqrt(correction2))),
        rest1(static_cast<float>(1 - beta1)),
        rest2(static_cast<float>(1 - beta2)),
        keep2(static_cast<float>(beta2)),
        epsilon(static_cast<float>(eps)) {}

  // g is clipped; `largest` is where v has been greatest, or null.
  PRIMITIVE void update(float& parameter, float& m, float& v, float* largest, float g) const {
    m += (g - m) * rest1;
    v = v * keep2 + g * g * rest2;
    const float most = largest && *largest > v ? *largest : v;
    if (largest) *largest = most;
    parameter = parameter * decay - m / (sqrtf(most) / root2 + epsilon) * step;
  }
};

template <int V>
__global__ void adamw_elements(Adam adam, float* parameter, float* m, float* v, const float* gradient,
                               Index count) {
  const Index i = global_thread() * V;
  const float clip = adam.clipping.factor();
  if (i + V <= count) {
    Floats<V> parameter_i = load<V>(parameter + i), m_i = load<V>(m + i), v_i = load<V>(v + i);
    const Floats<V> gradient_i = load<V>(gradient + i);
    UNROLL
    for (int k = 0; k < V; ++k) adam.update(parameter_i[k], m_i[k], v_i[k], nullptr, gradient_i[k] * clip);
    store<V>(parameter + i, parameter_i);
    store<V>(m + i, m_i);
    store<V>(v + i, v_i);
  } else {
    for (Index k = i; k < count; ++k) adam.update(parameter[k], m[k], v[k], nullptr, gradient[k] * clip);
  }
}

void adamw(Acc parameter, Acc m, Acc v, In32 gradient, In32Opt norm, double maxNorm, double learningRate,
           double beta1, double beta2, double eps, double weightDecay, double correction1,
           double correction2) {
  constexpr int V = 4;
  const Adam adam(norm, maxNorm, learningRate, beta1, beta2, eps, weightDecay, 0, correction1, correction2);
  const Index N = parameter.size[0];
  const bool wide = is_wide(parameter.data) && is_wide(m.data) && is_wide(v.data) && is_wide(gradient.data);
  const Index pieces = ceil_div(N, wide ? V : 1);
  launch(wide ? adamw_elements<V> : adamw_elements<1>, blocks_for(pieces), block_for(pieces), 0, adam,
         parameter.at(), m.at(), v.at(), gradient.at(), N);
}

__global__ void adam_elements(Adam adam, float* parameter, float* m, float* v, float* largest,
                              const float* gradient, Index count) {
  const Index i = global_thread();
  if (i >= count) return;
  float value = parameter[i];
  const float g = gradient[i] * adam.clipping.factor() + value * adam.coupled;
  adam.update(value, m[i], v[i], largest ? largest + i : nullptr, g);
  parameter[i] = value;
}

void adam(Acc parameter, Acc m, Acc v, AccOpt largest, In32 gradient, In32Opt norm, double maxNorm,
          double learningRate, double beta1, double beta2, double eps, double weightDecay,
          double coupledDecay, double correction1, double correction2) {
  const Adam adam(norm, maxNorm, learningRate, beta1, beta2, eps, weightDecay, coupledDecay, correction1,
                  correction2);
  const Index N = parameter.size[0];
  launch(adam_elements, blocks_for(N), block_for(N), 0, adam, parameter.at(), m.at(), v.at(), largest.at(),
         gradient.at(), N);
}

// A tile of the weight at a time, whose rows become columns of the backward pack through shared memory.
constexpr int kPackTile = 32, kPackRows = 8, kPackPitch = kPackTile + 1;

__global__ void adamw_packed_tiles(Adam adam, Acc parameter, Acc m, Acc v, In32 gradient, float* forward,
                                   float* backward) {
  DYNAMIC_SHARED(shared);
  auto* const tile = reinterpret_cast<float*>(shared);
  const Index N = parameter.size[0], K = parameter.size[1], across = ceil_div(K, kPackTile);
  const Index n_0 = blockIdx.x / across * kPackTile, k_0 = blockIdx.x % across * kPackTile,
              k = k_0 + threadIdx.x;
  const float clip = adam.clipping.factor();
  UNROLL
  for (int row = 0; row < kPackTile; row += kPackRows) {
    const Index y = row + threadIdx.y, n = n_0 + y;
    if (n >= N || k >= K) continue;
    float* const p = parameter.at(n) + k;
    float value = *p;
    adam.update(value, m.at(n)[k], v.at(n)[k], nullptr, gradient.at(n)[k] * clip);
    *p = value;
    if (forward) cuda::store_packed<Real>(forward, cuda::packed_pitch<Real>(K), k, n, value);
    tile[y * kPackPitch + threadIdx.x] = value;
  }
  if (!backward) return;
  __syncthreads();
  const Index n = n_0 + threadIdx.x;
  UNROLL
  for (int row = 0; row < kPackTile; row += kPackRows) {
    const Index y = row + threadIdx.y;
    if (n < N && k_0 + y < K)
      cuda::store_packed<Real>(backward, cuda::packed_pitch<Real>(N), n, k_0 + y,
                               tile[threadIdx.x * kPackPitch + y]);
  }
}

namespace {

bool checks_packed(const View& packed, Index K, Index N) {
  if (!packed.data || cuda::holds_packed<Real>(packed, K, N)) return true;
  context().fail("a packed weight is too small, has gaps or is misaligned");
  return false;
}

}  // namespace

void adamw_packed(Acc parameter, Acc m, Acc v, In32 gradient, In32Opt norm, Out32Opt forward,
                  Out32Opt backward, double maxNorm, double learningRate, double beta1, double beta2,
                  double eps, double weightDecay, double correction1, double correction2) {
  const Adam adam(norm, maxNorm, learningRate, beta1, beta2, eps, weightDecay, 0, correction1, correction2);
  const Index N = parameter.size[0], K = parameter.size[1];
  if (!checks_packed(forward, K, N) || !checks_packed(backward, N, K)) return;
  launch(adamw_packed_tiles, static_cast<unsigned>(ceil_div(N, kPackTile) * ceil_div(K, kPackTile)),
         dim3(kPackTile, kPackRows), kPackTile * kPackPitch * sizeof(float), adam, parameter, m, v, gradient,
         forward.at(), backward.at());
}

}  // namespace TABLE
