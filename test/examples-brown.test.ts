import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { BertForSequenceClassification, Llama, Tokenizer } from "../src/index.ts";
import { root, runNode } from "./child.ts";

const folder = mkdtempSync(path.join(tmpdir(), "trainformer-brown-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** For machines that do much else: alone, an example takes a tenth of it. */
const timeout = 240_000;

/** Runs an example as its users do, but quickly, and gives the line of scores that it ends with. */
async function quickly(name: string, out: string) {
  const options = ["--quick", "--json", "--dtype", "f32", "--out", out];
  const { status, stdout, stderr } = await runNode([path.join(root, "examples", name), ...options], {
    timeout,
  });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
}

test(
  "a GPT of the Brown corpus: the cross entropy of held-out documents falls",
  async () => {
    const out = path.join(folder, "gpt");
    const { before, after } = await quickly("brown-gpt.mjs", out);
    expect(before.natsPerToken).toBeCloseTo(Math.log(1000), 0);
    expect(after.natsPerToken).toBeLessThan(before.natsPerToken - 0.7);
    expect(after.bitsPerByte).toBeLessThan(before.bitsPerByte - 0.4);

    const [model, tokenizer] = [await Llama.fromPretrained(out), await Tokenizer.fromPretrained(out)];
    const text = "The jury said no more .";
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    const { sequences } = await model.generate([tokenizer.encode(text)], { maxNewTokens: 3 });
    expect(sequences[0]!.length).toBeGreaterThan(tokenizer.encode(text).length);
  },
  timeout,
);

test(
  "a BERT of the Brown corpus: pretraining and a classifier learn, and the classifier can be read",
  async () => {
    const out = path.join(folder, "bert");
    const { pretraining, classification, losses } = await quickly("brown-bert.mjs", out);
    expect(pretraining.after.loss).toBeLessThan(pretraining.before.loss - 0.5);
    for (const name of ["pretrained", "fromNothing"]) {
      expect(losses[name].at(-1)).toBeLessThan(losses[name][0] - 0.05);
      expect(classification[name]).toBeGreaterThanOrEqual(classification.chance - 0.05);
    }
    expect(classification.naiveBayes).toBeGreaterThan(classification.chance);
    const classifier = await BertForSequenceClassification.fromPretrained(`${out}-classifier`);
    expect(classifier.labels).toEqual(["informative", "imaginative"]);
  },
  timeout,
);
