/**
 * Runs the kernels of a CUDA device on the calls of kernel-calls.ts and tile-calls.ts, and compares all that they may have written with what
 * the processor makes of the same:
 *
 *   node kernels.js [REGEX]     only the calls whose description matches
 *
 * The last word of the output identifies the bits of all results.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Device, device, deviceNumber, setFloat32MatmulPrecision } from "../../src/device.ts";
import {
  arrayTypeOf,
  bytesPerElement,
  type Dtype,
  type DtypeArray,
  fromBf16Bits,
  toBf16Bits,
} from "../../src/dtype.ts";
import {
  allocate,
  callKernel,
  free,
  type KernelParameter,
  type KernelView,
  kernelNamed,
  kernels,
  readSync,
  write,
} from "../../src/native.ts";
import { contiguousStrides, sizeOf } from "../../src/shape.ts";
import { normals } from "../case.ts";
import { calls, type Draw, type KernelCall, numbers, type Precision } from "./kernel-call.ts";
import "./kernel-calls.ts";
import "./tile-calls.ts";

// ---- the shapes of the contract, which the binary does not tell

const contract = readFileSync(new URL("../../../../native/kernels.def", import.meta.url), "utf8");
/** The size symbols of each parameter, by kernel. */
const shapes = new Map(
  [...contract.matchAll(/^KERNEL\((\w+),([^;]*?)\)$/gms)].map(([, kernel, parameters]) => [
    kernel!,
    new Map(
      [...parameters!.matchAll(/(\w+) SHAPE\(([^)]*)\)/g)].map(([, name, symbols]) => [
        name!,
        symbols!.split(", "),
      ]),
    ),
  ]),
);

// ---- arguments

/** A tensor argument on the processor: all of its memory, and the part that the kernel sees. */
interface Argument {
  readonly parameter: KernelParameter;
  readonly dtype: Dtype;
  readonly memory: DtypeArray;
  readonly view: Omit<KernelView, "handle">;
  /** It is the packed form of this, which both devices make. */
  readonly packed?: { readonly weight: DtypeArray; readonly view: Omit<KernelView, "handle"> };
}
type Arguments = Map<string, Argument | number | undefined>;
type Results = Map<string, ArrayLike<number>>;

let salt = 0;
function drawn(count: number, dtype: Dtype, draw?: Draw): Float64Array {
  const values = normals(count, ++salt);
  if (draw !== undefined) return values.map(draw);
  return dtype === "i32" ? values.map((x) => Math.floor(Math.abs(x) * 1e6) % 1000) : values;
}

const asStored = (dtype: Dtype, values: Float64Array): DtypeArray =>
  dtype === "bf16" ? Uint16Array.from(values, toBf16Bits) : new arrayTypeOf[dtype](values);

const roundUp = (n: number, unit: number) => Math.ceil(n / unit) * unit;
/** Words that the packed form of a weight takes, on any device. */
const packedWords = (K: number, N: number) => roundUp(K, 32) * roundUp(N, 16);

function argumentsOf(call: KernelCall, real: Precision): Arguments {
  const of = shapes.get(call.kernel)!;
  const made: Arguments = new Map();
  // The processor may multiply weights of f32 as they are.
  const rounded = (values: Float64Array) =>
    real === "bf16" ? values.map((x) => fromBf16Bits(toBf16Bits(x))) : values;
  for (const parameter of kernelNamed(call.kernel).parameters) {
    const { name, kind, optional } = parameter;
    const layout = call.layouts?.[name];
    if (kind === "number") {
      made.set(name, call.numbers?.[name] ?? numbers[name]!);
      continue;
    }
    if (layout === undefined && optional && !call.present?.includes(name)) {
      made.set(name, undefined);
      continue;
    }
    const packs = layout?.packs;
    const sizes = of.get(name)!.map((symbol) => call.sizes[symbol] ?? Number(symbol));
    const dtype = parameter.dtype === "real" ? real : parameter.dtype;
    const shape = packs ? [packedWords(...packs.shape)] : sizes;
    const strides = layout?.strides ?? contiguousStrides(shape);
    const offset = layout?.offset ?? 0;
    const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, 0);
    const length = offset + (sizeOf(shape) === 0 ? 0 : last + 1);
    const isUnwritten = kind === "out";
    const values = isUnwritten
      ? new Float64Array(length).fill(NaN)
      : name === "weight"
        ? rounded(drawn(length, dtype, layout?.draw))
        : drawn(length, dtype, layout?.draw);
    const memory = asStored(dtype, values);
    const view = { offset, shape, strides };
    if (!packs) made.set(name, { parameter, dtype, memory, view });
    else {
      const [K, N] = packs.shape;
      const weight = packs.of
        ? (made.get(packs.of) as Argument).memory
        : Float32Array.from(rounded(drawn(K * N, "f32")));
      const packed = { weight, view: { offset: 0, shape: [K, N], strides: packs.strides ?? [N, 1] } };
      made.set(name, { parameter, dtype, memory, view, packed });
    }
  }
  return made;
}

