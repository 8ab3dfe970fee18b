import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { brownSplit } from "../scripts/brown.mjs";
import { configure, info } from "../src/native.ts";
import { Tokenizer } from "../src/text/tokenizer.ts";
import type { TokenizerJSON } from "../src/text/tokenizer-json.ts";
import { type TrainBPEOptions, trainBPE } from "../src/text/train-bpe.ts";
import { trainUnigram } from "../src/text/train-unigram.ts";
import { trainWordPiece } from "../src/text/train-wordpiece.ts";
import type { TokenizerTrainingProgress } from "../src/text/training-job.ts";
import { countNormalizedWords } from "../src/text/word-counts.ts";
import { root, run } from "./child.ts";

interface PairVocabulary {
  tokens: string[];
  merges: [number, number][];
}
const golden = <T>(name: string): T =>
  JSON.parse(readFileSync(path.join(root, "test/golden", `${name}_tokenizers.json`), "utf8"));
const brown = golden<{
  bpe: PairVocabulary;
  wordpiece: { tokens: string[]; heldOut: number };
  unigram: { tokens: string[]; heldOut: number };
}>("brown");
const hostile = golden<{
  texts: string[];
  bpe: (PairVocabulary & { options: TrainBPEOptions })[];
  bertWords: Record<string, number>;
  unigramWords: Record<string, number>;
}>("hostile");

const { train, heldOut } = brownSplit();
const folder = mkdtempSync(path.join(tmpdir(), "trainformer-tokenizer-"));
const write = (name: string, content: string | Uint8Array): string => {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
};
const brownFile = write("brown.txt", train);
afterAll(() => rmSync(folder, { recursive: true }));

function pairsOf({ model }: TokenizerJSON): PairVocabulary {
  const { vocab, merges } = model as { vocab: Record<string, number>; merges: [string, string][] };
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(vocab)) tokens[id] = token;
  return { tokens, merges: merges.map(([left, right]) => [vocab[left]!, vocab[right]!]) };
}

const heldOutLength = (json: TokenizerJSON): number => {
  const tokenizer = Tokenizer.fromJSON(json);
  return heldOut.split("\n").reduce((sum, line) => sum + tokenizer.encode(line, noSpecial).length, 0);
};
const noSpecial = { addSpecialTokens: false };

describe("on the Brown corpus", () => {
  test("BPE has Hugging Face's vocabulary and merges", async () => {
    const json = await trainBPE({ files: brownFile }, { vocabSize: 4000 });
    expect(pairsOf(json)).toEqual(brown.bpe);
    const tokenizer = Tokenizer.fromJSON(json);
    const text = heldOut.slice(0, 2000);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test("WordPiece has Hugging Face's vocabulary", async () => {
    const json = await trainWordPiece({ files: brownFile }, { vocabSize: 4000 });
    // Ties are broken by ids, which vary there from run to run.
    const same = pairsOf({ ...json, model: { ...json.model, merges: [] } }).tokens.filter((token) =>
      brown.wordpiece.tokens.includes(token),
    );
    expect(same.length).toBeGreaterThanOrEqual(3990);
    expect(Math.abs(heldOutLength(json) / brown.wordpiece.heldOut - 1)).toBeLessThan(0.001);
  });

  test("Unigram needs as many tokens as Hugging Face's for text that it has not seen", async () => {
    const json = await trainUnigram({ files: brownFile }, { vocabSize: 4000, unkToken: "<unk>" });
    const { vocab, unk_id } = json.model as { vocab: [string, number][]; unk_id: number };
    expect(vocab).toHaveLength(4000);
    expect([unk_id, vocab[0]]).toEqual([0, ["<unk>", 0]]);
    const theirs = new Set(brown.unigram.tokens);
    expect(vocab.filter(([piece]) => theirs.has(piece)).length).toBeGreaterThanOrEqual(3990);
    expect(Math.abs(heldOutLength(json) / brown.unigram.heldOut - 1)).toBeLessThan(0.001);
  });
});

describe("on hostile text", () => {
  test.each(hostile.bpe)("BPE has Hugging Face's merges: $options", async ({ options, ...expected }) => {
    expect(pairsOf(await trainBPE(hostile.texts, options))).toEqual(expected);
  });

  const wordsOf = async (pipeline: { normalizer: object; pre_tokenizer: object }) => {
    const { bytes, ends, counts } = await countNormalizedWords("test", hostile.texts, pipeline, {});
    const text = Buffer.from(bytes);
    return Object.fromEntries(
      Array.from(ends, (end, i) => [text.toString("utf8", ends[i - 1] ?? 0, end), counts[i]!]),
    );
  };
  const bert = { normalizer: { type: "BertNormalizer" }, pre_tokenizer: { type: "BertPreTokenizer" } };
  const pieces = {
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Nmt" },
        { type: "NFKC" },
        { type: "Replace", pattern: { Regex: " {2,}" }, content: " " },
      ],
    },
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
  };
  test("WordPiece counts Hugging Face's words", async () => {
    expect(await wordsOf(bert)).toEqual(hostile.bertWords);
  });
  test("Unigram counts Hugging Face's words", async () => {
    expect(await wordsOf(pieces)).toEqual(hostile.unigramWords);
  });

  test("every text comes back through the tokenizers", async () => {
    const bpe = Tokenizer.fromJSON(await trainBPE(hostile.texts, { vocabSize: 500 }));
    for (const text of hostile.texts) expect(bpe.decode(bpe.encode(text))).toBe(text);
    const unigram = Tokenizer.fromJSON(await trainUnigram(hostile.texts, { vocabSize: 900 }));
    for (const text of hostile.texts) unigram.encode(text); // there is no unknown character
  });
});

