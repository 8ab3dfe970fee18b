import type { Dtype } from "./dtype.ts";
import { DtypeError, ShapeError, TrainformerError } from "./errors.ts";
import { inScopeOf } from "./memory.ts";
import { kernelNamed } from "./native.ts";
import {
  contiguousCopy,
  type Op,
  type OpArguments,
  type OpDeclaration,
  type OpValues,
  runForward,
  runKernel,
  withKernels,
} from "./op.ts";
import { showShape } from "./shape.ts";
import { type GraphNode, Tensor } from "./tensor.ts";

let recording = true;
let lastSequence = 0;

/** Runs `body` without recording what a backward pass would need. Nothing it makes requires a gradient. */
export function noGrad<T>(body: () => T): T {
  return withRecording(false, body);
}

/** @internal */
export function withRecording<T>(on: boolean, body: () => T): T {
  const before = recording;
  recording = on;
  try {
    return body();
  } finally {
    recording = before;
  }
}

/** The step of a backward pass through one call: takes the gradients of its outputs, gives those of its inputs. */
export type BackwardFunction = (pass: BackwardPass, gradients: readonly (Tensor | undefined)[]) => void;

class CallNode implements GraphNode {
  readonly op: string;
  readonly sequence = ++lastSequence;
  inputs: readonly (Tensor | undefined)[];
  readonly outputs: readonly Tensor[];
  backward: BackwardFunction | undefined;
  /** Saved values that nobody else can see: freed as soon as they are used. */
  private privates: readonly Tensor[];
  readonly gradientPlace: GraphNode["gradientPlace"];
  readonly asView: GraphNode["asView"];
  slope: GraphNode["slope"];
  isOverwritable?: boolean;

  constructor(
    op: string,
    inputs: readonly (Tensor | undefined)[],
    outputs: readonly Tensor[],
    details: RecordDetails,
  ) {
    this.op = op;
    this.inputs = inputs;
    this.outputs = outputs;
    this.backward = details.backward;
    this.privates = details.privates ?? [];
    this.gradientPlace = details.gradientPlace;
    this.asView = details.asView;
    this.slope = details.slope;
  }

  release(): void {
    this.backward = undefined;
    this.slope = undefined;
    this.inputs = [];
    for (const saved of this.privates) saved.storage.free();
    this.privates = [];
  }
}

interface RecordDetails {
  backward: BackwardFunction;
  privates?: readonly Tensor[];
  gradientPlace?: GraphNode["gradientPlace"];
  asView?: GraphNode["asView"];
  slope?: GraphNode["slope"];
}

export const isRecording = (inputs: readonly (Tensor | undefined)[]): boolean =>
  recording && inputs.some((input) => input?.requiresGrad);

/** Puts a call on the tape if a gradient may be asked for it. */
export function record(
  op: string,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Tensor[],
  details: RecordDetails,
): void {
  if (!isRecording(inputs)) return;
  const node = new CallNode(op, inputs, outputs, details);
  for (const output of outputs) {
    output.requiresGrad = true;
    output.node = node;
  }
}

/** The public function of an op: the parameters of its declaration; it records itself on the tape. */
export function defineOp<P extends unknown[]>(declaration: OpDeclaration<P>): (...parameters: P) => Tensor {
  const op = withKernels(declaration);
  return (...parameters) => callOp(op as unknown as Op, op.args(...parameters));
}

function callOp(op: Op, given: OpArguments): Tensor {
  const args = withoutRepeats(given);
  const values = runForward(op, args);
  const output = values[op.output] as Tensor;
  const inputs = Object.values(args).filter((value): value is Tensor => value instanceof Tensor);
  const privates = (op.saved ?? []).map((name) => values[name] as Tensor);
  if (isRecording(inputs)) {
    record(op.name, inputs, [output], { backward: kernelBackward(op, args, values), privates });
  } else {
    for (const saved of privates) saved.storage.free();
  }
  return output;
}

