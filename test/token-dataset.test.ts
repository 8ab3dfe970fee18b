import { describe, expect, it } from "vitest";
import { TokenDataset } from "../src/data/token-dataset.ts";

const upTo = (n: number) => Int32Array.from({ length: n }, (_, i) => i);
const dataset = (n: number) => TokenDataset.fromTokens(upTo(n));

describe("TokenDataset", () => {
  it("splits without overlap and without loss", () => {
    const [train, heldOut] = dataset(101).split(0.9);
    expect([train.length, heldOut.length]).toEqual([90, 11]);
    const seen = (d: TokenDataset) =>
      [...d.sequentialWindows({ batchSize: 1, contextLength: d.length - 1 })][0]!;
    expect(seen(train).inputs[0]).toBe(0);
    expect(seen(train).targets.at(-1)).toBe(89);
    expect(seen(heldOut).inputs[0]).toBe(90);
    expect(seen(heldOut).targets.at(-1)).toBe(100);
  });

  it("gives windows of consecutive tokens with targets one further, from every place", () => {
    const begins = new Set<number>();
    const windows = dataset(20).windows({ batchSize: 4, contextLength: 8, steps: 60, seed: 1 });
    let steps = 0;
    for (const { step, inputs, targets } of windows) {
      expect(step).toBe(steps++);
      expect([inputs.length, targets.length]).toEqual([32, 32]);
      for (let b = 0; b < 4; b++) {
        const begin = inputs[b * 8]!;
        begins.add(begin);
        expect([...inputs.subarray(b * 8, b * 8 + 8)]).toEqual([...upTo(20).subarray(begin, begin + 8)]);
        expect([...targets.subarray(b * 8, b * 8 + 8)]).toEqual([...upTo(20).subarray(begin + 1, begin + 9)]);
      }
    }
    expect(steps).toBe(60);
    expect([...begins].sort((a, b) => a - b)).toEqual([...upTo(12)]);
  });

  it("repeats by seed, resumes by step and can be iterated again", () => {
    const options = { batchSize: 3, contextLength: 5, steps: 10, seed: 42 };
    const windows = dataset(1000).windows(options);
    const whole = [...windows];
    expect([...windows]).toEqual(whole);
    expect([...dataset(1000).windows({ ...options, start: 7 })]).toEqual(whole.slice(7));
    expect([...dataset(1000).windows({ ...options, steps: 12 })].slice(0, 10)).toEqual(whole);
    expect([...dataset(1000).windows({ ...options, seed: 43 })]).not.toEqual(whole);
    expect(new Set(whole.map(({ inputs }) => inputs.join())).size).toBe(10);
  });

  it("goes through the whole text once for evaluation", () => {
    const batches = [...dataset(24).sequentialWindows({ batchSize: 2, contextLength: 4 })];
    expect(batches.map(({ step, inputs }) => [step, inputs.length])).toEqual([
      [0, 8],
      [1, 8],
      [2, 4],
    ]);
    expect(batches.flatMap(({ inputs }) => [...inputs])).toEqual([...upTo(20)]);
    expect(batches.flatMap(({ targets }) => [...targets])).toEqual([...upTo(21).subarray(1)]);
    expect([...dataset(5).sequentialWindows({ batchSize: 2, contextLength: 4 })]).toHaveLength(1);
  });

  it("takes arrays, and adopts an Int32Array", () => {
    const one = [...TokenDataset.fromTokens([7, 8, 9]).sequentialWindows({ batchSize: 1, contextLength: 2 })];
    expect(one).toEqual([{ step: 0, inputs: new Int32Array([7, 8]), targets: new Int32Array([8, 9]) }]);
    const tokens = upTo(3);
    const adopted = TokenDataset.fromTokens(tokens);
    tokens[0] = 5;
    expect([...adopted.sequentialWindows({ batchSize: 1, contextLength: 2 })][0]!.inputs[0]).toBe(5);
  });

  it("refuses bad tokens, sizes and options when they are given", () => {
    const d = dataset(10);
    const options = { batchSize: 2, contextLength: 4, steps: 3, seed: 0 };
    expect(() => TokenDataset.fromTokens([0, 1.5])).toThrow(expect.objectContaining({ code: "ERR_INDEX" }));
    expect(() => TokenDataset.fromTokens([0, 2 ** 31])).toThrow("got 2147483648 at index 1");
    expect(() => TokenDataset.fromTokens(new Int32Array([3, -1]))).toThrow("got -1 at index 1");
    expect(() => TokenDataset.fromTokens("abc" as never)).toThrow("TokenDataset.fromTokens: tokens must be");
    for (const fraction of [0, 1, 0.05, -1, Number.NaN])
      expect(() => d.split(fraction)).toThrow("split: fraction");
    expect(() => d.windows({ ...options, contextLength: 10 })).toThrow(
      "TokenDataset.windows: contextLength must be at most 9, for a window and its last target, with 10 tokens; got 10",
    );
    expect(() => d.windows({ ...options, batchSize: 0 })).toThrow("windows: batchSize");
    expect(() => d.windows({ ...options, contextLength: 0 })).toThrow("windows: contextLength");
    expect(() => d.windows({ ...options, steps: -1 })).toThrow("windows: steps");
    expect(() => d.windows({ ...options, seed: 0.1 })).toThrow("windows: seed");
    expect(() => d.windows({ ...options, start: 4 })).toThrow(
      "windows: start must be an integer from 0 to 3; got 4",
    );
    expect(() => d.sequentialWindows({ batchSize: 1, contextLength: 10 })).toThrow(
      "sequentialWindows: contextLength",
    );
  });
});