/** The same without a heap: count all pairs, merge the most frequent, again and again. */
function mergesByDefinition(words: readonly string[], count: number): string[] {
  let symbols = words.map((word) => [...word]);
  const merges: string[] = [];
  const ids = new Map([...new Set(words.join(""))].sort().map((c, id) => [c, id]));
  while (merges.length < count) {
    const counts = new Map<string, [number, number, number]>();
    for (const word of symbols) {
      for (let i = 0; i + 1 < word.length; i++) {
        const [left, right] = [word[i]!, word[i + 1]!];
        const entry = counts.get(`${left} ${right}`) ?? [0, ids.get(left)!, ids.get(right)!];
        counts.set(`${left} ${right}`, [entry[0] + 1, entry[1], entry[2]]);
      }
    }
    const [best] = [...counts].sort(([, a], [, b]) => b[0] - a[0] || a[1] - b[1] || a[2] - b[2]);
    const [left, right] = best![0].split(" ") as [string, string];
    merges.push(best![0]);
    ids.set(left + right, ids.size);
    symbols = symbols.map((word) => {
      const merged: string[] = [];
      for (let i = 0; i < word.length; i++) {
        const isPair = word[i] === left && word[i + 1] === right;
        merged.push(isPair ? left + right : word[i]!);
        if (isPair) i++;
      }
      return merged;
    });
  }
  return merges;
}

test("merges are what the definition says", async () => {
  const words = "low lower lowest newer newest wider lowering wildest newly".split(" ");
  const json = await trainBPE(
    words.flatMap((word) => [word, word]),
    { vocabSize: 256 + 12 },
  );
  const { merges } = json.model as unknown as { merges: [string, string][] };
  expect(merges.map((pair) => pair.join(" "))).toEqual(mergesByDefinition(words, 12));
});

describe("whatever the texts come as", () => {
  const lines = heldOut.slice(0, 50_000).split(/(?<=\n)/);
  const options = { vocabSize: 600 };
  async function* later() {
    for (const line of lines) yield line;
  }

  test("iterables, streams and files give the same", async () => {
    const expected = await trainBPE(lines, options);
    const text = lines.join("");
    const file = write("lines.txt", text);
    const half = lines.slice(0, 100).join("");
    const parts = [write("a.txt", half), write("b.txt.gz", gzipSync(text.slice(half.length)))];
    for (const texts of [later(), { files: file }, { files: parts }]) {
      expect(await trainBPE(texts, options)).toEqual(expected);
    }
  });

  test("a text may be longer than a batch, and words are those of the whole", async () => {
    const text = `${"many words, ".repeat(30_000)}\n\n  end`;
    const json = await trainBPE([text], { vocabSize: 280 });
    const byLine = await trainBPE(["many words,", ...Array(29_999).fill(" many words,"), " \n\n", "  end"], {
      vocabSize: 280,
    });
    expect(pairsOf(json).merges.slice(0, 10)).toEqual(pairsOf(byLine).merges.slice(0, 10));
  });
});

