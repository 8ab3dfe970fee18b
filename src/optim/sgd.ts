import { ArgumentError, checkNumber } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { type Block, type ClippingByNorm, type CommonOptions, FlatOptimizer } from "./flat-optimizer.ts";
import { part } from "./flat-parameters.ts";
import type { ParameterGroup } from "./optimizer.ts";

const sgd = kernelNamed("sgd");

export interface SGDOptions {
  /** Default 1e-3. */
  learningRate?: number;
  /** Default 0: none. */
  momentum?: number;
  /** What the gradient lacks when it is added to the momentum. Default 0. */
  dampening?: number;
  /** `weightDecay · parameter` is added to the gradient. Not to that of gains and biases, but in groups. Default 0. */
  weightDecay?: number;
  /** Looks ahead by a step of the momentum. Default false. */
  nesterov?: boolean;
}

type Complete = CommonOptions & Required<SGDOptions>;

/**
 * Stochastic gradient descent, with momentum b:
 * `g += weightDecay · p`, `b = momentum · b + (1 − dampening) g` (at first `b = g`), `p −= learningRate · b`; with
 * `nesterov` it is `p −= learningRate · (g + momentum · b)`.
 *
 * @see Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning"
 */
export class SGD extends FlatOptimizer<Complete> {
  constructor(parameters: Iterable<Tensor> | Iterable<ParameterGroup<SGDOptions>>, options: SGDOptions = {}) {
    super(parameters, options);
  }

  protected typeName(): string {
    return "SGD";
  }

  protected complete(where: string, options: SGDOptions): Complete {
    const nesterov = options.nesterov ?? false;
    const momentum = checkNumber(`${where}: momentum`, options.momentum ?? 0, 0);
    const dampening = checkNumber(`${where}: dampening`, options.dampening ?? 0);
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new ArgumentError(
        `${where}: nesterov needs a momentum above 0 and a dampening of 0; got ${momentum}, ${dampening}`,
      );
    }
    return {
      learningRate: checkNumber(`${where}: learningRate`, options.learningRate ?? 1e-3, 0),
      momentum,
      dampening,
      weightDecay: checkNumber(`${where}: weightDecay`, options.weightDecay ?? 0, 0),
      nesterov,
    };
  }

  protected stateNames({ momentum }: Complete): readonly string[] {
    return momentum === 0 ? [] : ["momentum_buffer"];
  }

  protected update({ options, flat }: Block<Complete>, learningRate: number, clipping: ClippingByNorm): void {
    const { momentum, dampening, weightDecay, nesterov } = options;
    const buffer = flat.state.get("momentum_buffer");
    for (const { start, length, steps } of flat.stretches()) {
      runKernel(sgd, "f32", {
        parameter: part(flat.values, start, [length]),
        velocity: buffer && part(buffer, start, [length]),
        gradient: part(flat.gradients, start, [length]),
        ...clipping,
        learningRate,
        momentum,
        dampening: steps === 1 ? 0 : dampening,
        weightDecay,
        nesterov,
      });
    }
  }
}
