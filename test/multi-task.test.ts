import { describe, expect, test } from "vitest";
import {
  AdamW,
  BertForMultiTask,
  type MultiTaskOptions,
  manualSeed,
  multiTaskBatches,
  step,
  taskProbabilities,
  tensor,
} from "../src/index.ts";
import { Random } from "../src/random.ts";

describe("how likely a task is", () => {
  const sizes = { small: 10, middle: 100, huge: 100_000 };

  test("proportional, by temperature, equal", () => {
    expect(taskProbabilities(sizes).middle).toBeCloseTo(100 / 100_110, 12);
    const roots = Math.sqrt(10) + 10 + Math.sqrt(100_000);
    expect(taskProbabilities(sizes, { temperature: 2 }).small).toBeCloseTo(Math.sqrt(10) / roots, 12);
    for (const p of Object.values(taskProbabilities(sizes, { temperature: Infinity })))
      expect(p).toBeCloseTo(1 / 3, 12);
    expect(taskProbabilities(sizes, { maxSize: 90 }).huge).toBeCloseTo(90 / 190, 12);
    expect(taskProbabilities(sizes, { temperature: 0.001 })).toEqual({ small: 0, middle: 0, huge: 1 });
  });

  test("bad input", () => {
    expect(() => taskProbabilities({})).toThrow(/sizes must name at least one task; got none/);
    expect(() => taskProbabilities({ a: 0 })).toThrow(/size of a must be .* got 0/);
    expect(() => taskProbabilities(sizes, { temperature: 0 })).toThrow(/temperature must be .* got 0/);
    expect(() => taskProbabilities(sizes, { maxSize: 0 })).toThrow(/maxSize must be .* got 0/);
  });
});

/** Batches 0, 1 … of each pass. */
function numbered(size: number, count: number, closed: string[] = [], name = "") {
  return {
    size,
    async *batches(epoch: number) {
      try {
        for (let i = 0; i < count; i++) yield `${epoch}:${i}`;
      } finally {
        closed.push(`${name}${epoch}`);
      }
    },
  };
}

const tasks = { a: numbered(30, 3), b: { size: 10, batches: () => [1, 2] } };
const collect = async (options: Partial<MultiTaskOptions> = {}) => {
  const all = [];
  for await (const item of multiTaskBatches(tasks, { steps: 1000, seed: 1, ...options })) all.push(item);
  return all;
};

describe("batches of several tasks", () => {
  test("come as often as they should, and each task's in their order, over and over", async () => {
    const all = await collect();
    expect(all.map(({ step }) => step)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    const ofA = all.filter(({ task }) => task === "a");
    expect(Math.abs(ofA.length - 750)).toBeLessThan(5 * Math.sqrt(1000 * 0.75 * 0.25));
    ofA.forEach(({ batch, epoch }, i) => {
      expect(epoch).toBe(Math.floor(i / 3));
      expect(batch).toBe(`${epoch}:${i % 3}`);
    });
    const ofB = all.filter(({ task }) => task === "b").map(({ batch }) => batch);
    expect(ofB).toEqual(ofB.map((_, i) => (i % 2) + 1));
  });

  test("are decided by the seed, and go on where a run ended", async () => {
    const all = await collect();
    expect(await collect()).toEqual(all);
    expect(await collect({ start: 990 })).toEqual(all.slice(990));
    expect(await collect({ seed: 2 })).not.toEqual(all);
  });

  test("close what they read from", async () => {
    const closed: string[] = [];
    const two = { a: numbered(1, 2, closed, "a"), b: numbered(1, 9, closed, "b") };
    for await (const { step } of multiTaskBatches(two, { steps: 100, seed: 1 })) if (step === 5) break;
    expect(closed.filter((name) => name.startsWith("b"))).toEqual(["b0"]);
    expect(closed.filter((name) => name.startsWith("a")).length).toBeGreaterThan(0);
  });

  test("bad input", async () => {
    const first = (given: object, options: object = {}) =>
      multiTaskBatches(given as typeof tasks, { steps: 3, seed: 1, ...options }).next();
    await expect(first({})).rejects.toThrow(/at least one task/);
    await expect(first({ a: { size: 1 } })).rejects.toThrow(/batches of a must be a function; got undefined/);
    await expect(first({ a: { size: 1, batches: () => [] } })).rejects.toThrow(
      /batches of a must give at least one; got none in pass 0/,
    );
    await expect(first({ a: { size: 1, batches: () => 3 } })).rejects.toMatchObject({ code: "ERR_DATA" });
    await expect(first(tasks, { steps: -1 })).rejects.toThrow(/steps must be/);
    await expect(first(tasks, { start: 4 })).rejects.toThrow(/start must be an integer from 0 to 3; got 4/);
  });
});

test("two tasks are learned by one encoder", async () => {
  manualSeed(1);
  const [B, T] = [8, 6];
  const size = { vocabSize: 8, contextLength: T, numLayers: 1, numHeads: 2, hiddenSize: 16, dropout: 0 };
  const model = new BertForMultiTask(size, { seven: { pooling: "mean" }, first: {} });
  const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2 });
  const data = (seed: number, isTrue: (row: number[]) => boolean) => ({
    size: 64,
    *batches(epoch: number) {
      const random = new Random(seed, 0, epoch);
      for (let n = 0; n < 8; n++) {
        const rows = Array.from({ length: B }, () => Array.from({ length: T }, () => random.integer(8)));
        yield { ids: rows.flat(), labels: rows.map((row) => Number(isTrue(row))) };
      }
    },
  });
  const losses: Record<string, number[]> = { seven: [], first: [] };
  const both = { seven: data(1, (row) => row.includes(7)), first: data(2, ([id]) => id! > 3) };
  for await (const { task, batch } of multiTaskBatches(both, {
    steps: 200,
    temperature: Infinity,
    seed: 1,
  })) {
    const loss = step(() => {
      const labels = { [task]: tensor(Int32Array.from(batch.labels), [B]) };
      const { loss } = model(tensor(Int32Array.from(batch.ids), [B, T]), { labels });
      loss!.backward();
      optimizer.step({ maxGradNorm: 1 });
      return loss!;
    });
    losses[task]!.push(await loss.item());
  }
  for (const all of Object.values(losses)) {
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    expect(mean(all.slice(0, 10))).toBeGreaterThan(0.5);
    expect(mean(all.slice(-10))).toBeLessThan(0.3);
  }
});
