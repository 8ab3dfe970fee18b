import { describe, expect, test } from "vitest";
import { TrainformerError } from "../src/errors.ts";
import { Tokenizer } from "../src/text/tokenizer.ts";
import { hostileStrings, randomNumbers, tokenizerOf, unigramJSON } from "./tokenizer-cases.ts";

const texts = [
  "Hello world, it's 2024!",
  "",
  "👩‍👩‍👧‍👦 naïve\u0000\ud800 東京",
  "a".repeat(500),
  ...hostileStrings(5, 1),
];

/** Encodes and decodes; whatever goes wrong has a code. Returns whether all went well. */
async function isFine(load: () => Tokenizer | Promise<Tokenizer>): Promise<boolean> {
  const codes = ["ERR_CHECKPOINT", "ERR_ARGUMENT", "ERR_INDEX"];
  try {
    const tokenizer = await load();
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      expect(typeof tokenizer.decode(ids)).toBe("string");
      tokenizer.encodeBatch([[text, "x"]], { truncation: true, maxLength: 20 });
      JSON.stringify(tokenizer.toJSON());
    }
    return true;
  } catch (error) {
    if (!(error instanceof TrainformerError)) throw error;
    expect(codes).toContain(error.code);
    return false;
  }
}

const bpe = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [
    {
      id: 9,
      content: "<s>",
      single_word: false,
      lstrip: true,
      rstrip: true,
      normalized: true,
      special: true,
    },
  ],
  normalizer: {
    type: "Sequence",
    normalizers: [
      {
        type: "BertNormalizer",
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
      },
      { type: "Replace", pattern: { String: "x" }, content: "yy" },
      { type: "Prepend", prepend: "_" },
      { type: "Strip", strip_left: true, strip_right: true },
    ],
  },
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: "\\p{L}+|\\s?[^\\s\\p{L}]+" }, behavior: "Isolated", invert: false },
      { type: "Punctuation", behavior: "Contiguous" },
      { type: "Digits", individual_digits: true },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    ],
  },
  post_processor: {
    type: "Sequence",
    processors: [
      { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
      {
        type: "RobertaProcessing",
        sep: ["<s>", 9],
        cls: ["<s>", 9],
        trim_offsets: true,
        add_prefix_space: true,
      },
    ],
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "_" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: "?",
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: true,
    ignore_merges: false,
    vocab: { "?": 0, h: 1, e: 2, l: 3, o: 4, he: 5, ll: 6, hell: 7, hello: 8 },
    merges: [
      ["h", "e"],
      ["l", "l"],
      ["he", "ll"],
      ["hell", "o"],
    ],
  },
};

const wordPiece = {
  ...bpe,
  normalizer: null,
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "[CLS]", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "[CLS]": { id: "[CLS]", ids: [1], tokens: ["[CLS]"] } },
  },
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    type: "WordPiece",
    unk_token: "?",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: { "?": 0, "[CLS]": 1, hello: 2, wo: 3, "##r": 4, "##ld": 5, a: 6, "##a": 7 },
  },
};

const deep = (levels: number, wrap: (inner: unknown) => unknown): unknown =>
  Array.from({ length: levels }).reduce<unknown>(wrap, null);
const values: unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  2 ** 31,
  1e308,
  "",
  "x",
  "\ud800",
  "ByteLevel",
  "▁▁",
  [],
  [[]],
  [null],
  {},
  { type: "Sequence" },
  { type: "__proto__" },
  { Regex: "(a*)*b" },
  { Regex: "\\p{Nope}" },
  { String: "" },
  deep(1000, (inner) => ({ type: "Sequence", normalizers: [inner] })),
  "A".repeat(100_000),
];

/** `json` with something else, or nothing, at a place within it. */
function mutated(json: unknown, random: () => number): unknown {
  const copy = structuredClone(json);
  let node = copy as Record<string, unknown>;
  for (;;) {
    const keys = Object.keys(node);
    const key = keys[Math.floor(random() * keys.length)]!;
    const child = node[key];
    const isInner = typeof child === "object" && child !== null && Object.keys(child).length > 0;
    if (isInner && random() < 0.8) {
      node = child as Record<string, unknown>;
    } else {
      if (random() < 0.15) delete node[key];
      else node[key] = values[Math.floor(random() * values.length)];
      return copy;
    }
  }
}