// ---- execution

function upload(to: number, dtype: Dtype, memory: DtypeArray): number {
  const handle = allocate(dtype, memory.length, to);
  if (memory.length > 0) write(handle, 0, memory);
  return handle;
}

const numbersOf = (dtype: Dtype, buffer: ArrayBuffer): ArrayLike<number> =>
  dtype === "bf16"
    ? Float32Array.from(new Uint16Array(buffer), fromBf16Bits)
    : new arrayTypeOf[dtype](buffer);

/** Words of f32 as integers: what is compared bit by bit. */
const bitsOf = (buffer: ArrayBuffer) => new Int32Array(buffer);

const digest = createHash("sha256");

/** What all tensor arguments hold afterwards; of packed weights that were written, how they differ from what they should be. */
function execute(where: Device, kernel: string, real: Precision, args: Arguments): Results {
  const number = deviceNumber(where);
  const handles = new Map<string, number>();
  const others: number[] = [];
  const packWeight = kernelNamed("pack_weight");
  const packInto = (packed: number, words: number, weight: number, view: Omit<KernelView, "handle">) =>
    callKernel(packWeight, real, [
      { handle: weight, ...view },
      { handle: packed, offset: 0, shape: [words], strides: [1] },
    ]);
  const read = (handle: number, dtype: Dtype, length: number): ArrayBuffer =>
    length === 0 ? new ArrayBuffer(0) : readSync(handle, 0, length).slice(0, length * bytesPerElement[dtype]);
  try {
    const given = [...args].map(([name, argument]) => {
      if (typeof argument !== "object") return argument;
      const { dtype, memory, view, packed } = argument;
      const handle = upload(number, dtype, memory);
      handles.set(name, handle);
      if (packed) {
        others.push(
          upload(number, "f32", new Float32Array(memory.length)),
          upload(number, "f32", packed.weight),
        );
        callKernel(kernelNamed("fill32"), "f32", [{ handle, ...view }, 0]);
        packInto(handle, memory.length, others.at(-1)!, packed.view);
      }
      return { handle, ...view };
    });
    callKernel(kernelNamed(kernel), real, given);
    const results: Results = new Map();
    for (const [name, argument] of args) {
      if (typeof argument !== "object") continue;
      const { dtype, memory, parameter, packed } = argument;
      const buffer = read(handles.get(name)!, dtype, memory.length);
      if (where !== "cpu") digest.update(new Uint8Array(buffer));
      if (!packed) {
        results.set(name, numbersOf(dtype, buffer));
      } else if (parameter.kind === "out") {
        const expected = allocate("f32", memory.length, number);
        others.push(expected);
        const layout: KernelView = { handle: expected, offset: 0, shape: [memory.length], strides: [1] };
        callKernel(kernelNamed("fill32"), "f32", [layout, 0]);
        packInto(expected, memory.length, handles.get("parameter")!, packed.view);
        const exact = bitsOf(read(expected, "f32", memory.length));
        results.set(
          name,
          bitsOf(buffer).map((bits, i) => bits - exact[i]!),
        );
      }
    }
    return results;
  } catch (error) {
    return new Map([[(error as Error).message, []]]);
  } finally {
    for (const handle of [...handles.values(), ...others]) free(handle);
  }
}

