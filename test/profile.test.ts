import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { defaultDevice, setCudaGraphs } from "../src/device.ts";
import { attention, linear, linearCrossEntropy, matmul, rand } from "../src/index.ts";
import { liveTensors, memory, memorySummary, resetPeakMemory, scope } from "../src/memory.ts";
import { GPT } from "../src/models/gpt.ts";
import { configure } from "../src/native.ts";
import { AdamW } from "../src/optim/adamw.ts";
import { type Call, type Profile, profile, type TraceEvent } from "../src/profile/index.ts";
import { Tensor, tensor } from "../src/tensor.ts";
import { setGradientCheckpointing } from "../src/train/gradient-checkpointing.ts";
import { step } from "../src/train/step.ts";

const folder = mkdtempSync(path.join(tmpdir(), "trainformer-profile-"));
afterAll(() => rmSync(folder, { recursive: true }));

const device = defaultDevice();
const config = { vocabSize: 61, contextLength: 24, numLayers: 2, numHeads: 2, hiddenSize: 32, seed: 0 };
const [B, T, C, V, L] = [3, 24, 32, 61, 2] as const;

function training() {
  const model = new GPT(config);
  const optimizer = new AdamW(model.parameters());
  const ids = tensor(
    Int32Array.from({ length: B * T }, (_, i) => (7 * i) % V),
    [B, T],
  );
  const train = () =>
    step(() => {
      const { loss } = model(ids, { targets: ids });
      loss.backward();
      optimizer.step();
      return loss;
    });
  return { model, train };
}

const flopsOf = ({ calls }: Profile, kernel: RegExp) =>
  calls.reduce((sum, { name, flops }) => (kernel.test(name) ? sum + flops : sum), 0);

describe("operations", () => {
  const leaf = (...shape: number[]): Tensor => {
    const t = rand(shape, { low: -1, high: 1 });
    t.requiresGrad = true;
    return t;
  };

  test("of products: 2 · M · N · K, and as much for each gradient", async () => {
    const [a, b] = [leaf(4, 6, 10), leaf(10, 7)];
    const { calls, flops } = await profile(() => scope(() => void matmul(a, b).sum().backward()));
    expect(flops).toBe(3 * 2 * 4 * 6 * 7 * 10);
    expect(calls.filter(({ flops }) => flops > 0).length).toBeGreaterThanOrEqual(3);
    const [x, weight] = [leaf(5, 8), leaf(12, 8)];
    const product = await profile(() => scope(() => void linear(x, weight).sum().backward()));
    expect(product.flops).toBe(3 * 2 * 5 * 8 * 12);
  });

  /** Keys that each of T queries sees of S, counted one by one. */
  const seen = (T: number, S: number, causal: boolean, window: number) => {
    let count = 0;
    for (let i = 0; i < T; i++)
      for (let j = 0; j < S; j++)
        if ((!causal || j <= i + S - T) && Math.abs(i + S - T - j) < window) count++;
    return count;
  };
  test.each([
    [9, 9, true, Infinity],
    [9, 9, false, Infinity],
    [4, 11, true, Infinity],
    [12, 12, true, 5],
    [12, 12, false, 3],
    [1, 7, true, 4],
  ])("of attention, %i queries and %i keys, causal: %s, window %d", async (queries, keys, causal, window) => {
    const [q, k, v] = [leaf(2, queries, 4, 8), leaf(2, keys, 2, 8), leaf(2, keys, 2, 8)];
    const options = { causal, ...(window < Infinity && { window }) };
    const one = 2 * 2 * 4 * 8 * seen(queries, keys, causal, window);
    const found = await profile(() => scope(() => void attention(q, k, v, options).sum().backward()));
    expect(flopsOf(found, /attention_forward/)).toBe(2 * one);
    expect(flopsOf(found, /attention_backward/)).toBe(5 * one);
  });

  test("of a step: 6 a parameter and token, attention's, and the logits a second time", async () => {
    const { train } = training();
    await train().item();
    const found = await profile(train);
    const tokens = B * T;
    const products = 3 * 2 * tokens * (12 * L * C * C + V * C);
    const one = 2 * L * B * C * ((T * (T + 1)) / 2);
    const repeated = found.calls.some(({ name }) => name === "linearcrossentropy_backward")
      ? 2 * tokens * V * C
      : 0;
    expect(found.flops).toBe(products + 7 * one + repeated);
  });

  test("of a loss", async () => {
    const [x, weight] = [leaf(10, 16), leaf(3000, 16)];
    const targets = tensor(new Int32Array(10));
    const found = await profile(() => scope(() => void linearCrossEntropy(x, weight, targets).backward()));
    const name = /linearcrossentropy/;
    if (found.calls.some((call) => name.test(call.name))) {
      expect(flopsOf(found, /linearcrossentropy_forward/)).toBe(2 * 10 * 16 * 3000);
      expect(flopsOf(found, /linearcrossentropy_backward/)).toBe(3 * 2 * 10 * 16 * 3000);
    } else expect(found.flops).toBe(3 * 2 * 10 * 16 * 3000);
  });

  test("bytes: each element once, in its dtype; what is added to twice; repeated elements once", async () => {
    const [x, y] = [rand([6, 8]), rand([1, 8])];
    const sum = await profile(() => scope(() => void x.add(y)));
    expect(sum.calls).toMatchObject([{ name: "add_forward", bytes: 4 * (48 + 8 + 48), flops: 0 }]);
    const [a, b] = [x.to("bf16"), y.to("bf16")];
    const half = await profile(() => scope(() => void a.add(b)));
    expect(half.calls).toMatchObject([{ name: "add_forward", dtype: "bf16", bytes: 2 * (48 + 8 + 48) }]);
    const model = new GPT(config);
    const tokens = tensor(new Int32Array(4), [1, 4]);
    const { calls } = await profile(() => scope(() => void model.tokens(tokens)));
    expect(calls).toMatchObject([{ name: "embedding_forward", bytes: 4 * (4 + 4 * C + 4 * C) }]);
  });
});

