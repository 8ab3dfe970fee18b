import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import {
  AdamW,
  CrossAttention,
  type CrossEntropyOptions,
  crossEntropy,
  defaultDevice,
  GPT,
  type GPTConfig,
  Linear,
  MLP,
  Module,
  MultiHeadAttention,
  manualSeed,
  mul,
  RotaryPositions,
  randn,
  SinusoidalPositions,
  step,
  sum,
  type Tensor,
  TokenDataset,
  TransformerBlock,
  tensor,
} from "../src/index.ts";
import { configure, info, packageRoot } from "../src/native.ts";

const config: GPTConfig = {
  vocabSize: 17,
  contextLength: 16,
  numLayers: 2,
  numHeads: 2,
  hiddenSize: 32,
  seed: 11,
};
const text = Int32Array.from({ length: 4000 }, (_, i) => (i * i + (i >> 3)) % 17);
const windows = { batchSize: 4, contextLength: 16, seed: 5 };

/** The losses of a short run, exactly as computed. */
async function train(steps: number, options: Partial<GPTConfig> = {}): Promise<number[]> {
  const model = new GPT({ ...config, ...options });
  const optimizer = new AdamW(model.parameters(), { learningRate: 3e-3 });
  const losses: number[] = [];
  for (const { inputs, targets } of TokenDataset.fromTokens(text).batches({ ...windows, steps })) {
    const loss = step(() => {
      const { loss } = model(inputs, { targets });
      loss.backward();
      optimizer.step({ maxGradNorm: 1 });
      return loss;
    });
    losses.push(await loss.item());
    loss.dispose();
  }
  return losses;
}

/** The emulated device is slow. */
const soakSteps = defaultDevice() === "cpu" ? 10_000 : 1000;

/** Trains a tiny model and prints the resident memory after each twentieth of the steps. */
const soak = `
  import { AdamW, GPT, step, TokenDataset } from "trainformer";
  const model = new GPT({ vocabSize: 7, contextLength: 4, numLayers: 1, numHeads: 1, hiddenSize: 8, seed: 1 });
  const optimizer = new AdamW(model.parameters());
  const dataset = TokenDataset.fromTokens(Int32Array.from({ length: 500 }, (_, i) => i % 7));
  const resident = [];
  for (const { step: i, inputs, targets } of dataset.batches({ batchSize: 2, contextLength: 4, steps: ${soakSteps}, seed: 1 })) {
    const loss = step(() => {
      const { loss } = model(inputs, { targets });
      loss.backward();
      optimizer.step();
      return loss;
    });
    await loss.item();
    if ((i + 1) % ${soakSteps / 20} !== 0) continue;
    gc();
    resident.push(process.memoryUsage.rss());
  }
  console.log(JSON.stringify(resident));
`;

describe("a training run", () => {
  test("learns", async () => {
    const losses = await train(150);
    expect(losses[0]).toBeCloseTo(Math.log(17), 0);
    expect(losses.at(-1)).toBeLessThan(0.75 * losses[0]!);
  });

  test("is the same bit for bit when repeated, with 1, 2 and 3 threads, with dropout", async () => {
    const runs: number[][] = [];
    for (const threads of [info().cores, 1, 2, 3]) {
      configure("threads", threads);
      runs.push(await train(20, { dropout: 0.1 }));
    }
    configure("threads", info().cores);
    for (const run of runs.slice(1)) expect(run).toStrictEqual(runs[0]);
  });

  test(`needs no dispose: ${soakSteps} steps keep resident memory within 5 % after the first twentieth`, () => {
    // A process of its own, whose V8 neither enlarges its young generation (to 48 MB) nor compiles code as it warms up:
    // what is left is the library's.
    const v8 = ["--expose-gc", "--max-semi-space-size=1", "--jitless", "--no-expose-wasm"];
    const flags = [...v8, "--input-type=module", "--eval", soak];
    const { stdout, stderr } = spawnSync(process.execPath, flags, { cwd: packageRoot, encoding: "utf8" });
    expect(stderr).toBe("");
    const [early, ...rest] = JSON.parse(stdout) as [number, ...number[]];
    expect(rest).toHaveLength(19);
    expect(Math.max(...rest) / early).toBeLessThan(1.05);
  });

  test("ends where the gradients are accumulated over two halves of the batch as with the whole", async () => {
    const ids = (from: number) => tensor(text.slice(from, from + 32), [2, 16]);
    const gradient = (parts: [number, number][]) => {
      const model = new GPT(config);
      for (const [from, weight] of parts) {
        const { loss } = model(ids(from), { targets: ids(from + 1) });
        mul(loss, weight).backward();
      }
      return [...model.blocks[0]!.mlp.up.weight.grad!.toTypedArraySync()];
    };
    const whole = gradient([
      [0, 1],
      [32, 1],
    ]);
    const twice = gradient([
      [0, 1],
      [32, 1],
    ]);
    expect(twice).toEqual(whole);
    const half = gradient([
      [0, 0.5],
      [32, 0.5],
    ]);
    half.forEach((g, i) => expect(g).toBeCloseTo(whole[i]! / 2, 6));
  });
});

