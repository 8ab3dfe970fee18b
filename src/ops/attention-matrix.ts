import { type BackwardPass, isRecording, record } from "../autograd.ts";
import type { GeneratorState } from "../generator.ts";
import { type Kernel, kernelNamed } from "../native.ts";
import { contiguousCopy, copyInto, foldTo, type OpValues, runKernel } from "../op.ts";
import type { Shape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { broadcastTo, giveSummed } from "./views.ts";

const product = kernelNamed("matmul");
const productF32 = kernelNamed("matmul_accumulate");
const softmaxForward = kernelNamed("maskedsoftmax_forward");
const softmaxBackward = kernelNamed("maskedsoftmax_backward");
const dropoutForward = kernelNamed("dropout_forward");
const dropoutBackward = kernelNamed("dropout_backward");
const scaleForward = kernelNamed("scale_forward");

/** What queries see, and how scores are made of products: arguments of the kernels. */
export interface Masks extends OpValues {
  readonly lengths: Tensor | undefined;
  readonly starts: Tensor | undefined;
  readonly slopes: Tensor | undefined;
  readonly blocks: Tensor | undefined;
  readonly blockSize: number;
  readonly scale: number;
  readonly causal: boolean;
  readonly window: number;
}

type Sizes4 = [number, number, number, number];

const relaid = (t: Tensor, shape: Shape, strides?: Shape): Tensor =>
  new Tensor(t.storage, shape, strides, t.offset);

/** `x [B, T, H, D]` as `[B, H, T, D]`. */
function byHead(x: Tensor): Tensor {
  const [B, T, H, D] = x.shape as Sizes4;
  const [b, t, h, d] = x.strides as Sizes4;
  return relaid(x, [B, H, T, D], [b, h, t, d]);
}

/** The R = H / G heads of a group one under the other, `[B, G, R·T, D]`, if they lie so. */
function groupsOf(x: Tensor, G: number): Tensor | undefined {
  const [B, T, H, D] = x.shape as Sizes4;
  const [b, t, h, d] = x.strides as Sizes4;
  if (H === G) return relaid(x, [B, G, T, D], [b, h, t, d]);
  return T === 1 ? relaid(x, [B, G, H / G, D], [b, (H / G) * h, h, d]) : undefined;
}

/** The same of any `x`: a copy where they do not lie so. */
function groupsIn(x: Tensor, G: number): Tensor {
  const [B, T, H, D] = x.shape as Sizes4;
  return groupsOf(x, G) ?? relaid(contiguousCopy(byHead(x)), [B, G, (H / G) * T, D]);
}

/** Writes `[B, T, H, D]` group by group: `make` gets `[B, G, R·T, D]`. */
function writeGroups(y: Tensor, G: number, make: (groups: Tensor) => void): void {
  const groups = groupsOf(y, G);
  if (groups !== undefined) return make(groups);
  const [B, T, H, D] = y.shape as Sizes4;
  const copy = Tensor.empty([B, G, (H / G) * T, D], y.dtype, y.device);
  make(copy);
  copyInto(relaid(copy, [B, H, T, D]), byHead(y));
  copy.storage.free();
}

const freeCopy = (copy: Tensor, of: Tensor): void => {
  if (copy.storage !== of.storage) copy.storage.free();
};

/** y = a · b for matrices `[B, G, ·, ·]`: at once where their strides allow it, else one of B after another. No copies. */
function multiply(kernel: Kernel, a: Tensor, b: Tensor, y: Tensor): void {
  const all = { a, b, y };
  const options = kernel === product ? { activation: 0 } : { add: 0 };
  const real = a.dtype;
  if (Object.values(all).every((t) => foldTo(3, t, true) !== undefined)) {
    return runKernel(kernel, real, { ...all, ...options });
  }
  const part = (t: Tensor, i: number) =>
    new Tensor(t.storage, t.shape.slice(1), t.strides.slice(1), t.offset + i * t.strides[0]!);
  for (let i = 0; i < y.shape[0]!; i++) {
    runKernel(kernel, real, { a: part(a, i), b: part(b, i), y: part(y, i), ...options });
  }
}

/**
 * The weights of attention, `softmax(scale · q·kᵀ + bias …)`, as a matrix `[B, H, T, S]` in the dtype of `q`. Scores are
 * f32. Not recorded.
 */
export function weightMatrix(q: Tensor, k: Tensor, bias: Tensor | undefined, masks: Masks): Tensor {
  const [B, T, H] = q.shape as Sizes4;
  const [, S, G] = k.shape as Sizes4;
  const scores = Tensor.empty([B, G, (H / G) * T, S], "f32", q.device);
  const queries = groupsIn(q, G);
  multiply(productF32, queries, groupsIn(k, G).transposed(), scores);
  freeCopy(queries, q);
  const shape = [B, H, T, S];
  const p = Tensor.empty(shape, q.dtype, q.device);
  runKernel(softmaxForward, q.dtype, {
    ...masks,
    scores: relaid(scores, shape),
    bias: bias && broadcastTo(bias, shape),
    p,
  });
  scores.storage.free();
  return p;
}

export interface Dropout extends GeneratorState {
  readonly p: number;
}

function dropped(weights: Tensor, dropout: Dropout): Tensor {
  if (dropout.p === 0) return weights;
  const y = Tensor.empty(weights.shape, weights.dtype, weights.device);
  runKernel(dropoutForward, weights.dtype, { x: weights, y, ...dropout });
  return y;
}

/**
 * Attention by the matrix of its weights, which is kept for the backward pass: what `attention` does where scores have a
 * bias. Dropout keeps the same weights as it does there without one.
 */
export function matrixAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  bias: Tensor,
  masks: Masks,
  dropout: Dropout,
): Tensor {
  const [, , G] = k.shape as Sizes4;
  const weights = weightMatrix(q, k, bias, masks);
  const kept = dropped(weights, dropout);
  const y = Tensor.empty(q.shape, q.dtype, q.device);
  const asGroups = (t: Tensor) => {
    const [B, H, T, S] = t.shape as Sizes4;
    return relaid(t, [B, G, (H / G) * T, S]);
  };
  writeGroups(y, G, (to) => multiply(product, asGroups(kept), groupsIn(v, G), to));
  freeCopy(kept, weights);
  const inputs = [q, k, v, bias];
  if (!isRecording(inputs)) weights.storage.free();
  record("attention", inputs, [y], {
    privates: [weights],
    backward(pass, [dy]) {
      const dyGroups = groupsIn(dy!, G);
      if (pass.wants(v)) {
        const again = dropped(weights, dropout);
        giveProduct(pass, v, G, asGroups(again).transposed(), dyGroups);
        freeCopy(again, weights);
      }
      if (!pass.wants(q) && !pass.wants(k) && !pass.wants(bias)) return freeCopy(dyGroups, dy!);
      const dp = Tensor.empty(asGroups(weights).shape, "f32", q.device);
      multiply(productF32, dyGroups, groupsIn(v, G).transposed(), dp);
      freeCopy(dyGroups, dy!);
      if (dropout.p > 0) runKernel(dropoutBackward, "f32", { dy: dp, dx: dp, ...dropout });
      const ds = Tensor.empty(weights.shape, q.dtype, q.device);
      runKernel(softmaxBackward, q.dtype, { dp: relaid(dp, weights.shape), p: weights, ds });
      dp.storage.free();
      for (const [input, other, slopes] of [
        [q, k, asGroups(ds)],
        [k, q, asGroups(ds).transposed()],
      ] as const) {
        if (!pass.wants(input)) continue;
        const scaled = scaledGroups(other, masks.scale, G);
        giveProduct(pass, input, G, slopes, scaled);
        freeCopy(scaled, other);
      }
      giveSummed(pass, bias, ds);
      if (ds.storage.gradientUses === 0) ds.storage.free();
    },
  });
  return y;
}

/** The groups of factor · x. */
function scaledGroups(x: Tensor, factor: number, G: number): Tensor {
  const groups = groupsIn(x, G);
  if (factor === 1) return groups;
  const copy = groups.storage === x.storage ? contiguousCopy(groups) : groups;
  runKernel(scaleForward, copy.dtype, { x: copy, y: copy, factor });
  return copy;
}

/** Gives `input [B, ·, ·, D]` the gradient a · b. */
function giveProduct(pass: BackwardPass, input: Tensor, G: number, a: Tensor, b: Tensor): void {
  const place = pass.place(input);
  const dx = place.strides[3] === 1 ? place : Tensor.empty(input.shape, input.dtype, input.device);
  writeGroups(dx, G, (to) => multiply(product, a, b, to));
  pass.give(input, dx);
}
