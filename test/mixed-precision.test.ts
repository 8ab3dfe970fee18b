import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AdamW,
  add,
  defaultDevice,
  Embedding,
  freeze,
  GPT,
  gelu,
  geluTanh,
  Linear,
  linear,
  linearCrossEntropy,
  manualSeed,
  mul,
  noGrad,
  parameter,
  rand,
  randn,
  scope,
  step,
  type Tensor,
  tensor,
} from "../src/index.ts";
import { configure, info } from "../src/native.ts";
import { currentPacks } from "../src/ops/packed-weight.ts";
import { root, run } from "./child.ts";
import { variants } from "./variants.ts";

const best = info().isa;
const isOnHost = defaultDevice() === "cpu";
const all = variants.map((variant) => [variant.name, variant] as const);
const allInF32 = all.filter(([, { dtypes }]) => isOnHost || dtypes.includes("f32"));
const allInBf16 = all.filter(([, { dtypes }]) => dtypes.includes("bf16"));

beforeAll(() => configure("poison", true));
afterAll(() => {
  configure("poison", false);
  configure("isa", best);
});

const values = async (t: Tensor | undefined) => [...(await t!.toTypedArray())];

/** The largest difference, relative to the largest value. */
function distance(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  const largest = (list: readonly number[]) => list.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  return largest(a.map((x, i) => x - b[i]!)) / largest(b);
}

const uniform = (...shape: number[]) => rand(shape, { low: -1, high: 1 });

/** Both sides of panels and tiles: rows of 14 and 32, columns of 32, pairs and blocks of K. */
const shapes = [
  [3, 5, 7],
  [33, 47, 65],
  [64, 128, 96],
  [150, 2112, 40],
] as const;

describe("a weight in f32 under activations in bf16", () => {
  for (const [M, K, N] of shapes)
    test.each(allInBf16)(`linear [${M}, ${K}] · [${N}, ${K}]ᵀ and its gradients, %s`, async (_, variant) => {
      variant.select();
      const [x, weight, bias] = [uniform(M, K), parameter(() => uniform(N, K)), parameter(() => uniform(N))];
      const dy = uniform(M, N);
      x.requiresGrad = true;
      const gradients = async (input: Tensor) => {
        const y = linear(input, weight, bias, "gelu");
        y.backward(dy.to(y.dtype));
        const all = [y, weight.grad, bias.grad, input.grad];
        const result = await Promise.all(all.map(values));
        for (const t of [weight, bias, input]) t.gradient = undefined;
        return result;
      };
      const exact = await gradients(x);
      const rounded = x.detach().to("bf16");
      rounded.requiresGrad = true;
      const mixed = await gradients(rounded);
      expect(weight.dtype).toBe("f32");
      for (const [i, list] of mixed.entries()) expect(distance(list, exact[i]!)).toBeLessThan(0.02);
    });
});

