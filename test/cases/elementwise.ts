import { add, mul, scale, sub } from "../../src/ops/elementwise.ts";
import { broadcastShapes, contiguousStrides, type Shape, sizeOf } from "../../src/shape.ts";
import type { Tensor } from "../../src/tensor.ts";
import { defineCase, type Input, Reference, shapeOf, traffic } from "../case.ts";

/** f(a, b) with NumPy's broadcasting, element by element. */
function broadcast(a: Reference, b: Reference, f: (a: number, b: number) => number): Reference {
  const shape = broadcastShapes("reference", a.shape, b.shape);
  const strides = contiguousStrides(shape);
  const valueAt = (x: Reference, n: number) => {
    const own = contiguousStrides(x.shape);
    const missing = shape.length - x.shape.length;
    return x.data[
      x.shape.reduce((at, size, axis) => {
        const i = Math.floor(n / strides[axis + missing]!) % shape[axis + missing]!;
        return at + (size === 1 ? 0 : i * own[axis]!);
      }, 0)
    ]!;
  };
  return new Reference(
    shape,
    Float64Array.from({ length: sizeOf(shape) }, (_, n) => f(valueAt(a, n), valueAt(b, n))),
  );
}

const pair = (a: Shape, b: Shape): Record<string, Input> => ({ a, b });
const sizes = {
  equal: pair([3, 5, 7], [3, 5, 7]),
  bias: pair([2, 3, 9], [9]),
  positions: pair([2, 3, 9], [3, 9]),
  "middle axis": pair([2, 3, 9], [2, 1, 9]),
  "last axis": pair([2, 3, 9], [2, 3, 1]),
  "both ways": pair([2, 1, 9], [3, 1]),
  "five axes": pair([2, 3, 2, 2, 3], [3, 1, 2, 1]),
  scalar: pair([2, 3], []),
  empty: pair([2, 0], [2, 1]),
  large: pair([130, 301], [301]),
  model: pair([2048, 768], [2048, 768]),
};

type Op = (a: Tensor, b: Tensor) => Tensor;
/** Per element, the backward pass reads and writes this. */
const ops: Record<string, [Op, (a: number, b: number) => number, { read: number; written: number }?]> = {
  add: [add, (a, b) => a + b],
  sub: [sub, (a, b) => a - b, { read: 1, written: 1 }],
  mul: [mul, (a, b) => a * b, { read: 3, written: 2 }],
};

export default [
  ...Object.entries(ops).map(([name, [run, reference, back]]) =>
    defineCase({
      name,
      sizes,
      run: ({ a, b }) => run(a!, b!),
      reference: ({ a, b }) => broadcast(a!, b!, reference),
      work({ a }) {
        const N = sizeOf(shapeOf(a!));
        const backward = back && traffic(back.read * N, back.written * N);
        return { forward: traffic(2 * N, N), ...(backward && { backward }) };
      },
    }),
  ),
  defineCase({
    name: "a tensor with itself",
    sizes: { tiny: { x: [3, 5] } },
    run: ({ x }) => add(mul(x!, x!), x!),
    reference: ({ x }) => x!.map((v) => v * v + v),
    dtypes: ["f32"], // two ops round twice
  }),
  defineCase({
    name: "scale",
    sizes: { tiny: { x: [3, 5] }, large: { x: [130, 301] }, model: { x: [2048, 768] } },
    run: ({ x }) => scale(x!, -1.75),
    reference: ({ x }) => x!.map((v) => v * -1.75),
    work({ x }) {
      const N = sizeOf(shapeOf(x!));
      return { forward: traffic(N, N), backward: traffic(N, N) };
    },
  }),
];
