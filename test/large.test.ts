import { afterAll, describe, expect, test } from "vitest";
import {
  add,
  cast,
  clone,
  dropout,
  gelu,
  layerNorm,
  manualSeed,
  max,
  noGrad,
  rand,
  slice,
  softmax,
  type Tensor,
  tensor,
} from "../src/index.ts";
import { configure, info } from "../src/native.ts";

/** Tensors from 8 MiB on are stored past the caches: the same bits as of smaller ones. */

const isas = info()
  .isas.filter((isa) => isa.supported)
  .map((isa) => isa.name);
afterAll(() => configure("isa", isas.at(-1)!));

const rows = 2 ** 16 + 1;
const half = 2 ** 15;
const ops: Record<string, (x: Tensor) => Tensor> = {
  gelu,
  clone,
  "add a row": (x) => add(x, slice(x, 0, 0, 1)),
  "add itself": (x) => add(x, x),
  layerNorm: (x) => layerNorm(x, slice(x, 0, 0, 1).reshape(x.shape[1]!)),
  softmax: (x) => softmax(x),
};

const bits = (t: Tensor) => Buffer.from(t.toTypedArraySync().slice().buffer);

describe.each(isas)("large results, %s", (isa) => {
  for (const dtype of ["f32", "bf16"] as const) {
    for (const columns of [128, 65]) {
      test.each(Object.keys(ops))(`%s of [${rows}, ${columns}] in ${dtype}`, (name) => {
        configure("isa", isa);
        noGrad(() => {
          const x = cast(rand([rows, columns], { low: -3, high: 3 }), dtype);
          const whole = ops[name]!(x);
          const row = slice(x, 0, 0, 1);
          for (const start of [0, half]) {
            // Pieces below the limit, of which the first begins with the same row.
            const part = ops[name]!(clone(slice(x, 0, start, start + 256)));
            const same = start === 0 || !(name.startsWith("add a") || name === "layerNorm");
            if (same) expect(bits(clone(slice(whole, 0, start, start + 256))).equals(bits(part))).toBe(true);
          }
          for (const t of [x, whole, row]) t.dispose();
        });
      });
    }
  }

  test("dropout draws the same mask", () => {
    const x = rand([2 ** 21 + 5], { low: 1, high: 2 });
    const draw = (name: string) => {
      configure("isa", name);
      manualSeed(7);
      return bits(noGrad(() => dropout(x, 0.3)));
    };
    expect(draw(isa).equals(draw("scalar"))).toBe(true);
    x.dispose();
  });

  test("the maximum of a long row is found where it is first", () => {
    configure("isa", isa);
    const values = Float32Array.from({ length: 100_003 }, (_, i) => Math.sin(i));
    for (const [place, value] of [
      [0, 2],
      [517, 2],
      [99_999, 2],
      [100_002, 2],
      [70_000, Number.NaN],
    ] as const) {
      const row = values.slice();
      row[place] = value;
      if (place + 600 < row.length) row[place + 600] = value;
      const x = tensor(row, [row.length]);
      x.requiresGrad = true;
      const y = max(x);
      y.backward();
      expect(y.toTypedArraySync()[0]).toBe(value);
      expect(x.grad!.toTypedArraySync().indexOf(1)).toBe(place);
    }
  });

  test.each([0, 1])("the maximum over axis %i knows NaN", (axis) => {
    configure("isa", isa);
    const values = Float32Array.from({ length: 70 * 70 }, (_, i) => Math.sin(i));
    values[33 * 70 + 34] = Number.NaN;
    values[34 * 70 + 33] = Number.NaN;
    values[33 * 70 + 33] = Number.NaN;
    const y = max(tensor(values, [70, 70]), axis).toTypedArraySync();
    for (let i = 0; i < 70; i++) expect(Number.isNaN(y[i]), `${i}`).toBe(i === 33 || i === 34);
  });

  test("layerNorm of rows far from zero, and with one element far from the others", () => {
    configure("isa", isa);
    const C = 1000;
    const far = Float32Array.from({ length: C }, (_, i) => 1e4 + Math.sin(i));
    const outlier = Float32Array.from({ length: C }, (_, i) => (i === 0 ? 3e3 : Math.sin(i)));
    const x = new Float32Array([...far, ...outlier]);
    const y = layerNorm(
      tensor(x, [2, C]),
      tensor(new Float32Array(C).fill(1), [C]),
      undefined,
      0,
    ).toTypedArraySync();
    for (let n = 0; n < 2; n++) {
      const row = Float64Array.from(x.subarray(n * C, (n + 1) * C));
      const mean = row.reduce((a, b) => a + b, 0) / C;
      const std = Math.sqrt(row.reduce((a, b) => a + (b - mean) ** 2, 0) / C);
      const largest = Math.max(...row.map((v) => Math.abs(v - mean) / std));
      for (let i = 0; i < C; i++)
        expect(Math.abs(Number(y[n * C + i]) - (row[i]! - mean) / std)).toBeLessThan(
          2e-6 * Math.max(largest, 4) * (n ? 1 : 100),
        );
    }
  });
});
