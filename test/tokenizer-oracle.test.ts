import { describe, test } from "vitest";
import { Tokenizer } from "../src/text/tokenizer.ts";
import { bertFiles, gpt2Files, hostileStrings, tokenizerOf, unigramJSON } from "./tokenizer-cases.ts";
import { compareWithNative } from "./tokenizer-native.ts";

describe("as Hugging Face's native library", () => {
  test("GPT-2", async () => {
    await compareWithNative(await tokenizerOf(gpt2Files()), hostileStrings(10_000, 1));
  });
  test("BERT", async () => {
    await compareWithNative(await tokenizerOf(bertFiles()), hostileStrings(10_000, 2));
  });
  test("Unigram", async () => {
    await compareWithNative(Tokenizer.fromJSON(unigramJSON()), hostileStrings(10_000, 3));
  });
});
