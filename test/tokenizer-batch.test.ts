import { Tokenizer as NativeTokenizer, type TruncationStrategy } from "tokenizers";
import { beforeAll, describe, expect, test } from "vitest";
import type { BatchEncoding, BatchOptions } from "../src/text/batch.ts";
import { Tokenizer } from "../src/text/tokenizer.ts";
import { bertFiles, gpt2Files, randomNumbers, tokenizerOf, unigramJSON } from "./tokenizer-cases.ts";

const sentences = [
  "Hello world, transformers!",
  "The quick brown fox jumps over the lazy dog.",
  "",
  "naïve 東京 👩‍👩‍👧‍👦",
  "a",
  "internationalization of supercalifragilisticexpialidocious things, and of others too",
  "one two three four five six seven eight nine ten eleven twelve",
];
const strategies = {
  longestFirst: "LongestFirst" as TruncationStrategy,
  onlyFirst: "OnlyFirst" as TruncationStrategy,
  onlySecond: "OnlySecond" as TruncationStrategy,
};

const rowOf = (batch: BatchEncoding, b: number) => {
  const [, T] = batch.shape;
  const of = (values: Int32Array) => [...values.subarray(b * T, (b + 1) * T)];
  const { inputIds, attentionMask, tokenTypeIds, specialTokensMask, sequenceIds } = batch;
  return [inputIds, attentionMask, tokenTypeIds, specialTokensMask, sequenceIds].map(of);
};

