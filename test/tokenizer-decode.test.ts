import { Tokenizer as NativeTokenizer } from "tokenizers";
import { beforeAll, describe, expect, test } from "vitest";
import { Tokenizer } from "../src/text/tokenizer.ts";
import { bertFiles, gpt2Files, randomNumbers, tokenizerOf } from "./tokenizer-cases.ts";

const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
const pieces =
  "▁ ▁the the ▁Hello ## ##ing ##s . , ? ! ' n't 'm 's 've 're do ▁do not ▁not é 東 👍 \ud83d\udc69\u200d \n Ġ Ċ ĠHello Ã © â Ģ ľ </w> er</w> in</w> | | <pad> a a".split(
    " ",
  );
const vocabulary = [...new Set(["<unk>", ...pieces, ...bytes, "  ", " x ", "\ufeff"])];

function tokenizerWith(decoder: object | null): Tokenizer {
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return Tokenizer.fromJSON({
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [{ id: vocabulary.length, content: "<s>", ...special }],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder,
    model: {
      type: "WordLevel",
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      unk_token: "<unk>",
    },
  });
}

/** No piece is half a character, and all together are the text. */
function streamed(tokenizer: Tokenizer, ids: readonly number[], options: object): string {
  const stream = tokenizer.decodeStream(options);
  const parts = [...ids.map((id) => stream.push(id)), stream.end()];
  for (const part of parts) expect(part).not.toMatch(/\p{Surrogate}/u);
  return parts.join("");
}

const sequence = (...decoders: object[]) => ({ type: "Sequence", decoders });
const replace = { type: "Replace", pattern: { String: "▁" }, content: " " };
const strip = (start: number, stop: number) => ({ type: "Strip", content: " ", start, stop });
const llama = [replace, { type: "ByteFallback" }, { type: "Fuse" }];
const byteLevel = { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true };

describe("decoders", () => {
  const cases: Record<string, object | null> = {
    none: null,
    BPEDecoder: { type: "BPEDecoder", suffix: "</w>" },
    ByteFallback: { type: "ByteFallback" },
    ByteLevel: byteLevel,
    CTC: { type: "CTC", pad_token: "<pad>", word_delimiter_token: "|", cleanup: true },
    Fuse: { type: "Fuse" },
    Metaspace: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    "Metaspace without prefix": { type: "Metaspace", replacement: "▁", prepend_scheme: "never", split: true },
    Replace: { type: "Replace", pattern: { Regex: "[aeiou]+" }, content: "<>" },
    WordPiece: { type: "WordPiece", prefix: "##", cleanup: true },
    "WordPiece without cleanup": { type: "WordPiece", prefix: "##", cleanup: false },
    "of Llama": sequence(...llama, strip(1, 0)),
    "a pattern over the whole text": sequence(...llama, {
      type: "Replace",
      pattern: { Regex: "\\s+" },
      content: " ",
    }),
    "bytes of single tokens": sequence(strip(1, 0), byteLevel),
  };
  for (const [name, decoder] of Object.entries(cases)) {
    test(name, async () => {
      const tokenizer = tokenizerWith(decoder);
      const native = NativeTokenizer.fromString(JSON.stringify(tokenizer.toJSON()));
      const random = randomNumbers(name.length);
      const rows = Array.from({ length: 1500 }, () =>
        Array.from({ length: 1 + Math.floor(random() * 12) }, () =>
          Math.floor(random() * (vocabulary.length + 3)),
        ),
      );
      const expected = await native.decodeBatch(rows, true);
      rows.forEach((ids, i) => {
        const options = { skipSpecialTokens: true };
        const shown = JSON.stringify(ids.map((id) => tokenizer.idToToken(id)));
        expect(tokenizer.decode(ids, options), shown).toBe(expected[i]);
        expect(streamed(tokenizer, ids, options), shown).toBe(expected[i]);
      });
    });
  }
});

