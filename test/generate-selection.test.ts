import { describe, expect, it } from "vitest";
import type { LogitsProcessor } from "../src/generate/index.ts";
import { distributionOf, logSoftmax } from "../src/generate/probabilities.ts";
import { draw } from "../src/generate/sampling.ts";
import { argmax, bestContinuations, kthLargest, selectByMass } from "../src/generate/selection.ts";
import { epsilonCutoff, minP, topK, topP, typicalP } from "../src/generate/warpers.ts";
import { Random } from "../src/random.ts";

const row = { prompt: 0, promptLength: 1, maxLength: 9, inputIds: Int32Array.of(0) };

/** The tokens that a processor leaves. */
function keptBy(processor: LogitsProcessor, scores: ArrayLike<number>): number[] {
  const array = Float32Array.from(scores);
  processor(Int32Array.of(0), array, row);
  return [...array.keys()].filter((i) => array[i]! > -Infinity);
}

const sorted = (values: ArrayLike<number>) => Array.from(values).sort((a, b) => a - b);

describe("cutting the tail", () => {
  it("leaves what equals the last of the topK", () => {
    expect(keptBy(topK(2, 1), [1, 3, 1, 0, 1])).toEqual([0, 1, 2, 4]);
    expect(keptBy(topK(99, 1), [1, 3, 1, 0, 1])).toEqual([0, 1, 2, 3, 4]);
    expect(keptBy(topK(1, 3), [5, 4, 3, 2])).toEqual([0, 1, 2]);
  });

  it("removes at a cumulative probability of exactly 1 - topP, the first of equals last", () => {
    expect(keptBy(topP(0.75, 1), [0, 0, 0, 0])).toEqual([0, 1, 2]);
    expect(keptBy(topP(0.751, 1), [0, 0, 0, 0])).toEqual([0, 1, 2, 3]);
    expect(keptBy(topP(0, 1), [0, 1, 1, 0])).toEqual([1]);
    expect(keptBy(topP(0, 2), [0, 1, 1, 1])).toEqual([1, 2]);
    expect(keptBy(topP(0, 3), [0, 2, 1, -Infinity])).toEqual([0, 1, 2]);
  });

  it("never leaves a forbidden token", () => {
    const scores = [-Infinity, 0, -Infinity, 0];
    for (const processor of [
      topK(3, 1),
      topP(0.99, 3),
      minP(0, 3),
      typicalP(0.99, 3),
      epsilonCutoff(0.1, 3),
    ]) {
      expect(keptBy(processor, scores)).toEqual([1, 3]);
    }
  });

  it("is that of a full sort, for many tokens", () => {
    const random = new Random(4);
    for (let n = 2; n < 400; n += 13) {
      const scores = Float32Array.from({ length: n }, () => 3 * random.normal());
      const { probabilities } = distributionOf(scores);
      for (const p of [0.1, 0.5, 0.9, 0.999]) {
        const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]!);
        let mass = 0;
        const kept = order.filter((i, rank) => (mass += probabilities[i]!) > 1 - p || rank === n - 1);
        expect(keptBy(topP(p, 1), scores)).toEqual(sorted(kept));
      }
    }
  });
});

describe("selection", () => {
  it("finds the k-th largest of few and of many", () => {
    const random = new Random(9);
    for (const n of [1, 2, 3, 60, 500]) {
      const values = Float32Array.from(
        { length: n },
        () => random.integer(n) - (random.integer(9) ? 0 : Infinity),
      );
      const order = sorted(values).reverse();
      for (const k of [1, 2, 5, 60, 128, 129, 300, 500].filter((k) => k <= n)) {
        expect(kthLargest(values, k)).toBe(order[k - 1]);
      }
    }
  });

  it("finds the key at which there is mass enough", () => {
    const random = new Random(2);
    for (let round = 0; round < 300; round++) {
      const n = 1 + random.integer(30);
      const keys = Float64Array.from({ length: n }, () => random.integer(12));
      const weights = Float64Array.from({ length: n }, () => random.integer(4)); // whole numbers sum exactly
      const enough = random.integer(40);
      const order = [...keys.keys()].sort((a, b) => keys[a]! - keys[b]!);
      let mass = 0;
      const expected = order.find((i) => (mass += weights[i]!) > enough) ?? order.at(-1)!;
      const key = keys[expected]!;
      expect(selectByMass(keys, weights, (sum) => sum > enough)).toBe(key);
    }
  });

  it("takes the first of equals", () => {
    expect(argmax(Float32Array.of(0, 5, 5, -Infinity))).toBe(1);
    expect(argmax(Float32Array.of(-Infinity, -3e38))).toBe(1);
    const rows = [Float32Array.of(1, 3, 3), Float32Array.of(4, -Infinity, 0)];
    const best = bestContinuations(rows, [0, -1], 9).map(({ beam, token, score }) => [beam, token, score]);
    expect(best).toEqual([
      [0, 1, 3],
      [0, 2, 3],
      [1, 0, 3],
      [0, 0, 1],
      [1, 2, -1],
    ]);
    expect(bestContinuations(rows, [0, -1], 2).length).toBe(2);
  });

  it("refuses scores that say nothing", () => {
    expect(() => argmax(Float32Array.of(0, Number.NaN))).toThrow("got NaN for token 1");
    expect(() => argmax(Float32Array.of(-Infinity))).toThrow("must leave a token");
    const random = new Random(0);
    expect(() => draw(Float32Array.of(0, Infinity), random)).toThrow("below Infinity (removeInvalidValues");
    expect(() => draw(Float32Array.of(-Infinity, -Infinity), random)).toThrow("must leave a token");
    expect(random.position).toBe(0);
  });
});

describe("probabilities", () => {
  it("are exact to 1e-11", () => {
    const random = new Random(1);
    const scores = Float32Array.from({ length: 5000 }, () => 12 * random.normal());
    const max = Math.max(...scores);
    const weights = Array.from(scores, (x) => Math.exp(x - max));
    const total = weights.reduce((a, b) => a + b);
    const { probabilities, logTotal } = distributionOf(scores);
    weights.forEach((w, i) => void expect(Math.abs(probabilities[i]! / (w / total) - 1)).toBeLessThan(1e-11));
    expect(Math.abs(logTotal - max - Math.log(total))).toBeLessThan(1e-11);
    const logs = scores.slice();
    logSoftmax(logs);
    logs.forEach((x, i) => void expect(x).toBe(Math.fround(scores[i]! - (max + Math.log(total)))));
  });

  it("are those of the draws, for extreme scores too", () => {
    const random = new Random(3);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 8000; i++) counts[draw(Float32Array.of(1, -Infinity, 0, -3e38), random)]!++;
    expect(random.position).toBe(8000);
    expect(counts[0]! / 8000).toBeCloseTo(1 / (1 + Math.exp(-1)), 1.7);
    expect([counts[1], counts[3]]).toEqual([0, 0]);
    expect(draw(Float32Array.of(-3e38), random)).toBe(0);
  });
});
