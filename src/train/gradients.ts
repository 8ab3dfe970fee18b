import { TrainformerError } from "../errors.ts";
import { sumsOfSquares } from "../ops/squares.ts";
import type { Tensor } from "../tensor.ts";

/** The trained parameters of a model by name, in its order. */
export type NamedParameters = readonly (readonly [name: string, parameter: Tensor])[];

/** `[P]`: the sum of squares of each parameter's gradient, 0 where there is none. Nothing waits for it. */
export function squaresOf(parameters: NamedParameters): Tensor {
  const gradients = parameters.map(([, { gradient }]) => (gradient ? [gradient] : []));
  return sumsOfSquares(gradients, parameters[0]![1].device);
}

/** A loss or a gradient was infinite or no number (ERR_NON_FINITE). */
export class NonFiniteError extends TrainformerError {
  /** The update, counted from 1. */
  readonly step: number;
  readonly loss: number;
  /** The first parameter, in the order of the model, whose gradient is not finite. */
  readonly parameter: string | undefined;

  constructor(step: number, loss: number, parameter: string | undefined, advice: string) {
    const found =
      parameter === undefined ? "" : `; the first gradient that is not finite is that of ${parameter}`;
    super("ERR_NON_FINITE", `Trainer: step ${step}: the loss is ${loss}${found}. ${advice}`);
    this.step = step;
    this.loss = loss;
    this.parameter = parameter;
  }
}

/** The first parameter whose squares are not finite. */
export function firstNonFinite(parameters: NamedParameters, squares: ArrayLike<number>): string | undefined {
  const i = Array.from(squares).findIndex((square) => !Number.isFinite(square));
  return parameters[i]?.[0];
}