describe("times", () => {
  test("of every call, in order, one after the other on the device", async () => {
    const { train } = training();
    await train().item();
    const found = await profile(() => [train(), train()]);
    expect(found.result).toHaveLength(2);
    expect(Number.isFinite(await found.result[0]!.item())).toBe(true);
    const again = await profile(train);
    const names = (calls: readonly Call[]) => calls.map(({ name }) => name);
    expect(names(found.calls)).toEqual([...names(again.calls), ...names(again.calls)]);
    let [asked, ran] = [0, 0];
    for (const { enqueueStart, enqueueEnd, start, end } of found.calls) {
      expect(enqueueStart).toBeGreaterThanOrEqual(asked);
      expect(enqueueEnd).toBeGreaterThanOrEqual(enqueueStart);
      expect(start).toBeGreaterThanOrEqual(ran - 1e-3);
      expect(end).toBeGreaterThanOrEqual(start);
      if (device === "cpu") expect(start).toBeGreaterThanOrEqual(enqueueStart);
      [asked, ran] = [enqueueEnd, end];
    }
    expect(ran).toBeLessThanOrEqual(found.wallMs + 0.1);
    expect(found.leftOut).toBe(0);
  });

  test("by kernel, by shape, by module: the same sum", async () => {
    const { model, train } = training();
    const found = await profile(train, { model });
    const busy = found.busyMs(device);
    const sum = (rows: readonly { selfMs: number }[]) => rows.reduce((ms, { selfMs }) => ms + selfMs, 0);
    for (const by of ["kernel", "shape", "module"] as const) {
      const rows = found.by(by);
      expect(sum(rows) / busy).toBeCloseTo(1, 6);
      expect(rows.map(({ totalMs }) => totalMs)).toEqual(
        rows.map(({ totalMs }) => totalMs).sort((a, b) => b - a),
      );
    }
    const kernels = found.rows;
    expect(kernels.reduce((calls, row) => calls + row.calls, 0)).toBe(found.calls.length);
    expect(kernels.find(({ name }) => name === "matmul_packed")!.gflops).toBeGreaterThan(0);
    const modules = new Map(found.by("module").map((row) => [row.name, row]));
    const [whole, block, mlp] = ["GPT", "blocks.1", "blocks.1.mlp"].map((name) => modules.get(name)!);
    expect(whole!.totalMs).toBeGreaterThan(block!.totalMs);
    expect(block!.totalMs).toBeGreaterThan(mlp!.totalMs);
    expect(block!.selfMs).toBeLessThan(block!.totalMs);
    expect(modules.has("(outside)")).toBe(true); // the backward pass
    expect(String(found)).toMatch(/^\w+: busy [\d.]+ of [\d.]+ ms, \d+ calls, peak memory .*B$/m);
    expect(found.toString({ by: "shape", limit: 3 })).toMatch(/and \d+ more$/);
    expect(() => found.by("color" as never)).toThrow(
      /grouping must be one of kernel, shape, module; got color/,
    );
  });

  test("of a module that computes its activations again, which it still does afterwards", async () => {
    const { model, train } = training();
    setGradientCheckpointing(model, true);
    const keys = Object.keys(model.blocks[0]!);
    const own = Object.getOwnPropertyDescriptor(model.blocks[0]!, "forward");
    const found = await profile(train, { model });
    expect(found.by("module").some(({ name }) => name === "blocks.0.mlp")).toBe(true);
    expect(Object.getOwnPropertyDescriptor(model.blocks[0]!, "forward")).toEqual(own);
    expect(Object.hasOwn(model, "forward")).toBe(false);
    expect(Object.keys(model.blocks[0]!)).toEqual(keys);
  });

  test("where each command runs before its call returns", async () => {
    const { train } = training();
    configure("synchronous", true);
    try {
      const { calls } = await profile(train);
      for (const { enqueueEnd, start, end } of calls) {
        expect(end).toBeGreaterThanOrEqual(start);
        if (device === "cpu") expect(start).toBeGreaterThanOrEqual(enqueueEnd);
      }
    } finally {
      configure("synchronous", false);
    }
  });

  test("of what goes between JavaScript and the device", async () => {
    const x = Tensor.empty([1000], "f32", device);
    const { calls } = await profile(async () => {
      x.set(new Float32Array(1000));
      await x.toTypedArray();
    });
    expect(calls).toMatchObject([
      { name: "write", bytes: 4000 },
      { name: "read", bytes: 4000 },
    ]);
  });
});

