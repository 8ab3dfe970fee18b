import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";

/** Sigmoid linear unit, also called swish: `y = x / (1 + e⁻ˣ)`. */
export const silu = defineOp({
  name: "silu",
  args: (x: Tensor) => ({ x }),
  shapes: { x: "[...]", y: "[...]" },
  output: "y",
});
