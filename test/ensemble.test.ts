import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AdamW,
  accuracyScore,
  averageCheckpoints,
  averageStateDicts,
  BertForSequenceClassification,
  Linear,
  Module,
  manualSeed,
  noGrad,
  openCheckpoint,
  type StoredTensor,
  scope,
  step,
  type Tensor,
  tensor,
  VotingClassifier,
  writeSafetensors,
} from "../src/index.ts";
import { Random } from "../src/random.ts";

const [T, vocabSize] = [10, 12];

/** Which of the ids 1, 2 and 3 occurs most often; noise in one of eight. */
function texts(seed: number, count: number) {
  const random = new Random(seed);
  const ids = new Int32Array(count * T);
  const labels = new Int32Array(count);
  for (let b = 0; b < count; b++) {
    const row = ids.subarray(b * T, (b + 1) * T).map(() => random.integer(vocabSize - 1) + 1);
    const counts = [1, 2, 3].map((id) => row.filter((other) => other === id).length);
    labels[b] = random.integer(8) === 0 ? random.integer(3) : counts.indexOf(Math.max(...counts));
    ids.set(row, b * T);
  }
  return { ids: tensor(ids, [count, T]), labels: tensor(labels, [count]) };
}

const size = { vocabSize, contextLength: T, numLayers: 1, numHeads: 2, hiddenSize: 16 };
const build = () => new BertForSequenceClassification(size, { numLabels: 3 });

/** A classifier after so many steps; what `keep` says is called in between. */
function train(
  seed: number,
  steps: number,
  keep?: (i: number, model: BertForSequenceClassification) => void,
) {
  manualSeed(seed);
  const model = build();
  const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2 });
  for (let i = 0; i < steps; i++) {
    step(() => {
      const { ids, labels } = texts(seed * 1000 + i, 32);
      model(ids, { labels }).loss!.backward();
      optimizer.step({ maxGradNorm: 1 });
    });
    keep?.(i, model);
  }
  return model.eval();
}

const heldOut = texts(77, 200);
const evaluate = async (
  model: Module<[ids: Tensor, input?: { labels?: Tensor }], { logits: Tensor; loss?: Tensor }>,
) => {
  const { logits, loss } = scope(() => noGrad(() => model(heldOut.ids, { labels: heldOut.labels })));
  const z = (await logits.toTypedArray()) as Float32Array;
  const predictions = (await logits.argmax(-1).toTypedArray()) as Int32Array;
  const labels = (await heldOut.labels.toTypedArray()) as Int32Array;
  return { z, predictions, loss: await loss!.item(), accuracy: accuracyScore(predictions, labels) };
};

const softmaxRows = (z: Float32Array, K: number): number[][] =>
  Array.from({ length: z.length / K }, (_, i) => {
    const row = Array.from(z.subarray(i * K, (i + 1) * K), Math.exp);
    const sum = row.reduce((a, b) => a + b);
    return row.map((e) => e / sum);
  });

