import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";
import { asF32 } from "./views.ts";

/**
 * RMSNorm over the last axis: `y = x · weight / sqrt(mean(x²) + eps)`.
 *
 * @param x      `[..., C]` activations
 * @param weight `[C]` gain
 * @param eps    added to the mean square before the root
 * @returns      `[..., C]`, in the dtype of `x`
 * @see Zhang & Sennrich 2019, "Root Mean Square Layer Normalization"
 */
export const rmsNorm = defineOp({
  name: "rmsNorm",
  args: (x: Tensor, weight: Tensor, eps: number = 1e-6) => ({ x, weight: asF32(weight), eps }),
  shapes: { x: "[..., C]", weight: "[C]", y: "[..., C]", rstd: "[...]" },
  output: "y",
  saved: ["rstd"],
});
