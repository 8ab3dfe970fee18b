import { describe, expect, test } from "vitest";
import { Tokenizer } from "../src/text/tokenizer.ts";
import { hostileStrings } from "./tokenizer-cases.ts";
import { compareWithNative } from "./tokenizer-native.ts";

const frame = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [] as object[],
  normalizer: null as object | null,
  pre_tokenizer: null as object | null,
  post_processor: null as object | null,
  decoder: null as object | null,
};
/** Knows no word, so that its offsets are those of the pieces. */
const noWords = { type: "WordLevel", vocab: { "<unk>": 0, x: 1 }, unk_token: "<unk>" };

const sequence = (...normalizers: object[]) => ({ type: "Sequence", normalizers });
const regex = (Regex: string) => ({ pattern: { Regex } });

/** Base64 of a double-array trie from strings to replacements, in the layout of SentencePiece. */
function charsmap(entries: Record<string, string>): string {
  const replacements: number[] = [];
  const root = { children: new Map(), value: -1 };
  type Node = { children: Map<number, Node>; value: number };
  for (const [from, to] of Object.entries(entries)) {
    let node: Node = root;
    for (const byte of Buffer.from(from)) {
      const next = node.children.get(byte) ?? { children: new Map(), value: -1 };
      node.children.set(byte, next);
      node = next;
    }
    node.value = replacements.length;
    replacements.push(...Buffer.from(to), 0);
  }
  const units: number[] = [0];
  const isUsed = new Set([0]);
  const place = (node: Node, at: number) => {
    const labels = [...(node.value >= 0 ? [0] : []), ...node.children.keys()];
    let base = 1;
    while (labels.some((label) => isUsed.has(base ^ label)) || isUsed.has(base)) base++;
    isUsed.add(base);
    for (const label of labels) isUsed.add(base ^ label);
    units[at] = (units[at] ?? 0) | ((at ^ base) << 10) | (node.value >= 0 ? 0x100 : 0);
    if (node.value >= 0) units[base] = (node.value | 0x80000000) >>> 0;
    for (const [label, child] of node.children) {
      units[base ^ label] = label;
      place(child, base ^ label);
    }
  };
  place(root, 0);
  const trie = Buffer.alloc(4 * Math.max(units.length + 256, 512));
  units.forEach((unit, i) => trie.writeUInt32LE((unit ?? 0) >>> 0, 4 * i));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(trie.length);
  return Buffer.concat([size, trie, Buffer.from(replacements)]).toString("base64");
}

const precompiled = charsmap({
  "\n": " ",
  "\u3000": " ",
  ﬁ: "fi",
  "½": "1⁄2",
  "e\u0301": "é",
  ℌ: "H",
  한: "han",
});

describe("normalizers", () => {
  const cases: Record<string, object> = {
    NFC: { type: "NFC" },
    NFD: { type: "NFD" },
    NFKC: { type: "NFKC" },
    NFKD: { type: "NFKD" },
    Lowercase: { type: "Lowercase" },
    Strip: { type: "Strip", strip_left: true, strip_right: true },
    "Strip on the right": { type: "Strip", strip_left: false, strip_right: true },
    StripAccents: sequence({ type: "NFD" }, { type: "StripAccents" }, { type: "Lowercase" }),
    Nmt: { type: "Nmt" },
    "Replace a string": { type: "Replace", pattern: { String: "the" }, content: "<é>" },
    "Replace a pattern": { type: "Replace", ...regex("\\s+"), content: " " },
    Prepend: { type: "Prepend", prepend: "▁a" },
    ByteLevel: { type: "ByteLevel" },
    Precompiled: { type: "Precompiled", precompiled_charsmap: precompiled },
    "BERT, cased": {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: false,
    },
    "BERT, accents only": {
      type: "BertNormalizer",
      clean_text: false,
      handle_chinese_chars: false,
      strip_accents: true,
      lowercase: false,
    },
    "of Llama 2": sequence(
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ),
    "of XLNet": sequence(
      { type: "Replace", pattern: { String: "``" }, content: '"' },
      { type: "NFKD" },
      { type: "StripAccents" },
      { type: "Replace", ...regex(" {2,}"), content: " " },
    ),
  };
  for (const [name, normalizer] of Object.entries(cases)) {
    test(name, async () => {
      const pre_tokenizer = { type: "Split", ...regex("[^z]"), behavior: "Isolated", invert: false };
      const json = { ...frame, normalizer, pre_tokenizer, model: noWords };
      await compareWithNative(Tokenizer.fromJSON(json), hostileStrings(400, name.length));
    });
  }
});

test("a long text is cut into graphemes in little time, and so is a long grapheme", async () => {
  const normalizer = { type: "Precompiled", precompiled_charsmap: precompiled };
  const tokenizer = Tokenizer.fromJSON({ ...frame, normalizer, model: noWords });
  const long = "e\u0301 한 ☝🏿🇩🇪 ½".repeat(15_000);
  expect(tokenizer.encode(long).length).toBe(1);
  const strings = [long.slice(0, 4000), `a${"\u0301".repeat(3000)}e\u0301`, "🇩🇪".repeat(700)];
  const pre_tokenizer = { type: "Split", ...regex("[^z]"), behavior: "Isolated", invert: false };
  await compareWithNative(
    Tokenizer.fromJSON({ ...frame, normalizer, pre_tokenizer, model: noWords }),
    strings,
  );
});