describe("untrusted files", () => {
  test("the unchanged ones work", async () => {
    for (const json of [bpe, wordPiece, unigramJSON()])
      expect(await isFine(() => Tokenizer.fromJSON(json))).toBe(true);
  });

  test("a tokenizer.json with anything in any place works or is refused with a code", async () => {
    const random = randomNumbers(11);
    const { model, ...unigram } = unigramJSON();
    const small = { ...unigram, model: { ...model, vocab: model.vocab.slice(0, 60) } };
    let fine = 0;
    for (let i = 0; i < 600; i++) {
      const json = mutated([bpe, wordPiece, small][i % 3], random) as object;
      if (await isFine(() => Tokenizer.fromJSON(json))) fine++;
    }
    expect(fine).toBeGreaterThan(30);
    expect(fine).toBeLessThan(400);
  });

  test("files with bytes changed, left out and doubled work or are refused with a code", async () => {
    const random = randomNumbers(12);
    const byteVocabulary = JSON.stringify({ h: 0, e: 1, l: 2, o: 3, he: 4, Ġ: 5, "<s>": 6, "</s>": 7 });
    const folders: Record<string, string>[] = [
      { "tokenizer.json": JSON.stringify(wordPiece) },
      {
        "vocab.json": byteVocabulary,
        "merges.txt": "#version: 0.2\nh e\n",
        "tokenizer_config.json":
          '{"tokenizer_class":"RobertaTokenizer","bos_token":"<s>","model_max_length":20}',
      },
      {
        "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nwo\n##rld\n",
        "special_tokens_map.json":
          '{"pad_token":{"content":"[PAD]","lstrip":false},"additional_special_tokens":["x"]}',
        "tokenizer_config.json":
          '{"do_lower_case":true,"added_tokens_decoder":{"9":{"content":"<q>","special":true}}}',
      },
    ];
    for (let i = 0; i < 210; i++) {
      const files = { ...folders[i % 3]! };
      const names = Object.keys(files);
      const name = names[Math.floor(random() * names.length)]!;
      const bytes = Buffer.from(files[name]!);
      const at = Math.floor(random() * bytes.length);
      const count = 1 + Math.floor(random() * 4);
      const kind = Math.floor(random() * 4);
      if (kind === 0) bytes[at] = Math.floor(random() * 256);
      const parts = [bytes.subarray(0, at), bytes.subarray(at)];
      if (kind === 1) parts[1] = bytes.subarray(at + count);
      if (kind === 2) parts.push(bytes.subarray(at));
      if (kind === 3) parts.pop();
      await isFine(() => tokenizerOf({ ...files, [name]: Buffer.concat(parts).toString("latin1") }));
    }
  });

  test("tables of SentencePiece with any bytes work or are refused with a code", async () => {
    const random = randomNumbers(13);
    for (let i = 0; i < 60; i++) {
      const table = Buffer.from(Array.from({ length: 4 + 4 * i }, () => Math.floor(random() * 256)));
      table.writeUInt32LE(i % 3 === 0 ? i : 4 * Math.floor(i / 2));
      const normalizer = { type: "Precompiled", precompiled_charsmap: table.toString("base64") };
      await isFine(() => Tokenizer.fromJSON({ ...wordPiece, normalizer }));
    }
  });

  test("components within components are refused below 32 levels, and text of any depth is", async () => {
    const normalizer = deep(40, (inner) => ({ type: "Sequence", normalizers: inner ? [inner] : [] }));
    expect(() => Tokenizer.fromJSON({ ...wordPiece, normalizer })).toThrow("is more than 32 levels deep");
    expect(await isFine(() => tokenizerOf({ "tokenizer.json": "[".repeat(200_000) }))).toBe(false);
    expect(await isFine(() => tokenizerOf({ "tokenizer.json": '{"a":'.repeat(100_000) }))).toBe(false);
  });

  test("a pattern that never ends is ended", () => {
    const pattern = { Regex: "^(?:(?:a+)+|b)+$" };
    const pre_tokenizer = { type: "Split", pattern, behavior: "Isolated", invert: false };
    const tokenizer = Tokenizer.fromJSON({ ...wordPiece, pre_tokenizer });
    const encode = () => tokenizer.encode(`${"a".repeat(60)}c`);
    expect(encode).toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT" }));
    expect(encode).toThrow(/pre_tokenizer\.pattern\.Regex .* on 61 characters takes more than 2\.\d+ s/);
  });

  test("so is a chat template", () => {
    const chatTemplate = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    const tokenizer = Tokenizer.fromJSON(wordPiece, { chatTemplate });
    expect(() => tokenizer.applyChatTemplate([])).toThrow("the chat template takes more than 2 s");
  });
});
