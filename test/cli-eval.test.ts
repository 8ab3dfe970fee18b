import { writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import {
  accuracyScore,
  BertForSequenceClassification,
  bleu,
  CharTokenizer,
  chrF,
  f1Score,
  GPT,
  noGrad,
  rouge,
  T5,
  Tokenizer,
  tensor,
  trainBPE,
  trainWordPiece,
} from "../src/index.ts";
import { Random } from "../src/random.ts";
import { cli, failure, lastLine } from "./cli-run.ts";

const { inFolder, trainformer } = cli("cli-eval");
const evaluate = (...args: string[]) => trainformer(["eval", ...args]);

const random = new Random(3);
const words = "the old man sat down by the sea and looked at a small red boat – café".split(" ");
const sentence = (count: number) =>
  Array.from({ length: count }, () => words[random.integer(words.length)]).join(" ");
const text = sentence(60);
const pairs = Array.from({ length: 11 }, (_, i) => ({ source: sentence(3 + (i % 4)), target: sentence(3) }));
const records = Array.from({ length: 13 }, (_, i) => ({
  text: `${sentence(1 + (i % 5))}, "${i}"`,
  label: ["ham", "spam", "eggs"][i % 3]!,
}));

let gpt: GPT;
let classifier: BertForSequenceClassification;
let wordpiece: Tokenizer;
let t5: T5;

beforeAll(async () => {
  writeFileSync(inFolder("text.txt"), text);
  const characters = CharTokenizer.fromText(text);
  gpt = new GPT({
    vocabSize: characters.size,
    contextLength: 16,
    numLayers: 2,
    numHeads: 2,
    hiddenSize: 32,
    seed: 5,
  });
  for (const parameter of gpt.parameters()) parameter.detach().assign(parameter.detach().mul(5)); // far from uniform
  await gpt.savePretrained(inFolder("gpt"), { tokenizer: characters });

  wordpiece = Tokenizer.fromJSON(await trainWordPiece([text], { vocabSize: 90 }), {
    padToken: "[PAD]",
    unkToken: "[UNK]",
    clsToken: "[CLS]",
    sepToken: "[SEP]",
  });
  const size = { contextLength: 32, numLayers: 1, numHeads: 2, hiddenSize: 32, initializerRange: 0.5 };
  classifier = new BertForSequenceClassification(
    { vocabSize: wordpiece.size, ...size, seed: 2 },
    { labels: ["ham", "spam", "eggs"] },
  );
  await classifier.savePretrained(inFolder("bert"), { tokenizer: wordpiece });
  writeFileSync(inFolder("records.jsonl"), records.map((record) => JSON.stringify(record)).join("\n"));
  const quoted = (value: string) => `"${value.replaceAll('"', '""')}"`;
  const numbered = records.map((r) => `${quoted(r.text)},${["ham", "spam", "eggs"].indexOf(r.label)}`);
  writeFileSync(inFolder("records.csv"), ["sentence,class", ...numbered].join("\n"));
  writeFileSync(inFolder("wrong.csv"), ["text,label", "a,ham", "b,egs"].join("\n"));

  const bpe = Tokenizer.fromJSON(
    await trainBPE([text], { vocabSize: 280, specialTokens: ["<pad>", "</s>"] }),
    {
      padToken: "<pad>",
      eosToken: "</s>",
    },
  );
  t5 = new T5({ vocabSize: bpe.size, numLayers: 1, numHeads: 2, hiddenSize: 16, seed: 4 });
  await t5.savePretrained(inFolder("t5"), { tokenizer: bpe });
  writeFileSync(
    inFolder("pairs.tsv"),
    ["from\tto", ...pairs.map((p) => `${p.source}\t${p.target}`)].join("\n"),
  );
  writeFileSync(inFolder("pairs.jsonl"), pairs.map((pair) => JSON.stringify(pair)).join("\n"));
});

describe("of a language model", () => {
  /** −log p of each token but the first, of one forward pass over the window that a stride gives it. */
  async function expected(stride: number, contextLength: number): Promise<number> {
    const tokens = (await CharTokenizer.load(inFolder("gpt"))).encode(text);
    const count = tokens.length - 1;
    let nats = 0;
    for (let t = 0; t < count; t++) {
      // The first window that reaches as far as t.
      const begin = t < contextLength ? 0 : Math.ceil((t + 1 - contextLength) / stride) * stride;
      const ids = tokens.subarray(begin, t + 1);
      const { logits } = noGrad(() => gpt(tensor(Int32Array.from(ids), [1, ids.length])));
      const row = [...(await logits.toTypedArray())].slice(-gpt.config.vocabSize);
      const max = Math.max(...row);
      const sum = row.reduce((total, x) => total + Math.exp(x - max), 0);
      nats -= row[tokens[t + 1]!]! - max - Math.log(sum);
    }
    return nats / count;
  }

  it.each([
    [[], 16, 16],
    [["--stride", "5", "--batch", "3"], 5, 16],
    [["--context", "7", "--stride", "3"], 3, 7],
    [["--stride", "1", "--batch", "64"], 1, 16],
  ])("counts each token once: %j", async (args, stride, contextLength) => {
    const { code, stdout, stderr } = await evaluate(
      "--model",
      "gpt",
      "--data",
      "text.txt",
      "--json",
      ...args,
    );
    expect([code, stderr]).toEqual([0, ""]);
    const { loss, perplexity, bitsPerByte, tokens, bytes } = lastLine(stdout);
    expect(loss).toBeCloseTo(await expected(stride, contextLength), 4);
    expect(tokens).toBe([...text].length - 1);
    expect(bytes).toBe(Buffer.byteLength(text) - 1);
    expect(perplexity).toBeCloseTo(Math.exp(loss), 4);
    expect(bitsPerByte).toBeCloseTo((loss * tokens) / bytes / Math.LN2, 6);
  });

  it("is told to people, too", async () => {
    const { stdout } = await evaluate("--model", "gpt", "--data", "text.txt");
    expect(stdout).toMatch(
      /^text\.txt: \d+ tokens of \d+ B, 16 at once\n {2}loss +\d\.\d{4} {2}nats a token\n {2}perplexity +[\d.]+\n {2}bits per byte +[\d.]+\n$/,
    );
  });
});

describe("of a classifier", () => {
  it.each([
    ["records.jsonl", [], 13],
    ["records.csv", ["--text", "sentence", "--label", "class"], 13],
    ["records.jsonl", ["--limit", "5", "--batch", "2"], 5],
  ])("takes %s %j", async (file, args, count) => {
    const { code, stdout, stderr } = await evaluate("--model", "bert", "--data", file, "--json", ...args);
    expect([code, stderr]).toEqual([0, ""]);
    const used = records.slice(0, count);
    const predictions: number[] = [];
    for (const { text } of used) {
      const { ids, lengths } = wordpiece.tensors([text]);
      classifier.eval();
      const { logits } = noGrad(() => classifier(ids, { lengths }));
      const row = [...(await logits.toTypedArray())];
      predictions.push(row.indexOf(Math.max(...row)));
    }
    const labels = used.map(({ label }) => ["ham", "spam", "eggs"].indexOf(label));
    const result = lastLine(stdout);
    expect(result).toMatchObject({
      records: count,
      accuracy: accuracyScore(predictions, labels),
      f1Macro: f1Score(predictions, labels, { average: "macro", labels: [0, 1, 2] }),
    });
    expect(result.classes.map((each: { name: string }) => each.name)).toEqual(["ham", "spam", "eggs"]);
  });

  it("prints a table of the classes", async () => {
    const { stdout } = await evaluate("--model", "bert", "--data", "records.jsonl");
    expect(stdout).toMatch(/accuracy +0\.\d{4}/);
    expect(stdout).toMatch(/\n +spam +\d\.\d\d +\d\.\d\d +\d\.\d\d +4\n/);
  });
});

describe("of an encoder–decoder", () => {
  it.each([
    ["pairs.jsonl", []],
    ["pairs.tsv", ["--source", "from", "--target", "to", "--batch", "3"]],
  ])("takes %s", async (file, args) => {
    const options = ["--model", "t5", "--data", file, "--max-new-tokens", "8", "--json"];
    const { code, stdout, stderr } = await evaluate(...options, ...args);
    expect([code, stderr]).toEqual([0, ""]);
    const tokenizer = await Tokenizer.fromPretrained(inFolder("t5"));
    const { texts } = await t5.generate(
      pairs.map(({ source }) => source),
      { tokenizer, maxNewTokens: 8 },
    );
    const references = pairs.map(({ target }) => target);
    expect(lastLine(stdout)).toMatchObject({
      records: pairs.length,
      bleu: bleu(texts, references).score,
      chrF: chrF(texts, references).score,
      rougeL: 100 * rouge(texts, references).rougeL.f1,
    });
  });
});

it.each([
  ["--model gpt", 2, "--data is required"],
  ["--model gpt --data none.txt", 1, "none.txt: there is no such file"],
  ["--model gpt --data text.txt --context 17", 2, "--context must be at most 16; got 17"],
  ["--model gpt --data text.txt --stride 17", 2, "--stride must be at most --context; got 17 and 16"],
  ["--model gpt --data text.txt --label x", 2, "--label is not for language models"],
  ["--model bert --data records.jsonl --stride 3", 2, "--stride is not for classifiers"],
  ["--model bert --data text.txt", 1, "text.txt: must be called .jsonl, .csv, .tsv or .parquet"],
  ["--model bert --data records.csv", 1, "record 1 has no field text"],
  [
    "--model bert --data wrong.csv",
    1,
    'wrong.csv: record 2: the label must be one of ham, spam, eggs, or from 0 to 2; got "egs"',
  ],
  ["--model t5 --data records.jsonl", 1, "record 1 has no field source"],
])("%s: exit code %i", async (line, expectedCode, expected) => {
  const { message, exitCode } = await failure(`eval ${line}`);
  expect(message).toContain(expected);
  expect(message).toMatch(/^trainformer [a-z ]+: [^\n]+$/);
  expect(exitCode).toBe(expectedCode);
});
