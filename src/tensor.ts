import { inspect } from "node:util";
import type { BackwardOptions } from "./autograd.ts";
import { type Device, defaultDevice, device, isDevice } from "./device.ts";
import { arrayTypeOf, type Dtype, type DtypeArray, fromBf16, toBf16Bits } from "./dtype.ts";
import { ArgumentError, DtypeError, ShapeError } from "./errors.ts";
import type * as functional from "./functional.ts";
import { Storage } from "./memory.ts";
import { read, readSync, write } from "./native.ts";
import { printTensor } from "./print.ts";
import { contiguousStrides, isContiguous, type Shape, showShape, sizeOf } from "./shape.ts";

/** Nested arrays of numbers, as `tensor()` takes them. */
export type NestedArray = number | readonly NestedArray[];

/** What produced a tensor, for the backward pass. See autograd.ts. */
export interface GraphNode {
  readonly op: string;
  /** Position in the order of calls: backward runs through the nodes from the highest to the lowest. */
  readonly sequence: number;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly outputs: readonly Tensor[];
  /** Where the gradient of an output should be written, if it has a place already: it is a part of another's. */
  readonly gradientPlace?: ((output: Tensor) => Tensor | undefined) | undefined;
  /** How the output lies on the memory of the only input, if it is nothing but a view of it. */
  readonly asView?: ((input: Tensor) => Tensor) | undefined;
  /** Whether the gradient of the output may take its memory: one op reads it, no later than it writes the gradient. */
  isOverwritable?: boolean;
  /** The activation function that made the output of `pre`, if that is all it did: a product can apply its slope. */
  readonly slope?: { readonly pre: Tensor; readonly activation: number } | undefined;
}

export interface TensorOptions {
  dtype?: Dtype;
  /** Default `defaultDevice()`. */
  device?: Device;
  requiresGrad?: boolean;
}

type F = typeof functional;
let f: F;

/** @internal Called once by functional.ts, which imports this file: methods forward to its functions. */
export function bindFunctional(functions: F): void {
  f = functions;
}

/**
 * An n-dimensional array in native memory, of dtype f32, bf16 or i32.
 *
 * Operations are enqueued and return at once; only reading (`data`, `item`, `toArray`) waits. Memory is freed by the
 * `step` or `scope` in which a tensor was made, by the garbage collector elsewhere, or by `dispose()`.
 */
export class Tensor {
  /** @internal */ readonly storage: Storage;
  /** @internal Elements from the start of the storage to the first element. */ readonly offset: number;
  readonly shape: Shape;
  /** Elements between neighbours along each axis. */
  readonly strides: Shape;
  /** Whether gradients are computed for it. */
  requiresGrad = false;
  /** @internal Whether a module has it as a parameter, trained or frozen. */ isParameter = false;
  /** @internal */ node: GraphNode | undefined = undefined;
  /** @internal The gradient of a leaf, once a backward pass has reached it. */ gradient: Tensor | undefined =
    undefined;
  /** @internal Memory reserved for the gradient, where an optimizer wants it. */ gradientBuffer:
    | Tensor
    | undefined = undefined;
  /** @internal Whether that memory holds zeros, so that the gradient can be added to it. */ bufferIsZero = false;

  /** @internal */
  constructor(storage: Storage, shape: Shape, strides: Shape = contiguousStrides(shape), offset = 0) {
    this.storage = storage;
    if (storage.tensors++ === 0) storage.shape = shape;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
  }

  /** @internal Uninitialised memory. */
  static empty(shape: Shape, dtype: Dtype, device: Device): Tensor {
    return new Tensor(Storage.allocate(dtype, sizeOf(shape), device), shape);
  }

