import { describe, expect, test } from "vitest";
import { deviceNumber } from "../src/device.ts";
import {
  AdamW,
  add,
  attention,
  crossEntropy,
  type Device,
  defaultDevice,
  device,
  dropout,
  embedding,
  GPT,
  type GPTConfig,
  linear,
  manualSeed,
  memory,
  RotaryPositions,
  rand,
  randn,
  scope,
  setCudaGraphs,
  setDefaultDevice,
  step,
  type Tensor,
  TokenDataset,
  TransformerBlock,
  tensor,
  zeros,
} from "../src/index.ts";
import { info } from "../src/native.ts";
import { root, run, runSource } from "./child.ts";

/** Runs in the project "cuda" only: its default device is the emulated one. */
const values = (t: Tensor | undefined) => [...t!.toTypedArraySync()];
const cuda = () => info().devices[deviceNumber("cuda")]!;

const config: GPTConfig = {
  vocabSize: 17,
  contextLength: 8,
  numLayers: 2,
  numHeads: 2,
  hiddenSize: 16,
  dropout: 0.1,
  seed: 4,
};
const text = Int32Array.from({ length: 500 }, (_, i) => (i * i + (i >> 3)) % 17);

async function train(place: Device, steps: number): Promise<number[]> {
  const model = new GPT(config).to(place);
  const optimizer = new AdamW(model.parameters(), { learningRate: 3e-3 });
  const batches = TokenDataset.fromTokens(text).batches({
    batchSize: 2,
    contextLength: 8,
    steps,
    seed: 1,
    device: place,
  });
  const losses: number[] = [];
  for (const { inputs, targets } of batches) {
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

test("the default device is where tensors and parameters are made", () => {
  expect(defaultDevice()).toBe("cuda");
  for (const t of [zeros([2]), tensor([1, 2]), randn([2]), linear(zeros([1, 2]), zeros([3, 2]))])
    expect(t.device).toBe("cuda");
  expect(new TransformerBlock({ hiddenSize: 4, numHeads: 2 }).device).toBe("cuda");
  setDefaultDevice("cpu");
  expect(zeros([2]).device).toBe("cpu");
  expect(zeros([2], { device: "cuda:0" }).device).toBe("cuda");
  setDefaultDevice("cuda");
});

test("the emulation calls itself emulated", () => {
  expect(cuda()).toMatchObject({ emulated: true, capability: 80, name: expect.stringMatching(/emulat/i) });
});

describe("moving", () => {
  test("keeps every value, of views too, in every dtype", () => {
    const x = randn([3, 5], { device: "cpu" });
    for (const t of [
      x,
      x.T,
      x.slice(1, 1, 3),
      x.to("bf16"),
      tensor(Int32Array.of(1, -2, 3), [3], { device: "cpu" }),
    ]) {
      const there = t.to("cuda");
      expect([there.device, there.shape, there.dtype]).toEqual(["cuda", t.shape, t.dtype]);
      expect(values(there)).toEqual(values(t));
      expect(values(there.to("cpu"))).toEqual(values(t));
    }
    expect(x.to("cpu")).toBe(x);
  });

  test("waits for what was enqueued before, on both devices, and for nothing after", () => {
    let x = zeros([1000], { device: "cpu" });
    for (let i = 0; i < 20; i++) x = add(x, 1).to(i % 2 === 0 ? "cuda" : "cpu");
    expect(values(x).every((v) => v === 20)).toBe(true);
    const source = zeros([4], { device: "cpu" });
    const copy = source.to("cuda");
    source.set([1, 2, 3, 4]);
    expect(values(copy)).toEqual([0, 0, 0, 0]);
  });

  test("takes more than the staging memory holds", () => {
    const n = 9_000_001;
    const large = Float32Array.from({ length: n }, (_, i) => i % 8191);
    const there = tensor(large).toTypedArraySync();
    expect(Buffer.from(there.buffer).equals(Buffer.from(large.buffer))).toBe(true);
  });

  test("passes gradients back", () => {
    const x = randn([4], { device: "cpu", requiresGrad: true });
    const y = x.to("cuda");
    y.mul(y).sum().backward();
    expect(x.grad!.device).toBe("cpu");
    expect(values(x.grad)).toEqual(values(x).map((v) => Math.fround(2 * v)));
  });

  test("a module takes parameters and tables along", () => {
    const rotary = new RotaryPositions(8, 4);
    const block = new TransformerBlock({ hiddenSize: 8, numHeads: 2, rotary, causal: true });
    const x = randn([1, 5, 8]);
    const expected = values(block(x));
    block.to("cpu");
    expect([...block.namedParameters()].every(([, p]) => p.device === "cpu")).toBe(true);
    const got = values(block(x.to("cpu")));
    got.forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 3));
    expect(values(block.to("cuda")(x))).toEqual(expected);
  });

  test("a module that an optimizer has stays", () => {
    const model = new GPT(config);
    new AdamW(model.parameters());
    expect(() => model.to("cpu")).toThrow(/belongs to an optimizer on cuda; move the model before/);
  });

  test("a state loads across devices", () => {
    const [here, there] = [new GPT({ ...config, seed: 1 }), new GPT({ ...config, seed: 2 }).to("cpu")];
    there.loadStateDict(here.stateDict());
    expect(values(there.tokens.weight)).toEqual(values(here.tokens.weight));
  });
});