/** A tensor that comes twice gets a second name, so that each of its gradients has a place of its own. */
function withoutRepeats(args: OpArguments): OpArguments {
  const seen = new Set<OpArguments[string]>();
  const result = { ...args };
  for (const [name, value] of Object.entries(args)) {
    if (!(value instanceof Tensor) || !value.requiresGrad) continue;
    if (seen.has(value)) {
      const alias = value.detach();
      record("alias", [value], [alias], { backward: (pass, [dy]) => pass.give(value, dy!) });
      result[name] = alias;
    }
    seen.add(value);
  }
  return result;
}

/**
 * Calls the backward kernel by the names of its arguments: `dy` comes in, `dx` goes out, the rest was there before. A
 * gradient that is not wanted is left out if the kernel allows that.
 */
function kernelBackward(op: Op, args: OpArguments, values: OpValues): BackwardFunction {
  const kernel = op.backwardKernel;
  if (kernel === undefined) {
    return () => {
      throw new TrainformerError(
        "ERR_GRADIENT",
        `${op.name} has no gradient; call it within noGrad() or detach() its inputs`,
      );
    };
  }
  const gradients = op.gradients;
  return (pass, [dy]) => {
    const all: OpValues = { ...values, [gradients.given]: dy };
    const places: [Tensor, Tensor][] = [];
    for (const { name, input: inputName, kind, optional } of gradients.made) {
      const input = args[inputName];
      if (!(input instanceof Tensor)) continue;
      if (kind === "out") {
        const place = pass.place(input);
        all[name] = place;
        places.push([input, place]);
      } else if (pass.wants(input) || !optional) {
        all[name] = pass.accumulator(input);
      }
    }
    runKernel(kernel, realOf(values[op.output] as Tensor, args), all);
    for (const [input, place] of places) pass.give(input, place);
  };
}

/** The activation dtype of a call: that of its output, or of its inputs where the output is always f32 (a loss). */
function realOf(output: Tensor, args: OpArguments): Dtype {
  const mixed = Object.values(args).some((value) => value instanceof Tensor && value.dtype === "bf16");
  return mixed ? "bf16" : output.dtype;
}

const fill = kernelNamed("fill");
const fill32 = kernelNamed("fill32");
const addForward = kernelNamed("add_forward");
const accumulate = kernelNamed("accumulate");
const toF32 = kernelNamed("to_f32");
const fromF32 = kernelNamed("from_f32");

const isLeaf = (t: Tensor): boolean => t.node === undefined;

/** Memory of its own for every element: not broadcast, not a part that others overlap. */
const isDense = (t: Tensor): boolean => t.isContiguous;

/**
 * The gradients in flight. Several tensors may share one gradient (the two terms of a sum have the same), so each
 * storage counts its uses: it is added to in place only while it has one, and freed when it has none.
 */
export class BackwardPass {
  private readonly pending = new Map<Tensor, Tensor>();
  /** What `place` gave out for leaves: their own memory, while any other gradient may belong to somebody else. */
  private readonly leafPlaces = new Map<Tensor, Tensor>();
  private readonly claimed = new Set<Tensor>();
  private keepsGraph = false;

  /** Whether a gradient is wanted for `input` at all. */
  wants(input: Tensor | undefined): boolean {
    return input?.requiresGrad === true;
  }

  /** Memory in which to write the gradient of `input`, to be given with `give`. */
  place(input: Tensor): Tensor {
    if (!input.requiresGrad) return Tensor.empty(input.shape, input.dtype, input.device);
    if (isLeaf(input)) {
      if (input.gradient === undefined && input.dtype === "f32") {
        const place = leafBuffer(input);
        this.leafPlaces.set(input, place);
        return place;
      }
    } else {
      if (input.node!.isOverwritable && !this.keepsGraph && !this.pending.has(input)) return input;
      const place = this.partOfAnother(input);
      if (place !== undefined) return place;
    }
    return Tensor.empty(input.shape, input.dtype, input.device);
  }

  /** The place that the gradient of `t` has within that of another tensor, through any number of views; given out once. */
  private partOfAnother(t: Tensor): Tensor | undefined {
    if (t.node === undefined || this.pending.has(t) || this.claimed.has(t)) return undefined;
    const { gradientPlace, asView, inputs } = t.node;
    const within = asView === undefined ? undefined : this.partOfAnother(inputs[0]!);
    const place = within === undefined ? gradientPlace?.(t) : asView!(within);
    if (place !== undefined) this.claimed.add(t);
    return place;
  }

