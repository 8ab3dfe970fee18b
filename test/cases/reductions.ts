import { max, mean, sum } from "../../src/ops/reductions.ts";
import { type Shape, sizeOf } from "../../src/shape.ts";
import type { Tensor } from "../../src/tensor.ts";
import { defineCase, Reference, shapeOf, traffic } from "../case.ts";

type Fold = (values: number[]) => number;

/** `fold` along one axis (all axes if undefined), keeping the axis or not. */
function reduce(x: Reference, axis: number | undefined, keepDim: boolean, fold: Fold): Reference {
  const outer = axis === undefined ? 1 : sizeOf(x.shape.slice(0, axis));
  const count = axis === undefined ? x.data.length : x.shape[axis]!;
  const inner = axis === undefined ? 1 : sizeOf(x.shape.slice(axis + 1));
  const shape: Shape = x.shape.flatMap((n, i) =>
    axis === undefined || i === axis ? (keepDim ? [1] : []) : [n],
  );
  const values = Array.from({ length: outer * inner }, (_, n) => {
    const [o, i] = [Math.floor(n / inner), n % inner];
    return fold(Array.from({ length: count }, (_, r) => x.data[(o * count + r) * inner + i]!));
  });
  return new Reference(shape, values);
}

const total: Fold = (values) => values.reduce((a, b) => a + b, 0);
const ops: Record<string, [(x: Tensor, axis?: number, options?: { keepDim?: boolean }) => Tensor, Fold]> = {
  sum: [sum, total],
  mean: [mean, (values) => total(values) / values.length],
  max: [max, (values) => values.reduce((a, b) => Math.max(a, b))],
};

export default Object.entries(ops).flatMap(([name, [run, fold]]) =>
  (
    [
      [undefined, false],
      [0, false],
      [1, false],
      [2, true],
    ] as const
  ).map(([axis, keepDim]) =>
    defineCase({
      name: `${name} over ${axis ?? "all axes"}`,
      sizes: { tiny: { x: [3, 5, 19] }, large: { x: [70, 33, 41] }, model: { x: [16, 128, 768] } },
      run: ({ x }) => run(x!, axis, { keepDim }),
      reference: ({ x }) => reduce(x!, axis, keepDim, fold),
      work({ x }) {
        const N = sizeOf(shapeOf(x!));
        // The gradient of a sum is the same for all its terms: a view.
        return { forward: traffic(N, 0), ...(name === "max" && { backward: traffic(0, N) }) };
      },
      tolerance: { forward: 1e-5 },
    }),
  ),
);
