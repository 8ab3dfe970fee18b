import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";

/** Rectified linear unit: `y = max(x, 0)`; its slope at 0 is 0. */
export const relu = defineOp({
  name: "relu",
  args: (x: Tensor) => ({ x }),
  shapes: { x: "[...]", y: "[...]" },
  output: "y",
});