  /** Adds `gradient` to the gradient of `input`. It may be shared with other tensors, or be a view. */
  give(input: Tensor, gradient: Tensor): void {
    if (!input.requiresGrad) {
      if (gradient.storage.gradientUses === 0) gradient.storage.free();
      return;
    }
    if (isLeaf(input)) return this.giveToLeaf(input, gradient);
    const sofar = this.pending.get(input);
    if (sofar === undefined) return this.hold(input, gradient);
    addInto(this.ownTotal(input, sofar), gradient);
    this.freeIfUnused(gradient);
  }

  /** A dense f32 tensor of the shape of `input` to which its gradient is to be added. */
  accumulator(input: Tensor): Tensor {
    if (!input.requiresGrad) return filled(Tensor.empty(input.shape, "f32", input.device), 0);
    if (isLeaf(input)) return (input.gradient ??= zeroBuffer(input));
    const sofar = this.pending.get(input);
    if (sofar?.dtype === "f32") return this.ownTotal(input, sofar);
    const total = filled(Tensor.empty(input.shape, "f32", input.device), 0);
    if (sofar !== undefined) {
      addInto(total, sofar);
      this.pending.delete(input);
      this.drop(sofar);
    }
    this.hold(input, total);
    return total;
  }

  /** Where a kernel that can overwrite as well as add leaves the gradient of `input`, dense and in f32. */
  sink(input: Tensor): { into: Tensor; add: boolean } {
    const isFirst = isLeaf(input) ? input.gradient === undefined : !this.pending.has(input);
    if (!isFirst) return { into: this.accumulator(input), add: true };
    const into = isLeaf(input) ? leafBuffer(input) : Tensor.empty(input.shape, "f32", input.device);
    if (isLeaf(input)) input.gradient = into;
    else this.hold(input, into);
    return { into, add: false };
  }

  /** The gradient of `input` so far, in memory that is its alone. */
  private ownTotal(input: Tensor, sofar: Tensor): Tensor {
    if (sofar.storage.gradientUses === 1 && isDense(sofar)) return sofar;
    const total = contiguousCopy(sofar);
    this.pending.delete(input);
    this.drop(sofar);
    this.hold(input, total);
    return total;
  }

  private hold(input: Tensor, gradient: Tensor): void {
    gradient.storage.gradientUses++;
    this.pending.set(input, gradient);
  }

  private drop(gradient: Tensor): void {
    gradient.storage.gradientUses--;
    this.freeIfUnused(gradient);
  }

  private freeIfUnused(gradient: Tensor): void {
    if (gradient.storage.gradientUses === 0) gradient.storage.free();
  }

  private giveToLeaf(leaf: Tensor, gradient: Tensor): void {
    if (leaf.gradient === undefined) {
      if (this.leafPlaces.get(leaf) === gradient) {
        leaf.gradient = gradient;
        return;
      }
      leaf.gradient = zeroBuffer(leaf);
    }
    addInto(leaf.gradient, gradient);
    this.freeIfUnused(gradient);
  }

  /** The gradient of an output, in the dtype of that output; the caller hands it back with `finish`. */
  take(output: Tensor): Tensor | undefined {
    const gradient = this.pending.get(output);
    if (gradient === undefined || gradient.dtype === output.dtype) return gradient;
    const cast = castTo(contiguousCopy(gradient), output.dtype);
    this.pending.delete(output);
    this.drop(gradient);
    this.hold(output, cast);
    return cast;
  }

  finish(output: Tensor): void {
    const gradient = this.pending.get(output);
    if (gradient === undefined) return;
    this.pending.delete(output);
    this.drop(gradient);
  }

  /** Runs through everything that led to `roots`, whose gradients are given. */
  run(roots: readonly (readonly [Tensor, Tensor])[], retainGraph: boolean): void {
    this.keepsGraph = retainGraph;
    for (const [root, gradient] of roots) {
      gradient.storage.gradientUses++; // the caller's: never freed, never added to
      this.give(root, gradient);
    }
    for (const node of nodesBehind(roots.map(([root]) => root))) {
      const gradients = node.outputs.map((output) => this.take(output));
      if (node.backward === undefined) {
        throw new TrainformerError(
          "ERR_GRADIENT",
          `backward: the graph through ${node.op} was freed by an earlier backward(); pass { retainGraph: true } to that one`,
        );
      }
      if (gradients.some((gradient) => gradient !== undefined)) node.backward(this, gradients);
      for (const output of node.outputs) this.finish(output);
      if (!retainGraph) node.release();
    }
    for (const [, gradient] of roots) gradient.storage.gradientUses--;
  }
}