describe("the trace", () => {
  /** What the description of the format asks of an event. */
  function check(event: TraceEvent): void {
    expect(
      Object.keys(event).every((key) => "name ph pid tid ts dur cat id bp args".split(" ").includes(key)),
    ).toBe(true);
    expect(event.name).toBeTypeOf("string");
    expect(Number.isInteger(event.pid) && Number.isInteger(event.tid)).toBe(true);
    if (event.ph !== "M") expect(event.ts).toBeGreaterThanOrEqual(0);
    if (event.ph === "X") {
      expect(event.dur).toBeGreaterThanOrEqual(0);
      expect(event.cat).toMatch(/^(module|enqueue|kernel|copy)$/);
    } else if (event.ph === "C") {
      expect(Object.values(event.args!).every((value) => typeof value === "number")).toBe(true);
    } else if (event.ph === "s" || event.ph === "f") {
      expect(Number.isInteger(event.id)).toBe(true);
      expect(event.cat).toBeTypeOf("string");
      if (event.ph === "f") expect(event.bp).toBe("e");
    } else {
      expect(event.ph).toBe("M");
      expect(["process_name", "thread_name", "thread_sort_index"]).toContain(event.name);
      expect(Object.keys(event.args!)).toEqual([event.name === "thread_sort_index" ? "sort_index" : "name"]);
    }
  }

  test("has events that nest, arrows that end where kernels begin, tracks with names", async () => {
    const { model, train } = training();
    const found = await profile(train, { model });
    const file = path.join(folder, "step.json");
    await found.save(file);
    const trace = JSON.parse(readFileSync(file, "utf8"));
    expect(Object.keys(trace)).toEqual(["traceEvents", "displayTimeUnit"]);
    expect(trace).toEqual(JSON.parse(JSON.stringify(found.toTrace())));
    const events: TraceEvent[] = trace.traceEvents;
    for (const event of events) check(event);

    const lasting = events.filter(({ ph }) => ph === "X");
    const tracks = new Map<number, TraceEvent[]>();
    for (const event of lasting) tracks.set(event.tid, [...(tracks.get(event.tid) ?? []), event]);
    const named = new Map(
      events.filter(({ name }) => name === "thread_name").map(({ tid, args }) => [tid, args!.name]),
    );
    expect([...tracks.keys()].map((tid) => named.get(tid))).toEqual(["JavaScript", `${device} queue`]);
    for (const track of tracks.values()) {
      const open: number[] = [];
      for (const { ts, dur } of [...track].sort((a, b) => a.ts! - b.ts! || b.dur! - a.dur!)) {
        while (open.length > 0 && open.at(-1)! <= ts! + 1e-6) open.pop();
        if (open.length > 0) expect(ts! + dur!).toBeLessThanOrEqual(open.at(-1)! + 1e-6);
        open.push(ts! + dur!);
      }
    }
    const kernels = lasting.filter(({ cat }) => cat === "kernel" || cat === "copy");
    expect(kernels).toHaveLength(found.calls.length);
    const within = (arrow: TraceEvent) =>
      lasting.some(
        ({ tid, ts, dur }) => tid === arrow.tid && ts! <= arrow.ts! && arrow.ts! <= ts! + dur! + 1e-6,
      );
    for (const ph of ["s", "f"] as const) {
      const arrows = events.filter((event) => event.ph === ph);
      expect(arrows.map(({ id }) => id).sort((a, b) => a! - b!)).toEqual(kernels.map((_, i) => i));
      expect(arrows.every(within)).toBe(true);
    }
    expect(lasting.filter(({ cat }) => cat === "module").map(({ name }) => name)).toContain(
      "blocks.0.attention",
    );
    const product = kernels.find(({ name }) => name === "matmul_packed")!;
    expect(product.args).toMatchObject({
      dtype: "f32",
      module: expect.any(String),
      a: expect.stringMatching(/^f32 \[/),
    });
    const counters = events.filter(({ ph }) => ph === "C");
    expect(Math.max(...counters.map(({ args }) => args!.bytes as number))).toBe(found.peakBytes(device));
  });
});

describe("a profile", () => {
  test("may be of an asynchronous function, and goes alone", async () => {
    const x = rand([4]);
    const first = profile(async () => {
      await new Promise(setImmediate);
      return scope(() => void x.add(x));
    });
    await expect(profile(() => {})).rejects.toThrow(/another profile is running; await it first/);
    expect((await first).calls).toHaveLength(1);
    expect((await profile(() => {})).calls).toEqual([]);
  });

  test("passes on what the function throws, and ends", async () => {
    await expect(
      profile(() => {
        throw new Error("mine");
      }),
    ).rejects.toThrow("mine");
    const ids = tensor(new Int32Array([1000]), [1, 1]);
    const model = new GPT(config);
    await expect(profile(() => scope(() => void model.tokens(ids)))).rejects.toMatchObject({
      code: "ERR_INDEX",
    });
    expect((await profile(() => {})).calls).toEqual([]);
  });

  test("refuses what it cannot do", async () => {
    await expect(profile(7 as never)).rejects.toThrow(/first argument must be a function; got number/);
    await expect(profile(() => {}, { model: {} as never })).rejects.toThrow(/model must be a Module/);
    setCudaGraphs(true);
    try {
      await expect(profile(() => {})).rejects.toThrow(/CUDA graph .* call setCudaGraphs\(false\)/);
    } finally {
      setCudaGraphs(false);
    }
  });
});

describe("memory", () => {
  test("has a peak that can be made anew", () => {
    scope(() => void Tensor.empty([2 ** 20], "f32", device));
    expect(memory().peakBytes).toBeGreaterThanOrEqual(memory().liveBytes + 2 ** 22);
    resetPeakMemory();
    expect(memory().peakBytes).toBe(memory().liveBytes);
    scope(() => void Tensor.empty([2 ** 18], "f32", device));
    expect(memory().peakBytes).toBe(memory().liveBytes + 2 ** 20);
    expect(() => resetPeakMemory("cuda:99")).toThrow(expect.objectContaining({ code: "ERR_NO_DEVICE" }));
    expect(memorySummary()).toMatch(new RegExp(`^device +live +peak +pooled\\n[- ]+\\n(.*\\n)*${device} `));
  });

  test("is listed by shape and dtype, in scopes and outside", () => {
    const count = (shape: number[], dtype = "f32") =>
      liveTensors().find((kind) => `${kind.shape}` === `${shape}` && kind.dtype === dtype)?.count ?? 0;
    const leaked: Tensor[] = [];
    scope(() => {
      const x = Tensor.empty([3, 17, 5], "f32", device);
      x.add(x);
      Tensor.empty([3, 17, 5], "bf16", device);
      expect([count([3, 17, 5]), count([3, 17, 5], "bf16")]).toEqual([2, 1]);
      scope(() => void x.add(x));
      expect(count([3, 17, 5])).toBe(2);
      expect(liveTensors()).toContainEqual({
        shape: [3, 17, 5],
        dtype: "f32",
        device,
        count: 2,
        bytes: 2 * 4 * 255,
      });
      expect(String(liveTensors())).toMatch(/^shape +dtype +device +count +bytes$/m);
      leaked.push(x.mul(x));
      return leaked;
    });
    expect(count([3, 17, 5])).toBe(1);
    leaked[0]!.dispose();
    expect(count([3, 17, 5])).toBe(0);
  });
});
