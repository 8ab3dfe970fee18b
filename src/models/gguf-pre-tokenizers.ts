// How tokenizers split text before they look at tokens, by llama.cpp's names, as `tokenizer.json` says it.

interface Parts {
  normalizer: unknown;
  pre_tokenizer: unknown;
  post_processor: unknown;
  decoder: unknown;
}

interface Pipeline {
  /** The first one is written. */
  readonly names: readonly string[];
  readonly parts: Parts;
  /** Whether a whole word that is a token is taken as it is. */
  readonly ignoreMerges: boolean;
}

const byteLevel = (use_regex: boolean) => ({
  ...{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex },
});

const afterSplit = (pattern: string) => ({
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
    byteLevel(false),
  ],
});

/** Llama 3's pattern and its kin, which differ in how many digits make a word. */
const words = (digits: string) =>
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" +
  `${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const joined = { type: "ByteLevel", add_prefix_space: true, use_regex: true };
const ends = {
  post_processor: { ...joined, trim_offsets: false },
  decoder: { ...joined, trim_offsets: true },
};

export const byteLevelPipelines: readonly Pipeline[] = [
  {
    names: ["gpt-2", "gpt2", "default", "phi-2", "jina-es", "jina-de"],
    parts: { normalizer: null, pre_tokenizer: byteLevel(true), ...ends },
    ignoreMerges: false,
  },
  {
    names: ["llama-bpe", "llama3", "llama-v3"],
    parts: { normalizer: null, pre_tokenizer: afterSplit(words("\\p{N}{1,3}")), ...ends },
    ignoreMerges: true,
  },
  {
    names: ["qwen2"],
    parts: { normalizer: { type: "NFC" }, pre_tokenizer: afterSplit(words("\\p{N}")), ...ends },
    ignoreMerges: false,
  },
  {
    names: ["smollm"],
    parts: {
      normalizer: null,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [{ type: "Digits", individual_digits: true }, byteLevel(true)],
      },
      ...ends,
    },
    ignoreMerges: false,
  },
];

/** SentencePiece's: spaces are "▁", and one stands before the text if `prefix` says so. */
export const sentencePiecePipeline = (prefix: boolean): Parts => ({
  normalizer: {
    type: "Sequence",
    normalizers: [
      ...(prefix ? [{ type: "Prepend", prepend: "▁" }] : []),
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  },
  pre_tokenizer: null,
  post_processor: null,
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
    ],
  },
});
