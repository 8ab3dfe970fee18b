import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { dispatch } from "../src/cli/dispatch.ts";
import {
  BertForMaskedLM,
  CharTokenizer,
  GPT,
  readSafetensors,
  T5,
  Tokenizer,
  trace,
  trainBPE,
  trainWordPiece,
} from "../src/index.ts";
import { cli, failure, lastLine } from "./cli-run.ts";

const { inFolder, trainformer } = cli("cli-inspect");
const inspect = (...args: string[]) => trainformer(["inspect", ...args]);
const text = "the old man sat by the sea and the old man slept";

/** What the page carries as JSON. */
const headerOf = (file: string) =>
  JSON.parse(
    /<script type="application\/json" id="header">(.*?)<\/script>/s.exec(
      readFileSync(inFolder(file), "utf8"),
    )![1]!,
  );

beforeAll(async () => {
  const characters = CharTokenizer.fromText(text);
  const size = { numLayers: 2, numHeads: 2, hiddenSize: 32 };
  await new GPT({ vocabSize: characters.size, contextLength: 48, ...size, seed: 5 }).savePretrained(
    inFolder("gpt"),
    { tokenizer: characters },
  );
  const wordpiece = Tokenizer.fromJSON(await trainWordPiece([text], { vocabSize: 60 }), {
    padToken: "[PAD]",
    unkToken: "[UNK]",
    clsToken: "[CLS]",
    sepToken: "[SEP]",
  });
  await new BertForMaskedLM({
    vocabSize: wordpiece.size,
    contextLength: 32,
    ...size,
    seed: 2,
  }).savePretrained(inFolder("bert"), { tokenizer: wordpiece });
  const bpe = Tokenizer.fromJSON(
    await trainBPE([text], { vocabSize: 280, specialTokens: ["<pad>", "</s>"] }),
    { padToken: "<pad>", eosToken: "</s>" },
  );
  await new T5({ vocabSize: bpe.size, ...size, seed: 4 }).savePretrained(inFolder("t5"), { tokenizer: bpe });
  writeFileSync(inFolder("plain.txt"), "");
});

it("writes the page of a decoder, and its messages as safetensors", async () => {
  const { code, stdout, stderr } = await inspect(
    "--model",
    "gpt",
    "--text",
    "the sea",
    "--save",
    "messages.safetensors",
  );
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^report\.html: 7 tokens, \d+ KB, measured in \d+\.\d s\n$/);
  const page = readFileSync(inFolder("report.html"), "utf8");
  expect(page).toContain("default-src 'none'");
  expect(page).not.toContain("connect-src");
  const header = headerOf("report.html");
  expect(header.title).toBe("gpt");
  expect([header.reads, header.layers, header.source]).toEqual(["next", 2, undefined]);

  const model = await GPT.fromPretrained(inFolder("gpt"));
  const tokenizer = await CharTokenizer.load(inFolder("gpt"));
  await using run = await trace(model, "the sea", { tokenizer, keep: "all", gradOf: "loss" });
  const { tensors } = await readSafetensors(inFolder("messages.safetensors"));
  for (const name of ["layer.1.attn.weights", "layer.2.mlp.out", "logits"] as const) {
    expect(new Float32Array(tensors.get(name)!.data.slice().buffer)).toEqual(
      await run.get(name).toTypedArray(),
    );
    expect(new Float32Array(tensors.get(`grad.${name}`)!.data.slice().buffer)).toEqual(
      await run.grad(name).toTypedArray(),
    );
  }
});

it("writes the page of an encoder", async () => {
  const args = [
    "--model",
    "bert",
    "--text",
    "the old man",
    "--out",
    "bert.html",
    "--title",
    "<reads>",
    "--json",
  ];
  const { code, stdout, stderr } = await inspect(...args);
  expect([code, stderr]).toEqual([0, ""]);
  const told = lastLine(stdout);
  expect(told).toMatchObject({ out: "bert.html", save: null, tokens: 5, notMeasured: [] });
  expect(told.loss).toBeGreaterThan(0);
  expect(headerOf("bert.html").reads).toBe("same");
  expect(readFileSync(inFolder("bert.html"), "utf8")).toContain("<title>&#60;reads&#62; ·");
});

