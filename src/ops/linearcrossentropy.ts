import { defineOp, isRecording } from "../autograd.ts";
import { checkShapes } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { type CrossEntropyOptions, crossEntropy } from "./crossentropy.ts";
import { packedWeight } from "./packed-weight.ts";
import { linear } from "./products.ts";
import { asF32 } from "./views.ts";

export interface LinearCrossEntropyOptions extends CrossEntropyOptions {
  /** `[V]`, added to the logits. Default none. */
  bias?: Tensor;
}

const shapes = { x: "[..., C]", weight: "[V, C]", bias: "[V]", targets: "[...]" };

/** The weight, and what products of bf16 read in its place. */
function withPacks(x: Tensor, weight: Tensor): { weight: Tensor; forward?: Tensor; backward?: Tensor } {
  if (x.dtype !== "bf16") return { weight };
  const forward = packedWeight(weight, "forward", "bf16");
  if (!isRecording([x, weight])) return { weight, forward };
  return { weight, forward, backward: packedWeight(weight, "backward", "bf16") };
}

/** @internal The strategy that never holds all logits: a fourth product in place of them and their gradient. */
export const chunkedCrossEntropy = defineOp({
  name: "linearCrossEntropy",
  args: (x: Tensor, weight: Tensor, targets: Tensor, options: LinearCrossEntropyOptions = {}) => ({
    x,
    ...withPacks(x, asF32(weight)),
    bias: options.bias && asF32(options.bias),
    targets,
    ignoreIndex: options.ignoreIndex ?? -100,
    labelSmoothing: options.labelSmoothing ?? 0,
    mean: (options.reduction ?? "mean") === "mean",
  }),
  shapes: { ...shapes, forward: "[P]", backward: "[Q]", loss: "[]", lse: "[...]", scale: "[]" },
  output: "loss",
  saved: ["lse", "scale"],
});

/** From so many logits on they are not held: 64 MB in f32, with as much for their gradient. */
const manyLogits = 2 ** 24;

/**
 * Cross entropy of the logits `x · weightᵀ + bias`: the head of a language model with its loss.
 *
 * Fewer than 2^24 logits are held between the passes: it is `crossEntropy(linear(x, weight, bias), targets)`. More
 * never exist at once: each pass makes them chunk by chunk, which takes a third more arithmetic and only some
 * megabytes.
 *
 * @param x       `[..., C]`
 * @param weight  `[V, C]`
 * @param targets `[...]` i32, each in [0, V) or `ignoreIndex`
 * @returns       `[]` f32
 */
export function linearCrossEntropy(
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  const { bias, ...rest } = options;
  checkShapes({ name: "linearCrossEntropy", shapes }, { x, weight, bias, targets });
  if (targets.size * weight.shape[0]! >= manyLogits) return chunkedCrossEntropy(x, weight, targets, options);
  const logits = linear(x, weight, bias);
  if (logits.node) logits.node.isOverwritable = true; // nobody else can see them
  return crossEntropy(logits, targets, rest);
}
