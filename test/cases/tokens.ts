import { manualSeed } from "../../src/generator.ts";
import { dropout } from "../../src/ops/dropout.ts";
import { add } from "../../src/ops/elementwise.ts";
import { embedding } from "../../src/ops/embedding.ts";
import { rotary, sinusoidalPositions } from "../../src/ops/positions.ts";
import { philox4x32 } from "../../src/random.ts";
import { sizeOf } from "../../src/shape.ts";
import { tensor } from "../../src/tensor.ts";
import { defineCase, Reference, shapeOf, traffic } from "../case.ts";

const seed = 2 ** 40 + 5;
const p = 0.3;

/** Whether dropout keeps element i: the definition, by the TypeScript Philox. */
function kept(i: number): boolean {
  const block = new Uint32Array(4);
  philox4x32(seed >>> 0, Math.floor(seed / 2 ** 32), Math.floor(i / 4), 0, 0, 0, block);
  return (block[i % 4]! >>> 8) * 2 ** -24 >= Math.fround(p);
}

const angle = (position: number, i: number, D: number) => position / 10000 ** ((2 * i) / D);

const tables = new Map<string, Float32Array>();
function table(T: number, D: number, f: (x: number) => number) {
  const values = (_: unknown, n: number) => f(angle(Math.floor((2 * n) / D), n % (D / 2), D));
  const name = `${f.name} ${T} ${D}`;
  if (!tables.has(name)) tables.set(name, Float32Array.from({ length: (T * D) / 2 }, values));
  return tensor(tables.get(name)!, [T, D / 2]);
}

export default [
  defineCase({
    name: "dropout",
    sizes: { tiny: { x: [3, 5, 7] }, large: { x: [130, 301] }, model: { x: [2048, 768] } },
    run({ x }) {
      manualSeed(seed);
      return dropout(x!, p);
    },
    reference: ({ x }) =>
      new Reference(
        x!.shape,
        x!.data.map((v, i) => (kept(i) ? v / (1 - p) : 0)),
      ),
    work({ x }) {
      const N = sizeOf(shapeOf(x!));
      return { forward: traffic(N, N), backward: traffic(N, N) };
    },
  }),
  defineCase({
    name: "embedding",
    sizes: {
      tiny: { ids: { ids: [2, 5], below: 7 }, weight: [7, 19] },
      repeated: { ids: { ids: [6], values: [1, 1, 1, 0, 1, 2] }, weight: [3, 4] },
      large: { ids: { ids: [900], below: 70 }, weight: [70, 65] },
      model: { ids: { ids: [2048], below: 50257 }, weight: [50257, 768] },
    },
    run: ({ ids, weight }) => embedding(ids!, weight!),
    reference({ ids, weight }) {
      const rows = weight!.rows();
      return new Reference(
        [...ids!.shape, weight!.shape[1]!],
        [...ids!.data].flatMap((id) => [...rows[id]!]),
      );
    },
    work({ ids, weight }) {
      const N = sizeOf(shapeOf(ids!)) * shapeOf(weight!)[1]!;
      return { forward: traffic(N, N), backward: traffic(N, sizeOf(shapeOf(weight!))) };
    },
    tolerance: { gradient: 1e-5 },
  }),
  defineCase({
    name: "rotary",
    sizes: {
      tiny: { x: [2, 5, 3, 6] },
      wide: { x: [1, 3, 2, 70] },
      large: { x: [3, 64, 4, 64] },
      model: { x: [8, 256, 12, 64] },
    },
    run({ x }) {
      const [, T, , D] = x!.shape;
      return rotary(x!, table(T!, D!, Math.cos), table(T!, D!, Math.sin));
    },
    reference({ x }) {
      const [B, T, H, D] = x!.shape as [number, number, number, number];
      const y = new Reference(x!.shape);
      for (let b = 0; b < B; b++)
        for (let t = 0; t < T; t++)
          for (let h = 0; h < H; h++)
            for (let i = 0; i < D / 2; i++) {
              const [cos, sin] = [Math.cos(angle(t, i, D)), Math.sin(angle(t, i, D))];
              const [x1, x2] = [x!.at(b, t, h, i), x!.at(b, t, h, i + D / 2)];
              y.set(x1 * cos - x2 * sin, b, t, h, i);
              y.set(x2 * cos + x1 * sin, b, t, h, i + D / 2);
            }
      return y;
    },
    work({ x }) {
      const N = sizeOf(shapeOf(x!));
      return { forward: traffic(N, N), backward: traffic(N, N) };
    },
  }),
  defineCase({
    name: "sinusoidalPositions",
    sizes: { tiny: { x: [5, 7] }, even: { x: [3, 8] } },
    run: ({ x }) => add(x!, sinusoidalPositions(x!.shape[0]!, x!.shape[1]!, 3)),
    reference({ x }) {
      const [T, C] = x!.shape as [number, number];
      const y = new Reference(x!.shape, x!.data);
      for (let t = 0; t < T; t++) {
        for (let c = 0; c < C; c++) {
          const a = (t + 3) / 10000 ** ((2 * Math.floor(c / 2)) / C);
          y.add(c % 2 === 0 ? Math.sin(a) : Math.cos(a), t, c);
        }
      }
      return y;
    },
    dtypes: ["f32"], // positions are f32: a bf16 model casts them first
  }),
];
