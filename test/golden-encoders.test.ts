import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import {
  AdamW,
  Bert,
  BertForMaskedLM,
  BertForMultiTask,
  BertForPreTraining,
  BertForQuestionAnswering,
  BertForSequenceClassification,
  BertForTokenClassification,
  manualSeed,
  noGrad,
  SentenceEncoder,
  step,
  type Tensor,
  tensor,
} from "../src/index.ts";
import { expectClose, expectGradients, expectSavedAs, type Golden, readGolden } from "./golden-folder.ts";
import { variants } from "./variants.ts";

/** From test/golden/make_encoders.py: the class here, and how its inputs and outputs are called there. */
const models = {
  bert: Bert,
  "bert-pretraining": BertForPreTraining,
  "bert-masked": BertForMaskedLM,
  "roberta-masked": BertForMaskedLM,
  "distilbert-masked": BertForMaskedLM,
  "bert-classes": BertForSequenceClassification,
  "roberta-classes": BertForSequenceClassification,
  "distilbert-classes": BertForSequenceClassification,
  "bert-regression": BertForSequenceClassification,
  "bert-multilabel": BertForSequenceClassification,
  "bert-tokens": BertForTokenClassification,
  "bert-answers": BertForQuestionAnswering,
  "distilbert-answers": BertForQuestionAnswering,
};
type Output = Record<string, Tensor> & { hiddenStates: Tensor[]; attentions: Tensor[] };
const inputNames = {
  labels: "labels",
  nextSentenceLabel: "next_sentence_label",
  startPositions: "start_positions",
  endPositions: "end_positions",
  tokenTypeIds: "types",
  lengths: "lengths",
};
const outputNames = {
  logits: "logits",
  seqRelationshipLogits: "next_sentence",
  startLogits: "start",
  endLogits: "end",
  lastHiddenState: "last",
  poolerOutput: "pooled",
};

const inputsOf = (golden: Golden) => ({
  ...Object.fromEntries(
    Object.entries(inputNames).flatMap(([ours, theirs]) =>
      golden.has(theirs) ? [[ours, golden.tensor(theirs)]] : [],
    ),
  ),
  outputHiddenStates: true,
  outputAttentions: true,
});

/** What counts of `[B, T, …]` or `[B, H, T, S]`: places of padding hold whatever they hold. */
function counted(t: Tensor, golden: Golden): Tensor[] {
  const [B, T] = golden.stored("ids").shape as [number, number];
  const axis = t.shape.indexOf(T, 1);
  if (axis < 0) return [t];
  return Array.from({ length: B }, (_, b) =>
    t.slice(0, b, b + 1).slice(axis, 0, golden.stored("lengths").data[b]),
  );
}

async function expectCounted(got: Tensor, golden: Golden, name: string, tolerance: number): Promise<void> {
  const expected = golden.tensor(name);
  expect(got.shape, name).toEqual(expected.shape);
  const [ours, theirs] = [got, expected].map((t) => counted(t, golden));
  for (const [b, part] of ours!.entries()) {
    const values = theirs![b]!.toTypedArraySync();
    const scale = Math.max(...values.map(Math.abs));
    part.toTypedArraySync().forEach((value, i) => {
      expect(Math.abs(value - values[i]!) / scale, `${name} of row ${b}, ${i}`).toBeLessThan(tolerance);
    });
  }
}

for (const [name, Model] of Object.entries(models)) {
  const golden = await readGolden(`encoders/${name}`);
  const withType = (options: object) => ({
    ...options,
    ...(name.startsWith("bert") ? {} : { tokenTypeIds: undefined }),
  });

  for (const variant of variants.filter(({ dtypes }) => dtypes.includes("f32"))) {
    test(`${name} computes what Hugging Face computes (${variant.name})`, async () => {
      variant.select();
      const tolerance = variant.splits ? 3e-4 : 3e-5;
      const model = (await Model.fromPretrained(golden.folder)).eval();
      const output = (model as (ids: Tensor, input: object) => unknown)(
        golden.tensor("ids"),
        withType(inputsOf(golden)),
      ) as Output;
      for (const [ours, theirs] of Object.entries(outputNames)) {
        if (golden.has(theirs)) await expectCounted(output[ours]!, golden, theirs, tolerance);
      }
      for (const [i, state] of output.hiddenStates.entries())
        await expectCounted(state, golden, `hidden.${i}`, tolerance);
      for (const [i, weights] of output.attentions.entries())
        await expectCounted(weights, golden, `attention.${i}`, tolerance);
      if (!golden.has("loss")) return;
      await expectClose(output.loss!.reshape(1), golden, "loss", tolerance);
      output.loss!.backward();
      // PyTorch's embeddings keep the vector of the padding token as it is; here it takes part where padding does.
      const padding = { name: "bert.tokens.weight", row: model.config.padTokenId };
      await expectGradients(model, model.layout(), golden, 3 * tolerance, padding);
    });
  }

  test(`${name} is written as Hugging Face wrote it`, async () => {
    await expectSavedAs(await Model.fromPretrained(golden.folder), golden);
  });
}

