import { checkNumber } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { type Block, type ClippingByNorm, type CommonOptions, FlatOptimizer } from "./flat-optimizer.ts";
import { part } from "./flat-parameters.ts";
import type { ParameterGroup } from "./optimizer.ts";

const lion = kernelNamed("lion");

export interface LionOptions {
  /** Default 1e-4: a third to a tenth of that of AdamW. */
  learningRate?: number;
  /** How much of the mean is in a step, and how much of it stays. Default [0.9, 0.99]. */
  betas?: readonly [number, number];
  /** Applied to parameters of at least two dimensions; gains and biases are not decayed, but in groups. Default 0. */
  weightDecay?: number;
}

type Complete = CommonOptions & Required<LionOptions>;

/**
 * Steps of the sign of the gradient's running mean m:
 * `p −= learningRate · (sign(β₁ m + (1 − β₁) g) + weightDecay · p)`, `m = β₂ m + (1 − β₂) g`. One number is remembered
 * for each parameter, half of what Adam remembers.
 *
 * @see Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms"
 */
export class Lion extends FlatOptimizer<Complete> {
  constructor(
    parameters: Iterable<Tensor> | Iterable<ParameterGroup<LionOptions>>,
    options: LionOptions = {},
  ) {
    super(parameters, options);
  }

  protected typeName(): string {
    return "Lion";
  }

  protected complete(where: string, options: LionOptions): Complete {
    const [beta1, beta2] = options.betas ?? [0.9, 0.99];
    return {
      learningRate: checkNumber(`${where}: learningRate`, options.learningRate ?? 1e-4, 0),
      betas: [checkNumber(`${where}: betas[0]`, beta1, 0, 1), checkNumber(`${where}: betas[1]`, beta2, 0, 1)],
      weightDecay: checkNumber(`${where}: weightDecay`, options.weightDecay ?? 0, 0),
    };
  }

  protected stateNames(): readonly string[] {
    return ["exp_avg"];
  }

  protected update({ options, flat }: Block<Complete>, learningRate: number, clipping: ClippingByNorm): void {
    const [beta1, beta2] = options.betas;
    for (const { start, length } of flat.stretches()) {
      runKernel(lion, "f32", {
        parameter: part(flat.values, start, [length]),
        m: part(flat.state.get("exp_avg")!, start, [length]),
        gradient: part(flat.gradients, start, [length]),
        ...clipping,
        learningRate,
        beta1,
        beta2,
        weightDecay: options.weightDecay,
      });
    }
  }
}
