import { expect, test } from "vitest";
import { generate } from "../src/generate/index.ts";
import {
  AdamW,
  Bart,
  crossEntropy,
  memory,
  type Seq2SeqLM,
  step,
  T5,
  type Tensor,
  Transformer,
  tensor,
} from "../src/index.ts";
import { Random } from "../src/random.ts";
import { relativeError } from "./golden-folder.ts";

const size = { vocabSize: 13, hiddenSize: 16, numLayers: 2, numHeads: 2, intermediateSize: 24, seed: 7 };
const models: Record<string, (options?: object) => Seq2SeqLM> = {
  Transformer: (options) => new Transformer({ ...size, contextLength: 12, ...options }),
  Bart: (options) => new Bart({ ...size, contextLength: 12, initializerRange: 0.3, ...options }),
  T5: (options) =>
    new T5({ ...size, headSize: 8, relativeAttentionNumBuckets: 8, numDecoderLayers: 1, ...options }),
};
const all = Object.entries(models);

const idsOf = (rows: readonly (readonly number[])[], fill = 0): Tensor => {
  const T = Math.max(...rows.map((row) => row.length));
  const filled = rows.flatMap((row) => [...row, ...new Array<number>(T - row.length).fill(fill)]);
  return tensor(Int32Array.from(filled), [rows.length, T]);
};
const lengthsOf = (rows: readonly (readonly number[])[]) =>
  tensor(
    Int32Array.from(rows, (row) => row.length),
    [rows.length],
  );

const inputs = [
  [3, 4, 5, 6, 7],
  [8, 9, 2],
  [5, 5, 11, 2],
];
const targets = [
  [4, 6, 2],
  [7, 3, 9, 10, 2],
  [12, 2],
];

test.each(all)("%s: a row of a padded batch is what it is alone", async (_, make) => {
  const model = make().eval();
  const V = 13;
  const input = { lengths: lengthsOf(inputs), labels: idsOf(targets, -100) };
  const together = await model(idsOf(inputs), input).logits.toTypedArray();
  for (const [b, row] of inputs.entries()) {
    const alone = model(idsOf([row]), { labels: idsOf([targets[b]!]) }).logits;
    const start = b * 5 * V;
    const own = together.subarray(start, start + targets[b]!.length * V);
    expect(relativeError(own, await alone.toTypedArray())).toBeLessThan(1e-5);
  }
});

test.each(all)("%s: labels are shifted right for the decoder", async (_, make) => {
  const model = make({ padTokenId: 1, decoderStartTokenId: 3 }).eval();
  const labels = Int32Array.of(4, -100, 6, 2, 7, 2, -100, -100);
  const shifted = tensor(Int32Array.of(3, 4, 1, 6, 3, 7, 2, 1), [2, 4]);
  const ids = idsOf(inputs.slice(0, 2));
  const expected = model(ids, { decoderInputIds: shifted }).logits;
  const given = tensor(labels, [2, 4]);
  const output = model(ids, { labels: given });
  expect(await output.logits.toArray()).toEqual(await expected.toArray());
  const loss = await crossEntropy(expected, given).item();
  expect(await output.loss!.item()).toBeCloseTo(loss, 5);
  const smoothed = await crossEntropy(expected, given, { labelSmoothing: 0.1 }).item();
  expect(smoothed).not.toBeCloseTo(loss, 3);
  expect(await model(ids, { labels: given, labelSmoothing: 0.1 }).loss!.item()).toBeCloseTo(smoothed, 5);
  // What is written into a tensor later counts, though its array is the caller's.
  const other = tensor(new Int32Array(8), [2, 4]).set(labels);
  expect(await model(ids, { labels: other }).logits.toArray()).toEqual(await expected.toArray());
});

test.each(all)("%s: with a cache it gives the logits that it gives without", async (_, make) => {
  const model = make().eval();
  const prompts = [[3, 4, 5], [3], [3, 7]];
  let rows = prompts.map((prompt, b) => ({ input: inputs[b]!, ids: [...prompt] }));
  const decoding = model.startDecoding({ batchSize: 3, capacity: 9, inputs });
  const check = async (logits: Float32Array) => {
    const V = decoding.vocabSize;
    for (const [b, { input, ids }] of rows.entries()) {
      const expected = model(idsOf([input]), { decoderInputIds: idsOf([ids]) }).logits;
      const last = (await expected.toTypedArray()).subarray(-V);
      expect(relativeError(logits.subarray(b * V, (b + 1) * V), last)).toBeLessThan(1e-5);
      expected.dispose();
    }
  };
  const goOn = async (tokens: number[]) => {
    rows.forEach(({ ids }, b) => ids.push(tokens[b]!));
    await check(await decoding.next(tokens.map((token) => [token])));
  };
  const choose = (order: number[]) => {
    rows = order.map((from) => ({ input: rows[from]!.input, ids: [...rows[from]!.ids] }));
    decoding.reorder(order);
  };
  await check(await decoding.next(prompts));
  await goOn([6, 7, 8]);
  choose([2, 2, 0, 1]); // other inputs
  await goOn([1, 2, 3, 4]);
  choose([1, 0, 2, 3]); // the same inputs: the encoder's keys stay where they are
  await goOn([5, 6, 7, 8]);
  choose([3]);
  await goOn([9]);
  decoding.dispose();
});