/** Inputs of a backward kernel that the forward kernel would have saved get what it saves, on the processor. */
function fillIn(call: KernelCall, real: Precision, args: Arguments): void {
  const forward = call.kernel.replace("_backward", "_forward");
  if (forward === call.kernel || !kernels.has(forward)) return;
  const known = argumentsOf({ ...call, kernel: forward }, real);
  for (const name of known.keys()) {
    const own = args.get(name);
    const isSaved = typeof own === "object" && (known.get(name) as Argument).parameter.kind !== "in";
    if (own !== undefined && !isSaved) known.set(name, own);
  }
  const results = execute("cpu", forward, real, known);
  for (const [name, argument] of known) {
    const own = args.get(name);
    if (typeof argument !== "object" || typeof own !== "object" || argument.parameter.kind === "in") continue;
    const saved = Float64Array.from(results.get(name)!);
    const memory = asStored(own.dtype, saved);
    args.set(name, { ...own, memory, view: argument.view });
  }
}

// ---- comparison

/** Units in the last place of bf16, relative to a number. */
const unit = 2 ** -7;

/** The largest difference relative to the largest expected number, and whether one is more than allowed. */
function compare(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, units: number) {
  let largest = 1e-3;
  for (let i = 0; i < expected.length; i++)
    if (Number.isFinite(expected[i])) largest = Math.max(largest, Math.abs(expected[i]!));
  let worst = got.length === expected.length ? 0 : Infinity;
  let isWrong = worst > 0;
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i]!;
    if (got[i] === e || Object.is(got[i], e)) continue;
    const difference = Math.abs(got[i]! - e);
    if (!(difference <= tolerance * largest + (Number.isFinite(e) ? units * unit * Math.abs(e) : 0)))
      isWrong = true;
    worst = Math.max(worst, Number.isNaN(difference) ? Infinity : difference / largest);
  }
  return { worst, isWrong };
}

/** What is wrong with a call, and the largest error of all. */
function check(call: KernelCall, real: Precision, isStrict: boolean): { wrong: string[]; error: number } {
  setFloat32MatmulPrecision(isStrict ? "highest" : "high");
  const args = argumentsOf(call, real);
  fillIn(call, real, args);
  const expected = execute("cpu", call.kernel, real, args);
  const got = execute(cuda, call.kernel, real, args);
  const wrong: string[] = [];
  let error = 0;
  for (const name of got.keys()) if (!expected.has(name)) wrong.push(name);
  for (const [name, e] of expected) {
    const argument = args.get(name);
    if (typeof argument !== "object") {
      if (!got.has(name)) wrong.push(`no error: ${name}`);
      continue;
    }
    const isExact = call.tolerance === 0 || argument.parameter.kind === "in" || argument.dtype === "i32";
    const tolerance = isExact ? 0 : isStrict ? call.strictTolerance! : call.tolerance;
    const units = isExact || argument.dtype !== "bf16" ? 0 : 1;
    const coarse = real === "bf16" && !isExact ? (call.bf16Tolerance ?? 0) : 0;
    const { worst, isWrong } = compare(got.get(name) ?? [], e, tolerance + coarse, units);
    error = Math.max(error, worst);
    if (isWrong) wrong.push(`${name} differs by ${worst.toExponential(2)}`);
  }
  return { wrong, error };
}

const cuda = device("cuda");
const wanted = new RegExp(process.argv[2] ?? "");
const mostErrors = new Map<string, number>();
let agree = 0;
let differ = 0;
for (const call of calls) {
  for (const variant of call.variants ?? (["f32", "bf16"] as const)) {
    const description = `${call.kernel} ${variant} ${call.description}`;
    if (!wanted.test(description)) continue;
    const start = performance.now();
    const { wrong, error } = check(call, variant === "bf16" ? "bf16" : "f32", variant === "strict");
    if (wrong.length > 0) console.error(`${description}: ${wrong.join(", ")}`);
    wrong.length > 0 ? differ++ : agree++;
    const key = `${call.kernel} ${variant}`;
    mostErrors.set(key, Math.max(mostErrors.get(key) ?? 0, error));
    if (process.env.TIMES) console.log((performance.now() - start).toFixed(0), description);
  }
}
if (process.env.ERRORS) for (const [key, error] of mostErrors) console.log(error.toExponential(1), key);
console.log(`${agree} calls agree, ${differ} differ ${digest.digest("hex")}`);
process.exitCode = differ > 0 ? 1 : 0;
