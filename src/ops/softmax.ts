import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";

/** Softmax over the last axis: `y = e^(x − max x) / Σ e^(x − max x)`. `x [..., C]`, `y [..., C]`. */
export const softmax = defineOp({
  name: "softmax",
  args: (x: Tensor) => ({ x }),
  shapes: { x: "[..., C]", y: "[..., C]" },
  output: "y",
});
