import { type Device, defaultDevice } from "./device.ts";
import type { Dtype } from "./dtype.ts";
import { DtypeError, ShapeError, TrainformerError } from "./errors.ts";
import {
  callKernel,
  enqueue,
  findKernel,
  type Kernel,
  type KernelParameter,
  type KernelView,
  kernelNamed,
  transfer,
  words,
} from "./native.ts";
import { resolvePattern, type Sizes, showShape, sizeOf, unify } from "./shape.ts";
import { Tensor } from "./tensor.ts";

export type OpArgument = Tensor | number | boolean | Dtype | undefined;
export type OpArguments = Record<string, OpArgument>;

/** What an op is, once: everything else about it is derived from this and from its kernels' signatures. */
export interface OpDeclaration<P extends unknown[]> {
  /** As users call it. Its kernels are `<name in lower case>_forward` and `_backward`. */
  readonly name: string;
  /** The public parameters, with their defaults, as the kernel arguments of the same names. */
  readonly args: (...parameters: P) => OpArguments;
  /** A pattern for every tensor: inputs, output, saved values. `...` is any number of leading axes. */
  readonly shapes: Readonly<Record<string, string>>;
  readonly output: string;
  /** Further outputs of the forward kernel, kept for the backward kernel. */
  readonly saved?: readonly string[];
  /** The activation dtype of a call, where no input tells it. */
  readonly real?: (args: OpArguments) => Dtype;
  /** "none": asking for a gradient throws. Otherwise the op must have a backward kernel. */
  readonly backward?: "none";
}

/** A declaration with the kernels that belong to it. */
export interface Op<P extends unknown[] = unknown[]> extends OpDeclaration<P> {
  readonly forwardKernel: Kernel;
  readonly backwardKernel: Kernel | undefined;
  /** Arguments of the backward kernel that are gradients: that of the output, and those that it writes or adds to. */
  readonly gradients: { readonly given: string; readonly made: readonly GradientParameter[] };
}

interface GradientParameter {
  readonly name: string;
  /** What it is the gradient of. */
  readonly input: string;
  readonly kind: KernelParameter["kind"];
  readonly optional: boolean;
}

/** @throws if the op has neither a backward kernel nor says "none": a fast path without a gradient must not exist */
export function withKernels<P extends unknown[]>(declaration: OpDeclaration<P>): Op<P> {
  const stem = declaration.name.toLowerCase();
  const backwardKernel = findKernel(`${stem}_backward`);
  if ((backwardKernel === undefined) !== (declaration.backward === "none")) {
    throw new Error(`op ${declaration.name}: either a kernel ${stem}_backward or backward: "none"`);
  }
  const made = (backwardKernel?.parameters ?? [])
    .filter(({ kind }) => kind === "out" || kind === "acc")
    .map(({ name, kind, optional }) => ({ name, input: name.slice(1), kind, optional }));
  const gradients = { given: `d${declaration.output}`, made };
  return { ...declaration, forwardKernel: kernelNamed(`${stem}_forward`), backwardKernel, gradients };
}

/** Everything that an op's kernels may refer to by name. */
export type OpValues = Record<string, OpArgument>;

/** Checks the arguments, allocates outputs and saved values, and enqueues the forward kernel. */
export function runForward(op: Op, args: OpArguments): OpValues {
  const sizes = checkShapes(op, args);
  const real = op.real?.(args) ?? activationDtype(op.name, op.forwardKernel, args);
  const place = commonDevice(op.name, args);
  const values: OpValues = { ...args };
  for (const name of [op.output, ...(op.saved ?? [])]) {
    const parameter = op.forwardKernel.parameters.find((p) => p.name === name)!;
    values[name] = Tensor.empty(resolvePattern(op.shapes[name]!, sizes), dtypeOf(parameter, real), place);
  }
  runKernel(op.forwardKernel, real, values);
  return values;
}

/** Binds the shapes of all tensors among `args` to the op's patterns, or throws what was wrong, right and given. */
export function checkShapes(op: Pick<Op, "name" | "shapes">, args: OpArguments): Sizes {
  const sizes: Sizes = new Map();
  for (const [name, value] of Object.entries(args)) {
    if (!(value instanceof Tensor)) continue;
    value.storage.check();
    const pattern = op.shapes[name]!;
    const problem = unify(pattern, value.shape, sizes);
    if (problem !== undefined) {
      throw new ShapeError(`${op.name}: ${name} must be ${pattern}${problem}; got ${describe(args)}`);
    }
  }
  return sizes;
}

/** The device on which all tensors among `args` live. */
export function commonDevice(op: string, args: Readonly<Record<string, unknown>>): Device {
  let first: [string, Device] | undefined;
  for (const name in args) {
    const value = args[name];
    if (!(value instanceof Tensor)) continue;
    const { device } = value.storage;
    first ??= [name, device];
    if (device === first[1]) continue;
    throw new TrainformerError(
      "ERR_DEVICE",
      `${op}: ${name} must be on ${first[1]}, as ${first[0]} is; got ${device} (move it with .to("${first[1]}"))`,
    );
  }
  return first?.[1] ?? defaultDevice();
}

