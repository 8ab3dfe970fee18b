import { cacheWrite, gatherRows } from "../../src/ops/cache.ts";
import { clone } from "../../src/ops/views.ts";
import { sizeOf } from "../../src/shape.ts";
import { defineCase, Reference, shapeOf, traffic } from "../case.ts";

export default [
  defineCase({
    name: "cacheWrite",
    sizes: {
      tiny: { cache: [3, 7, 2, 5], x: [3, 2, 2, 5], starts: { ids: [3], values: [0, 5, 2] } },
      "one token": { cache: [2, 9, 3, 8], x: [2, 1, 3, 8], starts: { ids: [2], values: [8, 3] } },
      all: { cache: [1, 4, 1, 3], x: [1, 4, 1, 3], starts: { ids: [1], values: [0] } },
      large: { cache: [3, 300, 4, 64], x: [3, 170, 4, 64], starts: { ids: [3], below: 130 } },
      model: { cache: [8, 1024, 12, 64], x: [8, 512, 12, 64], starts: { ids: [8], below: 512 } },
    },
    run({ cache, x, starts }) {
      const written = clone(cache!);
      cacheWrite(written, x!, starts!);
      return written;
    },
    reference({ cache, x, starts }) {
      const [B, T, G, D] = x!.shape as [number, number, number, number];
      const y = new Reference(cache!.shape, cache!.data);
      for (let b = 0; b < B; b++)
        for (let t = 0; t < T; t++)
          for (let g = 0; g < G; g++)
            for (let d = 0; d < D; d++) y.set(x!.at(b, t, g, d), b, starts!.at(b) + t, g, d);
      return y;
    },
    backward: "none",
    work: ({ cache, x }) => {
      const [N, M] = [sizeOf(shapeOf(cache!)), sizeOf(shapeOf(x!))];
      return { forward: traffic(N + M, N + M) };
    },
  }),
  defineCase({
    name: "gatherRows",
    sizes: {
      tiny: { x: [4, 3, 5], ids: { ids: [6], values: [3, 0, 0, 2, 1, 3] } },
      numbers: { x: [5], ids: { ids: [3], values: [4, 4, 1] } },
      none: { x: [5, 2], ids: { ids: [0], values: [] } },
      wide: { x: [3, 8, 16], ids: { ids: [2], values: [2, 0] } },
      large: { x: [5, 3, 70_001], ids: { ids: [7], below: 5 } },
      model: { x: [8, 1024, 12, 64], ids: { ids: [8], below: 8 } },
    },
    run: ({ x, ids }) => gatherRows(x!, ids!),
    reference({ x, ids }) {
      const [, ...row] = x!.shape;
      const C = sizeOf(row);
      const y = new Reference([ids!.shape[0]!, ...row]);
      ids!.data.forEach((id, m) => {
        y.data.set(x!.data.subarray(id * C, (id + 1) * C), m * C);
      });
      return y;
    },
    backward: "none",
    work({ x }) {
      const N = sizeOf(shapeOf(x!));
      return { forward: traffic(N, N) };
    },
  }),
];
