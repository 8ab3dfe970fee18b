import { filled } from "../autograd.ts";
import { defaultDevice, device } from "../device.ts";
import { checkNumber, DtypeError } from "../errors.ts";
import { type GeneratorState, reserveRandom } from "../generator.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import { type Shape, sizeOf } from "../shape.ts";
import { checkShape, requireGradient, Tensor, type TensorOptions } from "../tensor.ts";

const uniformKernel = kernelNamed("uniform");
const normalKernel = kernelNamed("normal");

function created(op: string, shape: Shape, options: TensorOptions, write: (t: Tensor) => void): Tensor {
  const t = Tensor.empty(
    checkShape(op, shape),
    options.dtype ?? "f32",
    device(options.device ?? defaultDevice()),
  );
  write(t);
  return options.requiresGrad ? requireGradient(t) : t;
}

/** A tensor with every element `value`. */
export function full(shape: Shape, value: number, options: TensorOptions = {}): Tensor {
  checkNumber("full: value", value);
  return created("full", shape, options, (t) => {
    if (t.dtype === "i32") t.set(new Int32Array(t.size).fill(value));
    else filled(t, value);
  });
}

export const zeros = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 0, options);
export const ones = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 1, options);

/** 0, 1, … length − 1, i32. */
export const arange = (length: number, options: Pick<TensorOptions, "device"> = {}): Tensor =>
  created("arange", [length], { ...options, dtype: "i32" }, (t) =>
    t.set(Int32Array.from({ length }, (_, i) => i)),
  );

export interface RandomOptions extends TensorOptions {
  /** Where in which stream to draw from; the generator of `manualSeed` goes on if left out. */
  generator?: GeneratorState;
}

function random(
  op: string,
  shape: Shape,
  options: RandomOptions,
  kernel: typeof normalKernel,
  law: Record<string, number>,
): Tensor {
  if (options.dtype === "i32") throw new DtypeError(`${op}: dtype must be f32 or bf16; got i32`);
  const state = options.generator ?? reserveRandom(sizeOf(checkShape(op, shape)));
  return created(op, shape, options, (y) => {
    runKernel(kernel, y.dtype, { y, ...law, seed: state.seed, position: state.position });
  });
}

/** Normal random numbers. */
export function randn(shape: Shape, options: RandomOptions & { mean?: number; std?: number } = {}): Tensor {
  const mean = checkNumber("randn: mean", options.mean ?? 0);
  const std = checkNumber("randn: std", options.std ?? 1, 0);
  return random("randn", shape, options, normalKernel, { mean, std });
}

/** Uniform random numbers in [low, high). */
export function rand(shape: Shape, options: RandomOptions & { low?: number; high?: number } = {}): Tensor {
  const low = checkNumber("rand: low", options.low ?? 0);
  const high = checkNumber("rand: high", options.high ?? 1);
  return random("rand", shape, options, uniformKernel, { low, high });
}