describe("the number of threads", () => {
  const { threads } = info();
  afterEach(() => configure("threads", threads));
  const text = heldOut.slice(0, 300_000).split("\n");
  test.each([
    ["trainBPE", trainBPE],
    ["trainWordPiece", trainWordPiece],
    ["trainUnigram", trainUnigram],
  ])("does not change what %s makes", async (_, trainer) => {
    const results = [];
    for (const count of [1, 2, 5]) {
      configure("threads", count);
      results.push(JSON.stringify(await trainer(text, { vocabSize: 1500 })));
    }
    expect(results[1]).toBe(results[0]);
    expect(results[2]).toBe(results[0]);
  });
});

describe("options", () => {
  const text = ["Ünïcode and naïve cafés", "the cat sat on the mat", "the cats and the mats"];

  test("special tokens come first and are added tokens", async () => {
    const specialTokens = ["<s>", { content: "<mask>", lstrip: true }];
    for (const trainer of [trainBPE, trainUnigram]) {
      const json = await trainer(text, { vocabSize: 300, specialTokens });
      expect(
        json.added_tokens.map(({ id, content, lstrip, special }) => [id, content, lstrip, special]),
      ).toEqual([
        [0, "<s>", false, true],
        [1, "<mask>", true, true],
      ]);
      const tokenizer = Tokenizer.fromJSON(json);
      expect(Array.from(tokenizer.encode("<s>the cat", noSpecial)).slice(0, 1)).toEqual([0]);
    }
  });

  test("WordPiece: accents, case, borders and the alphabet's limit", async () => {
    const json = await trainWordPiece(text, { vocabSize: 100, limitAlphabet: 12, initialAlphabet: "z" });
    const tokenizer = Tokenizer.fromJSON(json);
    expect(tokenizer.decode(tokenizer.encode("The CAT", noSpecial))).toBe("the cat");
    const [first, ...rest] = tokenizer.encode("the");
    expect([first, rest.at(-1)]).toEqual([tokenizer.tokenToId("[CLS]"), tokenizer.tokenToId("[SEP]")]);
    expect(tokenizer.tokenToId("z")).toBeDefined();
    expect(tokenizer.tokenToId("v")).toBeUndefined(); // one of the rarest
    const cased = await trainWordPiece(text, { vocabSize: 100, lowercase: false });
    expect(Tokenizer.fromJSON(cased).tokenToId("Ü")).toBeDefined();
  });

  test("Unigram: unknown characters, the alphabet and the length of pieces", async () => {
    const json = await trainUnigram(text, {
      vocabSize: 60,
      unkToken: "<unk>",
      initialAlphabet: "zq",
      maxPieceLength: 3,
    });
    const { vocab } = json.model as { vocab: [string, number][] };
    expect(Math.max(...vocab.slice(1).map(([piece]) => [...piece].length))).toBeLessThanOrEqual(3);
    const tokenizer = Tokenizer.fromJSON(json);
    expect(Array.from(tokenizer.encode("語"))).toContain(0);
    expect(Array.from(tokenizer.encode("zq"))).not.toContain(0);
  });

  test("progress goes through both stages to its end", async () => {
    const seen: TokenizerTrainingProgress[] = [];
    await trainBPE(text, { vocabSize: 260, onProgress: (progress) => seen.push(progress) });
    expect(seen.at(-1)).toEqual({ stage: "vocabulary", done: 260, total: 260 });
    const bytes = Buffer.byteLength(text.join(""));
    expect(seen).toContainEqual({ stage: "words", done: bytes, total: bytes });
  });

  test("what onProgress throws ends the training", async () => {
    const onProgress = () => {
      throw new Error("enough");
    };
    await expect(trainUnigram({ files: brownFile }, { onProgress })).rejects.toThrow("enough");
  });
});