describe("packed weights", () => {
  const layer = () => new Linear(40, 33, { bias: false });
  const x = noGrad(() => uniform(6, 40).to("bf16"));
  const expected = (weight: Tensor) => values(linear(x, weight.detach().clone()));

  test("follow assign, set and loadStateDict", async () => {
    const l = layer();
    const before = await values(l(x));
    l.weight.assign(uniform(33, 40));
    expect(await values(l(x))).not.toEqual(before);
    expect(await values(l(x))).toEqual(await expected(l.weight));
    l.weight.set(new Float32Array(33 * 40).fill(0.5));
    expect(await values(l(x))).toEqual(await expected(l.weight));
    l.loadStateDict(new Map([["weight", uniform(33, 40)]]));
    expect(await values(l(x))).toEqual(await expected(l.weight));
  });

  test("of a frozen parameter are made once", async () => {
    const l = layer();
    freeze(l);
    await values(l(x));
    const made = currentPacks(l.weight)?.forward;
    expect(made).toBeDefined();
    scope(() => l(x));
    expect(currentPacks(l.weight)?.forward).toBe(made);
    l.weight.set(new Float32Array(33 * 40).fill(0.5));
    expect(await values(l(x))).toEqual(await expected(l.weight));
    expect(currentPacks(l.weight)?.forward).toBe(made);
  });

  test.runIf(isOnHost)("follow what JavaScript writes to an array on their memory", async () => {
    const l = layer();
    await values(l(x));
    const array = (await l.weight.data()) as Float32Array;
    array.fill(0.25);
    expect(await values(l(x))).toEqual(await expected(l.weight));
    array.fill(-1);
    expect(await values(l(x))).toEqual(await expected(l.weight));

    const adopted = tensor(new Float32Array(33 * 40), [33, 40], { requiresGrad: true });
    expect(await values(linear(x, adopted))).toEqual(new Array(6 * 33).fill(0));
    ((await adopted.data()) as Float32Array).fill(1);
    expect(await values(linear(x, adopted))).toEqual(await expected(adopted));
  });

  test.each(all)("are what AdamW leaves, bit for bit, %s", async (_, variant) => {
    variant.select();
    for (const dtype of ["f32", "bf16"] as const) {
      manualSeed(3);
      const l = new Linear(70, 45);
      const input = uniform(9, 70).to(dtype);
      input.requiresGrad = true;
      const optimizer = new AdamW(l.parameters(), { learningRate: 0.1 });
      for (let i = 0; i < 3; i++) {
        step(() => {
          l(input).to("f32").sum().backward();
          optimizer.step({ maxGradNorm: 1 });
        });
      }
      const run = async (weight: Tensor) => {
        input.gradient = undefined;
        const y = linear(input, weight, l.bias);
        y.backward(uniformLike(y));
        return [await values(y), await values(input.grad)];
      };
      const uniformLike = (y: Tensor) => rand(y.shape, { generator: { seed: 1, position: 0 } }).to(y.dtype);
      const fresh = l.weight.detach().clone();
      fresh.requiresGrad = true;
      expect(await run(l.weight)).toEqual(await run(fresh));
    }
  });

  test("of every weight are written by AdamW, not made anew", () => {
    const layers = [new Linear(40, 33), new Linear(33, 40), new Linear(40, 8)];
    const optimizer = new AdamW(layers.flatMap((l) => l.parameters()));
    const update = () =>
      step(() => {
        layers
          .reduce((y, l) => l(y), x)
          .to("f32")
          .sum()
          .backward();
        optimizer.step({ maxGradNorm: 1 });
      });
    update();
    for (const { weight } of layers) expect(currentPacks(weight)?.forward).toBeDefined();
  });

  test.each(allInF32)("in f32 give what the weight itself gives, bit for bit, %s", async (_, variant) => {
    variant.select();
    for (const [M, K, N] of [...shapes, [1, 300, 50], [7, 64, 33]] as const) {
      const [input, weight, dy] = [uniform(M, K), parameter(() => uniform(N, K)), uniform(M, N)];
      const run = async (w: Tensor) => {
        const x = input.detach();
        x.requiresGrad = true;
        const y = linear(x, w);
        y.backward(dy);
        return [await values(y), await values(x.grad), await values(w.grad)];
      };
      const exposed = tensor((await weight.toTypedArray()) as Float32Array, weight.shape, {
        requiresGrad: true,
      });
      const [packed, plain] = [await run(weight), await run(exposed)];
      // Few rows have a loop of their own where the weight is not packed.
      if (M > 8) expect(packed).toEqual(plain);
      else for (const [i, list] of packed.entries()) expect(distance(list, plain[i]!)).toBeLessThan(1e-6);
    }
  });

  test("belong to one instruction set", async () => {
    const l = layer();
    for (const [name, variant] of [...all, ...all]) {
      variant.select();
      expect(await values(l(x)), name).toEqual(await expected(l.weight));
    }
  });
});

describe("what a product does in the same pass", () => {
  test("the slope of an activation, with further uses of its result", async () => {
    for (const activation of ["gelu", "geluTanh"] as const) {
      const [x, up, down] = [uniform(5, 8), uniform(12, 8), uniform(8, 12)].map((t) =>
        Object.assign(t, { requiresGrad: true }),
      ) as [Tensor, Tensor, Tensor];
      const gradients = async (hidden: () => Tensor) => {
        const h = hidden();
        add(linear(h, down), mul(linear(h, down), 0.5))
          .sum()
          .add(h.mul(h).sum())
          .backward();
        const result = await Promise.all([x, up, down].map((t) => values(t.grad)));
        for (const t of [x, up, down]) t.gradient = undefined;
        return result;
      };
      const f = activation === "gelu" ? gelu : geluTanh;
      const fused = await gradients(() => linear(x, up, undefined, activation));
      const apart = await gradients(() => f(linear(x, up)));
      for (const [i, list] of fused.entries()) expect(distance(list, apart[i]!)).toBeLessThan(1e-5);
    }
  });

  test("a residual", async () => {
    const [x, weight, residual] = [uniform(5, 8), uniform(6, 8), uniform(5, 6)].map((t) =>
      Object.assign(t, { requiresGrad: true }),
    ) as [Tensor, Tensor, Tensor];
    const gradients = async (y: Tensor) => {
      y.mul(y).sum().backward();
      const result = await Promise.all([y, x.grad, weight.grad, residual.grad].map(values));
      for (const t of [x, weight, residual]) t.gradient = undefined;
      return result;
    };
    const fused = await gradients(linear(x, weight, undefined, undefined, residual));
    const apart = await gradients(add(linear(x, weight), residual));
    for (const [i, list] of fused.entries()) expect(distance(list, apart[i]!)).toBeLessThan(1e-6);
    expect(() => linear(x, weight, undefined, undefined, x)).toThrow(
      /linear: residual must be \[5, 6\]; got x \[5, 8\], weight \[6, 8\], residual \[5, 8\]/,
    );
    expect(() => linear(x, weight, undefined, "relu", residual)).toThrow(/activation and residual/);
  });
});

