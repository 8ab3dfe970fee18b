import { describe, expect, test } from "vitest";
import { cacheWrite, gatherRows, ones, randn, type Tensor, tensor, zeros } from "../src/index.ts";

const ids = (...values: number[]) => tensor(Int32Array.from(values));
const code = (name: string) => expect.objectContaining({ code: name });
const read = (t: Tensor) => [...t.toTypedArraySync()];

describe("cacheWrite", () => {
  test("writes nothing of a row that starts outside, and says so", async () => {
    for (const start of [-1, 3]) {
      const cache = zeros([2, 4, 1, 2]);
      cacheWrite(cache, ones([2, 2, 1, 2]), ids(start, 1));
      await expect(cache.data()).rejects.toThrow(code("ERR_INDEX"));
      expect(read(cache)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0]);
    }
  });

  test("writes to a part of a larger cache", () => {
    const cache = zeros([2, 3, 2, 2]);
    cacheWrite(cache.slice(0, 1, 2), ones([1, 1, 2, 2]), ids(2));
    expect(read(cache)).toEqual([...new Array(20).fill(0), 1, 1, 1, 1]);
  });

  test.each<[string, Tensor, Tensor, Tensor, string]>([
    ["too many positions", zeros([1, 2, 1, 1]), zeros([1, 3, 1, 1]), ids(0), "ERR_SHAPE"],
    ["other heads", zeros([1, 2, 1, 1]), zeros([1, 1, 2, 1]), ids(0), "ERR_SHAPE"],
    ["another dtype", zeros([1, 2, 1, 1]), zeros([1, 1, 1, 1], { dtype: "bf16" }), ids(0), "ERR_DTYPE"],
    ["starts in f32", zeros([1, 2, 1, 1]), zeros([1, 1, 1, 1]), zeros([1]), "ERR_DTYPE"],
    ["a gradient", zeros([1, 2, 1, 1]), zeros([1, 1, 1, 1], { requiresGrad: true }), ids(0), "ERR_GRADIENT"],
  ])("refuses %s", (_, cache, x, starts, expected) => {
    expect(() => cacheWrite(cache, x, starts)).toThrow(code(expected));
  });
});

describe("gatherRows", () => {
  test("copies bits, subnormal numbers too", () => {
    const bits = Uint16Array.of(1, 0x8001, 0x7f80, 0x3fc0);
    const x = tensor(bits, [2, 2]);
    expect(read(gatherRows(x, ids(1, 0, 1)))).toEqual([2, 3, 0, 1, 2, 3].map((i) => read(x)[i]));
  });

  test("takes rows that lie apart, and parts of rows", () => {
    const x = randn([3, 4, 5]);
    const [a, b] = [x.slice(1, 1, 3), x.slice(2, 1, 3)];
    for (const part of [a, b]) {
      const dense = read(part.contiguous());
      const row = dense.length / 3;
      expect(read(gatherRows(part, ids(2, 0)))).toEqual([...dense.slice(2 * row), ...dense.slice(0, row)]);
    }
  });

  test("reports an id outside, whose row is NaN", async () => {
    for (const id of [-1, 2]) {
      const y = gatherRows(ones([2, 3]), ids(1, id));
      await expect(y.data()).rejects.toThrow(code("ERR_INDEX"));
      expect(read(y)).toEqual([1, 1, 1, NaN, NaN, NaN]);
    }
  });

  test("has no gradient, and takes no integers", () => {
    const y = gatherRows(ones([2, 3], { requiresGrad: true }), ids(1));
    expect(() => y.sum().backward()).toThrow(code("ERR_GRADIENT"));
    expect(() => gatherRows(ids(1, 2), ids(0))).toThrow(code("ERR_DTYPE"));
    expect(() => gatherRows(ones([2]), ones([1]))).toThrow(code("ERR_DTYPE"));
    expect(() => gatherRows(ones([2]), ids(0).reshape(1, 1))).toThrow(code("ERR_SHAPE"));
  });
});