describe("errors", () => {
  const argument = (what: RegExp) =>
    expect.objectContaining({ code: "ERR_ARGUMENT", message: expect.stringMatching(what) });
  const texts = ["some words"];
  test.each<[string, () => Promise<unknown>, RegExp]>([
    ["a string", () => trainBPE("text" as never), /trainBPE: texts must be an iterable .* got 'text'/],
    ["nothing", () => trainWordPiece(undefined as never), /trainWordPiece: texts must be/],
    ["a number among texts", () => trainBPE(["a", 1 as never]), /got 1 as number 1/],
    ["a lone surrogate", () => trainUnigram(["\ud800"]), /texts must be well-formed strings/],
    ["no text", () => trainBPE([]), /texts must have a word; got none/],
    ["no word", () => trainWordPiece([" \n", "\u0001"]), /texts must have a word; got none/],
    [
      "too small a vocabulary",
      () => trainBPE(texts, { vocabSize: 255 }),
      /vocabSize must be an integer of at least 256; got 255/,
    ],
    [
      "no room for characters",
      () => trainWordPiece(texts, { vocabSize: 8 }),
      /vocabSize must have room for the \d+ special/,
    ],
    [
      "no room for pieces",
      () => trainUnigram(texts, { vocabSize: 5 }),
      /trainUnigram: vocabSize must have room for the 8 characters of the texts; got 5/,
    ],
    [
      "a special token twice",
      () => trainBPE(texts, { specialTokens: ["a", "a"] }),
      /specialTokens must be .* each once; got 'a' at index 1/,
    ],
    ["an empty special token", () => trainBPE(texts, { specialTokens: [""] }), /specialTokens must be/],
    [
      "an unknown token that is none",
      () => trainWordPiece(texts, { unkToken: "?" }),
      /unkToken must be one of specialTokens; got '\?'/,
    ],
    [
      "no shrinking",
      () => trainUnigram(texts, { shrinkingFactor: 1 }),
      /shrinkingFactor must be between 0 and 1/,
    ],
    [
      "no prefix",
      () => trainWordPiece(texts, { continuingSubwordPrefix: "" }),
      /continuingSubwordPrefix must be/,
    ],
    [
      "an alphabet of nothing",
      () => trainUnigram(texts, { initialAlphabet: [""] }),
      /initialAlphabet must be of characters/,
    ],
  ])("%s", async (_, call, message) => {
    await expect(call()).rejects.toEqual(argument(message));
  });

  test("files that are not there or not UTF-8", async () => {
    const data = (what: RegExp) =>
      expect.objectContaining({ code: "ERR_DATA", message: expect.stringMatching(what) });
    await expect(trainBPE({ files: path.join(folder, "none.txt") })).rejects.toEqual(
      data(/none\.txt: cannot be read/),
    );
    const latin = write("latin1.txt", Buffer.from("caf\xe9\n", "latin1"));
    await expect(trainBPE({ files: latin })).rejects.toEqual(data(/latin1\.txt: not utf-8/));
  });
});

describe("stopping", () => {
  test("a signal ends it with its reason, at any time", async () => {
    const reason = new Error("changed my mind");
    await expect(trainBPE(["a"], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const onProgress = ({ stage, done, total }: TokenizerTrainingProgress) => {
      if (stage === "vocabulary" && done < total!) controller.abort(reason);
    };
    const text = { files: brownFile };
    const training = trainUnigram(text, { vocabSize: 500, onProgress, signal: controller.signal });
    await expect(training).rejects.toBe(reason);
  });

  test("the event loop goes on meanwhile", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    await trainUnigram(heldOut.split("\n"), { vocabSize: 1000 });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  test("a worker that trains can be terminated, and a process that trains can exit", async () => {
    const addon = process.env.TRAINFORMER_ADDON ?? path.join(root, "build/Release/trainformer.node");
    const source = `
      const { text } = require(${JSON.stringify(addon)});
      let seed = 1;
      const bytes = Buffer.alloc(400_000);
      for (let i = 0; i < bytes.length; i++) bytes[i] = 97 + ((seed = (seed * 48271) % 2147483647) % 23);
      const words = { bytes, ends: Uint32Array.of(bytes.length), counts: Float64Array.of(1) };
      const options = { vocabSize: 300_000, minFrequency: 0, maxTokenLength: 9e15, limitAlphabet: 256,
        initialAlphabet: new Uint32Array(0), specialTokens: [], prefix: "", bytes: true };
      text.trainPairs(words, options, new Int32Array(3)).then(() => console.log("trained"));`;
    const program = `
      const { Worker } = require("node:worker_threads");
      const source = ${JSON.stringify(source)};
      const worker = new Worker(source, { eval: true });
      worker.once("online", () => setTimeout(async () => {
        await worker.terminate();
        console.log("terminated");
        eval(source);
        setTimeout(() => process.exit(7), 300);
      }, 500));`;
    const { status, stdout, stderr, seconds } = await run(process.execPath, ["--eval", program]);
    expect({ status, stdout, stderr }).toEqual({ status: 7, stdout: "terminated\n", stderr: "" });
    expect(seconds).toBeLessThan(20);
  });
});