describe("errors", () => {
  test("tensors on different devices are named", () => {
    const [x, y] = [zeros([2, 2]), zeros([2, 2], { device: "cpu" })];
    const expected = { code: "ERR_DEVICE" };
    expect(() => add(x, y)).toThrow(expect.objectContaining(expected));
    expect(() => x.matmul(y)).toThrow(
      /matmul: b must be on cuda, as a is; got cpu \(move it with \.to\("cuda"\)\)/,
    );
    expect(() => linear(x, y)).toThrow(/linear: weight must be on cuda/);
    expect(() => crossEntropy(y, tensor(Int32Array.of(0, 1)))).toThrow(/targets must be on cpu/);
    expect(
      () =>
        new AdamW([zeros([2], { requiresGrad: true }), zeros([2], { device: "cpu", requiresGrad: true })]),
    ).toThrow(expect.objectContaining(expected));
  });

  test("a device that is not there is", () => {
    expect(() => device("cuda:7")).toThrow(
      expect.objectContaining({
        code: "ERR_NO_DEVICE",
        message: expect.stringMatching(/no device 7: 1 found/),
      }),
    );
    expect(() => device("gpu" as Device)).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
  });

  test("ids outside of their table are found on the device", async () => {
    const rows = embedding(tensor(Int32Array.of(0, 9)), randn([4, 3]));
    await expect(rows.toTypedArray()).rejects.toThrow(/element 1 is 9; it must be in \[0, 4\)/);
    await expect(rows.toTypedArray()).resolves.toHaveLength(6);
    const loss = crossEntropy(randn([3, 5]), tensor(Int32Array.of(0, -100, 5)));
    await expect(loss.item()).rejects.toThrow(expect.objectContaining({ code: "ERR_INDEX" }));
  });

  test("what went wrong on one device is reported by what was moved to another", async () => {
    const weight = randn([4, 3]);
    const moved = embedding(tensor(Int32Array.of(0, 7)), weight).to("cpu");
    await expect(moved.toTypedArray()).rejects.toThrow(/element 1 is 7; it must be in \[0, 4\)/);
    await expect(weight.toTypedArray()).rejects.toThrow(expect.objectContaining({ code: "ERR_INDEX" }));
    await expect(weight.toTypedArray()).resolves.toHaveLength(12);
  });

  test("what CUDA has no kernel for says so, and the device goes on", async () => {
    const [q, k, v] = [1, 2, 3].map(() => randn([1, 2, 1, 300])) as [Tensor, Tensor, Tensor];
    await expect(attention(q, k, v).toTypedArray()).rejects.toThrow(
      expect.objectContaining({
        code: "ERR_DEVICE",
        message: expect.stringMatching(/attention: on cuda the head size is at most 256; got 300/),
      }),
    );
    await expect(add(zeros([2]), 1).toArray()).resolves.toEqual([1, 1]);
  });

  test("more memory than there is", () => {
    expect(() => zeros([2 ** 20, 2 ** 19])).toThrow(
      expect.objectContaining({ code: "ERR_OOM", message: expect.stringMatching(/bytes on .*emulat/i) }),
    );
  });
});

test("what is set before a device is first used holds for it", async () => {
  const { stdout, stderr } = await run(
    process.execPath,
    [
      "--input-type=module",
      "--eval",
      `import { matmul, randn, setFloat32MatmulPrecision } from "trainformer";
       const product = () => matmul(...[1, 2].map((seed) =>
         randn([64, 200], { device: "cuda", generator: { seed, position: 0 } }).reshape(200, 64)).map((t, i) => i ? t : t.T));
       const results = [];
       for (const precision of ["highest", "high", "highest"]) {
         setFloat32MatmulPrecision(precision);
         results.push(String(await product().sum().item()) + String(await product().data()));
       }
       console.log(results[0] === results[2], results[0] === results[1]);`,
    ],
    { cwd: root, env: { ...process.env, TRAINFORMER_DEVICE: "" } },
  );
  expect(stderr).toBe("");
  expect(stdout).toBe("true false\n");
});