test("sentence vectors are those of sentence-transformers", async () => {
  const golden = await readGolden("encoders/bert");
  const encoder = (await SentenceEncoder.fromPretrained(golden.folder)).eval();
  expect([encoder.pooling, encoder.normalize]).toEqual(["mean", true]);
  const ids = golden.tensor("ids");
  const vectorsOfBoth = encoder(ids, golden.tensor("lengths"));
  await expectClose(vectorsOfBoth, golden, "sentence", 1e-4);
  const rows = [0, 1].map((b) =>
    golden.stored("ids").data.subarray(b * 9, b * 9 + golden.stored("lengths").data[b]!),
  );
  const texts = rows.map((row) => [...row].join(" "));
  const tokenizer = { encode: (text: string) => text.split(" ").map(Number) };
  const vectors = await encoder.encode(texts, { tokenizer });
  for (const b of [0, 1]) {
    const vector = vectors.subarray(b * 16, (b + 1) * 16);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    // A row alone has the vector that it has beside a longer one.
    const alone = await encoder.encode([texts[b]!], { tokenizer });
    alone.forEach((value, i) => expect(vector[i]).toBeCloseTo(value, 5));
  }
});

const config = {
  vocabSize: 30,
  contextLength: 12,
  numLayers: 1,
  numHeads: 2,
  hiddenSize: 16,
  dropout: 0,
  seed: 3,
};

test("pooled classifiers and several tasks learn, are saved and read", async () => {
  const model = new BertForMultiTask(config, {
    first: { numLabels: 2, pooling: "mean" },
    last: { numLabels: 3, pooling: "attention" },
    each: { kind: "token", labels: ["even", "odd"] },
  });
  const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2, weightDecay: 0 });
  manualSeed(5);
  const ids = Int32Array.from({ length: 16 * 8 }, (_, i) => (i * 7919) % 30);
  const rows = Array.from({ length: 16 }, (_, b) => ids.subarray(b * 8, b * 8 + 8));
  const labels = {
    first: tensor(Int32Array.from(rows, (row) => row[0]! % 2)),
    last: tensor(Int32Array.from(rows, (row) => row[7]! % 3)),
    each: tensor(
      ids.map((id) => id % 2),
      [16, 8],
    ),
  };
  const input = tensor(ids, [16, 8]);
  const loss = () =>
    step(() => {
      const { loss } = model(input, { labels, lossWeights: { each: 2 } });
      loss!.backward();
      optimizer.step({});
      return loss!;
    }).item();
  const before = await loss();
  let after = before;
  for (let i = 0; i < 60; i++) after = await loss();
  expect(after).toBeLessThan(0.5 * before);

  const folder = await mkdtemp(path.join(os.tmpdir(), "tasks-"));
  try {
    await model.savePretrained(folder);
    const again = await BertForMultiTask.fromPretrained(folder);
    expect(again.taskNames).toEqual(["first", "last", "each"]);
    const logits = (m: BertForMultiTask) =>
      noGrad(() =>
        Object.entries(m.eval()(input).logits).map(([name, t]) => [name, [...t.toTypedArraySync()]]),
      );
    expect(logits(again)).toEqual(logits(model));
    expect(() => model(input, { tasks: ["none"] })).toThrow(/tasks must be of first, last, each; got none/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a classifier on a pretrained encoder says what is new, and what is wrong", async () => {
  const golden = await readGolden("encoders/bert-masked");
  const warnings: string[] = [];
  const listener = (warning: Error) => warnings.push(warning.message);
  process.on("warning", listener);
  const model = await BertForSequenceClassification.fromPretrained(golden.folder, {
    labels: ["a", "b", "c"],
    pooling: "mean",
  });
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", listener);
  expect(model(golden.tensor("ids")).logits.shape).toEqual([2, 3]);
  expect(warnings.join()).toMatch(/newly initialized.*classifier\.output\.weight/);
  expect(warnings.join()).toMatch(/not in this model.*cls\.predictions/);
  await expect(
    BertForSequenceClassification.fromPretrained((await readGolden("encoders/bert-classes")).folder, {
      numLabels: 5,
    }),
  ).rejects.toThrow(/classifier\.weight must be \[5, 16\]; got \[3, 16\]/);
});