function describe(args: OpArguments): string {
  const tensors = Object.entries(args).filter(
    (entry): entry is [string, Tensor] => entry[1] instanceof Tensor,
  );
  return tensors.map(([name, t]) => `${name} ${showShape(t.shape)}`).join(", ");
}

const dtypeOf = (parameter: KernelParameter, real: Dtype): Dtype =>
  parameter.dtype === "real" ? real : parameter.dtype;

/** The dtype in which a kernel works: that of its activations, which must all be the same. */
function activationDtype(name: string, kernel: Kernel, values: OpValues): Dtype {
  let real: Dtype | undefined;
  for (const parameter of kernel.parameters) {
    const value = values[parameter.name];
    if (parameter.kind !== "in" || !(value instanceof Tensor)) continue;
    if (parameter.dtype !== "real") {
      if (value.dtype === parameter.dtype) continue;
      throw new DtypeError(`${name}: ${parameter.name} must be ${parameter.dtype}; got ${value.dtype}`);
    }
    real ??= value.dtype;
    if (value.dtype !== real || real === "i32") {
      const wanted = real === "i32" ? "f32 or bf16" : `${real}, the dtype of its other inputs`;
      throw new DtypeError(
        `${name}: ${parameter.name} must be ${wanted}; got ${value.dtype} (cast with .to())`,
      );
    }
  }
  return real ?? "f32";
}

/**
 * Enqueues `kernel` with the arguments that its signature names. What has a layout that it does not take is copied
 * before, or after if it is an output.
 */
export function runKernel(kernel: Kernel, real: Dtype, values: OpValues): void {
  const { parameters } = kernel;
  let at = 0;
  for (let i = 0; i < parameters.length; i++) {
    const parameter = parameters[i]!;
    const value = values[parameter.name];
    if (value instanceof Tensor) {
      value.storage.check();
      if (parameter.kind !== "in") value.storage.version++;
      const end = writeTensor(parameter, value, at);
      if (end < 0) return runInOrder(kernel, real, values, parameter, value);
      at = end;
    } else if (value === undefined) {
      if (!parameter.optional) throw new Error(`${kernel.name}: ${parameter.name} is missing`);
      words[at++] = -1;
    } else {
      words[at++] = Number(value);
    }
  }
  enqueue(kernel, real, at);
}

/** Writes a tensor as an argument from word `at` on. Returns the word after it, or -1 if its layout does not fit. */
function writeTensor({ rank, strided }: KernelParameter, t: Tensor, at: number): number {
  const { shape, strides } = t;
  const missing = rank - shape.length;
  const last = shape.length - 1;
  const view = missing >= 0 ? t : foldTo(rank, t, strided);
  if (view === undefined) return -1;
  if (missing >= 0 && !strided && rank > 0 && last >= 0 && shape[last]! > 1 && strides[last] !== 1) return -1;
  words[at++] = t.storage.handle;
  words[at++] = t.offset;
  for (let axis = 0; axis < missing; axis++) words[at++] = 1;
  for (const size of view.shape) words[at++] = size;
  for (let axis = 0; axis < missing; axis++) words[at++] = 0;
  for (const stride of view.strides) words[at++] = stride;
  return at;
}

/** The same with a dense tensor in place of `t`. */
function runInOrder(
  kernel: Kernel,
  real: Dtype,
  values: OpValues,
  { kind, name }: KernelParameter,
  t: Tensor,
): void {
  if (kind === "acc") throw new Error(`${kernel.name}: ${name} has a layout that cannot be added to`);
  const dense = kind === "in" ? contiguousCopy(t) : Tensor.empty(t.shape, t.dtype, t.device);
  runKernel(kernel, real, { ...values, [name]: dense });
  if (kind === "out") copyInto(dense, t);
}

/**
 * `t` with `rank` axes for a kernel: missing axes are put in front, surplus leading axes fold into one. Undefined if
 * the strides do not allow it, or if the last axis has gaps and the kernel does not take them.
 */
export function foldTo(rank: number, t: Tensor, strided = false): KernelView | undefined {
  const { handle } = t.storage;
  let { shape, strides } = t;
  if (shape.length < rank) {
    const missing = rank - shape.length;
    shape = [...new Array<number>(missing).fill(1), ...shape];
    strides = [...new Array<number>(missing).fill(0), ...strides];
  } else if (shape.length > rank) {
    const surplus = shape.length - rank + 1;
    const size = sizeOf(shape.slice(0, surplus));
    let step = 0;
    let span = 1; // elements of the folded axes behind the one at hand
    for (let axis = surplus - 1; axis >= 0; axis--) {
      if (shape[axis] === 1) continue;
      if (span === 1) step = strides[axis]!;
      else if (strides[axis] !== step * span && size > 0) return undefined;
      span *= shape[axis]!;
    }
    shape = [size, ...shape.slice(surplus)];
    strides = [step, ...strides.slice(surplus)];
  }
  const last = rank - 1;
  if (!strided && last >= 0 && shape[last]! > 1 && strides[last] !== 1) return undefined;
  return { handle, offset: t.offset, shape, strides };
}

