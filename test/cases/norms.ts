import { layerNorm } from "../../src/ops/layernorm.ts";
import { rmsNorm } from "../../src/ops/rmsnorm.ts";
import { sizeOf } from "../../src/shape.ts";
import { defineCase, type Input, Reference, shapeOf, traffic } from "../case.ts";

const eps = 1e-5;
const mean = (row: Float64Array) => row.reduce((a, b) => a + b, 0) / row.length;

function normalized(x: Reference, each: (row: Float64Array) => (v: number, i: number) => number): Reference {
  const y = new Reference(x.shape, x.data);
  for (const row of y.rows()) row.set(row.map(each(row)));
  return y;
}

function work(sizes: Record<string, Input>) {
  const N = sizeOf(shapeOf(sizes.x!));
  return { forward: traffic(N, N), backward: traffic(2 * N, N) };
}

const sizes = {
  tiny: { x: [3, 37], weight: [37] },
  folded: { x: [2, 3, 5], weight: [5] },
  narrow: { x: [4, 3], weight: [3] },
  empty: { x: [0, 5], weight: [5] },
  large: { x: [700, 129], weight: [129] },
  model: { x: [2048, 768], weight: [768] },
} satisfies Record<string, Record<string, Input>>;

export default [
  defineCase({
    name: "rmsNorm",
    sizes,
    run: ({ x, weight }) => rmsNorm(x!, weight!, eps),
    reference: ({ x, weight }) =>
      normalized(x!, (row) => {
        const r = 1 / Math.sqrt(mean(row.map((v) => v * v)) + eps);
        return (v, i) => v * r * weight!.data[i]!;
      }),
    work,
  }),
  defineCase({
    name: "layerNorm",
    sizes: Object.fromEntries(Object.entries(sizes).map(([label, s]) => [label, { ...s, bias: s.weight }])),
    run: ({ x, weight, bias }) => layerNorm(x!, weight!, bias, eps),
    reference: ({ x, weight, bias }) =>
      normalized(x!, (row) => {
        const m = mean(row);
        const r = 1 / Math.sqrt(mean(row.map((v) => (v - m) ** 2)) + eps);
        return (v, i) => (v - m) * r * weight!.data[i]! + bias!.data[i]!;
      }),
    work,
  }),
  defineCase({
    name: "layerNorm without bias",
    sizes: { tiny: sizes.tiny },
    run: ({ x, weight }) => layerNorm(x!, weight!, undefined, eps),
    reference: ({ x, weight }) =>
      normalized(x!, (row) => {
        const m = mean(row);
        const r = 1 / Math.sqrt(mean(row.map((v) => (v - m) ** 2)) + eps);
        return (v, i) => (v - m) * r * weight!.data[i]!;
      }),
  }),
];