test("memory is counted for each device", () => {
  const before = [memory("cuda").liveBytes, memory("cpu").liveBytes];
  const t = zeros([1 << 20]);
  expect(memory("cuda").liveBytes - before[0]!).toBe(4 << 20);
  expect(memory("cpu").liveBytes).toBe(before[1]);
  t.dispose();
  expect(memory("cuda").liveBytes).toBe(before[0]);
});

describe("the same random numbers as on the processor", () => {
  const both = <T>(make: (place: Device) => T) => [make("cuda"), make("cpu")] as const;

  test("uniform numbers and masks of dropout, bit for bit", () => {
    for (const position of [0, 3, 2 ** 33 + 1]) {
      const [a, b] = both((place) => rand([1001], { device: place, generator: { seed: 77, position } }));
      expect(values(a)).toEqual(values(b));
    }
    const x = randn([777], { device: "cpu" });
    const [a, b] = both((place) => {
      manualSeed(5);
      return dropout(x.to(place), 0.3);
    });
    expect(values(a)).toEqual(values(b));
  });

  test("normal numbers, within rounding", () => {
    const [a, b] = both((place) => randn([1001], { device: place, generator: { seed: 7, position: 2 } }));
    const expected = values(b);
    values(a).forEach((v, i) => expect(Math.abs(v - expected[i]!)).toBeLessThan(2e-6));
  });

  test("the masks of attention weights", () => {
    const inputs = [1, 2, 3].map(() => randn([2, 37, 2, 8], { device: "cpu" }));
    const options = { causal: true, dropout: 0.4 };
    const [a, b] = both((place) => {
      manualSeed(9);
      const [q, k, v] = inputs.map((t) => t.to(place)) as [Tensor, Tensor, Tensor];
      return attention(q, k, v, options);
    });
    const expected = values(b);
    values(a).forEach((v, i) => expect(Math.abs(v - expected[i]!)).toBeLessThan(1e-4));
  });
});

describe("training", () => {
  test("follows the processor, with dropout", async () => {
    const [there, here] = [await train("cuda", 12), await train("cpu", 12)];
    there.forEach((loss, i) => expect(Math.abs(loss - here[i]!)).toBeLessThan(1e-3 * here[i]!));
  });

  test("with steps as graphs has the same bits, and replays the graph of the first", async () => {
    const plain = await train("cuda", 6);
    setCudaGraphs(true);
    const before = cuda().steps!;
    expect(await train("cuda", 6)).toStrictEqual(plain);
    setCudaGraphs(false);
    const { replayed, recorded } = cuda().steps!;
    expect(replayed - before.replayed).toBeGreaterThanOrEqual(4);
    expect(recorded - before.recorded).toBeLessThanOrEqual(2);
  });

  test("leaves no tensor behind", async () => {
    await train("cuda", 2);
    const { tensors, liveBytes } = memory("cuda");
    scope(() => {
      const model = new GPT(config);
      for (const p of model.parameters()) p.dispose();
    });
    expect(memory("cuda")).toMatchObject({ tensors, liveBytes });
  });

  const losses = `
    import { AdamW, GPT, step, tensor } from "trainformer";
    const model = new GPT(${JSON.stringify(config)});
    const optimizer = new AdamW(model.parameters(), { learningRate: 3e-3 });
    const ids = (from) => tensor(Int32Array.from({ length: 16 }, (_, i) => ((i + from) * 5) % 17), [2, 8]);
    const losses = [];
    for (let i = 0; i < 3; i++) {
      losses.push(step(() => {
        const { loss } = model(ids(i), { targets: ids(i + 1) });
        loss.backward();
        optimizer.step({ maxGradNorm: 1 });
        return loss;
      }));
    }
    console.log(JSON.stringify(await Promise.all(losses.map((loss) => loss.item()))));`;

  test.each([
    ["streams that run when waited for", { TRAINFORMER_CUDA_STREAMS: "lazy" }],
    ["threads in reverse order", { TRAINFORMER_CUDA_ORDER: "reverse" }],
    [
      "threads in random order, copies landing early",
      { TRAINFORMER_CUDA_ORDER: "random", TRAINFORMER_CUDA_COPIES: "early" },
    ],
  ])("has the same bits with %s", async (_, env) => {
    const args = ["--input-type=module", "--eval", losses];
    const [usual, other] = await Promise.all([
      runSource(losses),
      run(process.execPath, args, { cwd: root, env: { ...process.env, ...env } }),
    ]);
    expect(other.stderr).toBe("");
    expect(JSON.parse(other.stdout)).toStrictEqual(JSON.parse(usual.stdout));
  });
});
