import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";

export interface CrossEntropyOptions {
  /** Targets of this value count for nothing. Default -100. */
  ignoreIndex?: number;
  /** ε: the target has probability 1 − ε, and ε is spread over all V classes. Default 0. */
  labelSmoothing?: number;
  /** "mean" over the targets that count (default), or "sum". */
  reduction?: "mean" | "sum";
}

/**
 * Cross entropy of logits, fused with their softmax: `−log softmax(logits)[target]`.
 *
 * @param logits  `[..., V]`
 * @param targets `[...]` i32, each in [0, V) or `ignoreIndex`
 * @returns       `[]` f32
 * @see Szegedy et al. 2016, "Rethinking the Inception Architecture" (label smoothing)
 */
export const crossEntropy = defineOp({
  name: "crossEntropy",
  args: (logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}) => ({
    logits,
    targets,
    ignoreIndex: options.ignoreIndex ?? -100,
    labelSmoothing: options.labelSmoothing ?? 0,
    mean: (options.reduction ?? "mean") === "mean",
  }),
  shapes: { logits: "[..., V]", targets: "[...]", loss: "[]", lse: "[...]", weight: "[]" },
  output: "loss",
  saved: ["lse", "weight"],
});
