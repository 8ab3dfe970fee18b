import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";
import { asF32 } from "./views.ts";

/**
 * Layer normalization over the last axis: `y = (x − mean(x)) / sqrt(var(x) + eps) · weight + bias`.
 *
 * @param x      `[..., C]` activations
 * @param weight `[C]` gain
 * @param bias   `[C]`, or undefined for none
 * @param eps    added to the (biased) variance before the root
 * @returns      `[..., C]`, in the dtype of `x`
 * @see Ba, Kiros & Hinton 2016, "Layer Normalization"
 */
export const layerNorm = defineOp({
  name: "layerNorm",
  args: (x: Tensor, weight: Tensor, bias?: Tensor, eps: number = 1e-5) => ({
    x,
    weight: asF32(weight),
    bias: bias && asF32(bias),
    eps,
  }),
  shapes: { x: "[..., C]", weight: "[C]", bias: "[C]", y: "[..., C]", mean: "[...]", rstd: "[...]" },
  output: "y",
  saved: ["mean", "rstd"],
});