test("stripping takes up to so many off either end", () => {
  const decoded = (decoder: object, ...tokens: string[]) => {
    const tokenizer = tokenizerWith(decoder);
    const ids = tokens.map((token) => tokenizer.tokenToId(token)!);
    expect(streamed(tokenizer, ids, {})).toBe(tokenizer.decode(ids));
    return tokenizer.decode(ids);
  };
  expect(decoded(strip(1, 1), " x ", "  ", "a")).toBe("xa");
  expect(decoded(sequence(...llama, strip(1, 0)), "  ", " x ", "▁the")).toBe("  x  the");
  expect(decoded(sequence(...llama, strip(3, 2)), "  ", " x ", "  ")).toBe("x ");
  expect(decoded(sequence(...llama, strip(3, 2)), "  ")).toBe("");
});

/** By definition of `clean_up_tokenization` in Transformers. */
const cleanUp = (text: string) =>
  [" .", " ?", " !", " ,"]
    .reduce((result, mark) => result.replaceAll(mark, mark.trim()), text)
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");

describe("decodeStream", () => {
  let gpt2: Tokenizer;
  beforeAll(async () => {
    gpt2 = await tokenizerOf(gpt2Files());
  });

  test("gives characters as soon as their bytes are complete, and never a part of one", () => {
    const text = "Hi 👩‍👩‍👧‍👦 東京 \u{1F600}!";
    const stream = gpt2.decodeStream();
    const parts = [...gpt2.encode(text)].map((id) => stream.push(id));
    expect(parts.join("")).toBe(text);
    expect(stream.end()).toBe("");
    expect(parts.slice(0, 3)).toEqual(["Hi", " ", "👩"]);
    expect(parts.join("|")).not.toContain("\ufffd");
  });

  test("gives what is no text as U+FFFD at the end", () => {
    const [first] = gpt2.encode("👍");
    const stream = gpt2.decodeStream();
    expect(stream.push(first!)).toBe("");
    expect(stream.end()).toBe("\ufffd");
    expect(gpt2.decode([first!])).toBe("\ufffd");
  });

  test("of cleaned-up text is the cleaned-up text, and does not wait for its end", async () => {
    const marks = [".", "?", "!", ",", "'", "n't", "'m", "'s", "'ve", "'re", "''", "ve"];
    const words = [
      ...marks,
      ...marks.map((mark) => ` ${mark}`),
      ...marks.map((mark) => ` ${mark} `),
      " ",
      "  ",
      "a",
    ];
    const vocab = Object.fromEntries([...words, " word", "日本語"].map((token, id) => [token, id]));
    const json = { ...tokenizerWith({ type: "Fuse" }).toJSON(), added_tokens: [] };
    const model = { type: "WordLevel", vocab, unk_token: "a" };
    const tokenizer = Tokenizer.fromJSON({ ...json, model }, { cleanUpTokenizationSpaces: true });
    const random = randomNumbers(1);
    for (let i = 0; i < 3000; i++) {
      const ids = Array.from({ length: 1 + Math.floor(random() * 9) }, () =>
        Math.floor(random() * tokenizer.size),
      );
      const raw = tokenizer.decode(ids, { cleanUpTokenizationSpaces: false });
      expect(tokenizer.decode(ids), JSON.stringify(raw)).toBe(cleanUp(raw));
      expect(streamed(tokenizer, ids, {}), JSON.stringify(raw)).toBe(cleanUp(raw));
    }
    const stream = tokenizer.decodeStream();
    expect(stream.push(tokenizer.tokenToId("日本語")!)).toBe("日本語");
    expect(stream.push(tokenizer.tokenToId(" ")!)).toBe("");
    expect(stream.push(tokenizer.tokenToId("a")!)).toBe("");
    expect(stream.push(tokenizer.tokenToId(" word")!)).toBe(" a word");
  });

  test("leaves special tokens out, and ids that no token has", async () => {
    const bert = await tokenizerOf(bertFiles());
    const ids = [...bert.encode("Hello world!"), 99_999];
    expect(bert.decode(ids)).toBe("[CLS] hello world! [SEP]");
    expect(streamed(bert, ids, { skipSpecialTokens: true })).toBe("hello world!");
  });

  test.each([-1, 1.5, Number.NaN, 2 ** 31, "1", null])("refuses the id %s", (id) => {
    const decode = () => gpt2.decode([id as number]);
    expect(decode).toThrow(expect.objectContaining({ code: "ERR_INDEX" }));
    expect(decode).toThrow("ids must be integers of at least 0");
  });
});