/** Where the gradient of a leaf stays: it lives as long as the leaf. */
function leafBuffer(leaf: Tensor): Tensor {
  leaf.bufferIsZero = false;
  return leaf.gradientBuffer ?? inScopeOf(leaf.storage, () => Tensor.empty(leaf.shape, "f32", leaf.device));
}

/** The same, with zeros in it. */
function zeroBuffer(leaf: Tensor): Tensor {
  const isZero = leaf.bufferIsZero;
  const buffer = leafBuffer(leaf);
  return isZero ? buffer : filled(buffer, 0);
}

/** @internal `t`, after everything in it was set to `value`. */
export function filled(t: Tensor, value: number): Tensor {
  runKernel(t.dtype === "f32" ? fill32 : fill, t.dtype === "bf16" ? "bf16" : "f32", { y: t, value });
  return t;
}

/** @internal total += part */
export function addInto(total: Tensor, part: Tensor): void {
  if (total.dtype === part.dtype) runKernel(addForward, total.dtype, { a: total, b: part, y: total });
  else if (total.dtype === "f32") runKernel(accumulate, part.dtype, { x: part, y: total });
  else
    runKernel(addForward, total.dtype, { a: total, b: castTo(contiguousCopy(part), total.dtype), y: total });
}

/** @internal */
export function castTo(x: Tensor, dtype: Dtype): Tensor {
  const y = Tensor.empty(x.shape, dtype, x.device);
  if (dtype === "f32") runKernel(toF32, "bf16", { x, y });
  else runKernel(fromF32, "bf16", { x, y });
  return y;
}

/** Every call behind `roots`, the latest first. */
function nodesBehind(roots: readonly Tensor[]): CallNode[] {
  const found = new Set<CallNode>();
  const open = roots.map((root) => root.node as CallNode | undefined);
  while (open.length > 0) {
    const node = open.pop();
    if (node === undefined || found.has(node)) continue;
    found.add(node);
    for (const input of node.inputs) if (input?.requiresGrad) open.push(input.node as CallNode | undefined);
  }
  return [...found].sort((a, b) => b.sequence - a.sequence);
}

export interface BackwardOptions {
  /** Keep what was saved for this pass, so that another can run through the same graph. */
  retainGraph?: boolean;
}

/**
 * Adds the gradient of `root` by every leaf that requires one to that leaf's `grad`.
 *
 * What was saved for the pass is freed as it is used.
 *
 * @param gradient the gradient of the result by `root`; may be left out where `root` is a single number
 * @throws ERR_GRADIENT if nothing behind `root` requires a gradient, or if the graph was used before
 */
export function backward(root: Tensor, gradient?: Tensor, options: BackwardOptions = {}): void {
  if (!root.requiresGrad) {
    throw new TrainformerError(
      "ERR_GRADIENT",
      "backward: nothing that led to this tensor requires a gradient",
    );
  }
  if (gradient === undefined && root.size !== 1) {
    throw new TrainformerError(
      "ERR_GRADIENT",
      `backward: a tensor of shape ${showShape(root.shape)} needs the gradient to start from; only a single number has the default 1`,
    );
  }
  const start = gradient ?? filled(Tensor.empty(root.shape, root.dtype, root.device), 1);
  if (start.size !== root.size || showShape(start.shape) !== showShape(root.shape)) {
    throw new ShapeError(
      `backward: gradient must be ${showShape(root.shape)}; got ${showShape(start.shape)}`,
    );
  }
  if (start.dtype !== root.dtype)
    throw new DtypeError(`backward: gradient must be ${root.dtype}; got ${start.dtype}`);
  new BackwardPass().run([[root, start]], options.retainGraph ?? false);
  if (gradient === undefined) start.storage.free();
}