describe("AdamW", () => {
  test("skips parameters that were not used, decays matrices only, and uses gradients up", async () => {
    const [used, idle, bias] = [[2, 2], [2, 2], [2]].map((shape) => randn(shape, { requiresGrad: true })) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const before = [...idle.toTypedArraySync()];
    const optimizer = new AdamW([used, idle, bias], { learningRate: 0.1, weightDecay: 0.5 });
    const zero = [...used.toTypedArraySync()];
    sum(mul(used, 0)).backward();
    sum(mul(bias, 0)).backward();
    const biasBefore = [...bias.toTypedArraySync()];
    optimizer.step();
    expect([...idle.toTypedArraySync()]).toEqual(before);
    expect([...bias.toTypedArraySync()]).toEqual(biasBefore);
    [...used.toTypedArraySync()].forEach((v, i) => expect(v).toBeCloseTo(zero[i]! * (1 - 0.1 * 0.5), 6));
    expect(used.grad).toBeUndefined();
  });

  test("does not scale gradients whose norm is below the limit", async () => {
    const run = (options: { maxGradNorm?: number }) => {
      const p = tensor([1, 2, 3], [3], { requiresGrad: true });
      const optimizer = new AdamW([p], { learningRate: 0.1, eps: 1 }); // a large eps makes the scale visible
      sum(mul(p, p)).backward();
      optimizer.step(options);
      return [...p.toTypedArraySync()];
    };
    expect(run({ maxGradNorm: 100 })).toEqual(run({}));
    expect(run({ maxGradNorm: 1 })).not.toEqual(run({}));
  });

  test("refuses what it cannot train", () => {
    expect(() => new AdamW([])).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
    expect(() => new AdamW([randn([2])])).toThrow(/requiresGrad/);
    expect(() => new AdamW([randn([2], { dtype: "bf16", requiresGrad: true })])).toThrow(
      expect.objectContaining({ code: "ERR_DTYPE" }),
    );
  });
});