test.each(all)("%s: decoding frees what it holds", async (_, make) => {
  const model = make().eval();
  const decode = async () => {
    const decoding = model.startDecoding({ batchSize: 3, capacity: 9, inputs });
    await decoding.next([[3], [3, 4], [3]]);
    decoding.reorder([1, 0, 2]);
    await decoding.next([[3], [4], [3]]);
    decoding.reorder([0, 0]);
    await decoding.next([[5], [6]]);
    decoding.reorder([1, 0]);
    decoding.dispose();
  };
  await decode(); // weights are packed for products, and kept so
  const before = memory();
  await decode();
  expect(memory()).toMatchObject({ tensors: before.tensors, liveBytes: before.liveBytes });
});

test("decoding ends where its room ends, and refuses rows that don't fit", async () => {
  const model = models.Bart!();
  expect(() => model.startDecoding({ batchSize: 2, capacity: 4, inputs: [[3], []] })).toThrow(
    "startDecoding: inputs must be 2 rows of at least one token; got rows of 1, 0",
  );
  expect(() => model.startDecoding({ batchSize: 1, capacity: 4 })).toThrow("got rows of none");
  const decoding = model.startDecoding({ batchSize: 1, capacity: 40, inputs: [[3]] });
  await expect(decoding.next([[3], [4]])).rejects.toThrow("each of the 1 rows must go on; got rows of 1, 1");
  await decoding.next([[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 3, 4]]);
  await expect(decoding.next([[5]])).rejects.toThrow("at most 12 positions; got 13");
  expect(model.training).toBe(true);
  const unbounded = models.T5!().startDecoding({ batchSize: 1, capacity: 2, inputs: [[3]] });
  await expect(unbounded.next([[3, 4, 5]])).rejects.toThrow("0 + 3 tokens must fit into its capacity; got 2");
});

test.each(all)("%s: dropout is active in training, and only there", async (_, make) => {
  const model = make({ dropout: 0.5 });
  const labels = idsOf(targets, -100);
  const loss = () => model(idsOf(inputs), { labels }).loss!.item();
  expect(await loss()).not.toBe(await loss());
  model.eval();
  expect(await loss()).toBe(await loss());
});

test.each(all)("%s: mixed precision agrees with f32", async (_, make) => {
  const labels = idsOf(targets, -100);
  const input = { labels, lengths: lengthsOf(inputs) };
  const [exact, mixed] = [make(), make({ dtype: "bf16" })].map((model) => model.eval()(idsOf(inputs), input));
  expect(mixed!.encoderLastHiddenState.dtype).toBe("bf16");
  expect(await mixed!.loss!.item()).toBeCloseTo(await exact!.loss!.item(), 1);
  mixed!.loss!.backward();
});

test("without labels or what the decoder is given there is nothing to compute", () => {
  const model = models.Bart!();
  expect(() => model(idsOf(inputs))).toThrow("Bart: labels or decoderInputIds must be given; got neither");
  expect(() => model(idsOf(inputs), { labels: tensor(Int32Array.of(1), [1]) })).toThrow(
    "Bart: labels must be [B, T]; got [1]",
  );
  expect(() => model(idsOf([new Array<number>(13).fill(3)]), { labels: idsOf(targets) })).toThrow(
    "the sequence must have at most 12 positions; got 13",
  );
});

/** Rows of 2 to 4 tokens, and a T5 more and longer: it has no positions but by their distance. */
const lessons = [
  { name: "Transformer", numLayers: 1, batchSize: 32, steps: 250, below: 0.25 },
  { name: "Bart", numLayers: 1, batchSize: 32, steps: 200, below: 0.1 },
  { name: "T5", numLayers: 2, batchSize: 64, steps: 350, below: 0.3 },
];

test.each(lessons)("$name: learns to turn sequences around", async (lesson) => {
  const { name, numLayers, batchSize, steps, below } = lesson;
  const width = {
    hiddenSize: 32,
    intermediateSize: 64,
    headSize: 16,
    dropout: 0,
    relativeAttentionNumBuckets: 16,
  };
  const model = models[name]!({ ...width, numLayers, numDecoderLayers: numLayers, initializerRange: 0.1 });
  const optimizer = new AdamW(model.parameters(), { betas: [0.9, 0.98] });
  const random = new Random(1);
  const draw = () => Array.from({ length: 2 + random.integer(3) }, () => 3 + random.integer(10));
  let last = 0;
  for (let i = 0; i < steps; i++) {
    const rows = Array.from({ length: batchSize }, draw);
    const answers = rows.map((row) => [...row].reverse().concat(2));
    const loss = step(() => {
      const { loss } = model(idsOf(rows), { lengths: lengthsOf(rows), labels: idsOf(answers, -100) });
      loss!.backward();
      optimizer.step({ learningRate: 5e-3 * Math.min(1, (i + 1) / 30), maxGradNorm: 1 });
      return loss!;
    });
    if (i >= steps - 10) last += (await loss.item()) / 10;
  }
  expect(last).toBeLessThan(below);
  const rows = Array.from({ length: 20 }, draw);
  const { sequences } = await generate(model, rows, { maxNewTokens: 7, eosTokenId: 2 });
  const right = rows.filter((row, b) => `${sequences[b]!.subarray(1)}` === `${[...row].reverse()},2`);
  expect(right.length).toBeGreaterThanOrEqual(14);
});
