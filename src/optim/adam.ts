import { checkNumber } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { type OpValues, runKernel } from "../op.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Block, type ClippingByNorm, type CommonOptions, FlatOptimizer } from "./flat-optimizer.ts";
import { part } from "./flat-parameters.ts";
import type { ParameterGroup } from "./optimizer.ts";

const adam = kernelNamed("adam");

export interface AdamOptions {
  /** Default 1e-3. */
  learningRate?: number;
  /** Decay of the running means of the gradient and of its square. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Added to the root of the second mean. Default 1e-8. */
  eps?: number;
  /** `weightDecay · parameter` is added to the gradient. Not to that of gains and biases, but in groups. Default 0. */
  weightDecay?: number;
  /** Divides by the root of the largest second mean so far (Reddi et al. 2018). Default false. */
  amsgrad?: boolean;
}

/** Complete and checked. */
export type CompleteAdam = CommonOptions & Required<AdamOptions>;

const [mean, meanSquare, largest] = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"] as const;

/**
 * Adam: steps of the running mean of the gradient over the root of that of its square. Weight decay is a part of the
 * gradient; AdamW has it apart.
 *
 * @see Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization"; AdamW says what becomes of the parameters
 */
export class Adam extends FlatOptimizer<CompleteAdam> {
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;

  constructor(
    parameters: Iterable<Tensor> | Iterable<ParameterGroup<AdamOptions>>,
    options: AdamOptions = {},
  ) {
    super(parameters, options);
    const { betas, eps, weightDecay } = this.complete(this.typeName(), options);
    [this.betas, this.eps, this.weightDecay] = [betas, eps, weightDecay];
  }

  protected typeName(): string {
    return "Adam";
  }
  /** Whether the decay shrinks the parameter instead of being a part of its gradient. */
  protected get isDecoupled(): boolean {
    return false;
  }

  protected complete(where: string, options: AdamOptions): CompleteAdam {
    const [beta1, beta2] = options.betas ?? [0.9, 0.999];
    const defaultDecay = this.isDecoupled ? 0.01 : 0;
    return {
      learningRate: checkNumber(`${where}: learningRate`, options.learningRate ?? 1e-3, 0),
      betas: [checkNumber(`${where}: betas[0]`, beta1, 0, 1), checkNumber(`${where}: betas[1]`, beta2, 0, 1)],
      eps: checkNumber(`${where}: eps`, options.eps ?? 1e-8, 0),
      weightDecay: checkNumber(`${where}: weightDecay`, options.weightDecay ?? defaultDecay, 0),
      amsgrad: options.amsgrad ?? false,
    };
  }

  protected stateNames({ amsgrad }: CompleteAdam): readonly string[] {
    return amsgrad ? [mean, meanSquare, largest] : [mean, meanSquare];
  }

  /** Arguments of a kernel: `shape` of the memory from `start` on, whose parameters are updated for the `steps`-th time. */
  protected arguments(
    { options, flat }: Block<CompleteAdam>,
    { start, shape, steps }: { start: number; shape: Shape; steps: number },
  ): OpValues {
    const [beta1, beta2] = options.betas;
    return {
      parameter: part(flat.values, start, shape),
      m: part(flat.state.get(mean)!, start, shape),
      v: part(flat.state.get(meanSquare)!, start, shape),
      gradient: part(flat.gradients, start, shape),
      beta1,
      beta2,
      eps: options.eps,
      correction1: 1 - beta1 ** steps,
      correction2: 1 - beta2 ** steps,
    };
  }

  protected update(block: Block<CompleteAdam>, learningRate: number, clipping: ClippingByNorm): void {
    const { options, flat } = block;
    const { weightDecay } = options;
    const decay = this.isDecoupled
      ? { weightDecay, coupledDecay: 0 }
      : { weightDecay: 0, coupledDecay: weightDecay };
    for (const { start, length, steps } of flat.stretches()) {
      const shape = [length];
      const most = options.amsgrad ? part(flat.state.get(largest)!, start, shape) : undefined;
      const values = this.arguments(block, { start, shape, steps });
      runKernel(adam, "f32", { ...values, ...clipping, ...decay, learningRate, largest: most });
    }
  }
}