const copy = kernelNamed("copy");
const copyIds = kernelNamed("copy_ids");

/** Copies `from` to `to`, of the same shape and dtype, whatever the strides of either. */
export function copyInto(from: Tensor, to: Tensor): void {
  // The kernel writes rows without gaps: elements that have some are rows of one.
  if (to.rank > 0 && to.shape.at(-1)! > 1 && to.strides.at(-1) !== 1) {
    const columns = (t: Tensor) => new Tensor(t.storage, [...t.shape, 1], [...t.strides, 1], t.offset);
    return copyInto(columns(from), columns(to));
  }
  const kernel = from.dtype === "i32" ? copyIds : copy;
  const real = from.dtype === "bf16" ? "bf16" : "f32";
  to.storage.version++;
  for (const [source, target] of pieces(from, to)) {
    callKernel(kernel, real, [foldTo(4, source, true)!, foldTo(4, target)!]);
  }
}

/** Cuts a pair of tensors along leading axes until both have at most four. */
function* pieces(a: Tensor, b: Tensor): Generator<[Tensor, Tensor]> {
  if (a.rank <= 4) return yield [a, b];
  for (let i = 0; i < a.shape[0]!; i++) yield* pieces(row(a, i), row(b, i));
}

const row = (t: Tensor, i: number): Tensor =>
  new Tensor(t.storage, t.shape.slice(1), t.strides.slice(1), t.offset + i * t.strides[0]!);

export function contiguousCopy(t: Tensor): Tensor {
  const result = Tensor.empty(t.shape, t.dtype, t.device);
  copyInto(t, result);
  return result;
}

/** A copy of `t` on another device, without history. */
export function transferred(t: Tensor, device: Device): Tensor {
  const result = Tensor.empty(t.shape, t.dtype, device);
  const dense = t.isContiguous ? t : contiguousCopy(t);
  transfer(dense.storage.handle, dense.offset, result.storage.handle, 0, t.size);
  if (dense !== t) dense.storage.free();
  return result;
}

/** Runs `kernel` on tensors of one shape, whose neighbouring axes are merged where the strides of all allow it. */
export function runAligned(kernel: Kernel, real: Dtype, tensors: readonly Tensor[]): void {
  kernel.parameters.forEach(({ kind }, i) => {
    if (kind !== "in" && kind !== "number") tensors[i]!.storage.version++;
  });
  callKernel(kernel, real, alignedViews(kernel, tensors));
}

const maxAxes = 4;

function alignedViews(kernel: Kernel, tensors: readonly Tensor[]): KernelView[] {
  const innermost = tensors[0]!.shape.findLastIndex((size) => size !== 1);
  const isRead = (i: number) => kernel.parameters[i]!.kind === "in";
  const hasGaps = (t: Tensor) => innermost >= 0 && t.strides[innermost] !== 1;
  const given = tensors.map((t, i) => (isRead(i) && hasGaps(t) ? contiguousCopy(t) : t));
  const shape: number[] = [];
  const strides: number[][] = given.map(() => []);
  const prepend = (size: number, stride: (t: Tensor) => number) => {
    shape.unshift(size);
    given.forEach((t, i) => strides[i]!.unshift(stride(t)));
  };
  if (given.some(hasGaps)) prepend(1, () => 1); // written with gaps: rows of one element
  for (let axis = innermost; axis >= 0; axis--) {
    const size = given[0]!.shape[axis]!;
    if (size === 1) continue;
    const inner = shape[0];
    const merges = inner !== undefined && given.every((t, i) => t.strides[axis] === strides[i]![0]! * inner);
    if (merges) shape[0] = inner * size;
    else prepend(size, (t) => t.strides[axis]!);
  }
  if (shape.length > maxAxes) {
    if (given.every((t, i) => !isRead(i) || t.isContiguous)) {
      throw new ShapeError(`${kernel.name}: more than ${maxAxes} groups of axes that broadcast differently`);
    }
    return alignedViews(
      kernel,
      given.map((t, i) => (isRead(i) ? contiguousCopy(t) : t)),
    );
  }
  const missing = maxAxes - shape.length;
  return given.map((t, i) => ({
    handle: t.storage.handle,
    offset: t.offset,
    shape: [...new Array<number>(missing).fill(1), ...shape],
    strides: [...new Array<number>(missing).fill(0), ...strides[i]!],
  }));
}
