import { noGrad, record } from "../autograd.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import { Tensor, tensor } from "../tensor.ts";
import { type AttentionOptions, attentionWeights } from "./attention.ts";
import { zeros } from "./creation.ts";
import { add, mul, scale } from "./elementwise.ts";
import { matmul } from "./products.ts";
import { relu } from "./relu.ts";
import { asF32, contiguous, reshape, transpose } from "./views.ts";

const softmaxForward = kernelNamed("maskedsoftmax_forward");
const softmaxBackward = kernelNamed("maskedsoftmax_backward");

type Sizes4 = [number, number, number, number];

/** `[B, T, H, D]` with the H / G heads of a group one under the other: `[B, G, H/G · T, D]`. */
function grouped(x: Tensor, G: number): Tensor {
  const [B, T, H, D] = x.shape as Sizes4;
  return reshape(transpose(x, 1, 2), [B, G, (H / G) * T, D]);
}

/**
 * What `attention` takes the softmax of: `scale · q·kᵀ`, bias and slopes, and −∞ where a query doesn't see a key. f32,
 * differentiable.
 *
 * @param q `[B, T, H, D]`
 * @param k `[B, S, G, D]`
 * @returns `[B, H, T, S]`
 */
export function attentionScores(q: Tensor, k: Tensor, options: AttentionOptions = {}): Tensor {
  const [B, T, H, D] = q.shape as Sizes4;
  const [, S, G] = k.shape as Sizes4;
  const { bias, slopes, scale: factor = 1 / Math.sqrt(D) } = options;
  const products = matmul(grouped(asF32(q), G), transpose(grouped(asF32(k), G), 2, 3));
  let scores = scale(reshape(products, [B, H, T, S]), factor);
  if (bias !== undefined) scores = add(scores, asF32(bias));
  if (slopes !== undefined) scores = add(scores, mul(reshape(slopes, [H, 1, 1]), distances(T, S, q)));
  return add(scores, hidden(B, T, S, q, options));
}

/** `[T, S]`: j − (i + S − T). */
function distances(T: number, S: number, { device }: Tensor): Tensor {
  const values = Float32Array.from({ length: T * S }, (_, n) => (n % S) - (Math.floor(n / S) + S - T));
  return tensor(values, [T, S], { device });
}

/** `[B, 1, T, S]`: 0 where a query sees a key, −∞ where it doesn't. */
function hidden(B: number, T: number, S: number, { device }: Tensor, options: AttentionOptions): Tensor {
  const { causal = false, window, lengths, starts, blocks, blockSize } = options;
  return noGrad(() => {
    // Without scores all that a query sees has one weight, at least 1/S.
    const [q, k] = [zeros([B, T, 1, 1], { device }), zeros([B, S, 1, 1], { device })];
    const seen = attentionWeights(q, k, { causal, window, lengths, starts, blocks, blockSize });
    return scale(scale(relu(add(scale(seen, -2 * S), 1)), -3e38), 10);
  });
}

/** Softmax over the last axis of `scores [B, H, T, S]` f32, as attention takes it: a row of nothing but −∞ gives zeros. */
export function scoresSoftmax(scores: Tensor): Tensor {
  const dense = contiguous(scores.detach());
  const p = Tensor.empty(scores.shape, "f32", scores.device);
  const masks = { lengths: undefined, starts: undefined, slopes: undefined, blocks: undefined, blockSize: 0 };
  runKernel(softmaxForward, "f32", {
    ...masks,
    ...{ scores: dense, bias: undefined, p, scale: 1, causal: false, window: 0 },
  });
  record("scoresSoftmax", [scores], [p], {
    backward(pass, [dp]) {
      const ds = Tensor.empty(p.shape, "f32", p.device);
      runKernel(softmaxBackward, "f32", { dp, p, ds });
      pass.give(scores, ds);
    },
  });
  return p;
}

/** Sums of values `v [B, S, G, D]` with `weights [B, H, T, S]`: `[B, T, H, D]`. */
export function weightedValues(weights: Tensor, v: Tensor): Tensor {
  const [B, H, T, S] = weights.shape as Sizes4;
  const [, , G, D] = v.shape as Sizes4;
  const sums = matmul(reshape(weights, [B, G, (H / G) * T, S]), transpose(v, 1, 2));
  return transpose(reshape(sums, [B, H, T, D]), 1, 2);
}
