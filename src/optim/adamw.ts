import { filled } from "../autograd.ts";
import type { Device } from "../device.ts";
import { ArgumentError, checkNumber, DtypeError } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { configure, kernelNamed } from "../native.ts";
import { commonDevice, copyInto, type OpValues, runKernel } from "../op.ts";
import { type CurrentPacks, currentPacks, markCurrent } from "../ops/packed-weight.ts";
import { Tensor } from "../tensor.ts";

const adamw = kernelNamed("adamw");
const adamwPacked = kernelNamed("adamw_packed");
const squareNorm = kernelNamed("square_norm");

export interface AdamWOptions {
  /** Default 1e-3. */
  learningRate?: number;
  /** Decay of the running means of the gradient and of its square. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Added to the root of the second mean. Default 1e-8. */
  eps?: number;
  /** Applied to parameters of at least two dimensions; gains and biases are not decayed. Default 0.01. */
  weightDecay?: number;
}

export interface StepOptions {
  /** For this step, in place of the optimizer's. */
  learningRate?: number;
  /** Scales all gradients so that their common norm is at most this. Default: no clipping. */
  maxGradNorm?: number;
}

/** Parameters that are treated alike, and their state: flat arrays in which each parameter has its place. */
interface Group {
  parameters: Tensor[];
  decay: boolean;
  values: Tensor;
  gradients: Tensor;
  m: Tensor;
  v: Tensor;
}

/**
 * Adam with decoupled weight decay.
 *
 * The parameters move into one flat array (they stay the same tensors), and so do their gradients: a step is one kernel
 * over all of them. It uses the gradients up: after it, `grad` is undefined and the next backward pass starts anew.
 *
 * @see Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization"
 */
export class AdamW {
  learningRate: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
  /** Steps taken so far. */
  stepCount = 0;
  private readonly groups: Group[];
  private readonly device: Device;

  constructor(parameters: Iterable<Tensor>, options: AdamWOptions = {}) {
    this.learningRate = checkNumber("AdamW: learningRate", options.learningRate ?? 1e-3, 0);
    const [beta1, beta2] = options.betas ?? [0.9, 0.999];
    this.betas = [checkNumber("AdamW: betas[0]", beta1, 0, 1), checkNumber("AdamW: betas[1]", beta2, 0, 1)];
    this.eps = checkNumber("AdamW: eps", options.eps ?? 1e-8, 0);
    this.weightDecay = checkNumber("AdamW: weightDecay", options.weightDecay ?? 0.01, 0);
    const all = [...new Set(parameters)];
    for (const p of all) {
      if (!(p instanceof Tensor) || !p.requiresGrad || p.node !== undefined) {
        throw new ArgumentError(
          "AdamW: parameters must be tensors with requiresGrad that no operation produced",
        );
      }
      if (p.dtype !== "f32") throw new DtypeError(`AdamW: parameters must be f32; got ${p.dtype}`);
    }
    this.device = commonDevice("AdamW", { ...all });
    if (all.length === 0) throw new ArgumentError("AdamW: parameters must not be empty");
    const groups = [all.filter((p) => p.rank >= 2), all.filter((p) => p.rank < 2)];
    this.groups = groups.flatMap((members, i) => (members.length === 0 ? [] : [flatten(members, i === 0)]));
  }

  /**
   * Updates every parameter that has a gradient, and uses the gradients up.
   *
   * @returns the norm of all gradients before clipping, `[]`
   */
  step(options: StepOptions = {}): { gradNorm: Tensor } {
    const learningRate = checkNumber(
      "AdamW.step: learningRate",
      options.learningRate ?? this.learningRate,
      0,
    );
    const maxNorm = checkNumber("AdamW.step: maxGradNorm", options.maxGradNorm ?? 0, 0);
    const gradNorm = filled(Tensor.empty([], "f32", this.device), 0);
    const square = filled(Tensor.empty([], "f32", this.device), 0);
    for (const { gradients, parameters } of this.groups) {
      for (const { start, length } of stretches(parameters)) {
        runKernel(squareNorm, "f32", { x: part(gradients, start, [length]), square, norm: gradNorm });
      }
    }
    this.stepCount++;
    const [beta1, beta2] = this.betas;
    const constants = {
      norm: maxNorm > 0 ? gradNorm : undefined,
      maxNorm,
      learningRate,
      beta1,
      beta2,
      eps: this.eps,
      correction1: 1 - beta1 ** this.stepCount,
      correction2: 1 - beta2 ** this.stepCount,
    };
    for (const group of this.groups)
      update(group, { ...constants, weightDecay: group.decay ? this.weightDecay : 0 });
    square.dispose();
    this.zeroGrad();
    for (const { parameters, decay, gradients } of this.groups) {
      // Gains and biases get sums over rows, which are added to zeros: better all at once.
      if (decay) continue;
      filled(gradients, 0);
      for (const p of parameters) p.bufferIsZero = true;
    }
    return { gradNorm };
  }

  /** Forgets all gradients. `step` does so itself. */
  zeroGrad(): void {
    for (const { parameters } of this.groups) for (const p of parameters) p.gradient = undefined;
  }
}

/** Elements of a group whose former memory is worth giving back. */
const trimmed = 2 ** 22;

function flatten(parameters: Tensor[], decay: boolean): Group {
  const { device } = parameters[0]!;
  return unscoped(() => {
    const size = parameters.reduce((sum, p) => sum + p.size, 0);
    const flat = () => Tensor.empty([size], "f32", device);
    const place = (t: Tensor, p: Tensor, start: number) => new Tensor(t.storage, p.shape, undefined, start);
    const values = flat();
    let start = 0;
    for (const p of parameters) {
      const own = place(values, p, start);
      scope(() => copyInto(p, own));
      p.replaceStorage(own);
      p.gradient = undefined;
      start += p.size;
    }
    if (size > trimmed) configure("trim", true); // where the parameters were: the state below has other sizes
    const gradients = flat();
    for (const p of parameters) p.gradientBuffer = place(gradients, p, p.offset);
    return { parameters, decay, values, gradients, m: filled(flat(), 0), v: filled(flat(), 0) };
  });
}

const part = (t: Tensor, start: number, shape: readonly number[]): Tensor =>
  new Tensor(t.storage, shape, undefined, t.offset + start);

/** The parameters of a group, their means, and where products read them packed, the copies. */
function update(group: Group, constants: OpValues): void {
  const at = (start: number, shape: readonly number[]): OpValues => ({
    parameter: part(group.values, start, shape),
    m: part(group.m, start, shape),
    v: part(group.v, start, shape),
    gradient: part(group.gradients, start, shape),
    ...constants,
  });
  const packed: [Tensor, CurrentPacks][] = [];
  const others: Tensor[] = [];
  for (const p of group.parameters) {
    const packs = p.gradient && currentPacks(p);
    if (packs) packed.push([p, packs]);
    else others.push(p);
  }
  for (const [p, { real, forward, backward }] of packed) {
    runKernel(adamwPacked, real, { ...at(p.offset, p.shape), forward, backward });
  }
  for (const { start, length } of stretches(others)) runKernel(adamw, "f32", at(start, [length]));
  for (const [p, packs] of packed) markCurrent(p, packs);
}

/** The stretches of memory of those parameters that have a gradient. */
function stretches(parameters: readonly Tensor[]): { start: number; length: number }[] {
  const found: { start: number; length: number }[] = [];
  for (const p of parameters) {
    if (p.gradient === undefined) continue;
    const last = found.at(-1);
    if (last !== undefined && last.start + last.length === p.offset) last.length += p.size;
    else found.push({ start: p.offset, length: p.size });
  }
  return found;
}
