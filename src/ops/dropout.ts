import { defineOp } from "../autograd.ts";
import { checkNumber } from "../errors.ts";
import { type GeneratorState, reserveRandom } from "../generator.ts";
import type { Tensor } from "../tensor.ts";

const masked = defineOp({
  name: "dropout",
  args: (x: Tensor, p: number, random: GeneratorState) => ({ x, p, ...random }),
  shapes: { x: "[...]", y: "[...]" },
  output: "y",
});

/**
 * Inverted dropout: each element is 0 with probability `p`, else `x / (1 − p)`.
 *
 * The mask is a function of the generator's state (see `manualSeed`): it is made again in the backward pass, never
 * stored, and the same on every device.
 *
 * @param training false returns `x` itself
 * @see Srivastava et al. 2014, "Dropout"
 */
export function dropout(x: Tensor, p = 0.5, training = true): Tensor {
  checkNumber("dropout: p", p, 0, 1);
  return p === 0 || !training ? x : masked(x, p, reserveRandom(x.size));
}