describe("pre-tokenizers", () => {
  const gpt4 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const gpt4o =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const cases: Record<string, object> = {
    BertPreTokenizer: { type: "BertPreTokenizer" },
    CharDelimiterSplit: { type: "CharDelimiterSplit", delimiter: "e" },
    Digits: { type: "Digits", individual_digits: false },
    "single digits": { type: "Digits", individual_digits: true },
    FixedLength: { type: "FixedLength", length: 3 },
    Whitespace: { type: "Whitespace" },
    WhitespaceSplit: { type: "WhitespaceSplit" },
    "Metaspace, first": { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true },
    "Metaspace, never": { type: "Metaspace", replacement: "_", prepend_scheme: "never", split: true },
    "Metaspace, whole": { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: false },
    "bytes with a space before": {
      type: "ByteLevel",
      add_prefix_space: true,
      trim_offsets: true,
      use_regex: true,
    },
    "bytes, then whole": {
      type: "Sequence",
      pretokenizers: [
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
        { type: "Digits", individual_digits: false },
      ],
    },
    "of GPT-4": {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", ...regex(gpt4), behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    "of GPT-4o": { type: "Split", ...regex(gpt4o), behavior: "Removed", invert: true },
    "a string": { type: "Split", pattern: { String: "." }, behavior: "MergedWithNext", invert: false },
    "a pattern with a repetition in another": {
      type: "Split",
      ...regex("(?:a+|e )+"),
      behavior: "Isolated",
      invert: false,
    },
  };
  for (const behavior of ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]) {
    cases[`Punctuation ${behavior}`] = { type: "Punctuation", behavior };
    cases[`Split ${behavior}`] = { type: "Split", ...regex("\\w|\\s"), behavior, invert: false };
    cases[`Split ${behavior}, inverted`] = { type: "Split", ...regex("[aeiou\\d]"), behavior, invert: true };
  }
  for (const [name, pre_tokenizer] of Object.entries(cases)) {
    test(name, async () => {
      const json = { ...frame, pre_tokenizer, model: noWords };
      await compareWithNative(Tokenizer.fromJSON(json), hostileStrings(300, name.length));
    });
  }
});

describe("added tokens", () => {
  const token = (id: number, content: string, more: object = {}) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: false,
    ...more,
  });
  test("are found as the native library finds them", async () => {
    const added_tokens = [
      token(2, "the", { single_word: true }),
      token(3, "<|endoftext|>", { special: true, lstrip: true }),
      token(4, "[MASK]", { special: true, rstrip: true }),
      token(5, "Hello", { normalized: true }),
      token(6, "Hello WORLD", { normalized: true, lstrip: true, rstrip: true }),
      token(7, "東京"),
      token(8, "東京都"),
      token(9, "n't", { single_word: true, lstrip: true }),
      token(10, "ing", { normalized: true, single_word: true }),
    ];
    const json = {
      ...frame,
      added_tokens,
      normalizer: sequence({ type: "NFKC" }, { type: "Lowercase" }),
      pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true },
      model: noWords,
    };
    await compareWithNative(Tokenizer.fromJSON(json), hostileStrings(3000, 5));
  });
});

describe("models", () => {
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
  const vocabulary = (tokens: string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));
  const letters = [..." ▁abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789.,'é東"];
  const merges = [
    ["t", "h"],
    ["th", "e"],
    ["e", "r"],
    ["i", "n"],
    ["in", "g"],
    ["a", "t"],
    ["o", "r"],
    ["e", "l"],
    ["l", "o"],
    ["a", "a"],
    ["aa", "a"],
  ];
  const tokens = ["<unk>", ...letters, ...merges.map((pair) => pair.join(""))];
  const bpe = (more: object) => ({
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab: vocabulary(tokens),
    merges,
    ...more,
  });
  const ending = [...tokens, ...letters.map((c) => `${c}</w>`), "er</w>", "other"];
  const cases: Record<string, object> = {
    "BPE with an unknown token": bpe({ unk_token: "<unk>" }),
    "BPE that joins unknown characters": bpe({ unk_token: "<unk>", fuse_unk: true }),
    "BPE with tokens of bytes": bpe({
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: vocabulary([...tokens, ...bytes]),
    }),
    "BPE with merges in old notation": bpe({
      unk_token: "<unk>",
      merges: merges.map((pair) => pair.join(" ")),
    }),
    "BPE with a suffix": bpe({
      unk_token: "<unk>",
      end_of_word_suffix: "</w>",
      vocab: vocabulary(ending),
      merges: [...merges, ["e", "r</w>"]],
    }),
    "BPE that looks words up first": bpe({
      unk_token: "<unk>",
      ignore_merges: true,
      vocab: vocabulary([...tokens, "other", "internationalization", "naïve"]),
    }),
    "Unigram with tokens of bytes": {
      type: "Unigram",
      unk_id: 0,
      byte_fallback: true,
      vocab: [...tokens, ...bytes].map((token, i) => [token, -1 - (i % 7)]),
    },
    WordPiece: {
      type: "WordPiece",
      unk_token: "<unk>",
      continuing_subword_prefix: "@",
      max_input_chars_per_word: 9,
      vocab: vocabulary([...tokens, ...[...letters, "ing", "er", "or"].map((c) => `@${c}`)]),
    },
  };
  for (const [name, model] of Object.entries(cases)) {
    test(name, async () => {
      const pre_tokenizer = { type: "WhitespaceSplit" };
      await compareWithNative(
        Tokenizer.fromJSON({ ...frame, pre_tokenizer, model }),
        hostileStrings(1000, name.length),
      );
    });
  }

  test("a long word is merged in little time", () => {
    const tokenizer = Tokenizer.fromJSON({ ...frame, model: bpe({ unk_token: "<unk>" }) });
    expect(tokenizer.encode("a".repeat(300_000)).length).toBe(150_000);
  });
});
