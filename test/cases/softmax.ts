import { crossEntropy } from "../../src/ops/crossentropy.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { sizeOf } from "../../src/shape.ts";
import { defineCase, Reference, shapeOf, traffic } from "../case.ts";

export function softmaxRow(row: Float64Array): Float64Array {
  const top = Math.max(...row);
  const e = row.map((x) => Math.exp(x - top));
  const total = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / total);
}

export function smoothedCrossEntropy(
  logits: Reference,
  targets: Reference,
  smoothing: number,
  mean: boolean,
  ignoreIndex: number,
) {
  const V = logits.shape.at(-1)!;
  let loss = 0;
  let counted = 0;
  logits.rows().forEach((row, n) => {
    const target = targets.data[n]!;
    if (target === ignoreIndex) return;
    counted++;
    softmaxRow(row).forEach((p, v) => {
      loss -= Math.log(p) * (smoothing / V + (v === target ? 1 - smoothing : 0));
    });
  });
  return new Reference([], [mean ? loss / counted : loss]);
}

const targets = (N: number, V: number) => ({ ids: [N], below: V });

export default [
  defineCase({
    name: "softmax",
    sizes: {
      tiny: { x: [3, 2, 19] },
      single: { x: [3, 1] },
      empty: { x: [0, 3] },
      large: { x: [300, 131] },
      model: { x: [3072, 256] },
    },
    run: ({ x }) => softmax(x!),
    reference: ({ x }) => {
      const y = new Reference(x!.shape, x!.data);
      for (const row of y.rows()) row.set(softmaxRow(row));
      return y;
    },
    work({ x }) {
      const N = sizeOf(shapeOf(x!));
      return { forward: traffic(N, N), backward: traffic(2 * N, N) };
    },
  }),
  ...[
    { name: "crossEntropy", smoothing: 0, mean: true, ignore: -100 },
    { name: "crossEntropy with label smoothing", smoothing: 0.1, mean: true, ignore: 2 },
    { name: "crossEntropy, sum", smoothing: 0, mean: false, ignore: 0 },
  ].map(({ name, smoothing, mean, ignore }) =>
    defineCase({
      name,
      sizes: {
        tiny: { logits: [7, 37], targets: targets(7, 37) },
        ignored: { logits: [5, 3], targets: { ids: [5], values: [0, ignore, 1, 2, 1] } },
        large: { logits: [257, 1003], targets: targets(257, 1003) },
        model: { logits: [256, 50257], targets: targets(256, 50257) },
      },
      run: ({ logits, targets }) =>
        crossEntropy(logits!, targets!, {
          labelSmoothing: smoothing,
          ignoreIndex: ignore,
          reduction: mean ? "mean" : "sum",
        }),
      reference: ({ logits, targets }) => smoothedCrossEntropy(logits!, targets!, smoothing, mean, ignore),
      work({ logits }) {
        const N = sizeOf(shapeOf(logits!));
        return { forward: traffic(N, 0), backward: traffic(N, N) };
      },
    }),
  ),
];