  get dtype(): Dtype {
    return this.storage.dtype;
  }
  get rank(): number {
    return this.shape.length;
  }
  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }
  get device(): Device {
    return this.storage.device;
  }
  get isContiguous(): boolean {
    return isContiguous(this.shape, this.strides);
  }
  /** The gradient that backward() left, of the same shape, in f32; undefined before, and after the optimizer used it. */
  get grad(): Tensor | undefined {
    return this.gradient;
  }

  /**
   * The elements in row-major order, once they are computed. A contiguous tensor is not copied: the array is a view of
   * its memory, and changes with it (`clone()` to part); the memory lives as long as the view. On CUDA, and where the
   * runtime forbids such views (Electron), it is a copy. bf16 comes as its bits, in a Uint16Array.
   */
  async data(): Promise<DtypeArray> {
    const { storage, offset } = this;
    storage.check();
    if (!this.isContiguous) return f.contiguous(this.detach()).data();
    if (storage.source !== undefined) {
      await read(storage.handle, 0, 0, "copy");
      return storage.source.subarray(offset, offset + this.size);
    }
    if (this.device === "cpu") storage.isExposed = true;
    return new arrayTypeOf[this.dtype](await read(storage.handle, offset, this.size, "view"));
  }

  /** A copy of the elements as they are once everything enqueued so far has run; bf16 is widened to f32. */
  async toTypedArray(): Promise<Float32Array | Int32Array> {
    this.storage.check();
    if (!this.isContiguous) return f.contiguous(this.detach()).toTypedArray();
    return widen(this.dtype, await read(this.storage.handle, this.offset, this.size, "copy"));
  }

  /** Like `toTypedArray`, but blocks the event loop until the elements are computed. */
  toTypedArraySync(): Float32Array | Int32Array {
    this.storage.check();
    if (!this.isContiguous) return f.contiguous(this.detach()).toTypedArraySync();
    return widen(this.dtype, readSync(this.storage.handle, this.offset, this.size));
  }

  /** The elements as nested arrays of numbers; a number for a tensor of rank 0. */
  async toArray(): Promise<NestedArray> {
    return nest(await this.toTypedArray(), this.shape);
  }

  /** The number in a tensor of one element. @throws ERR_SHAPE if it has more */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new ShapeError(`item: the tensor must have one element; got ${showShape(this.shape)}`);
    return (await this.toTypedArray())[0]!;
  }

  /** Overwrites the elements, in row-major order, after everything enqueued so far has run. */
  set(values: DtypeArray | readonly number[]): this {
    this.storage.check();
    if (!this.isContiguous) throw new ShapeError("set: the tensor must be contiguous");
    const array = toDtypeArray(values, this.dtype);
    if (array.length !== this.size) {
      throw new ShapeError(
        `set: values must hold ${this.size} elements for ${showShape(this.shape)}; got ${array.length}`,
      );
    }
    write(this.storage.handle, this.offset, array);
    this.storage.version++;
    return this;
  }

  /** @internal The last two axes swapped, without history. */
  transposed(): Tensor {
    const swap = (list: readonly number[]) => [...list.slice(0, -2), list.at(-1)!, list.at(-2)!];
    return new Tensor(this.storage, swap(this.shape), swap(this.strides), this.offset);
  }

  /** The same memory without history: no gradient flows through it. */
  detach(): Tensor {
    return new Tensor(this.storage, this.shape, this.strides, this.offset);
  }

  /** Frees the memory now; every tensor that shares it is unusable from here on. */
  dispose(): void {
    this.storage.free();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Prints like NumPy: `tensor([[1., 2.], [3., 4.]], f32, cpu)`. Waits for the elements. */
  toString(): string {
    if (this.storage.isFreed) return `tensor(freed, ${showShape(this.shape)}, ${this.dtype})`;
    const suffix = `${this.dtype}, ${this.device}${this.node ? `, from ${this.node.op}` : ""}`;
    return printTensor(this.toTypedArraySync(), this.shape, this.dtype === "i32", suffix);
  }
  [inspect.custom](): string {
    return this.toString();
  }

  /**
   * @internal Puts other memory of the same shape in the place of this tensor's: flattened, or in another dtype. What it
   * had is freed unless another tensor was ever made on it.
   */
  replaceStorage(by: Tensor): void {
    const before = this.storage;
    Object.assign(this, { storage: by.storage, offset: by.offset, strides: by.strides });
    if (before.tensors === 1) before.free();
  }

  /** Copies the values of another tensor of the same shape into this one, whose dtype they take. */
  assign(values: Tensor): this {
    f.assign(this, values);
    return this;
  }

  /** Computes the gradient of this tensor by every leaf that asked for it. See `backward` in autograd.ts. */
  backward(gradient?: Tensor, options?: BackwardOptions): void {
    f.backward(this, gradient, options);
  }

  /** In another dtype, or on another device; itself if it is there already. */
  to(target: Dtype | Device): Tensor {
    return isDevice(target) ? f.toDevice(this, target) : f.cast(this, target);
  }
  clone(): Tensor {
    return f.clone(this);
  }
  contiguous(): Tensor {
    return f.contiguous(this);
  }
  reshape(...shape: number[]): Tensor {
    return f.reshape(this, shape);
  }
  transpose(axis0: number, axis1: number): Tensor {
    return f.transpose(this, axis0, axis1);
  }
  /** The last two axes swapped. */
  get T(): Tensor {
    return f.transpose(this, -2, -1);
  }
  slice(axis: number, start: number, end?: number): Tensor {
    return f.slice(this, axis, start, end);
  }
  split(sizes: readonly number[], axis?: number): Tensor[] {
    return f.split(this, sizes, axis);
  }
  expand(...shape: number[]): Tensor {
    return f.expand(this, shape);
  }
  add(other: Tensor | number): Tensor {
    return f.add(this, other);
  }
  sub(other: Tensor | number): Tensor {
    return f.sub(this, other);
  }
  mul(other: Tensor | number): Tensor {
    return f.mul(this, other);
  }
  neg(): Tensor {
    return f.scale(this, -1);
  }
  matmul(other: Tensor): Tensor {
    return f.matmul(this, other);
  }
  sum(axis?: number, options?: { keepDim?: boolean }): Tensor {
    return f.sum(this, axis, options);
  }
  mean(axis?: number, options?: { keepDim?: boolean }): Tensor {
    return f.mean(this, axis, options);
  }
  max(axis?: number, options?: { keepDim?: boolean }): Tensor {
    return f.max(this, axis, options);
  }
  argmax(axis: number): Tensor {
    return f.argmax(this, axis);
  }
  softmax(): Tensor {
    return f.softmax(this);
  }
}

