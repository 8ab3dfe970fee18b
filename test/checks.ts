import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { noGrad } from "../src/autograd.ts";
import { defaultDevice, setDefaultDevice } from "../src/device.ts";
import { fromBf16Bits, toBf16Bits } from "../src/dtype.ts";
import "../src/functional.ts";
import { scope } from "../src/memory.ts";
import { configure, info } from "../src/native.ts";
import { sizeOf } from "../src/shape.ts";
import { type Tensor, tensor } from "../src/tensor.ts";
import { type Input, type Inputs, isIds, normals, type OpCase, Reference, shapeOf } from "./case.ts";
import { type Precision, type Variant, variants, yardstick } from "./variants.ts";

/** What is asked of every case: by ops.test.ts here, by programs/ops.ts on a processor that may be emulated. */

type Sizes = Inputs<Input>;

export async function allCases(): Promise<OpCase[]> {
  const folder = new URL("./cases/", import.meta.url);
  const files = readdirSync(folder).filter((file) => /\.[jt]s$/.test(file));
  const modules = await Promise.all(files.map((file) => import(new URL(file, folder).href)));
  return modules.flatMap((module) => module.default as OpCase[]);
}

/** The sizes of a case that are tested, with what is asked of each: "large" is too slow for numeric gradients. */
export const testedSizes = (opCase: OpCase) =>
  Object.entries(opCase.sizes)
    .filter(([label]) => label !== "model")
    .map(([label, sizes]) => ({
      label,
      sizes,
      differentiated: label !== "large" && opCase.backward !== "none",
      bf16: label !== "large" && opCase.dtypes?.includes("bf16") !== false,
    }));

/** What splitting f32 into two bf16 costs products, relative to the largest expected value. */
const splitting = { forward: 2e-5, gradient: 4e-5 };

// ---- the truth

/** Inputs, a gradient of the output, and what float64 makes of them. */
export interface Truth {
  readonly inputs: Inputs<Reference>;
  readonly dy: Float64Array;
  readonly y: Reference;
  /** d(Σ dy·y)/dx by central differences, if asked for. */
  readonly gradients?: Inputs<Reference>;
}

const rounded = (precision: Precision, x: number) =>
  precision === "f32" ? Math.fround(x) : fromBf16Bits(toBf16Bits(x));

/** The inputs of a case at given sizes, exactly representable in f32. */
function makeInputs(opCase: OpCase, sizes: Sizes): Inputs<Reference> {
  const entries = Object.entries(sizes).map(([name, input], salt) => {
    const shape = shapeOf(input);
    const values = normals(sizeOf(shape), salt);
    if (isIds(input)) {
      const ids =
        "values" in input ? input.values : values.map((x) => Math.floor(Math.abs(x * 1e6)) % input.below);
      return [name, new Reference(shape, Float64Array.from(ids))] as const;
    }
    const gap = opCase.awayFromZero ?? 0;
    return [
      name,
      new Reference(
        shape,
        values.map((x) => Math.fround(x + Math.sign(x) * gap)),
      ),
    ] as const;
  });
  return Object.fromEntries(entries);
}

/** In bf16, the inputs are those of f32, rounded. */
export function truthOf(opCase: OpCase, sizes: Sizes, precision: Precision, differentiated: boolean): Truth {
  const inputs = Object.fromEntries(
    Object.entries(makeInputs(opCase, sizes)).map(([name, x]) => [
      name,
      isIds(sizes[name]!) ? x : x.map((v) => rounded(precision, v)),
    ]),
  );
  const y = opCase.reference(inputs);
  const dy = normals(y.data.length, 99).map((x) => rounded(precision, Math.fround(x)));
  return { inputs, dy, y, ...(differentiated && { gradients: numericGradients(opCase, sizes, inputs, dy) }) };
}

function numericGradients(
  opCase: OpCase,
  sizes: Sizes,
  inputs: Inputs<Reference>,
  dy: Float64Array,
): Inputs<Reference> {
  const loss = () => opCase.reference(inputs).data.reduce((sum, y, i) => sum + y * dy[i]!, 0);
  const gradients: Inputs<Reference> = {};
  for (const [name, x] of Object.entries(inputs)) {
    if (isIds(sizes[name]!)) continue;
    const gradient = new Reference(x.shape);
    for (let i = 0; i < x.data.length; i++) {
      const before = x.data[i]!;
      const h = 1e-4 * Math.max(1, Math.abs(before));
      x.data[i] = before + h;
      const above = loss();
      x.data[i] = before - h;
      gradient.data[i] = (above - loss()) / (2 * h);
      x.data[i] = before;
    }
    gradients[name] = gradient;
  }
  return gradients;
}

// ---- what the library computes

interface Result {
  y: Reference;
  gradients: Inputs<Reference>;
}

const bits = createHash("sha256");

/** Of everything that was computed so far on a device other than the processor: equal if all its bits are. */
export const digest = (): string => bits.copy().digest("hex");

function toTensor(x: Reference, dtype: "f32" | "bf16" | "i32"): Tensor {
  const data =
    dtype === "i32"
      ? Int32Array.from(x.data)
      : dtype === "f32"
        ? Float32Array.from(x.data)
        : Uint16Array.from(x.data, toBf16Bits);
  return tensor(data, x.shape);
}

const read = (t: Tensor) => new Reference(t.shape, Float64Array.from(t.toTypedArraySync()));

