import { describe, expect, it } from "vitest";
import { type SampleOptions, sampleToken } from "../src/generate/sample.ts";
import { Random } from "../src/random.ts";

/** How often each token comes, as a fraction. */
function frequencies(logits: number[], options: SampleOptions, draws = 20_000): number[] {
  const random = new Random(3);
  const counts = logits.map(() => 0);
  const array = new Float32Array(logits);
  for (let i = 0; i < draws; i++) counts[sampleToken(array, options, random)]!++;
  return counts.map((n) => n / draws);
}

/** The tokens that options leave. */
const kept = (logits: number[], options: SampleOptions) =>
  frequencies(logits, options, 4000).flatMap((f, token) => (f > 0 ? [token] : []));

// softmax: .641133 .23586 .086768 .03192 .00432
const logits = [2, 1, 0, -1, -3];
const probabilities = [0.641133, 0.23586, 0.086768, 0.03192, 0.00432];

function expectClose(actual: number[], expected: number[]) {
  actual.forEach((f, i) => void expect(f).toBeCloseTo(expected[i]!, 1.8));
}

describe("sampleToken", () => {
  it("draws from the softmax", () => {
    expectClose(frequencies(logits, {}), probabilities);
    const sharp = logits.map((x) => Math.exp(x / 0.5));
    const total = sharp.reduce((sum, x) => sum + x);
    expectClose(
      frequencies(logits, { temperature: 0.5 }),
      sharp.map((x) => x / total),
    );
  });

  it("keeps what Hugging Face's topK and topP keep", () => {
    expect(kept(logits, { topK: 2 })).toEqual([0, 1]);
    expect(kept(logits, { topP: 0.8 })).toEqual([0, 1]);
    const [p0, p1] = probabilities as [number, number];
    expectClose(frequencies(logits, { topK: 2 }), [p0 / (p0 + p1), p1 / (p0 + p1), 0, 0, 0]);
    expect(kept(logits, { topP: 0.6 })).toEqual([0]);
    expect(kept(logits, { topP: 0.65 })).toEqual([0, 1]);
    expect(kept(logits, { topP: 0 })).toEqual([0]);
    expect(kept([...logits].reverse(), { topP: 0.8 })).toEqual([3, 4]);
  });

  it("removes at a cumulative probability of exactly 1 - topP", () => {
    expect(kept([0, 0, 0, 0], { topP: 0.75 })).toEqual([0, 1, 2]);
    expect(kept([0, 0, 0, 0], { topP: 0.751 })).toEqual([0, 1, 2, 3]);
  });

  it("applies temperature, then topK, then topP", () => {
    // of all five, token 0 has .64, so topP .7 takes a second; of the two that topK leaves it has .73 and is enough
    expect(kept(logits, { topP: 0.7 })).toEqual([0, 1]);
    expect(kept(logits, { topK: 2, topP: 0.7 })).toEqual([0]);
    expect(kept(logits, { temperature: 3, topK: 2, topP: 0.7 })).toEqual([0, 1]);
  });

  it("lets ties at the topK threshold survive", () => {
    expect(kept([1, 3, 1, 0, 1], { topK: 2 })).toEqual([0, 1, 2, 4]);
    expect(kept([1, 3, 1, 0, 1], { topK: 99 })).toEqual([0, 1, 2, 3, 4]);
  });

  it("keeps the k largest of many, in any order", () => {
    const random = new Random(9);
    for (let n = 2; n < 60; n++) {
      const logits = random.shuffle(Array.from({ length: n }, (_, i) => i - (i % 3)));
      const topK = 1 + random.integer(n);
      const smallest = [...logits].sort((a, b) => b - a)[topK - 1]!;
      const expected = logits.flatMap((x, token) => (x >= smallest ? [token] : []));
      expect(kept(logits, { topK, temperature: 1e6 })).toEqual(expected);
    }
  });

  it("is greedy at temperature 0, with the first of equals, and draws nothing", () => {
    const random = new Random(0);
    const ties = new Float32Array([0, 5, 5, -Infinity]);
    expect(sampleToken(ties, { temperature: 0 }, random)).toBe(1);
    expect(sampleToken(ties, { greedy: true, temperature: 2 }, random)).toBe(1);
    expect(random.position).toBe(0);
    sampleToken(ties, {}, random);
    expect(random.position).toBe(1);
  });

  it("never gives a forbidden token and stands extreme logits and temperatures", () => {
    expect(kept([-Infinity, 0, -Infinity, 0], {})).toEqual([1, 3]);
    expect(kept([-Infinity, 0, -Infinity, 0], { topK: 3, topP: 0.99 })).toEqual([1, 3]);
    expect(kept([3e38, -3e38, 3e38], { temperature: 1e-300 })).toEqual([0, 2]);
    expect(kept([-3e38], {})).toEqual([0]);
  });

  it("refuses bad logits and options", () => {
    const sample = (x: number[], options: SampleOptions = {}) =>
      sampleToken(new Float32Array(x), options, new Random(0));
    expect(() => sample([0, Number.NaN])).toThrow(
      "sampleToken: logits must be below Infinity; got NaN for token 1",
    );
    expect(() => sample([0, Number.NaN], { greedy: true })).toThrow(
      expect.objectContaining({ code: "ERR_ARGUMENT" }),
    );
    expect(() => sample([Infinity])).toThrow("got Infinity for token 0");
    expect(() => sample([-Infinity, -Infinity])).toThrow("must leave a token");
    expect(() => sample([])).toThrow("got an empty one");
    expect(() => sampleToken([1, 2] as never, {}, new Random(0))).toThrow("must be a Float32Array [V]");
    expect(() => sample([0], { temperature: -1 })).toThrow("sampleToken: temperature");
    expect(() => sample([0], { temperature: Number.NaN })).toThrow("sampleToken: temperature");
    expect(() => sample([0], { topK: -1 })).toThrow("sampleToken: topK");
    expect(() => sample([0], { topP: 1.1 })).toThrow(
      "sampleToken: topP must be a number from 0 to 1; got 1.1",
    );
  });
});