describe("a model in bf16", () => {
  const config = { vocabSize: 40, contextLength: 16, numLayers: 2, numHeads: 2, hiddenSize: 32, seed: 5 };
  const ids = (offset: number) =>
    tensor(
      Int32Array.from({ length: 64 }, (_, i) => ((i + offset) * 7) % 40),
      [4, 16],
    );

  async function train(dtype: "f32" | "bf16"): Promise<number[]> {
    const model = new GPT({ ...config, dtype });
    const optimizer = new AdamW(model.parameters(), { learningRate: 3e-3 });
    const losses: number[] = [];
    for (let i = 0; i < 30; i++) {
      const loss = step(() => {
        const { loss } = model(ids(0), { targets: ids(1) });
        loss.backward();
        optimizer.step({ maxGradNorm: 1 });
        return loss;
      });
      losses.push(await loss.item());
    }
    expect(model.parameters().every((p) => p.dtype === "f32")).toBe(true);
    return losses;
  }

  test.each(allInBf16)("learns as it does in f32, %s", async (_, variant) => {
    variant.select();
    const [f32, bf16] = [await train("f32"), await train("bf16")];
    expect(bf16[0]).toBeCloseTo(f32[0]!, 2);
    expect(bf16.at(-1)).toBeLessThan(0.5 * bf16[0]!);
    for (const [i, loss] of bf16.entries()) expect(Math.abs(loss - f32[i]!)).toBeLessThan(0.08);
  });

  test("has activations and logits in bf16, and a loss in f32", () => {
    scope(() => {
      const { logits, loss } = new GPT({ ...config, dtype: "bf16" })(ids(0), { targets: ids(1) });
      expect([logits.dtype, loss.dtype]).toEqual(["bf16", "f32"]);
      expect(new Embedding(3, 4, { dtype: "bf16" })(tensor(Int32Array.of(1))).dtype).toBe("bf16");
    });
    expect(() => new GPT({ ...config, dtype: "f16" as "bf16" })).toThrow(
      expect.objectContaining({
        code: "ERR_DTYPE",
        message: expect.stringContaining('must be "f32" or "bf16"'),
      }),
    );
  });

  test.runIf(isOnHost)(
    "says once, where products of bf16 are computed in f32, that it is slower",
    async () => {
      const program = `
      import { GPT } from ${JSON.stringify(path.join(root, "dist/index.js"))};
      const config = { vocabSize: 5, contextLength: 4, numLayers: 1, numHeads: 1, hiddenSize: 8, dtype: "bf16" };
      new GPT(config), new GPT(config);`;
      const { status, stderr } = await run(process.execPath, ["--input-type=module", "-e", program], {
        env: { ...process.env, TRAINFORMER_ISA: "scalar" },
      });
      expect(status, stderr).toBe(0);
      expect(stderr.match(/WARN_SLOW_BF16/g)).toHaveLength(1);
    },
  );

  test("the chunked head takes a weight in f32", async () => {
    const [x, weight] = [randn([4, 24]), parameter(() => randn([50, 24]))];
    const targets = tensor(Int32Array.of(3, 49, 0, 7));
    const exact = await linearCrossEntropy(x, weight, targets).item();
    const mixed = await linearCrossEntropy(x.to("bf16"), weight, targets).item();
    expect(Math.abs(mixed - exact)).toBeLessThan(0.01 * exact);
  });
});
