// Cross entropy of softmax(x · weightᵀ + bias) and integer targets, whose logits are never all there.
// Formulas:
// ../../native/ops/linearcrossentropy.cc.
//
//   x, dx [N, C]    weight, dweight [V, C]    bias, dbias [V]    targets, lse [N]    loss, scale [1]
//
// A block of rows at a time. Forward, its logits [rows, V] are written in f32 and read once. Backward, the
// same product ends in the gradient of the logits (LogitGradient in ../gemm/product.h), which two more
// products read. What grows block by block grows in the order of the blocks.
#include "../crossentropy.h"
#include "../gemm/packed.h"
#include "../gemm/product.h"

namespace TABLE {

namespace {

using namespace cuda::gemm;

constexpr Element kElement = kIsBf16 ? Element::bf16 : Element::f32;

// As many rows as there is memory for 2^25 logits, but no more than 1024 and no fewer than 64.
constexpr Index kLogits = Index{1} << 25, kMostRows = 1024, kFewestRows = 64;

struct Blocks {
  Index rows, pitch;  // pitch: V, rounded up so that rows start on 16 bytes
  explicit Blocks(Index V) : pitch(ceil_div(V > 0 ? V : 1, 8) * 8) {
    const Index fit = kLogits / pitch / kFewestRows * kFewestRows;
    rows = fit > kMostRows ? kMostRows : fit < kFewestRows ? kFewestRows : fit;
  }
};

// The weight as columns of the logits' product, and of that of dx: packed if it came so.
Operand columns(In32 weight, In32Opt forward) {
  if (forward) return {forward.data, kElement, cuda::packed_pitch<Real>(weight.size[1]), 1, 0, true};
  return {weight.data, Element::f32, weight.stride[0], 1, 0};
}
Operand sums(In32 weight, In32Opt backward) {
  if (backward) return {backward.data, kElement, cuda::packed_pitch<Real>(weight.size[0]), 1, 0, true};
  return {weight.data, Element::f32, 1, weight.stride[0], 0};
}
// Products of bf16 need packed weights.
bool serves(In32Opt packed, Index K, Index N) {
  if (!packed && !kIsBf16) return true;
  if (packed && cuda::holds_packed<Real>(packed, K, N)) return true;
  context().fail("a packed weight is missing, too small or misaligned");
  return false;
}

Product logits_of(In x, Index n, Index rows, In32 weight, In32Opt forward, In32Opt bias) {
  Product product{
      1, rows, weight.size[0], x.size[1], {x.at(n), kElement, x.stride[0], 1, 0}, columns(weight, forward),
      {}};
  product.epilogue.bias = bias ? bias.at() : nullptr;
  return product;
}

}  // namespace

// dbias += Σ dlogits over rows: 32 columns of a block of 32 × 8 threads.
template <class T>
__global__ void add_column_sums(const T* dlogits, Index pitch, Index rows, Acc dbias) {
  DYNAMIC_SHARED(memory);
  float* const shared = reinterpret_cast<float*>(memory);
  const Index v = Index{blockIdx.x} * blockDim.x + threadIdx.x, V = dbias.size[0];
  float sum = 0;
  if (v < V)
    for (Index r = threadIdx.y; r < rows; r += blockDim.y) sum += to_float(dlogits[r * pitch + v]);
  shared[threadIdx.y * blockDim.x + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || v >= V) return;
  for (unsigned y = 1; y < blockDim.y; ++y) sum += shared[y * blockDim.x + threadIdx.x];
  *dbias.at(v) += sum;
}

// Columns [V, pitch) of y = 0: a thread has a row.
template <class T>
__global__ void clear_columns(T* y, Index pitch, Index V, Index rows) {
  const Index row = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  for (Index v = V; v < pitch; ++v) y[row * pitch + v] = to<T>(0);
}

void linearcrossentropy_forward(In x, In32 weight, In32Opt forward, In32Opt bias, Ids targets, Out32 loss,
                                Out32 lse, Out32 scale, Index ignoreIndex, float labelSmoothing, Index mean) {
  const Index N = x.size[0], C = x.size[1], V = weight.size[0];
  if (!serves(forward, C, V)) return;
  const Blocks blocks(V);
  Scratch scratch;
  float* const losses = scratch.take<float>(N);
  float* const logits = scratch.take<float>((N < blocks.rows ? N : blocks.rows) * blocks.pitch);
  for (Index n = 0; n < N; n += blocks.rows) {
    const Index rows = N - n < blocks.rows ? N - n : blocks.rows;
    Product product = logits_of(x, n, rows, weight, forward, bias);
    product.epilogue.y = {logits, blocks.pitch, 0};
    multiply(product);
    const TeamGrid teams(rows, V, true, kWide, 128);
    launch(logit_rows<float>, teams.grid, teams.block, teams.shared_bytes, logits, blocks.pitch, rows, V,
           targets, n, losses, lse, ignoreIndex, labelSmoothing, context().fault);
  }
  const TeamGrid one(1, N, false, 32, 32);
  launch(total_of_losses<const float*>, 1, one.block, one.shared_bytes, losses, targets, V, loss, scale,
         ignoreIndex, mean);
}

void linearcrossentropy_backward(In32 dloss, In x, In32 weight, In32Opt forward, In32Opt backward,
                                 In32Opt bias, Ids targets, In32 lse, In32 scale, AccOpt dx, AccOpt dweight,
                                 AccOpt dbias, Index ignoreIndex, float labelSmoothing) {
  const Index N = x.size[0], C = x.size[1], V = weight.size[0];
  if (!serves(forward, C, V) || (dx && !serves(backward, V, C))) return;
  const Blocks blocks(V);
  Scratch scratch;
  const Index elements = (N < blocks.rows ? N : blocks.rows) * blocks.pitch;
  Real* const dlogits = scratch.take<Real>(elements);
  // What is behind the rows is read as a part of V. Nobody overwrites it.
  const Index all_rows = elements / blocks.pitch;
  if (blocks.pitch != V)
    launch(clear_columns<Real>, dim3(unsigned(ceil_div(all_rows, 128))), dim3(128), 0, dlogits, blocks.pitch,
           V, all_rows);
  Epilogue gradient;
  gradient.y = {dlogits, blocks.pitch, 0};
  gradient.element = kElement;
  gradient.bias = bias ? bias.at() : nullptr;
  LogitGradient& to_gradient = gradient.logit_gradient;
  to_gradient.dloss = dloss.at();
  to_gradient.scale = scale.at();
  to_gradient.ignored = ignoreIndex;
  to_gradient.classes = int(V);
  to_gradient.everywhere = labelSmoothing / float(V);
  to_gradient.on_target = 1 - labelSmoothing;
  for (Index n = 0; n < N; n += blocks.rows) {
    const Index rows = N - n < blocks.rows ? N - n : blocks.rows;
    Product product = logits_of(x, n, rows, weight, forward, bias);
    to_gradient.targets = targets.at(n);
    to_gradient.lse = lse.at(n);
    product.epilogue = gradient;
    multiply(product);
    Epilogue add;
    add.adds = true;
    if (dx) {
      add.y = {dx.at(n), dx.stride[0], 0};
      multiply({1, rows, C, V, {dlogits, kElement, blocks.pitch, 1, 0, true}, sums(weight, backward), add});
    }
    if (dweight) {
      add.y = {dweight.at(), dweight.stride[0], 0};
      multiply({1,
                V,
                C,
                rows,
                {dlogits, kElement, 1, blocks.pitch, 0, true},
                {x.at(n), kElement, 1, x.stride[0], 0},
                add});
    }
    if (dbias) {
      const dim3 threads(32, 8);
      launch(add_column_sums<Real>, dim3(unsigned(ceil_div(V, 32))), threads, 32 * 8 * sizeof(float),
             static_cast<const Real*>(dlogits), blocks.pitch, rows, dbias);
    }
  }
}

}  // namespace TABLE