it("writes the page of an encoder–decoder, with what is to be written or only its beginning", async () => {
  const t5 = ["--model", "t5", "--text", "the old man", "--json"];
  const [whole, beginning] = await Promise.all([
    inspect(...t5, "--target", "the sea", "--out", "whole.html"),
    inspect(...t5, "--out", "beginning.html"),
  ]);
  expect([whole.code, beginning.code], whole.stderr + beginning.stderr).toEqual([0, 0]);
  expect(lastLine(whole.stdout).loss).toBeGreaterThan(0);
  expect(lastLine(whole.stdout).tokens).toBeGreaterThan(1);
  expect(lastLine(beginning.stdout)).toMatchObject({ tokens: 1, loss: null });
  const stacks = ["encoder", "encoder", "decoder", "cross", "decoder", "cross"];
  for (const file of ["whole.html", "beginning.html"]) {
    const { attention, source } = headerOf(file);
    expect(attention.map(({ stack }: { stack: string }) => stack)).toEqual(stacks);
    expect(source.length).toBeGreaterThan(1);
  }
});

it("says what there was no time for", async () => {
  const told = await inspect("--model", "gpt", "--text", text, "--seconds", "0", "--out", "quick.html");
  expect([told.code, told.stderr]).toEqual([0, ""]);
  expect(told.stdout).toMatch(/\n {2}not measured: /);
});

it.each([
  ["--model gpt", 2, "--text is required"],
  ["--model gpt --text=", 1, "--text must have a token at least; got an empty text"],
  ["--model gpt --text the --target sea", 2, "--target is for encoder–decoders; got a GPT in gpt"],
  [
    "--model bert --text the --target sea",
    2,
    "--target is for encoder–decoders; got a BertForMaskedLM in bert",
  ],
  [
    "--model gpt --text große",
    1,
    '--text must have characters of the vocabulary of gpt only; got "g", "r", "ß"',
  ],
  [
    `--model gpt --text ${"the".repeat(17)}`,
    1,
    "--text must have at most 48 tokens, as many as the model reads; got 51",
  ],
  [
    `--model bert --text ${"the,".repeat(20)}`,
    1,
    "--text must have at most 32 tokens, as many as the model reads; got 42",
  ],
  ["--model none --text the", 1, "none/config.json: cannot be read"],
  ["--model gpt --text the --seconds=-1", 2, "--seconds must be a number from 0"],
  ["--model gpt --text the --max-size 10", 2, "--max-size must be an integer of at least 100000; got 10"],
  ["--model gpt --text the --out none/page.html", 1, "--out none/page.html: cannot be written"],
  ["--model gpt --text the --out gpt", 1, "--out must be a file; got the folder gpt"],
  [
    "--model gpt --text the --save plain.txt/a.safetensors",
    1,
    "--save plain.txt/a.safetensors: cannot be written",
  ],
])("%s: one line, exit code %i", async (line, exitCode, expected) => {
  const { message, ...rest } = await failure(`inspect --out wrong.html ${line}`);
  expect(message).toContain(expected);
  expect(message).toMatch(/^trainformer inspect: [^\n]+$/);
  expect(rest.exitCode).toBe(exitCode);
  expect(existsSync(inFolder("wrong.html"))).toBe(false);
});

it("ends at Ctrl-C, without a page", async () => {
  const handlers = process.listenerCount("SIGINT");
  const run = dispatch([
    "inspect",
    "--model",
    "gpt",
    "--text",
    text.slice(0, 48),
    "--seconds",
    "1000",
    "--out",
    "cut.html",
  ]);
  while (process.listenerCount("SIGINT") === handlers) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, 100));
  process.emit("SIGINT");
  expect(await run).toBe(130);
  expect(existsSync(inFolder("cut.html"))).toBe(false);
  expect(process.listenerCount("SIGINT")).toBe(handlers);
});
