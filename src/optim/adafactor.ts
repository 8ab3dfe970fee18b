import { addInto } from "../autograd.ts";
import { ArgumentError, checkNumber } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import { add, mul, scale } from "../ops/elementwise.ts";
import { mean } from "../ops/reductions.ts";
import { sumsOfSquares } from "../ops/squares.ts";
import { reshape } from "../ops/views.ts";
import type { Shape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import {
  type Block,
  type ClippingByNorm,
  type CommonOptions,
  clipInPlace,
  FlatOptimizer,
} from "./flat-optimizer.ts";
import { part } from "./flat-parameters.ts";
import type { ParameterGroup, StepOptions } from "./optimizer.ts";

const lerp = kernelNamed("lerp");
const root = kernelNamed("root");
const sgd = kernelNamed("sgd");

export interface AdafactorOptions {
  /** Only with `relativeStep: false`, where it must be given. */
  learningRate?: number;
  /** Added to squares of gradients, and the least root mean square of a parameter. Default [1e-30, 1e-3]. */
  eps?: readonly [number, number];
  /** The largest root mean square of an update, before the learning rate. Default 1. */
  clipThreshold?: number;
  /** The means of squares keep `1 − t^decayRate` at step t. Default −0.8. */
  decayRate?: number;
  /** Decay of a running mean of updates. Default undefined: none is kept. */
  beta1?: number | undefined;
  /** Applied to parameters of at least two dimensions; gains and biases are not decayed, but in groups. Default 0. */
  weightDecay?: number;
  /** The learning rate is multiplied by the root mean square of the parameter. Default true. */
  scaleParameter?: boolean;
  /** The learning rate is `min(10⁻², 1/√t)`. Default: whether `learningRate` is left out. */
  relativeStep?: boolean;
  /** With a relative step: `min(10⁻⁶ t, 1/√t)`. Default false. */
  warmupInit?: boolean;
}

type Complete = CommonOptions & Required<Omit<AdafactorOptions, "beta1">> & { beta1: number | undefined };

const largestRelativeStep = 1e-2;

/**
 * Adam whose mean of squares of a matrix `[R, C]` is the product of R means over rows and C over columns: next to
 * nothing is remembered. At step t, with `w = t^decayRate`:
 *
 * - rows += w (mean over columns of (g² + eps₁) − rows), and columns likewise
 * - u = g / √(rows · columns / mean(rows)), u /= max(1, RMS(u) / clipThreshold)
 * - α = learningRate · max(eps₂, RMS(p)), p −= α (u + weightDecay · p)
 *
 * Definitions and defaults are those of Hugging Face's Adafactor.
 *
 * @see Shazeer & Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost"
 */
export class Adafactor extends FlatOptimizer<Complete> {
  constructor(
    parameters: Iterable<Tensor> | Iterable<ParameterGroup<AdafactorOptions>>,
    options: AdafactorOptions = {},
  ) {
    super(parameters, options);
  }

  protected typeName(): string {
    return "Adafactor";
  }

  protected complete(where: string, options: AdafactorOptions): Complete {
    const { learningRate, beta1, relativeStep = learningRate === undefined, warmupInit = false } = options;
    if (!relativeStep && learningRate === undefined)
      throw new ArgumentError(`${where}: learningRate must be given with relativeStep: false`);
    if (relativeStep && learningRate !== undefined && learningRate !== largestRelativeStep)
      throw new ArgumentError(
        `${where}: learningRate and relativeStep: true exclude each other; got ${learningRate}`,
      );
    if (warmupInit && !relativeStep) throw new ArgumentError(`${where}: warmupInit needs relativeStep: true`);
    const [eps1, eps2] = options.eps ?? [1e-30, 1e-3];
    return {
      learningRate: checkNumber(`${where}: learningRate`, learningRate ?? largestRelativeStep, 0),
      eps: [checkNumber(`${where}: eps[0]`, eps1, 0), checkNumber(`${where}: eps[1]`, eps2, 0)],
      clipThreshold: checkNumber(`${where}: clipThreshold`, options.clipThreshold ?? 1, Number.MIN_VALUE),
      decayRate: checkNumber(`${where}: decayRate`, options.decayRate ?? -0.8, -Infinity, 0),
      beta1: beta1 === undefined ? undefined : checkNumber(`${where}: beta1`, beta1, 0, 1),
      weightDecay: checkNumber(`${where}: weightDecay`, options.weightDecay ?? 0, 0),
      scaleParameter: options.scaleParameter ?? true,
      relativeStep,
      warmupInit,
    };
  }

  protected stateNames({ beta1 }: Complete): readonly string[] {
    return beta1 === undefined ? [] : ["exp_avg"];
  }

  protected override ownState({ shape }: Tensor): Record<string, Shape> {
    if (shape.length < 2) return { exp_avg_sq: shape };
    return { exp_avg_sq_row: shape.slice(0, -1), exp_avg_sq_col: [...shape.slice(0, -2), shape.at(-1)!] };
  }

  override step(options: StepOptions = {}): { gradNorm: Tensor } {
    if (options.learningRate !== undefined && this.defaults.relativeStep) {
      throw new ArgumentError(
        `${this.typeName()}.step: learningRate follows from the step; construct with relativeStep: false to give one`,
      );
    }
    return super.step(options);
  }

  protected update(block: Block<Complete>, learningRate: number, clipping: ClippingByNorm): void {
    const { options, flat } = block;
    clipInPlace(flat, clipping);
    for (const [p, i] of flat.withGradient()) {
      const t = flat.steps[i]!;
      const cap = options.warmupInit ? 1e-6 * t : largestRelativeStep;
      const rate = options.relativeStep ? Math.min(cap, 1 / Math.sqrt(t)) : learningRate;
      this.updateOne(block, p, i, rate, t ** options.decayRate);
    }
  }

  private updateOne(
    { options, flat, own }: Block<Complete>,
    p: Tensor,
    i: number,
    rate: number,
    weight: number,
  ) {
    const { eps, clipThreshold, beta1, weightDecay, scaleParameter } = options;
    const gradient = part(flat.gradients, p.offset, p.shape);
    const values = part(flat.values, p.offset, p.shape);
    const u = normalized(gradient, own[i]!, eps[0], weight);
    // Factors of all elements are numbers in memory of the device: nothing is read here.
    let factor = rootOf(meanSquare(u, clipThreshold), 1, true);
    const size = scaleParameter ? rootOf(meanSquare(values), eps[1] ** 2) : undefined;
    if (size !== undefined) factor = mul(factor, size);
    let change = mul(u, scale(factor, rate));
    if (beta1 !== undefined) {
      const average = flat.stateOf(p, "exp_avg");
      runKernel(lerp, "f32", { y: flatView(average), x: flatView(change), weight: 1 - beta1 });
      change = average;
    }
    let decay = rate * weightDecay;
    if (size !== undefined && decay > 0) {
      const shrunk = mul(values, scale(size, -decay));
      addInto(values, shrunk);
      decay = 0;
    }
    const descent = {
      learningRate: 1,
      momentum: 0,
      dampening: 0,
      weightDecay: decay,
      nesterov: false,
      maxNorm: 0,
    };
    runKernel(sgd, "f32", { parameter: flatView(values), gradient: flatView(change), ...descent });
  }
}

const flatView = (t: Tensor): Tensor => part(t, 0, [t.size]);

/** √max(x, floor), or one over it. */
function rootOf(x: Tensor, floor: number, inverse = false): Tensor {
  const y = Tensor.empty(x.shape, "f32", x.device);
  runKernel(root, "f32", { x: flatView(x), y: flatView(y), floor, inverse });
  return y;
}

/** The mean of (x / divisor)², `[1]`. */
function meanSquare(x: Tensor, divisor = 1): Tensor {
  return scale(sumsOfSquares([[x]], x.device), 1 / (x.size * divisor ** 2));
}

/** The gradient over the root of its mean square, which moves towards that of this gradient by `weight`. */
function normalized(g: Tensor, own: ReadonlyMap<string, Tensor>, eps: number, weight: number): Tensor {
  const square = mul(g, g);
  const follow = (name: string, x: Tensor): Tensor => {
    const y = own.get(name)!;
    runKernel(lerp, "f32", { y: flatView(y), x: flatView(x), weight });
    return y;
  };
  if (g.rank < 2) return mul(g, rootOf(follow("exp_avg_sq", add(square, eps)), 0, true));
  const rows = follow("exp_avg_sq_row", add(mean(square, -1), eps));
  const columns = follow("exp_avg_sq_col", add(mean(square, -2), eps));
  const byRow = mul(rootOf(rows, 0, true), rootOf(mean(rows, -1, { keepDim: true }), 0));
  const byColumn = rootOf(columns, 0, true);
  const across = reshape(byColumn, [...g.shape.slice(0, -2), 1, g.shape.at(-1)!]);
  return mul(mul(g, reshape(byRow, [...g.shape.slice(0, -1), 1])), across);
}
