import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type BLEUScore, type BLEUTokenizer, bleu, chrF } from "../src/index.ts";

interface Group {
  name: string;
  pairs: [hypothesis: string, references: string[]][];
  scores: Record<string, BLEUScore> & { chrF: number };
}
const groups: Group[] = JSON.parse(readFileSync(new URL("golden/bleu.json", import.meta.url), "utf8"));

const near = (value: number) => expect.closeTo(value, 9);

describe.each(groups)("as sacrebleu: $name", ({ pairs, scores }) => {
  const hypotheses = pairs.map(([hypothesis]) => hypothesis);
  const references = pairs.map(([, texts]) => texts);

  test.each(["13a", "zh", "char", "none"] as const)("BLEU of words by %s", (tokenizer: BLEUTokenizer) => {
    for (const effectiveOrder of [false, true]) {
      const expected = scores[effectiveOrder ? `${tokenizer} effective` : tokenizer]!;
      expect(bleu(hypotheses, references, { tokenizer, effectiveOrder })).toEqual({
        ...expected,
        score: near(expected.score),
        precisions: expected.precisions.map(near),
        brevityPenalty: near(expected.brevityPenalty),
      });
    }
  });

  test("chrF", () => {
    expect(chrF(hypotheses, references)).toEqual({ score: near(scores.chrF) });
  });
});

test("a single reference needs no array", () => {
  const texts = ["the cat sat on the mat", "a dog"];
  expect(bleu(texts, texts)).toMatchObject({ score: expect.closeTo(100, 9), brevityPenalty: 1 });
  expect(chrF(texts, texts).score).toBeCloseTo(100, 9);
});

test.each([
  [() => bleu([], []), "bleu: hypotheses must be an array of texts; got none"],
  [() => bleu(["a"], []), "bleu: references must be an array of texts; got none"],
  [() => bleu("ab" as never, ["a", "b"]), "bleu: hypotheses must be an array of texts; got string"],
  [() => chrF(["a", "b"], ["a"]), "chrF: hypotheses and references must be of one length; got 2 and 1"],
  [() => chrF([1 as never], ["a"]), "chrF: hypotheses[0] must be a string; got 1"],
  [() => bleu(["a"], [[]]), "bleu: references[0] must be a string or an array of at least one; got none"],
  [
    () => bleu(["a"], [["b", null as never]]),
    "bleu: references[0] must be a string or an array of at least one; got b,",
  ],
  [
    () => bleu(["a"], ["a"], { tokenizer: "intl" as never }),
    "bleu: tokenizer must be one of 13a, zh, char, none; got intl",
  ],
])("bad arguments are named", (call, message) => {
  expect(call).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT", message }));
});
