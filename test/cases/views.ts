import { add, mul } from "../../src/ops/elementwise.ts";
import { cast, clone, concat, expand, reshape, slice, split, transpose } from "../../src/ops/views.ts";
import { defineCase, Reference } from "../case.ts";

const identity = (x: Reference) => new Reference(x.shape, x.data);

/** x[.., i, ..] for i in `indices` along the last axis. */
const columns = (x: Reference, indices: number[]) =>
  new Reference(
    [...x.shape.slice(0, -1), indices.length],
    x.rows().flatMap((row) => indices.map((i) => row[i]!)),
  );

export default [
  defineCase({
    name: "reshape",
    sizes: { tiny: { x: [2, 3, 4] } },
    run: ({ x }) => reshape(x!, [4, -1]),
    reference: ({ x }) => new Reference([4, 6], x!.data),
  }),
  defineCase({
    name: "transpose",
    sizes: { tiny: { x: [2, 3, 4] }, large: { x: [3, 70, 90] } },
    run: ({ x }) => transpose(x!, 0, 2),
    reference({ x }) {
      const [A, B, C] = x!.shape as [number, number, number];
      const y = new Reference([C, B, A]);
      for (let a = 0; a < A; a++)
        for (let b = 0; b < B; b++) for (let c = 0; c < C; c++) y.set(x!.at(a, b, c), c, b, a);
      return y;
    },
  }),
  defineCase({
    name: "reshape of a transposed view",
    sizes: { tiny: { x: [3, 4] } },
    run: ({ x }) => reshape(transpose(x!, 0, 1), [12]),
    reference: ({ x }) =>
      new Reference(
        [12],
        Array.from({ length: 12 }, (_, i) => x!.at(i % 3, Math.floor(i / 3))),
      ),
  }),
  defineCase({
    name: "slice",
    sizes: { tiny: { x: [3, 7] } },
    run: ({ x }) => slice(x!, -1, 2, -1),
    reference: ({ x }) => columns(x!, [2, 3, 4, 5]),
  }),
  defineCase({
    name: "split, one part unused",
    sizes: { tiny: { x: [3, 7] } },
    run({ x }) {
      const [a, , c] = split(x!, [2, 3, 2]);
      return mul(a!, c!);
    },
    reference: ({ x }) =>
      new Reference(
        [3, 2],
        x!.rows().flatMap((r) => [r[0]! * r[5]!, r[1]! * r[6]!]),
      ),
  }),
  defineCase({
    name: "split, a part used twice",
    sizes: { tiny: { x: [3, 4] } },
    run({ x }) {
      const [a, b] = split(x!, [2, 2]);
      return add(mul(a!, a!), b!);
    },
    reference: ({ x }) =>
      new Reference(
        [3, 2],
        x!.rows().flatMap((r) => [r[0]! ** 2 + r[2]!, r[1]! ** 2 + r[3]!]),
      ),
    dtypes: ["f32"], // two ops round twice
  }),
  defineCase({
    name: "concat",
    sizes: { tiny: { a: [3, 2], b: [3, 5] } },
    run: ({ a, b }) => concat([a!, b!], 1),
    reference: ({ a, b }) =>
      new Reference(
        [3, 7],
        a!.rows().flatMap((row, n) => [...row, ...b!.rows()[n]!]),
      ),
  }),
  defineCase({
    name: "expand",
    sizes: { tiny: { x: [3, 1] } },
    run: ({ x }) => expand(x!, [2, 3, 4]),
    reference: ({ x }) =>
      new Reference(
        [2, 3, 4],
        Array.from({ length: 24 }, (_, i) => x!.data[Math.floor(i / 4) % 3]!),
      ),
  }),
  defineCase({
    name: "clone",
    sizes: { tiny: { x: [3, 5] } },
    run: ({ x }) => clone(x!),
    reference: ({ x }) => identity(x!),
  }),
  defineCase({
    name: "cast to bf16 and back",
    sizes: { tiny: { x: [3, 5] } },
    run: ({ x }) => cast(cast(x!, "bf16"), "f32"),
    reference: ({ x }) => identity(x!),
    tolerance: { forward: 2 ** -8, gradient: 2 ** -8 },
    dtypes: ["f32"],
  }),
];
