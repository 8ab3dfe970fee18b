import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";

/** Hyperbolic tangent: `y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)`. */
export const tanh = defineOp({
  name: "tanh",
  args: (x: Tensor) => ({ x }),
  shapes: { x: "[...]", y: "[...]" },
  output: "y",
});
