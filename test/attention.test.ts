import { describe, expect, test } from "vitest";
import {
  type AttentionOptions,
  attention,
  concat,
  defaultDevice,
  MultiHeadAttention,
  manualSeed,
  randn,
  type Tensor,
} from "../src/index.ts";
import { runSource } from "./child.ts";
import { variants } from "./variants.ts";

const isOnHost = defaultDevice() === "cpu";

/** The output and the gradients of q, k and v, as arrays. */
function run(inputs: readonly Tensor[], dy: Tensor, options: AttentionOptions): Float32Array[] {
  for (const t of inputs) t.gradient = undefined;
  const y = attention(inputs[0]!, inputs[1]!, inputs[2]!, options);
  y.backward(dy);
  return [y, ...inputs.map((t) => t.grad!)].map((t) => Float32Array.from(t.to("f32").toTypedArraySync()));
}

const distance = (a: Float32Array, b: Float32Array) =>
  a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]!)), 0);

const makeInputs = (T: number, D = 16) => {
  manualSeed(5);
  return [1, 2, 3].map(() => randn([1, T, 1, D], { requiresGrad: true }));
};

describe("attention", () => {
  // A batch of four goes head by head, a single head in blocks of queries, then of keys.
  for (const options of [{ window: 40, causal: true }, { window: 90 }, { causal: true }, {}]) {
    test(`of one head and of many is the same: ${JSON.stringify(options)}`, () => {
      const inputs = makeInputs(300);
      const dy = randn([1, 300, 1, 16]);
      const alone = run(inputs, dy, options);
      const four = (t: Tensor) => concat([t, t, t, t], 0);
      const batch = inputs.map((t) => {
        const copies = four(t.detach());
        copies.requiresGrad = true;
        return copies;
      });
      run(batch, four(dy), options).forEach((got, n) => {
        const size = alone[n]!.length;
        for (let b = 0; b < 4; b++)
          expect(distance(got.subarray(b * size, (b + 1) * size), alone[n]!)).toBeLessThan(1e-5);
      });
    });
  }

  test("in bf16, over many tiles, is that in f32 within rounding, on every instruction set", () => {
    const inputs = makeInputs(333, 48).map((t) => t.to("bf16"));
    const dy = randn([1, 333, 1, 48]).to("bf16");
    for (const options of [{ causal: true }, { window: 45 }, { window: 45, causal: true, dropout: 0.2 }]) {
      const runIn = (dtype: "f32" | "bf16") => {
        manualSeed(6);
        const copies = inputs.map((t) => {
          const copy = t.detach().to(dtype);
          copy.requiresGrad = true;
          return copy;
        });
        return run(copies, dy.to(dtype), options);
      };
      const exact = runIn("f32");
      for (const { name, select } of variants) {
        select();
        runIn("bf16").forEach((got, n) => {
          const largest = exact[n]!.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
          expect(distance(got, exact[n]!) / largest, name).toBeLessThan(2 ** -7);
        });
      }
    }
  });

  test("with a window as wide as the sequence is attention without one", () => {
    const inputs = makeInputs(130);
    const dy = randn([1, 130, 1, 16]);
    for (const causal of [true, false])
      expect(run(inputs, dy, { causal, window: 130 })).toStrictEqual(run(inputs, dy, { causal }));
  });

  test("with a window of one is the values", () => {
    const [q, k, v] = makeInputs(70) as [Tensor, Tensor, Tensor];
    for (const causal of [true, false])
      expect(attention(q, k, v, { causal, window: 1 }).toTypedArraySync()).toEqual(v.toTypedArraySync());
  });

  test("what lies outside of the window changes nothing", () => {
    const layer = new MultiHeadAttention({ hiddenSize: 8, numHeads: 2, causal: true, window: 3 });
    const x = randn([1, 9, 8]);
    const changed = concat([randn([1, 4, 8]), x.slice(1, 4, 9)], 1);
    const last = (y: Tensor) => y.slice(1, 6, 9).toTypedArraySync();
    expect(last(layer(changed))).toEqual(last(layer(x)));
  });

  test.runIf(isOnHost)("takes memory that grows as the sequence, not as its square", async () => {
    const { status, stdout, stderr } = await runSource(`
      import { attention, memory, randn, scope } from "trainformer";
      const peaks = [];
      for (const T of [2048, 8192]) {
        const inputs = [1, 2, 3].map(() => randn([1, T, 1, 64], { requiresGrad: true }));
        const dy = randn([1, T, 1, 64]);
        const before = { tensors: memory().liveBytes, process: process.resourceUsage().maxRSS * 1024 };
        scope(() => attention(...inputs, { causal: true }).backward(dy));
        await inputs[0].grad.data();
        const tensors = memory().peakBytes - before.tensors;
        peaks.push({ tensors, grown: process.resourceUsage().maxRSS * 1024 - before.process });
        for (const t of inputs) t.gradient = undefined;
      }
      console.log(JSON.stringify(peaks));
    `);
    expect(status, stderr).toBe(0);
    const [short, long] = JSON.parse(stdout) as { tensors: number; grown: number }[];
    const row = 4 * (4 * 64 + 1); // y, dq, dk and dv, and lse: a square of T would be 32 times that
    expect(short!.tensors).toBeLessThan(2048 * row * 1.5);
    expect(long!.tensors).toBeLessThan(8192 * row * 1.5);
    expect(long!.grown).toBeLessThan(60e6); // those, and scratch memory
  });
});
