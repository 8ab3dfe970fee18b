import { describe, expect, test } from "vitest";
import {
  type AttentionOptions,
  attention,
  attentionWeights,
  concat,
  full,
  manualSeed,
  matmul,
  noGrad,
  ones,
  randn,
  type Tensor,
  tensor,
  transpose,
  zeros,
} from "../src/index.ts";

/** q, k and v of two sequences, four heads and two of keys; a gradient of the output. */
function makeInputs(T: number, S = T, dtype: "f32" | "bf16" = "f32") {
  manualSeed(5);
  const [q, k, v] = [
    [T, 4],
    [S, 2],
    [S, 2],
  ].map(([rows, heads]) => randn([2, rows!, heads!, 16], { dtype, requiresGrad: true }));
  return { q: q!, k: k!, v: v!, dy: randn([2, T, 4, 16], { dtype }) };
}

/** The output and the gradients of q, k and v. */
function run({ q, k, v, dy }: ReturnType<typeof makeInputs>, options: AttentionOptions): Float32Array[] {
  manualSeed(6);
  for (const t of [q, k, v]) t.gradient = undefined;
  const y = attention(q, k, v, options);
  y.backward(dy);
  return [y, ...[q, k, v].map((t) => t.grad!)].map((t) => Float32Array.from(t.to("f32").toTypedArraySync()));
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  expect(a.length).toBe(b.length);
  return Math.max(0, ...Array.from(a, (x, i) => Math.abs(x - b[i]!)));
};

function expectSame(got: Float32Array[], expected: Float32Array[], tolerance: number): void {
  got.forEach((values, n) => {
    const largest = Math.max(...Array.from(expected[n]!, Math.abs));
    expect(distance(values, expected[n]!) / largest, ["y", "dq", "dk", "dv"][n]).toBeLessThan(tolerance);
  });
}

const ids = (values: readonly number[], shape: number[]) => tensor(Int32Array.from(values), shape);

describe("attention options that say the same in two ways", () => {
  const lengths = () => ids([30, 17], [2]);
  test.each<AttentionOptions>([{}, { causal: true, window: 9, scale: -0.3 }, { dropout: 0.3, causal: true }])(
    "a bias of zeros changes nothing, and dropout keeps the same: %j",
    (options) => {
      const inputs = makeInputs(21, 30);
      const given = { ...options, lengths: lengths() };
      expectSame(run(inputs, { ...given, bias: zeros([1, 4, 21, 30]) }), run(inputs, given), 3e-5);
    },
  );

  test("slopes are a bias that falls with the distance", () => {
    const inputs = makeInputs(10, 14);
    const slopes = [0.5, 0.25, 0.125, -1];
    const bias = Float32Array.from({ length: 4 * 10 * 14 }, (_, n) => {
      const [j, i, h] = [n % 14, Math.floor(n / 14) % 10, Math.floor(n / 140)];
      return slopes[h]! * (j - (i + 4));
    });
    const sloped = run(inputs, { slopes: tensor(Float32Array.from(slopes)) });
    expectSame(sloped, run(inputs, { bias: tensor(bias, [4, 10, 14]) }), 3e-5);
  });

  test("documents packed into a row, from their starts, attend as each by itself", () => {
    const borders = [0, 7, 8, 40, 75];
    const inputs = makeInputs(75);
    const starts = Array.from({ length: 150 }, (_, n) => borders.findLast((begin) => begin <= n % 75)!);
    const packed = run(inputs, { causal: true, starts: ids(starts, [2, 75]) });
    const parts = borders.slice(1).map((end, n) => {
      const cut = (t: Tensor) => {
        const part = t.detach().slice(1, borders[n]!, end).clone();
        part.requiresGrad = true;
        return part;
      };
      const { q, k, v, dy } = inputs;
      const one = { q: cut(q), k: cut(k), v: cut(v), dy: cut(dy).detach() };
      run(one, { causal: true });
      return [attention(one.q, one.k, one.v, { causal: true }), one.q.grad!, one.k.grad!, one.v.grad!];
    });
    const whole = packed.map((_, n) =>
      Float32Array.from(
        concat(
          parts.map((part) => part[n]!.detach()),
          1,
        ).toTypedArraySync(),
      ),
    );
    expectSame(packed, whole, 3e-5);
  });

  test("blocks that are all there change nothing, and those of a window are a window", () => {
    const inputs = makeInputs(100);
    const all = { blocks: full([7, 7], 1, { dtype: "i32" }), blockSize: 15 };
    expectSame(run(inputs, { ...all, causal: true }), run(inputs, { causal: true }), 3e-5);
    const near = Array.from({ length: 100 * 100 }, (_, n) =>
      Number(Math.abs(Math.floor(n / 100) - (n % 100)) < 20),
    );
    expectSame(
      run(inputs, { blocks: ids(near, [100, 100]), blockSize: 1 }),
      run(inputs, { window: 20 }),
      3e-5,
    );
  });

  test("in bf16 a bias in f32 has a gradient in f32", () => {
    const inputs = makeInputs(20, 20, "bf16");
    const exact = makeInputs(20);
    const gradients = [inputs, exact].map((given) => {
      manualSeed(9);
      const bias = randn([4, 20, 20], { requiresGrad: true });
      run(given, { bias });
      expect(bias.grad!.dtype).toBe("f32");
      return bias.grad!.toTypedArraySync();
    });
    const largest = Math.max(...Array.from(gradients[1]!, Math.abs));
    expect(distance(gradients[0]!, gradients[1]!) / largest).toBeLessThan(2 ** -6);
  });

  test("the weights are those that attention sums the values with", () => {
    const { q, k, v } = makeInputs(9, 12);
    const options = {
      causal: true,
      lengths: ids([12, 7], [2]),
      starts: ids(
        Array.from({ length: 18 }, (_, n) => n % 4),
        [2, 9],
      ),
      slopes: tensor(Float32Array.from([0.1, 0.2, 0.3, 0.4])),
      blocks: ids([1, 1, 0, 1, 0, 1, 1, 1, 1], [3, 3]),
      blockSize: 4,
    };
    noGrad(() => {
      const weights = attentionWeights(q, k, options);
      const heads = (t: Tensor) => transpose(concat([t, t], 3).reshape(2, 12, 4, 16), 1, 2);
      const expected = transpose(matmul(weights, heads(v)), 1, 2).contiguous();
      const y = attention(q, k, v, options).toTypedArraySync();
      expect(distance(y, expected.toTypedArraySync())).toBeLessThan(1e-5);
    });
  });
});