describe("modules", () => {
  class Net extends Module {
    layers = [new Linear(4, 8, { activation: "relu" }), new Linear(8, 4)];
    tied: Tensor;
    constructor() {
      super();
      this.tied = this.layers[0]!.weight;
    }
    forward(x: Tensor): Tensor {
      return this.layers.reduce((y, layer) => layer(y), x);
    }
  }

  test("are called like functions and know their parameters once each, by path", () => {
    const net = new Net();
    expect(net(randn([3, 4])).shape).toEqual([3, 4]);
    expect([...net.namedParameters()].map(([name]) => name)).toEqual([
      "tied",
      "layers.0.bias",
      "layers.1.weight",
      "layers.1.bias",
    ]);
    expect(net.parameterCount).toBe(32 + 8 + 32 + 4);
  });

  test("load and save their state, and say what does not fit", () => {
    const [a, b] = [new Net(), new Net()];
    expect(b.loadStateDict(a.stateDict())).toEqual({ missing: [], unexpected: [] });
    expect([...b.tied.toTypedArraySync()]).toEqual([...a.tied.toTypedArraySync()]);
    const state = a.stateDict();
    state.delete("layers.1.bias");
    expect(() => b.loadStateDict(state)).toThrow(/missing: layers\.1\.bias/);
    expect(b.loadStateDict(state, { strict: false }).missing).toEqual(["layers.1.bias"]);
    state.set("layers.1.bias", randn([5]));
    expect(() => b.loadStateDict(state)).toThrow(/layers\.1\.bias must be \[4\]; got \[5\]/);
  });

  test("cast to bf16 and compute there within its precision", async () => {
    const model = new GPT(config);
    const ids = tensor(text.slice(0, 16), [1, 16]);
    const exact = await model(ids).logits.toTypedArray();
    model.to("bf16");
    const { logits } = model(ids);
    expect(logits.dtype).toBe("bf16");
    const rounded = await logits.toTypedArray();
    const largest = Math.max(...exact.map(Math.abs));
    rounded.forEach((v, i) => expect(Math.abs(v - exact[i]!)).toBeLessThan(0.03 * largest));
  });

  test("dropout acts in training mode only", async () => {
    const model = new GPT({ ...config, dropout: 0.5 });
    const ids = tensor(text.slice(0, 16), [1, 16]);
    const logits = () => [...model(ids).logits.toTypedArraySync()];
    expect(logits()).not.toEqual(logits());
    model.eval();
    expect(logits()).toEqual(logits());
  });

  test("post-norm, RMSNorm, grouped heads, rotary and cross-attention train", () => {
    manualSeed(2);
    const rotary = new RotaryPositions(8, 4);
    const common = { hiddenSize: 16, numHeads: 4 };
    const blocks = [
      new TransformerBlock({ ...common, normPosition: "post", activation: "relu" }),
      new TransformerBlock({
        ...common,
        norm: "rmsNorm",
        numKeyValueHeads: 2,
        rotary,
        causal: true,
        bias: false,
        activation: "silu",
      }),
    ];
    const cross = new CrossAttention(common);
    const x = new SinusoidalPositions(8, 16)(randn([2, 6, 16]));
    const memory = randn([2, 5, 16], { requiresGrad: true });
    let y = x;
    for (const block of blocks) y = block(y);
    y = cross(y, memory, { lengths: tensor(Int32Array.of(5, 3)) });
    sum(mul(y, y)).backward();
    for (const module of [...blocks, cross]) {
      for (const [name, p] of module.namedParameters()) {
        const gradient = [...p.grad!.toTypedArraySync()];
        expect(gradient.every(Number.isFinite), name).toBe(true);
        expect(
          gradient.some((g) => g !== 0),
          name,
        ).toBe(true);
      }
    }
    const padded = [...memory.grad!.slice(0, 1).slice(1, 3).toTypedArraySync()];
    expect(padded.every((g) => g === 0)).toBe(true);
  });

  test("cross-attention over the input itself is self-attention", () => {
    const attention = new MultiHeadAttention({ hiddenSize: 12, numHeads: 3 });
    const toMemory = new CrossAttention({ hiddenSize: 12, numHeads: 3 });
    for (const name of ["weight", "bias"] as const) {
      const [query, keyValue] = attention.qkv[name]!.split([12, 24], 0);
      toMemory.query[name]!.assign(query!);
      toMemory.keyValue[name]!.assign(keyValue!);
      toMemory.output[name]!.assign(attention.output[name]!);
    }
    const x = randn([2, 5, 12]);
    const [own, cross] = [attention(x), toMemory(x, x)].map((y) => [...y.toTypedArraySync()]);
    own!.forEach((v, i) => expect(cross![i]).toBeCloseTo(v, 5));
  });

  test("an MLP is its two maps", () => {
    const mlp = new MLP({ hiddenSize: 6, activation: "gelu" });
    expect(mlp(randn([2, 6])).shape).toEqual([2, 6]);
    expect(mlp.parameterCount).toBe(6 * 24 + 24 + 24 * 6 + 6);
  });
});

test("cross entropy of sums and means differ by the count of targets that are not ignored", async () => {
  const logits = randn([4, 5]);
  const targets = tensor(Int32Array.of(1, -100, 3, 0));
  const loss = (options: CrossEntropyOptions) => crossEntropy(logits, targets, options).item();
  expect(await loss({ reduction: "sum" })).toBeCloseTo(3 * (await loss({})), 5);
});
