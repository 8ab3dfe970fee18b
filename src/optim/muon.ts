import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import { add, mul, scale } from "../ops/elementwise.ts";
import { matmul } from "../ops/products.ts";
import { sumsOfSquares } from "../ops/squares.ts";
import { contiguous } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import {
  type Block,
  type ClippingByNorm,
  type CommonOptions,
  clipInPlace,
  FlatOptimizer,
} from "./flat-optimizer.ts";
import { part } from "./flat-parameters.ts";
import type { ParameterGroup } from "./optimizer.ts";

const lerp = kernelNamed("lerp");
const root = kernelNamed("root");
const sgd = kernelNamed("sgd");

const adjustments = {
  /** As tall matrices need it: √max(1, rows / columns). */
  original: ([rows, columns]: readonly number[]) => Math.sqrt(Math.max(1, rows! / columns!)),
  /** Updates as large as those of AdamW, so that its learning rate fits (Liu et al. 2025): 0.2 √max(rows, columns). */
  match_rms_adamw: ([rows, columns]: readonly number[]) => 0.2 * Math.sqrt(Math.max(rows!, columns!)),
} as const;

export interface MuonOptions {
  /** Default 1e-3. */
  learningRate?: number;
  /** Default 0.1. */
  weightDecay?: number;
  /** Default 0.95. */
  momentum?: number;
  /** Looks ahead by a step of the momentum. Default true. */
  nesterov?: boolean;
  /** Of the polynomial `aX + b(XXᵀ)X + c(XXᵀ)²X`. Default [3.4445, −4.775, 2.0315]. */
  nsCoefficients?: readonly [number, number, number];
  /** How often it is applied. Default 5. */
  nsSteps?: number;
  /** The least norm by which an update is divided. Default 1e-7. */
  eps?: number;
  /** How the learning rate of a matrix follows from its shape. Default "original". */
  adjustLrFn?: keyof typeof adjustments;
}

type Complete = CommonOptions & Required<MuonOptions>;

/**
 * Momentum whose matrix is made orthogonal, nearly, before it is a step: all directions in it have the same length. For
 * the matrices inside of a network; embeddings, output layers, gains and biases need another optimizer, which
 * `makeOptimizer("muon", …)` gives them.
 *
 * With the momentum `b += (1 − momentum) (g − b)` and `u = g + momentum · (b − g)` (without nesterov `u = b`):
 * `p −= learningRate · (adjustment · NS(u / ‖u‖) + weightDecay · p)`, where NS is `nsSteps` times the polynomial, in f32
 * (the reference rounds to bf16).
 *
 * @see Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; defaults are PyTorch's
 */
export class Muon extends FlatOptimizer<Complete> {
  /** @throws ERR_ARGUMENT for parameters that are no matrices */
  constructor(
    parameters: Iterable<Tensor> | Iterable<ParameterGroup<MuonOptions>>,
    options: MuonOptions = {},
  ) {
    super(parameters, options);
  }

  protected typeName(): string {
    return "Muon";
  }

  protected complete(where: string, options: MuonOptions): Complete {
    const { nsCoefficients = [3.4445, -4.775, 2.0315], adjustLrFn = "original" } = options;
    if (nsCoefficients.length !== 3)
      throw new ArgumentError(`${where}: nsCoefficients must be three numbers; got ${nsCoefficients.length}`);
    if (!Object.hasOwn(adjustments, adjustLrFn)) {
      const names = Object.keys(adjustments).join(", ");
      throw new ArgumentError(`${where}: adjustLrFn must be one of ${names}; got ${String(adjustLrFn)}`);
    }
    const [a, b, c] = nsCoefficients.map((x, i) => checkNumber(`${where}: nsCoefficients[${i}]`, x));
    return {
      learningRate: checkNumber(`${where}: learningRate`, options.learningRate ?? 1e-3, 0),
      weightDecay: checkNumber(`${where}: weightDecay`, options.weightDecay ?? 0.1, 0),
      momentum: checkNumber(`${where}: momentum`, options.momentum ?? 0.95, 0, 1),
      nesterov: options.nesterov ?? true,
      nsCoefficients: [a!, b!, c!],
      nsSteps: checkInteger(`${where}: nsSteps`, options.nsSteps ?? 5, 1, 99),
      eps: checkNumber(`${where}: eps`, options.eps ?? 1e-7, 0),
      adjustLrFn,
    };
  }

  protected override checkParameter(where: string, { shape }: Tensor): void {
    if (shape.length === 2) return;
    throw new ArgumentError(
      `${where}: parameters must be matrices [rows, columns]; got ${showShape(shape)} (give others to another optimizer, or use makeOptimizer("muon", …))`,
    );
  }

  protected stateNames(): readonly string[] {
    return ["momentum_buffer"];
  }

  protected update({ options, flat }: Block<Complete>, learningRate: number, clipping: ClippingByNorm): void {
    const { momentum, nesterov, weightDecay, adjustLrFn } = options;
    clipInPlace(flat, clipping);
    const buffer = flat.state.get("momentum_buffer")!;
    for (const { start, length } of flat.stretches()) {
      const b = part(buffer, start, [length]);
      const g = part(flat.gradients, start, [length]);
      runKernel(lerp, "f32", { y: b, x: g, weight: 1 - momentum });
      if (nesterov) runKernel(lerp, "f32", { y: g, x: b, weight: momentum });
    }
    const source = nesterov ? flat.gradients : buffer;
    for (const [p] of flat.withGradient()) {
      const x = orthogonalized(part(source, p.offset, p.shape), options);
      const adjustment = adjustments[adjustLrFn](p.shape);
      runKernel(sgd, "f32", {
        parameter: part(flat.values, p.offset, [p.size]),
        gradient: part(contiguous(x), 0, [p.size]),
        learningRate: learningRate * adjustment,
        weightDecay: weightDecay / adjustment, // of which the update takes learningRate · adjustment
        ...{ maxNorm: 0, momentum: 0, dampening: 0, nesterov: false },
      });
    }
  }
}

/** A matrix with the singular vectors of `u` and singular values near 1, by Newton's and Schulz's iteration. */
function orthogonalized(u: Tensor, { nsCoefficients: [a, b, c], nsSteps, eps }: Complete): Tensor {
  const isTall = u.shape[0]! > u.shape[1]!;
  const inverse = Tensor.empty([1], "f32", u.device);
  runKernel(root, "f32", { x: sumsOfSquares([[u]], u.device), y: inverse, floor: eps ** 2, inverse: true });
  let x = contiguous(isTall ? mul(u, inverse).T : mul(u, inverse)); // the shorter side first: its square is the smaller one
  for (let i = 0; i < nsSteps; i++) {
    const gram = matmul(x, x.T);
    const polynomial = add(scale(gram, b), matmul(scale(gram, c), gram));
    x = add(scale(x, a), matmul(polynomial, x));
  }
  return isTall ? x.T : x;
}