/** Runs a case, forward and backward, in one dtype. */
function runCase(
  { device, select }: Variant,
  opCase: OpCase,
  sizes: Sizes,
  truth: Truth,
  dtype: Precision,
): Result {
  select();
  const standard = defaultDevice();
  setDefaultDevice(device);
  try {
    const result = scope(() => runHere(opCase, sizes, truth, dtype));
    if (device !== "cpu")
      for (const { data } of [result.y, ...Object.values(result.gradients)]) bits.update(data);
    return result;
  } finally {
    setDefaultDevice(standard);
  }
}

/** On the default device. */
function runHere(opCase: OpCase, sizes: Sizes, { inputs, dy }: Truth, dtype: Precision): Result {
  const tensors: Inputs<Tensor> = {};
  for (const [name, x] of Object.entries(inputs)) {
    tensors[name] = toTensor(x, isIds(sizes[name]!) ? "i32" : dtype);
    tensors[name].requiresGrad = tensors[name].dtype !== "i32";
  }
  const y = opCase.backward === "none" ? noGrad(() => opCase.run(tensors)) : opCase.run(tensors);
  const result: Result = { y: read(y), gradients: {} };
  if (y.requiresGrad) {
    y.backward(toTensor(new Reference(y.shape, dy.subarray(0, y.size)), y.dtype));
    for (const [name, t] of Object.entries(tensors)) if (t.grad) result.gradients[name] = read(t.grad);
  }
  return result;
}

// ---- the checks

const largest = (x: Reference) =>
  x.data.reduce((m, v) => (Number.isFinite(v) ? Math.max(m, Math.abs(v)) : m), 0);

/** The largest difference of two arrays; infinite if one is not a number or infinite where the other is not. */
function distance(a: Reference, b: Reference): number {
  if (a.data.length !== b.data.length) return Infinity;
  return a.data.reduce((m, v, i) => {
    const d = Object.is(v, b.data[i]) ? 0 : Math.abs(v - b.data[i]!);
    return Math.max(m, Number.isNaN(d) ? Infinity : d);
  }, 0);
}

const assertAtMost = (what: string, error: number, limit: number) =>
  assert(error <= limit, `${what} is ${error}, more than ${limit}`);

function assertClose(what: string, got: Reference | undefined, expected: Reference, tolerance: number): void {
  assert(got, `${what} is missing`);
  assert.deepEqual([...got.shape], [...expected.shape], `${what}: shape`);
  const error = distance(got, expected) / Math.max(largest(expected), 1e-3);
  assertAtMost(`${what}: relative error`, error, tolerance);
}

/** Output and gradients equal those of float64, and those of the yardstick. */
export function checkValues(opCase: OpCase, sizes: Sizes, truth: Truth): void {
  const first = runCase(yardstick, opCase, sizes, truth, "f32");
  for (const variant of variants) {
    if (!variant.dtypes.includes("f32")) continue;
    const loosest = variant.splits && opCase.multiplies ? splitting : { forward: 0, gradient: 0 };
    const forward = Math.max(opCase.tolerance?.forward ?? 2e-6, loosest.forward);
    const gradient = Math.max(opCase.tolerance?.gradient ?? 1e-5, loosest.gradient);
    const { name: who } = variant;
    const got = runCase(variant, opCase, sizes, truth, "f32");
    assertClose(`${who} y`, got.y, truth.y, forward);
    for (const [name, d] of Object.entries(truth.gradients ?? {}))
      assertClose(`${who} d${name}`, got.gradients[name], d, gradient);
    assertClose(`${who} y against ${yardstick.name}`, got.y, first.y, forward);
    for (const [name, d] of Object.entries(first.gradients))
      assertClose(`${who} d${name} against ${yardstick.name}`, got.gradients[name], d, gradient);
  }
}

/** Any number of threads, and each run again, computes the same bits. */
export function checkThreads(opCase: OpCase, sizes: Sizes, truth: Truth): void {
  for (const variant of variants) {
    const [dtype] = variant.dtypes;
    if (opCase.dtypes?.includes(dtype!) === false) continue;
    const results = [1, 2, 3].map((threads) => {
      configure("threads", threads);
      return runCase(variant, opCase, sizes, truth, dtype!);
    });
    configure("threads", info().cores);
    for (const result of results.slice(1)) assert.deepEqual(result, results[0], variant.name);
  }
}

/** What bf16 inputs (`coarse`) and a bf16 output cost at best: half a unit in the last place of the largest value. */
const roundingError = (coarse: Reference, exact: Reference) =>
  distance(coarse, exact) + 2 ** -9 * largest(exact) + 1e-6;

/** bf16 errs at most twice as much as rounding inputs and output does; `coarse` is the truth of rounded inputs. */
export function checkBf16(opCase: OpCase, sizes: Sizes, exact: Truth, coarse: Truth): void {
  for (const variant of variants) {
    if (!variant.dtypes.includes("bf16")) continue;
    const { name: who } = variant;
    const got = runCase(variant, opCase, sizes, coarse, "bf16");
    assertAtMost(`${who} y: error`, distance(got.y, exact.y), 2 * roundingError(coarse.y, exact.y));
    for (const [name, d] of Object.entries(exact.gradients ?? {})) {
      const allowed = (opCase.tolerance?.bf16Gradient ?? 2) * roundingError(coarse.gradients![name]!, d);
      assertAtMost(`${who} d${name}: error`, distance(got.gradients[name]!, d), allowed);
    }
  }
}
