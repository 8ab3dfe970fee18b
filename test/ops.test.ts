import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromBf16Bits, toBf16Bits } from "../src/dtype.ts";
import "../src/functional.ts";
import { scope } from "../src/memory.ts";
import { configure, info } from "../src/native.ts";
import { sizeOf } from "../src/shape.ts";
import { type Tensor, tensor } from "../src/tensor.ts";
import { type Input, type Inputs, isIds, normals, type OpCase, Reference, shapeOf } from "./case.ts";

const folder = new URL("./cases/", import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith(".ts"));
const cases: OpCase[] = (
  await Promise.all(files.map(async (file) => (await import(new URL(file, folder).href)).default as OpCase[]))
).flat();

const isas = info()
  .isas.filter((isa) => isa.supported)
  .map((isa) => isa.name);
const missing = info()
  .isas.filter((isa) => !isa.supported)
  .map((isa) => isa.name);
if (missing.length > 0) console.warn(`not tested, as this processor lacks them: ${missing.join(", ")}`);

type Precision = "f32" | "bf16";
const rounded = (precision: Precision, x: number) =>
  precision === "f32" ? Math.fround(x) : fromBf16Bits(toBf16Bits(x));

/** The inputs of a case at given sizes, exactly representable in f32. */
function makeInputs(opCase: OpCase, sizes: Inputs<Input>): Inputs<Reference> {
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

const roundInputs = (
  sizes: Inputs<Input>,
  inputs: Inputs<Reference>,
  precision: Precision,
): Inputs<Reference> =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, x]) => [
      name,
      isIds(sizes[name]!) ? x : x.map((v) => rounded(precision, v)),
    ]),
  );

function toTensor(x: Reference, dtype: "f32" | "bf16" | "i32"): Tensor {
  const data =
    dtype === "i32"
      ? Int32Array.from(x.data)
      : dtype === "f32"
        ? Float32Array.from(x.data)
        : Uint16Array.from(x.data, toBf16Bits);
  return tensor(data, x.shape);
}

interface Result {
  y: Reference;
  gradients: Inputs<Reference>;
}

/** Runs a case through the library, forward and backward, in one dtype. */
function runCase(
  opCase: OpCase,
  sizes: Inputs<Input>,
  inputs: Inputs<Reference>,
  dy: Float64Array,
  dtype: Precision,
): Result {
  return scope(() => {
    const tensors: Inputs<Tensor> = {};
    for (const [name, x] of Object.entries(inputs)) {
      tensors[name] = toTensor(x, isIds(sizes[name]!) ? "i32" : dtype);
      tensors[name].requiresGrad = tensors[name].dtype !== "i32";
    }
    const y = opCase.run(tensors);
    const result: Result = { y: read(y), gradients: {} };
    if (y.requiresGrad) {
      y.backward(toTensor(new Reference(y.shape, dy.subarray(0, y.size)), y.dtype));
      for (const [name, t] of Object.entries(tensors)) if (t.grad) result.gradients[name] = read(t.grad);
    }
    return result;
  });
}

const read = (t: Tensor) => new Reference(t.shape, Float64Array.from(t.toTypedArraySync()));

/** d(Σ dy·y)/dx by central differences of the float64 reference. */
function numericGradients(
  opCase: OpCase,
  sizes: Inputs<Input>,
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

function expectClose(what: string, got: Reference | undefined, expected: Reference, tolerance: number): void {
  expect(got, `${what} is missing`).toBeDefined();
  expect(got!.shape, `${what}: shape`).toEqual(expected.shape);
  const error = distance(got!, expected) / Math.max(largest(expected), 1e-3);
  expect(error, `${what}: relative error`).toBeLessThanOrEqual(tolerance);
}

/** What bf16 inputs (`coarse`) and a bf16 output cost at best: half a unit in the last place of the largest value. */
const roundingError = (coarse: Reference, exact: Reference) =>
  distance(coarse, exact) + 2 ** -9 * largest(exact) + 1e-6;

beforeAll(() => configure("poison", true));
afterAll(() => configure("poison", false));

for (const opCase of cases) {
  describe(opCase.name, () => {
    const forward = opCase.tolerance?.forward ?? 2e-6;
    const gradient = opCase.tolerance?.gradient ?? 1e-5;
    for (const [label, sizes] of Object.entries(opCase.sizes)) {
      if (label === "model") continue;
      test(label, () => {
        const inputs = makeInputs(opCase, sizes);
        const expected = opCase.reference(inputs);
        const dy = normals(expected.data.length, 99).map(Math.fround);
        const numeric = label === "large" ? undefined : numericGradients(opCase, sizes, inputs, dy);
        let first: Result | undefined;
        for (const isa of isas) {
          configure("isa", isa);
          const got = runCase(opCase, sizes, inputs, dy, "f32");
          expectClose(`${isa} y`, got.y, expected, forward);
          if (Object.keys(got.gradients).length > 0 || numeric !== undefined) {
            for (const [name, d] of Object.entries(numeric ?? {}))
              expectClose(`${isa} d${name}`, got.gradients[name], d, gradient);
          }
          first ??= got;
          expectClose(`${isa} y against ${isas[0]}`, got.y, first.y, forward);
          for (const [name, d] of Object.entries(first.gradients)) {
            expectClose(`${isa} d${name} against ${isas[0]}`, got.gradients[name], d, gradient);
          }
        }
      });

      test(`${label}: the same bits for 1, 2 and 3 threads`, () => {
        const inputs = makeInputs(opCase, sizes);
        const dy = normals(opCase.reference(inputs).data.length, 99).map(Math.fround);
        for (const isa of isas) {
          configure("isa", isa);
          const results = [1, 2, 3].map((threads) => {
            configure("threads", threads);
            return runCase(opCase, sizes, inputs, dy, "f32");
          });
          configure("threads", info().cores);
          for (const result of results.slice(1)) expect(result, isa).toStrictEqual(results[0]);
        }
      });

      if (label === "large" || opCase.dtypes?.includes("bf16") === false) continue;
      test(`${label}: bf16 errs at most twice as much as rounding does`, () => {
        const exact = makeInputs(opCase, sizes);
        const coarse = roundInputs(sizes, exact, "bf16");
        const y = opCase.reference(exact);
        const dy = normals(y.data.length, 99).map(Math.fround);
        const coarseDy = dy.map((x) => rounded("bf16", x));
        const slope = numericGradients(opCase, sizes, exact, dy);
        const coarseSlope = numericGradients(opCase, sizes, coarse, coarseDy);
        for (const isa of isas) {
          configure("isa", isa);
          const got = runCase(opCase, sizes, coarse, coarseDy, "bf16");
          expect(distance(got.y, y), `${isa} y`).toBeLessThanOrEqual(
            2 * roundingError(opCase.reference(coarse), y),
          );
          for (const [name, d] of Object.entries(slope)) {
            const allowed = (opCase.tolerance?.bf16Gradient ?? 2) * roundingError(coarseSlope[name]!, d);
            expect(distance(got.gradients[name]!, d), `${isa} d${name}`).toBeLessThanOrEqual(allowed);
          }
        }
      });
    }
  });
}
