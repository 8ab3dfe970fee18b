import { readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { Tokenizer, trainBPE } from "../src/index.ts";
import { Random } from "../src/random.ts";
import { cli, failure, lastLine } from "./cli-run.ts";

const { inFolder, trainformer } = cli("cli-tokenizer");

const words = "the old man sat down by the sea and looked at a small red boat – café Größe".split(" ");
const random = new Random(1);
const text = Array.from({ length: 3000 }, () => words[random.integer(words.length)]!)
  .join(" ")
  .replace(/(.{60}) /g, "$1\n");

beforeAll(() => {
  writeFileSync(inFolder("book.txt"), text);
  writeFileSync(inFolder("latin1.txt"), Buffer.from("ein Caf\xe9", "latin1"));
});

const train = (...args: string[]) => trainformer(["tokenizer", "train", "book.txt", ...args]);
const loaded = (folder: string) => Tokenizer.fromPretrained(inFolder(folder));

describe("trainformer tokenizer train", () => {
  it("makes the BPE that the library makes", async () => {
    const special = ["--eos-token", "<|end|>", "--special-tokens", "<a>", "--special-tokens", "<b>"];
    const { code, stdout, stderr } = await train("--out", "bpe", "--vocab-size", "300", ...special, "--json");
    expect([code, stderr]).toEqual([0, ""]);
    const json = await trainBPE(
      { files: [inFolder("book.txt")] },
      { vocabSize: 300, specialTokens: ["<|end|>", "<a>", "<b>"] },
    );
    expect(JSON.parse(readFileSync(inFolder("bpe/tokenizer.json"), "utf8")).model).toEqual(json.model);
    const tokenizer = await loaded("bpe");
    expect(tokenizer.eosToken).toBe("<|end|>");
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    const { tokens, bytesPerToken } = lastLine(stdout);
    expect(tokens).toBe(tokenizer.size);
    expect(bytesPerToken).toBeCloseTo(Buffer.byteLength(text) / tokenizer.encode(text).length, 6);
  });

  it("makes a WordPiece with BERT's tokens and a Unigram with an unknown one", async () => {
    const [wordpiece, unigram] = await Promise.all([
      train("--type", "wordpiece", "--out", "wordpiece", "--vocab-size", "100", "--cased"),
      train("--type", "unigram", "--out", "unigram", "--vocab-size", "60", "--eos-token", "</s>"),
    ]);
    expect([wordpiece.code, unigram.code], wordpiece.stderr + unigram.stderr).toEqual([0, 0]);
    expect(wordpiece.stdout).toMatch(
      /^wordpiece\/tokenizer\.json: \d+ tokens, \d\.\d\d bytes of book\.txt a token, in 0:0\d\n$/,
    );
    const bert = await loaded("wordpiece");
    expect([bert.padToken, bert.clsToken, bert.maskToken]).toEqual(["[PAD]", "[CLS]", "[MASK]"]);
    expect(bert.decode(bert.encode("the Größe"))).toBe("[CLS] the Größe [SEP]");
    const t5 = await loaded("unigram");
    expect([t5.unkToken, t5.eosToken]).toEqual(["<unk>", "</s>"]);
    expect([...t5.encode("the ψ")]).toContain(t5.unkTokenId);
  });

  it("replaces nothing without --force", async () => {
    await train("--out", "kept", "--vocab-size", "270");
    const before = readFileSync(inFolder("kept/tokenizer.json"), "utf8");
    const refused = await train("--out", "kept", "--vocab-size", "280");
    expect([refused.code, refused.stdout]).toEqual([1, ""]);
    expect(refused.stderr).toBe(
      "trainformer tokenizer train: kept/tokenizer.json: is there already; --force replaces it\n",
    );
    expect(readFileSync(inFolder("kept/tokenizer.json"), "utf8")).toBe(before);
    expect((await train("--out", "kept", "--vocab-size", "280", "--force")).code).toBe(0);
    expect((await loaded("kept")).size).toBe(280);
  });

  it("stops on Ctrl-C and leaves nothing behind", async () => {
    const letters = () => String.fromCharCode(97 + random.integer(10));
    const word = () => Array.from({ length: 8 }, letters).join("");
    writeFileSync(inFolder("large.txt"), Array.from({ length: 300_000 }, word).join("\n"));
    const sizes = ["--vocab-size", "1000000", "--min-frequency", "1"]; // some seconds
    const args = ["tokenizer", "train", "large.txt", "--out", "stopped", ...sizes];
    const { code, stdout } = await trainformer(args, {
      onStart: (child) => setTimeout(() => child.kill("SIGINT"), 1500),
    });
    expect([code, stdout]).toEqual([130, ""]);
    await expect(loaded("stopped")).rejects.toThrow();
  });

  it.each([
    ["", 2, "FILE is required"],
    ["book.txt --vocab-size 10 --out x", 2, "vocabSize must be an integer of at least 256; got 10"],
    ["book.txt --type word --out x", 2, "--type must be one of bpe, wordpiece, unigram"],
    ["book.txt --cased --out x", 2, "--cased needs --type wordpiece; got --type bpe"],
    ["book.txt --type unigram --min-frequency 2 --out x", 2, "--min-frequency needs --type bpe or wordpiece"],
    ["none.txt --out x", 1, "none.txt: cannot be read"],
    ["latin1.txt --out x", 1, "latin1.txt: not utf-8"],
  ])("%s: exit code %i", async (line, expectedCode, expected) => {
    const { message, exitCode } = await failure(`tokenizer train ${line}`);
    expect(message).toContain(expected);
    expect(message).toMatch(/^trainformer [a-z ]+: [^\n]+$/);
    expect(exitCode).toBe(expectedCode);
  });
});

describe("trainformer tokenizer encode, decode", () => {
  it("are each other's reverse, of arguments and of stdin", async () => {
    const tokenizer = ["--tokenizer", "wordpiece"];
    const [encoded, named, bare] = await Promise.all([
      trainformer(["tokenizer", "encode", ...tokenizer], { input: "the sea" }),
      trainformer(["tokenizer", "encode", "the sea", ...tokenizer, "--tokens"]),
      trainformer(["tokenizer", "encode", "the sea", ...tokenizer, "--no-special-tokens"]),
    ]);
    const ids = [...(await loaded("wordpiece")).encode("the sea")];
    expect(encoded.stdout).toBe(`${ids.join(" ")}\n`);
    expect(named.stdout).toContain(`${ids[0]}\t"[CLS]"\n`);
    expect(bare.stdout).toBe(`${ids.slice(1, -1).join(" ")}\n`);
    const [decoded, skipped] = await Promise.all([
      trainformer(["tokenizer", "decode", ...ids.map(String), ...tokenizer]),
      trainformer(["tokenizer", "decode", ...tokenizer, "--skip-special-tokens"], { input: encoded.stdout }),
    ]);
    expect([decoded.stdout, skipped.stdout]).toEqual(["[CLS] the sea [SEP]\n", "the sea\n"]);
    const wrong = await trainformer(["tokenizer", "decode", "x", ...tokenizer]);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      'trainformer tokenizer decode: ID must be an integer of at least 0; got "x"\n',
    ]);
  });
});