describe("voting of trained classifiers", () => {
  let models: BertForSequenceClassification[];
  let alone: Awaited<ReturnType<typeof evaluate>>[];
  beforeAll(async () => {
    models = [1, 2, 3].map((seed) => train(seed, 60));
    alone = [];
    for (const model of models) alone.push(await evaluate(model));
  });
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;

  test("is of models that have learned something", () => {
    for (const { accuracy } of alone) expect(accuracy).toBeGreaterThan(0.5);
  });

  test.each([
    ["alike", undefined, [1 / 3, 1 / 3, 1 / 3]],
    ["weighted", [2, 0, 6], [0.25, 0, 0.75]],
  ])("soft voting gives the logarithm of the mean probability: %s", async (_, weights, shares) => {
    const { z } = await evaluate(new VotingClassifier(models, weights && { weights }).eval());
    const members = alone.map(({ z }) => softmaxRows(z, 3));
    z.forEach((logit, i) => {
      const p = shares.reduce((sum, share, m) => sum + share * members[m]![Math.floor(i / 3)]![i % 3]!, 0);
      expect(logit).toBeCloseTo(Math.log(p), 4);
    });
  });

  test("soft voting is better than its members on average", async () => {
    const { loss, accuracy } = await evaluate(new VotingClassifier(models).eval());
    expect(loss).toBeLessThan(mean(alone.map(({ loss }) => loss)));
    expect(accuracy).toBeGreaterThanOrEqual(mean(alone.map(({ accuracy }) => accuracy)));
  });

  test("hard voting counts votes", async () => {
    const ensemble = new VotingClassifier(models, { voting: "hard", weights: [2, 1, 1] }).eval();
    const { z, predictions } = await evaluate(ensemble);
    softmaxRows(z, 3).forEach((row, i) => {
      const votes = [0, 1, 2].map((k) =>
        mean(alone.map(({ predictions }, m) => (predictions[i] === k ? 3 * ensemble.weights[m]! : 0))),
      );
      row.forEach((share, k) => expect(share).toBeCloseTo(votes[k]!, 5));
      expect(predictions[i]).toBe(votes.indexOf(Math.max(...votes)));
    });
    expect(z.every(Number.isFinite)).toBe(true);
  });

  test("its mode and its parameters are those of the members", () => {
    const ensemble = new VotingClassifier(models);
    expect(ensemble.parameters()).toHaveLength(3 * models[0]!.parameters().length);
    ensemble.train();
    expect(models[2]!.training).toBe(true);
    ensemble.eval();
    expect(models[2]!.training).toBe(false);
  });

  test("has no gradient", () => {
    const { loss } = new VotingClassifier(models).eval()(heldOut.ids, { labels: heldOut.labels });
    expect(() => loss!.backward()).toThrow(expect.objectContaining({ code: "ERR_GRADIENT" }));
  });

  test("bad members, options and inputs", () => {
    expect(() => new VotingClassifier([])).toThrow(/models must be an array of at least one model; got none/);
    expect(() => new VotingClassifier(models, { voting: "mean" as "soft" })).toThrow(
      /voting must be .* got mean/,
    );
    expect(() => new VotingClassifier(models, { weights: [1, 2] })).toThrow(
      /weights must be 3 numbers; got 2/,
    );
    expect(() => new VotingClassifier(models, { weights: [1, -1, 1] })).toThrow(
      /weights\[1\] must be .* got -1/,
    );
    expect(() => new VotingClassifier(models, { weights: [0, 0, 0] })).toThrow(/weights must not be 0 all/);
    const two = new BertForSequenceClassification(size, { numLabels: 2 });
    expect(() => new VotingClassifier([models[0]!, two])(heldOut.ids)).toThrow(
      /logits of models\[1\] must be \[200, 3\], .* got \[200, 2\]/,
    );
    const labels = tensor(new Float32Array(200), [200]);
    expect(() => new VotingClassifier(models)(heldOut.ids, { labels })).toThrow(/labels must be i32/);
  });
});

test("voting takes logits of any rank and modules of one's own", async () => {
  class Own extends Module<[x: Tensor], { logits: Tensor }> {
    map = new Linear(4, 5);
    forward(x: Tensor) {
      return { logits: this.map(x) };
    }
  }
  const [a, b] = [new Own(), new Own()];
  const x = tensor(
    Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)),
    [2, 3, 4],
  );
  const { logits } = new VotingClassifier([a, b])(x);
  expect(logits.shape).toEqual([2, 3, 5]);
  const probabilities = await Promise.all([a, b].map(async (m) => m(x).logits.softmax().toTypedArray()));
  (await logits.toTypedArray()).forEach((logit, i) => {
    expect(logit).toBeCloseTo(Math.log((probabilities[0]![i]! + probabilities[1]![i]!) / 2), 5);
  });
});