describe("attention refuses", () => {
  const { q, k, v } = makeInputs(6, 8);
  const blocks = ones([2, 2], { dtype: "i32" });
  test.each<[string, AttentionOptions, string]>([
    ["starts of another shape", { starts: ids([0, 0], [2]) }, "ERR_SHAPE"],
    ["starts in f32", { starts: zeros([2, 6]) }, "ERR_DTYPE"],
    ["slopes of other heads", { slopes: ones([3]) }, "ERR_SHAPE"],
    ["slopes in bf16", { slopes: ones([4], { dtype: "bf16" }) }, "ERR_DTYPE"],
    ["slopes that want a gradient", { slopes: ones([4], { requiresGrad: true }) }, "ERR_GRADIENT"],
    ["blocks without a size", { blocks }, "ERR_ARGUMENT"],
    ["a size without blocks", { blockSize: 4 }, "ERR_ARGUMENT"],
    ["blocks of no size", { blocks, blockSize: 0 }, "ERR_ARGUMENT"],
    ["too few blocks", { blocks, blockSize: 3 }, "ERR_SHAPE"],
    ["blocks in f32", { blocks: ones([2, 2]), blockSize: 4 }, "ERR_DTYPE"],
    ["a bias that does not broadcast", { bias: zeros([2, 6, 8]) }, "ERR_SHAPE"],
    ["a bias of five axes", { bias: zeros([1, 2, 4, 6, 8]) }, "ERR_SHAPE"],
    ["a bias of integers", { bias: zeros([6, 8], { dtype: "i32" }) }, "ERR_DTYPE"],
    ["a scale that is no number", { scale: Number.NaN }, "ERR_ARGUMENT"],
  ])("%s", (_, options, code) => {
    expect(() => attention(q, k, v, options)).toThrow(expect.objectContaining({ code }));
    expect(() => attentionWeights(q, k, options)).toThrow(expect.objectContaining({ code }));
  });

  test("a gradient of the weights, and dropout of them", () => {
    const weights = attentionWeights(q, k);
    expect(() => weights.sum().backward()).toThrow(expect.objectContaining({ code: "ERR_GRADIENT" }));
    const dropout = () => attentionWeights(q, k, { dropout: 0.1 });
    expect(dropout).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
  });
});
