import { describe, expect, it } from "vitest";
import { resolveConfig } from "../src/generate/generation-config.ts";
import { generate } from "../src/generate/index.ts";
import { processorsOf } from "../src/generate/processing.ts";
import { golden, type Numbers, TableModel, tokenizer } from "./table-model.ts";

const scoresOf = (numbers: Numbers) => Float32Array.from(numbers, (x) => x ?? -Infinity);

describe("processors are Hugging Face's", () => {
  it.each(golden.processors.map((c, i) => [i, JSON.stringify(c.options), c] as const))(
    "%i %s",
    (_, __, c) => {
      const scores = scoresOf(c.scores);
      const row = { prompt: 0, ...c, inputIds: Int32Array.from(c.inputIds) };
      const processors = processorsOf(resolveConfig("test", c.options), [], scores.length);
      expect(processors.length).toBeGreaterThan(0);
      for (const process of processors) process(Int32Array.from(c.ids), scores, row);
      const expected = scoresOf(c.after);
      expect(keptBy(scores)).toEqual(keptBy(expected));
      scores.forEach((x, i) => {
        if (x > -Infinity) expect(x).toBeCloseTo(expected[i]!, 5);
      });
    },
  );
});

const keptBy = (scores: Float32Array) => [...scores.keys()].filter((i) => scores[i]! > -Infinity);

describe("generation is Hugging Face's", () => {
  it.each(
    golden.generations.map((c) => [c.isEncoderDecoder ? "encoder–decoder" : "decoder", c.name, c] as const),
  )("%s: %s", async (_, __, { isEncoderDecoder, prompts, options, sequences, scores }) => {
    const model = new TableModel({ isEncoderDecoder });
    const given = options.stopStrings ? { ...options, tokenizer } : options;
    const result = await generate(model, prompts, given);
    expect(result.sequences.map((row) => [...row])).toEqual(sequences);
    expect(result.sequencesScores?.length).toBe(scores?.length);
    result.sequencesScores?.forEach((score, i) => void expect(score / scores![i]!).toBeCloseTo(1, 5));
    expect(model.open).toBe(0);
  });
});