describe("averages of checkpoints", () => {
  let root: string;
  const folder = (name: string) => path.join(root, name);
  beforeAll(async () => {
    root = await mkdtemp(path.join(tmpdir(), "average-"));
  });
  afterAll(() => rm(root, { recursive: true }));

  test("of a run are better than its checkpoints on average, and the same from disk and from memory", async () => {
    const states: Map<string, Tensor>[] = [];
    const saving: Promise<void>[] = [];
    const losses: Promise<{ loss: number }>[] = [];
    train(5, 120, (i, model) => {
      if (i < 90 || i % 10 !== 9) return;
      const copy = build();
      copy.loadStateDict(model.stateDict());
      states.push(copy.eval().stateDict());
      saving.push(copy.savePretrained(folder(`checkpoint-${i}`)));
      losses.push(evaluate(copy));
    });
    await Promise.all(saving);
    const folders = [99, 109, 119].map((i) => folder(`checkpoint-${i}`));

    for (const weights of [undefined, [1, 2, 1]]) {
      const model = build();
      model.loadStateDict(averageStateDicts(states, weights && { weights }));
      const { z, loss } = await evaluate(model.eval());
      const each = (await Promise.all(losses)).map(({ loss }) => loss);
      expect(loss).toBeLessThan(each.reduce((a, b) => a + b) / each.length);

      await averageCheckpoints(folders, folder("averaged"), {
        ...(weights && { weights }),
        maxShardSize: "10KB",
      });
      const read = await BertForSequenceClassification.fromPretrained(folder("averaged"));
      const fromDisk = await evaluate(read.eval());
      fromDisk.z.forEach((logit, i) => expect(logit).toBeCloseTo(z[i]!, 3));
    }
    expect((await readdir(folder("averaged"))).length).toBeGreaterThan(3);
    const weight = async (file: string) =>
      (await openCheckpoint(file)).get("classifier.weight").data as Float32Array;
    const [a, b, c] = (await Promise.all(folders.map(weight))) as [Float32Array, Float32Array, Float32Array];
    const average = await weight(folder("averaged"));
    average.forEach((w, i) => expect(w).toBe(Math.fround((a[i]! + 2 * b[i]! + c[i]!) / 4)));
  });

  const f32 = (...data: number[]): StoredTensor => ({
    dtype: "f32",
    shape: [data.length],
    data: Float32Array.from(data),
  });
  const file = async (name: string, tensors: Record<string, StoredTensor>) => {
    await writeSafetensors(folder(name), Object.entries(tensors));
    return folder(name);
  };

  test("round bf16 to the nearest, and keep integers", async () => {
    const bf16 = (...data: number[]): StoredTensor => ({
      dtype: "bf16",
      shape: [2],
      data: Uint16Array.from(data),
    });
    const i32: StoredTensor = { dtype: "i32", shape: [1], data: Int32Array.of(7) };
    const [one, two] = [0x3f80, 0x4000];
    const a = await file("a.safetensors", { w: bf16(one, one), i: i32 });
    const b = await file("b.safetensors", { w: bf16(two, one + 1), i: i32 });
    await averageCheckpoints([a, b], folder("bf16"));
    const read = await openCheckpoint(folder("bf16"));
    expect([...read.get("w").data]).toEqual([0x3fc0, one]); // 1.5, and the even of two neighbours
    expect([...read.get("i").data]).toEqual([7]);
    const other = await file("c.safetensors", { w: bf16(one, one), i: { ...i32, data: Int32Array.of(8) } });
    await expect(averageCheckpoints([a, other], folder("x"))).rejects.toThrow(
      /i must be as in .*a\.safetensors/,
    );
  });

  test("what does not fit together is told apart", async () => {
    const a = await file("1.safetensors", { v: f32(1), w: f32(1, 2) });
    const fails = async (other: Record<string, StoredTensor>, message: RegExp) => {
      const b = await file("2.safetensors", other);
      const failing = expect(averageCheckpoints([a, b], folder("x"))).rejects;
      await failing.toThrow(message);
    };
    await fails({ w: f32(1, 2) }, /2\.safetensors must have .* missing: v, unexpected: none/);
    await fails({ v: f32(1), w: f32(1, 2), x: f32(1) }, /missing: none, unexpected: x/);
    await fails({ v: f32(1), w: f32(1) }, /w must be f32 \[2\], as in .*; got f32 \[1\]/);
    await expect(averageCheckpoints([], folder("x"))).rejects.toThrow(/folders must be .* got none/);
    await expect(averageCheckpoints([a, a], folder("x"), { weights: [1] })).rejects.toThrow(
      /weights must be 2/,
    );
    await expect(averageCheckpoints([a], a)).rejects.toThrow(/output must not be one of folders/);
    await expect(averageCheckpoints([folder("none")], folder("x"))).rejects.toThrow(
      expect.objectContaining({ code: "ERR_CHECKPOINT" }),
    );
    expect(() => averageStateDicts([])).toThrow(/states must be an array of at least one; got none/);
    const state = (shape: number[]) => new Map([["w", tensor(new Float32Array(2), shape)]]);
    expect(() => averageStateDicts([state([2]), state([1, 2])])).toThrow(
      /states\[1\]: w must be f32 \[2\], as in .*states\[0\]; got f32 \[1, 2\]/,
    );
    await writeFile(folder("config.json"), "{}");
  });
});
