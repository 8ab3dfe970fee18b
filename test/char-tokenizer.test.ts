import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CharTokenizer } from "../src/text/char-tokenizer.ts";

const text = "Hello, wörld!\r\n\t\0 日本 \u{1F600}e\u0301 <unk> __proto__ 0123 \"\\ don't ﬀ.";

describe("CharTokenizer", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "char-tokenizer-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("has the characters in the order of their code points", () => {
    const tokenizer = CharTokenizer.fromText("b\u{1F600}a\uFF21\nba");
    expect(tokenizer.vocabulary).toEqual(["\n", "a", "b", "\uFF21", "\u{1F600}"]);
    expect(tokenizer.size).toBe(5);
    expect(tokenizer.encode("ab\u{1F600}\n")).toEqual(new Int32Array([1, 2, 4, 0]));
    expect(tokenizer.encode("")).toEqual(new Int32Array(0));
  });

  it("decodes what it encoded", () => {
    const tokenizer = CharTokenizer.fromText(text);
    const ids = tokenizer.encode(text);
    expect(ids.length).toBe([...text].length);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(tokenizer.decode([])).toBe("");
  });

  it("names an unknown character and where it is", () => {
    const tokenizer = CharTokenizer.fromText("ab\u{1F600}");
    expect(() => tokenizer.encode("\u{1F600}aé")).toThrow(
      'CharTokenizer.encode: text must have characters of the vocabulary only; got "é" (U+00E9) at index 3',
    );
    expect(() => tokenizer.encode("ab\u{1F601}")).toThrow("(U+1F601) at index 2");
    expect(() => tokenizer.encode("a\n")).toThrow('"\\n" (U+000A) at index 1');
    expect(() => tokenizer.encode("a\u{1F600}".slice(0, 2))).toThrow('"\\ud83d" (U+D83D) at index 1');
    expect(() => tokenizer.encode(5 as never)).toThrow("text must be a string; got 5");
  });

  it("maps unknown characters to the unknown token, each to one", () => {
    const tokenizer = CharTokenizer.fromText("ab", { unknown: "<unk>" });
    expect(tokenizer.vocabulary).toEqual(["<unk>", "a", "b"]);
    expect([...tokenizer.encode("a\u{1F600}b\ud83dé")]).toEqual([1, 0, 2, 0, 0]);
    expect(tokenizer.decode([1, 0])).toBe("a<unk>");
    expect([...CharTokenizer.fromText("a?", { unknown: "?" }).encode("a!?")]).toEqual([1, 0, 0]);
    expect(CharTokenizer.fromText("ab", { unknown: "\uFFFD" }).vocabulary).toEqual(["\uFFFD", "a", "b"]);
  });

  it("refuses ids outside the vocabulary", () => {
    const tokenizer = CharTokenizer.fromText("ab");
    for (const id of [2, -1, 0.5, Number.NaN]) {
      expect(() => tokenizer.decode([0, id])).toThrow(
        expect.objectContaining({
          code: "ERR_INDEX",
          message: `CharTokenizer.decode: ids must be integers from 0 to 1; got ${id} at index 1`,
        }),
      );
    }
  });

  it("refuses what is no vocabulary", () => {
    expect(() => CharTokenizer.fromText("")).toThrow(
      "CharTokenizer.fromText: text must be a string with a character",
    );
    expect(() => CharTokenizer.fromText("ab\ude00")).toThrow(
      'got a lone surrogate "\\ude00" (U+DE00) at index 2',
    );
    expect(() => new CharTokenizer([])).toThrow("got none");
    expect(() => new CharTokenizer(["a", "bc"])).toThrow("got 'bc' for id 1");
    expect(() => new CharTokenizer(["a", "\ud800"])).toThrow("without lone surrogates");
    expect(() => new CharTokenizer(["a", "a"])).toThrow("got 'a' twice");
    expect(() => new CharTokenizer(["a"], { unknown: "" })).toThrow("one character each");
  });

  it.each([undefined, "<unk>", "?", "__proto__"])(
    "reads the tokenizer.json that it wrote (unknown: %s)",
    async (unknown) => {
      const written = CharTokenizer.fromText(text, unknown === undefined ? {} : { unknown });
      const path = join(folder, "run", String(unknown));
      await written.save(path);
      expect((await readdir(path)).sort()).toEqual(["tokenizer.json", "tokenizer_config.json"]);
      const read = await CharTokenizer.load(path);
      expect(read.vocabulary).toEqual(written.vocabulary);
      expect(read.unknown).toBe(unknown);
      expect(read.encode(text)).toEqual(written.encode(text));
      expect(() => CharTokenizer.fromJSON(written.toJSON())).not.toThrow();
    },
  );

  it("writes a WordLevel model that looks up each character", () => {
    expect(JSON.parse(JSON.stringify(CharTokenizer.fromText("a\n1")))).toEqual({
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "Split", pattern: { Regex: "[\\s\\S]" }, behavior: "Isolated", invert: false },
      post_processor: null,
      decoder: { type: "Fuse" },
      model: { type: "WordLevel", vocab: { "\n": 0, "1": 1, a: 2 }, unk_token: "<unk>" },
    });
  });

  it("refuses a tokenizer.json that does something else", async () => {
    const json = CharTokenizer.fromText("ab").toJSON();
    const bad = (change: object) => () => CharTokenizer.fromJSON({ ...json, ...change });
    expect(bad({ normalizer: { type: "Lowercase" } })).toThrow(
      "tokenizer.json: normalizer must be null; got { type: 'Lowercase' }",
    );
    expect(bad({ model: { ...json.model, type: "BPE" } })).toThrow("tokenizer.json: model must be");
    expect(bad({ model: { ...json.model, vocab: { hello: 0 } } })).toThrow("got 'hello' for id 0");
    expect(bad({ model: { ...json.model, vocab: { a: 0, b: 2 } } })).toThrow("tokenizer.json: model must be");
    expect(bad({ model: { ...json.model, vocab: { a: 0, b: 1e9 } } })).toThrow(
      "tokenizer.json: model must be",
    );
    for (const junk of [null, 5, "x", [], {}, { model: null }, { model: { vocab: 3 } }]) {
      expect(() => CharTokenizer.fromJSON(junk)).toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT" }));
    }
    await expect(CharTokenizer.load(join(folder, "nowhere"))).rejects.toThrow(
      /nowhere.tokenizer\.json: cannot be read: ENOENT/,
    );
    await writeFile(join(folder, "tokenizer.json"), "{");
    await expect(CharTokenizer.load(folder)).rejects.toMatchObject({ code: "ERR_CHECKPOINT" });
    await expect(CharTokenizer.fromText("a").save(join(folder, "tokenizer.json"))).rejects.toMatchObject({
      code: "ERR_CHECKPOINT",
    });
    expect(await readFile(join(folder, "tokenizer.json"), "utf8")).toBe("{");
  });

  it("encodes 6 MB within a second", () => {
    const big = "The quick brown fox, über 日本 \u{1F600}\n".repeat(180_000);
    const tokenizer = CharTokenizer.fromText(big);
    const start = performance.now();
    expect(tokenizer.encode(big).length).toBe(180_000 * 31);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
