import { filled } from "../autograd.ts";
import { scope, unscoped } from "../memory.ts";
import { configure } from "../native.ts";
import { copyInto } from "../op.ts";
import type { Shape } from "../shape.ts";
import { Tensor } from "../tensor.ts";

/** Memory of parameters next to each other that all have a gradient and have been updated equally often. */
export interface Stretch {
  readonly start: number;
  length: number;
  /** Updates of them, the one under way included. */
  readonly steps: number;
}

/** Elements from which on the former memory is worth giving back. */
const trimmed = 2 ** 22;

/** `shape` of the memory of `t`, from its element `start` on. */
export const part = (t: Tensor, start: number, shape: Shape): Tensor =>
  new Tensor(t.storage, shape, undefined, t.offset + start);

/**
 * Parameters in one flat array (they stay the same tensors), their gradients in another, and of what an optimizer
 * remembers of each element one array a name: an update is one kernel over all of them.
 */
export class FlatParameters {
  readonly parameters: readonly Tensor[];
  readonly values: Tensor;
  readonly gradients: Tensor;
  readonly state: ReadonlyMap<string, Tensor>;
  /** How often each parameter was updated. */
  readonly steps: number[];

  constructor(parameters: readonly Tensor[], stateNames: readonly string[]) {
    this.parameters = parameters;
    this.steps = parameters.map(() => 0);
    const { device } = parameters[0]!;
    const size = parameters.reduce((sum, p) => sum + p.size, 0);
    const flat = () => Tensor.empty([size], "f32", device);
    [this.values, this.gradients, this.state] = unscoped(() => {
      const values = flat();
      let start = 0;
      for (const p of parameters) {
        const own = part(values, start, p.shape);
        scope(() => copyInto(p, own));
        p.replaceStorage(own);
        p.gradient = undefined;
        start += p.size;
      }
      if (size > trimmed) configure("trim", true); // where the parameters were: the state below has other sizes
      const gradients = flat();
      for (const p of parameters) {
        p.gradientBuffer = part(gradients, p.offset, p.shape);
        p.bufferIsZero = false; // that of an optimizer before may have been
      }
      return [values, gradients, new Map(stateNames.map((name) => [name, filled(flat(), 0)]))];
    });
  }

  /** The parameters that have a gradient, and their places in `parameters`. */
  *withGradient(): Generator<[Tensor, number]> {
    for (const [i, p] of this.parameters.entries()) if (p.gradient !== undefined) yield [p, i];
  }

  /** The memory of those among `parameters` that have a gradient. */
  stretches(parameters: Iterable<[Tensor, number]> = this.withGradient()): Stretch[] {
    const found: Stretch[] = [];
    for (const [p, i] of parameters) {
      const steps = this.steps[i]!;
      const last = found.at(-1);
      if (last?.steps === steps && last.start + last.length === p.offset) last.length += p.size;
      else found.push({ start: p.offset, length: p.size, steps });
    }
    return found;
  }

  /** What is remembered of a parameter under a name, in its shape. */
  stateOf(p: Tensor, name: string): Tensor {
    return part(this.state.get(name)!, p.offset, p.shape);
  }
}
