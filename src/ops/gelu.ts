import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";

/**
 * Gaussian error linear unit, exact: `y = x/2 · (1 + erf(x / √2))`.
 * @see Hendrycks & Gimpel 2016, "Gaussian Error Linear Units"
 */
export const gelu = defineOp({
  name: "gelu",
  args: (x: Tensor) => ({ x }),
  shapes: { x: "[...]", y: "[...]" },
  output: "y",
});

/** GELU by its tanh approximation, as GPT-2 has it: `y = x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))`. */
export const geluTanh = defineOp({
  name: "geluTanh",
  args: (x: Tensor) => ({ x }),
  shapes: { x: "[...]", y: "[...]" },
  output: "y",
});
