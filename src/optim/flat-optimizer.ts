import { filled, noGrad } from "../autograd.ts";
import { ArgumentError, CheckpointError, checkNumber, DtypeError } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { kernelNamed } from "../native.ts";
import { commonDevice, runKernel } from "../op.ts";
import { addSquares } from "../ops/squares.ts";
import { type Shape, showShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { FlatParameters, part } from "./flat-parameters.ts";
import type { Optimizer, OptimizerState, ParameterGroup, StepOptions } from "./optimizer.ts";

const clipGradient = kernelNamed("clip_gradient");

/** What every optimizer lets groups choose. */
export interface CommonOptions {
  learningRate: number;
  weightDecay: number;
}

/** Parameters treated alike, in flat memory. */
export interface Block<O> {
  readonly options: Readonly<O>;
  /** Of their learning rate to the optimizer's. */
  readonly ratio: number;
  /** Gains and biases get sums over rows, which are added to zeros: their gradients are zeroed all at once. */
  readonly areVectors: boolean;
  readonly flat: FlatParameters;
  /** What is remembered of a parameter in other shapes than its own, by its place in `flat.parameters`. */
  readonly own: readonly ReadonlyMap<string, Tensor>[];
}

/** How the gradients of a step are clipped by their norm: for kernels, which do it in the same pass. */
export interface ClippingByNorm {
  readonly norm: Tensor | undefined;
  readonly maxNorm: number;
}

const isGroup = <O>(value: unknown): value is ParameterGroup<O> =>
  typeof value === "object" && value !== null && "parameters" in value && !(value instanceof Tensor);

/**
 * An optimizer whose parameters live in flat memory: groups, clipping, the number of updates of each parameter, and
 * state to save are here; an update is what a subclass adds.
 */
export abstract class FlatOptimizer<O extends CommonOptions> implements Optimizer {
  learningRate: number;
  stepCount = 0;
  private readonly list: Tensor[] = [];
  private readonly blocks: Block<O>[] = [];
  protected readonly defaults: O;

  /**
   * @param parameters tensors, of which those of at least two dimensions are decayed; or groups, which decay what they say
   * @throws ERR_ARGUMENT if none requires a gradient, ERR_DTYPE unless they are f32, ERR_DEVICE if they are on several
   */
  constructor(parameters: Iterable<Tensor> | Iterable<ParameterGroup<O>>, options: Partial<O>) {
    const name = this.typeName();
    this.defaults = this.complete(name, options);
    this.learningRate = this.defaults.learningRate;
    const given = iterated(name, parameters);
    if (given.some(isGroup)) {
      for (const group of given) this.addParameterGroup(group as ParameterGroup<O>);
    } else {
      const all = this.trainable(name, given as Tensor[]);
      this.add(all, this.defaults, { ...this.defaults, weightDecay: 0 }, 1);
    }
    if (this.list.length === 0) {
      throw new ArgumentError(`${name}: parameters must hold at least one tensor with requiresGrad`);
    }
  }

  /** As errors and saved state have it. */
  protected abstract typeName(): string;
  /** `options` with defaults for what they leave out. @throws ERR_ARGUMENT for what is outside its range */
  protected abstract complete(where: string, options: Partial<O>): O;
  /** By what names each element of a parameter is remembered. */
  protected abstract stateNames(options: O): readonly string[];
  /** What is remembered of a parameter in other shapes than its own. */
  protected ownState(_p: Tensor, _options: O): Record<string, Shape> {
    return {};
  }
  /** @throws if this optimizer cannot train `p` */
  protected checkParameter(_where: string, _p: Tensor): void {}
  /** Changes the parameters of a block that have a gradient, at its learning rate. */
  protected abstract update(block: Block<O>, learningRate: number, clipping: ClippingByNorm): void;

  get parameters(): readonly Tensor[] {
    return this.list;
  }

  /** Trains further parameters, from now on: layers that were frozen so far. Those without requiresGrad are left out. */
  addParameterGroup(group: ParameterGroup<O>): void {
    if (!isGroup<O>(group)) {
      throw new ArgumentError(
        `${this.typeName()}: a group must be an object with parameters; got ${String(group)}`,
      );
    }
    const { parameters, ...own } = group as ParameterGroup<CommonOptions>;
    const where = `${this.typeName()}: group`;
    const said = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
    const options = this.complete(where, { ...this.defaults, learningRate: this.learningRate, ...said });
    const base = this.learningRate;
    if (base === 0 && options.learningRate !== 0) {
      throw new ArgumentError(
        `${where}: a learningRate beside the optimizer's of 0 has no ratio to it; got ${options.learningRate}`,
      );
    }
    const all = this.trainable(where, iterated(where, parameters) as Tensor[]);
    const ratio = options.learningRate === base ? 1 : options.learningRate / base;
    this.add(all, options, options, ratio);
  }

  private trainable(where: string, tensors: readonly Tensor[]): Tensor[] {
    const known = new Set(this.list);
    for (const p of tensors) {
      if (!(p instanceof Tensor)) {
        throw new ArgumentError(`${where}: parameters must be tensors, or groups of them; got ${typeof p}`);
      }
      if (known.has(p)) {
        throw new ArgumentError(
          `${where}: a parameter must be in one group only; got ${showShape(p.shape)} again`,
        );
      }
    }
    const all = [...new Set(tensors)].filter((p) => p.requiresGrad);
    for (const p of all) {
      if (p.node !== undefined) {
        throw new ArgumentError(
          `${where}: parameters must be tensors that no operation produced; got one from ${p.node.op}`,
        );
      }
      if (p.dtype !== "f32") throw new DtypeError(`${where}: parameters must be f32; got ${p.dtype}`);
      this.checkParameter(where, p);
    }
    commonDevice(where, { ...[...this.list.slice(0, 1), ...all] });
    return all;
  }

  private add(parameters: readonly Tensor[], ofMatrices: O, ofVectors: O, ratio: number): void {
    const isVector = (p: Tensor) => p.rank < 2;
    const matrices = parameters.filter((p) => !isVector(p));
    if (matrices.length > 0) this.blocks.push(this.block(matrices, ofMatrices, ratio, false));
    const vectors = parameters.filter(isVector);
    if (vectors.length > 0) this.blocks.push(this.block(vectors, ofVectors, ratio, true));
    this.list.push(...parameters);
  }

  private block(parameters: readonly Tensor[], options: O, ratio: number, areVectors: boolean): Block<O> {
    const flat = new FlatParameters(parameters, this.stateNames(options));
    const zeros = (shape: Shape) => filled(Tensor.empty(shape, "f32", flat.values.device), 0);
    const own = parameters.map((p) => {
      const shapes = Object.entries(this.ownState(p, options));
      return unscoped(() => new Map(shapes.map(([name, shape]) => [name, zeros(shape)])));
    });
    return { options, ratio, areVectors, flat, own };
  }

  step(options: StepOptions = {}): { gradNorm: Tensor } {
    const rate = options.learningRate ?? this.learningRate;
    return stepTogether(
      this.typeName(),
      [[this, checkNumber(`${this.typeName()}.step: learningRate`, rate, 0)]],
      options,
    );
  }

  /** @internal Adds the squares of all gradients to `square`, and writes the root of it. */
  addSquareNorm(square: Tensor, norm: Tensor): void {
    for (const { flat } of this.blocks) {
      for (const p of flat.parameters) {
        if (p.storage === flat.values.storage) continue;
        throw new ArgumentError(
          `${this.typeName()}.step: parameter ${this.list.indexOf(p)} ${showShape(p.shape)} has other memory than this optimizer gave it: it was cast, or belongs to another optimizer by now`,
        );
      }
      for (const { start, length } of flat.stretches()) {
        addSquares(part(flat.gradients, start, [length]), square, norm);
      }
    }
  }

  /** @internal One update of everything that has a gradient. */
  apply(learningRate: number, clipping: ClippingByNorm, maxValue: number): void {
    this.stepCount++;
    for (const block of this.blocks) {
      const { flat } = block;
      for (const [, i] of flat.withGradient()) flat.steps[i]!++;
      if (maxValue > 0) clipInPlace(flat, { norm: undefined, maxNorm: 0 }, maxValue);
      noGrad(() => scope(() => this.update(block, learningRate * block.ratio, clipping)));
    }
    this.zeroGrad();
    for (const { flat, areVectors } of this.blocks) {
      if (!areVectors) continue;
      filled(flat.gradients, 0);
      for (const p of flat.parameters) p.bufferIsZero = true;
    }
  }

  zeroGrad(): void {
    for (const p of this.list) p.gradient = undefined;
  }

  /** All that is remembered: name, tensor. */
  private *remembered(): Generator<[string, Tensor]> {
    const places = new Map(this.list.map((p, i) => [p, i]));
    for (const { flat, own } of this.blocks) {
      for (const [i, p] of flat.parameters.entries()) {
        const place = places.get(p)!;
        for (const name of flat.state.keys()) yield [`${place}.${name}`, flat.stateOf(p, name)];
        for (const [name, t] of own[i]!) yield [`${place}.${name}`, t];
      }
    }
  }

  stateDict(): OptimizerState {
    const steps = new Map(
      this.blocks.flatMap(({ flat }) => flat.parameters.map((p, i) => [p, flat.steps[i]!])),
    );
    return {
      tensors: new Map(this.remembered()),
      values: {
        optimizer: this.typeName(),
        stepCount: this.stepCount,
        learningRate: this.learningRate,
        steps: this.list.map((p) => steps.get(p)!),
      },
    };
  }

  loadStateDict({ tensors, values }: Parameters<Optimizer["loadStateDict"]>[0]): void {
    const refuse = (what: string): never => {
      throw new CheckpointError(`${this.typeName()}.loadStateDict: ${what}`);
    };
    const { optimizer, stepCount, learningRate, steps } = values;
    if (optimizer !== this.typeName())
      refuse(`optimizer must be ${this.typeName()}; got ${String(optimizer)}`);
    const isCount = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
    if (!isCount(stepCount)) refuse(`stepCount must be a number of steps; got ${String(stepCount)}`);
    if (!Number.isFinite(learningRate) || (learningRate as number) < 0)
      refuse(`learningRate must be a number of at least 0; got ${String(learningRate)}`);
    if (!Array.isArray(steps) || steps.length !== this.list.length || !steps.every(isCount))
      refuse(
        `steps must be ${this.list.length} numbers of steps, as there are parameters; got ${String(steps)}`,
      );
    const own = new Map(this.remembered());
    for (const name of tensors.keys()) if (!own.has(name)) refuse(`unexpected tensor ${name}`);
    for (const [name, t] of own) {
      const given = tensors.get(name);
      if (given === undefined) return refuse(`tensor ${name} ${showShape(t.shape)} is missing`);
      if (showShape(given.shape) !== showShape(t.shape) || given.dtype !== "f32")
        refuse(`${name} must be ${showShape(t.shape)} f32; got ${showShape(given.shape)} ${given.dtype}`);
    }
    for (const [name, t] of own) t.assign(tensors.get(name)!);
    this.stepCount = stepCount as number;
    this.learningRate = learningRate as number;
    const places = new Map(this.list.map((p, i) => [p, i]));
    for (const { flat } of this.blocks)
      for (const [i, p] of flat.parameters.entries()) flat.steps[i] = (steps as number[])[places.get(p)!]!;
  }
}

function iterated(where: string, parameters: Iterable<unknown>): unknown[] {
  if (typeof (parameters as Partial<Iterable<unknown>> | undefined)?.[Symbol.iterator] !== "function") {
    throw new ArgumentError(
      `${where}: parameters must be iterable, such as model.parameters(); got ${typeof parameters}`,
    );
  }
  return [...parameters];
}

/** Clips the gradients themselves, for updates that read them more than once. */
export function clipInPlace(flat: FlatParameters, { norm, maxNorm }: ClippingByNorm, maxValue = 0): void {
  if (norm === undefined && maxValue === 0) return;
  for (const { start, length } of flat.stretches()) {
    runKernel(clipGradient, "f32", {
      gradient: part(flat.gradients, start, [length]),
      norm,
      maxNorm,
      maxValue,
    });
  }
}

/** One step of optimizers whose gradients have a common norm, each at its learning rate. */
export function stepTogether(
  name: string,
  // biome-ignore lint/suspicious/noExplicitAny: whatever their options are
  members: readonly (readonly [FlatOptimizer<any>, number])[],
  options: StepOptions,
): { gradNorm: Tensor } {
  const maxNorm = checkNumber(`${name}.step: maxGradNorm`, options.maxGradNorm ?? 0, 0);
  const maxValue = checkNumber(`${name}.step: maxGradValue`, options.maxGradValue ?? 0, 0);
  if (maxNorm > 0 && maxValue > 0) {
    throw new ArgumentError(`${name}.step: maxGradNorm and maxGradValue cannot be combined; choose one`);
  }
  const { device } = members[0]![0].parameters[0]!;
  const gradNorm = filled(Tensor.empty([], "f32", device), 0);
  const square = filled(Tensor.empty([], "f32", device), 0);
  for (const [optimizer] of members) optimizer.addSquareNorm(square, gradNorm);
  square.dispose();
  const norm = maxNorm > 0 ? gradNorm : undefined;
  for (const [optimizer, rate] of members) optimizer.apply(rate, { norm, maxNorm }, maxValue);
  return { gradNorm };
}
