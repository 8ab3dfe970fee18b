import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { RelativePositionBias, readSafetensors, relativeBucket } from "../src/index.ts";

/** Of distances from −300 on, from test/golden/make_seq2seq.py. */
const golden = fileURLToPath(new URL("golden/seq2seq/buckets.safetensors", import.meta.url));
const { tensors } = await readSafetensors(golden);

test.each([...tensors.keys()])("buckets equal Hugging Face's (%s)", (name) => {
  const [direction, numBuckets, maxDistance] = name.split(".") as [string, string, string];
  const options = {
    bidirectional: direction === "both",
    numBuckets: Number(numBuckets),
    maxDistance: Number(maxDistance),
  };
  const expected = [...tensors.get(name)!.data];
  expect(expected.map((_, i) => relativeBucket(i - 300, options))).toEqual(expected);
});

test("the bias of a query and a key is that of their distance", async () => {
  const options = { numHeads: 3, numBuckets: 8, maxDistance: 16, bidirectional: false };
  const bias = new RelativePositionBias(options);
  const table = await bias.table.weight.toTypedArray();
  const expected = (h: number, query: number, key: number) =>
    table[relativeBucket(key - query, bias.buckets) * 3 + h];
  const all = bias(5, 7, 2);
  expect(all.shape).toEqual([3, 5, 7]);
  (await all.toTypedArray()).forEach((value, n) => {
    const [h, t, s] = [Math.floor(n / 35), Math.floor(n / 7) % 5, n % 7];
    expect(value).toBe(expected(h, t + 2, s));
  });
  const ragged = bias(1, 7, [6, 3]);
  expect(ragged.shape).toEqual([2, 3, 1, 7]);
  (await ragged.toTypedArray()).forEach((value, n) => {
    const [b, h, s] = [Math.floor(n / 21), Math.floor(n / 7) % 3, n % 7];
    expect(value).toBe(expected(h, [6, 3][b]!, s));
  });
});

test("what has no buckets throws", () => {
  expect(() => new RelativePositionBias({ numHeads: 2, numBuckets: 7 })).toThrow(/numBuckets must be even/);
  expect(() => new RelativePositionBias({ numHeads: 2, maxDistance: 8 })).toThrow(
    "maxDistance must be above the 8 distances that have a bucket each; got 8",
  );
});