function widen(dtype: Dtype, buffer: ArrayBuffer): Float32Array | Int32Array {
  if (dtype === "bf16") return fromBf16(new Uint16Array(buffer));
  return dtype === "i32" ? new Int32Array(buffer) : new Float32Array(buffer);
}

function nest(values: Float32Array | Int32Array, shape: Shape, offset = 0): NestedArray {
  const [size, ...rest] = shape;
  if (size === undefined) return values[offset]!;
  const step = sizeOf(rest);
  return Array.from({ length: size }, (_, i) => nest(values, rest, offset + i * step));
}

const isDtypeArray = (data: unknown): data is DtypeArray =>
  data instanceof Float32Array || data instanceof Int32Array || data instanceof Uint16Array;

const dtypeOfArray = (data: DtypeArray): Dtype =>
  data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "i32" : "bf16";

/** @internal `values` as the typed array of `dtype`; copied only if it is another type. */
export function toDtypeArray(values: DtypeArray | readonly number[], dtype: Dtype): DtypeArray {
  if (isDtypeArray(values)) {
    if (dtypeOfArray(values) === dtype) return values;
    throw new DtypeError(`data of ${values.constructor.name} does not fit dtype ${dtype}`);
  }
  if (dtype === "bf16") return Uint16Array.from(values, toBf16Bits);
  return dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values);
}

function flatten(data: NestedArray, shape: number[], depth: number, into: number[]): void {
  if (typeof data === "number") {
    if (depth !== shape.length)
      throw new ShapeError("tensor: nested arrays must have the same length at each level");
    into.push(data);
    return;
  }
  if (!Array.isArray(data))
    throw new ArgumentError(`tensor: data must be numbers in arrays; got ${String(data)}`);
  if (depth === shape.length && into.length === 0) shape.push(data.length);
  if (shape[depth] !== data.length) {
    throw new ShapeError("tensor: nested arrays must have the same length at each level");
  }
  for (const item of data) flatten(item, shape, depth + 1, into);
}

/** Whether V8 lets native code rely on the memory: shared and resizable buffers may move or be shared with threads. */
function isAdoptable({ buffer }: DtypeArray): boolean {
  return buffer instanceof ArrayBuffer && !(buffer as { resizable?: boolean }).resizable;
}

/**
 * A tensor from numbers, nested arrays or a typed array.
 *
 * A Float32Array (f32), Int32Array (i32) or Uint16Array (bits of bf16) is *adopted*: the tensor uses its memory, so each
 * sees what is written to the other, and nothing is copied. `clone()` the tensor to part from the array. Do not
 * transfer the array's buffer to another thread while the tensor is in use. On CUDA the elements are copied.
 *
 * @param shape defaults to the nesting of the arrays, or [length]
 */
export function tensor(data: NestedArray | DtypeArray, shape?: Shape, options: TensorOptions = {}): Tensor {
  let array: DtypeArray;
  let natural: number[];
  if (isDtypeArray(data)) {
    const dtype = options.dtype ?? dtypeOfArray(data);
    array = toDtypeArray(data, dtype);
    if (!isAdoptable(array)) array = array.slice() as DtypeArray;
    natural = [array.length];
  } else {
    const values: number[] = [];
    natural = [];
    flatten(data as NestedArray, natural, 0, values);
    array = toDtypeArray(values, options.dtype ?? "f32");
  }
  const chosen = shape === undefined ? natural : checkShape("tensor", shape);
  if (sizeOf(chosen) !== array.length) {
    throw new ShapeError(
      `tensor: shape ${showShape(chosen)} has ${sizeOf(chosen)} elements; data has ${array.length}`,
    );
  }
  const dtype = array instanceof Float32Array ? "f32" : array instanceof Int32Array ? "i32" : "bf16";
  const place = device(options.device ?? defaultDevice());
  const result =
    place === "cpu" ? new Tensor(Storage.adopt(array, dtype), chosen) : Tensor.empty(chosen, dtype, place);
  if (place !== "cpu") result.set(array);
  if (options.requiresGrad) requireGradient(result);
  return result;
}

/** @internal */
export function checkShape(op: string, shape: Shape): number[] {
  if (!Array.isArray(shape) || shape.some((n) => !Number.isSafeInteger(n) || n < 0)) {
    throw new ShapeError(
      `${op}: shape must be an array of sizes, integers of at least 0; got ${inspect(shape)}`,
    );
  }
  return [...shape];
}

/** @internal Marks a leaf. @throws ERR_DTYPE for integers, which have no gradient */
export function requireGradient(leaf: Tensor): Tensor {
  if (leaf.dtype === "i32") throw new DtypeError("requiresGrad: an i32 tensor has no gradient");
  leaf.requiresGrad = true;
  return leaf;
}