describe("encodeBatch", () => {
  let tokenizers: Record<string, Tokenizer>;
  beforeAll(async () => {
    const bert = await tokenizerOf(bertFiles());
    const gpt2 = await tokenizerOf(gpt2Files());
    gpt2.addSpecialTokens({ padToken: "<|endoftext|>" });
    const unigram = Tokenizer.fromJSON(unigramJSON(), { padToken: "<pad>" });
    const vocab = { ...JSON.parse(gpt2Files()["vocab.json"]), "<s>": 50257, "</s>": 50258, "<pad>": 50259 };
    const config = JSON.stringify({ tokenizer_class: "RobertaTokenizer", add_prefix_space: true });
    const files = { ...gpt2Files(), "vocab.json": JSON.stringify(vocab), "tokenizer_config.json": config };
    tokenizers = { bert, gpt2, unigram, roberta: await tokenizerOf(files) };
  });

  test.each(["bert", "gpt2", "unigram", "roberta"])("%s: rows as of the native library", async (name) => {
    const tokenizer = tokenizers[name]!;
    const native = NativeTokenizer.fromString(JSON.stringify(tokenizer.toJSON()));
    const random = randomNumbers(name.length);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
    let [compared, refused] = [0, 0];
    for (let i = 0; i < 1200; i++) {
      const [first, second] = [pick(sentences), random() < 0.6 ? pick(sentences) : undefined];
      const options = {
        addSpecialTokens: random() < 0.7,
        truncation: pick(["longestFirst", "onlyFirst", "onlySecond"] as const),
        truncationSide: pick(["left", "right"] as const),
        paddingSide: pick(["left", "right"] as const),
        padding: pick(["longest", "maxLength"] as const),
        maxLength: 5 + Math.floor(random() * 25),
      } satisfies BatchOptions;
      const { addSpecialTokens, truncation, truncationSide: direction, maxLength } = options;
      const shown = JSON.stringify([first, second, options]);
      // The native library (0.23.2) cuts each text before it looks at both, so that it does not see which is longer.
      const lengthOf = (text = "") => tokenizer.encode(text, { addSpecialTokens: false }).length;
      const [added] = tokenizer.encodeBatch([second === undefined ? "" : ["", ""]], {
        addSpecialTokens,
      }).lengths;
      if (second !== undefined && Math.max(lengthOf(first), lengthOf(second)) >= maxLength - added!) continue;
      compared++;
      const entry = second === undefined ? first : ([first, second] as const);
      let expected: Awaited<ReturnType<typeof native.encode>>;
      try {
        native.setTruncation(maxLength, { strategy: strategies[truncation], direction });
        expected = await native.encode(first, second ?? null, { addSpecialTokens });
      } catch {
        const encode = () => tokenizer.encodeBatch([entry], options);
        expect(encode, shown).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
        refused++;
        continue;
      }
      const length = options.padding === "maxLength" ? maxLength : expected.getLength();
      const sequences = expected.getSequenceIds().map((sequence) => sequence ?? -1);
      const filling = new Array(length - sequences.length).fill(-1);
      expected.pad(length, { direction: options.paddingSide, padId: tokenizer.padTokenId!, padToken: "x" });
      const batch = tokenizer.encodeBatch([entry], options);
      expect(rowOf(batch, 0), shown).toEqual([
        expected.getIds(),
        expected.getAttentionMask(),
        expected.getTypeIds(),
        expected.getSpecialTokensMask(),
        options.paddingSide === "left" ? [...filling, ...sequences] : [...sequences, ...filling],
      ]);
    }
    expect(compared - refused).toBeGreaterThan(400);
  });

  // The native library (0.23.2) loses what is more than `maxLength` tokens away from where a text is cut.
  test.each(["left", "right"] as const)("what is cut off on the %s is in the rows that follow", (side) => {
    const tokenizer = tokenizers.bert!;
    const [first, second] = ["one two three", sentences[6]!];
    const all = [...tokenizer.encode(second, { addSpecialTokens: false })];
    for (const [maxLength, stride] of [
      [10, 0],
      [10, 2],
      [11, 4],
      [30, 0],
    ] as const) {
      const batch = tokenizer.encodeBatch([[first, second]], {
        truncation: "onlySecond",
        truncationSide: side,
        maxLength,
        stride,
        padding: true,
        returnOverflowingTokens: true,
      });
      const parts = Array.from({ length: batch.shape[0] }, (_, b) => {
        const [ids, , , , sequences] = rowOf(batch, b);
        expect(ids!.slice(0, 5)).toEqual([101, 2028, 2048, 2093, 102]);
        return ids!.filter((_, i) => sequences![i] === 1);
      });
      if (side === "left") parts.reverse();
      const shared = parts
        .slice(1)
        .map((part, i) => [part.slice(0, stride), parts[i]!.slice(-stride || Infinity)]);
      for (const [begin, end] of side === "right" ? shared : []) expect(begin).toEqual(end);
      const joined = side === "right" ? parts : parts.map((part) => part.toReversed()).reverse();
      const whole = joined.flatMap((part, i) => part.slice(i === 0 ? 0 : stride));
      expect(side === "right" ? whole : whole.reverse()).toEqual(all);
    }
  });

  test("the longer text gives way first, and the longer has the odd token", () => {
    const options = { truncation: true, maxLength: 12 } as const;
    const batch = tokenizers.bert!.encodeBatch([[sentences[6]!, sentences[1]!]], options);
    const [, , types] = rowOf(batch, 0);
    expect(types).toEqual([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]); // 5 of 12 and 4 of 10 tokens
    expect(tokenizers.bert!.encodeBatch([[sentences[0]!, sentences[6]!]], options).lengths).toEqual(
      Int32Array.of(12),
    );
  });

  test("pads to a multiple, and says where the rows come from", () => {
    const batch = tokenizers.bert!.encodeBatch(["hello", "hello hello hello hello hello"], {
      padding: true,
      padToMultipleOf: 4,
      truncation: true,
      maxLength: 5,
      returnOverflowingTokens: true,
    });
    expect(batch.shape).toEqual([3, 8]);
    expect([...batch.overflowToSampleMapping]).toEqual([0, 1, 1]);
    expect([...batch.lengths]).toEqual([3, 5, 4]);
    expect(batch.offsets[2]).toEqual([null, [18, 23], [24, 29], null, null, null, null, null]);
    const [hello] = tokenizers.bert!.encode("hello", { addSpecialTokens: false });
    expect([...batch.inputIds.subarray(0, 8)]).toEqual([101, hello, 102, 0, 0, 0, 0, 0]);
  });

  test("offsets count UTF-16 units", () => {
    const text = "👍 Hello, 東京!";
    const { offsets, sequenceIds } = tokenizers.bert!.encodeBatch([["x", text]]);
    const pieces = offsets[0]!.flatMap((o, i) => (o && sequenceIds[i] === 1 ? [text.slice(...o)] : []));
    expect(pieces).toEqual(["👍", "Hello", ",", "東", "京", "!"]);
  });

  test("gives tensors", async () => {
    const { ids, lengths, tokenTypeIds } = tokenizers.bert!.tensors(["hello", ["hello", "hello world"]]);
    expect([ids.shape, ids.dtype, lengths.shape, tokenTypeIds.shape]).toEqual([[2, 6], "i32", [2], [2, 6]]);
    expect([...(await ids.data())]).toEqual([101, 7592, 102, 0, 0, 0, 101, 7592, 102, 7592, 2088, 102]);
    expect([...(await lengths.data())]).toEqual([3, 6]);
    expect([...(await tokenTypeIds.data())]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
  });

  test.each([
    [["a", "a b"], {}, "padding must be given for rows of 3 to 4 tokens; got undefined"],
    [["a"], { truncation: true }, "maxLength must be given, for the tokenizer has no modelMaxLength"],
    [["a"], { truncation: true, maxLength: 1 }, "maxLength must be at least the 2 special tokens; got 1"],
    [["a"], { padding: "longst" }, "padding must be one of false, 'doNotPad', true, 'longest'"],
    [["a", 1], {}, "texts must be strings or pairs of strings; got 1 at index 1"],
    [
      ["a b c d"],
      { truncation: true, maxLength: 4, stride: 2 },
      "stride must be less than the 2 tokens of a part",
    ],
    ["a", {}, "texts must be a list; got 'a'"],
  ])("refuses %j with %j", (texts, options, message) => {
    const encode = () => tokenizers.bert!.encodeBatch(texts as string[], options as BatchOptions);
    expect(encode).toThrow(message);
    expect(encode).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
  });
});
