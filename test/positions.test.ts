import { describe, expect, test } from "vitest";
import {
  AdamW,
  alibiSlopes,
  type BlockOptions,
  crossEntropy,
  defaultDevice,
  Embedding,
  KeyValueCache,
  LearnedPositions,
  Linear,
  LowRankAttention,
  Module,
  MultiHeadAttention,
  manualSeed,
  noGrad,
  type Position,
  RotaryPositions,
  randn,
  SinusoidalPositions,
  sparseBlocks,
  step,
  type Tensor,
  TransformerBlock,
  tensor,
} from "../src/index.ts";

const isOnHost = defaultDevice() === "cpu";

type Matrix = number[][];

/** softmax(scale · q·kᵀ + bias(i, j)) · v of one head in float64; what has a bias of −∞ is not seen. */
function attend(q: Matrix, k: Matrix, v: Matrix, bias: (i: number, j: number) => number): Matrix {
  const scale = 1 / Math.sqrt(q[0]!.length);
  return q.map((query, i) => {
    const scores = k.map((key, j) => scale * query.reduce((sum, x, d) => sum + x * key[d]!, 0) + bias(i, j));
    const largest = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - largest));
    const total = weights.reduce((a, b) => a + b, 0);
    return v[0]!.map((_, d) => weights.reduce((sum, w, j) => sum + (w * v[j]![d]!) / total, 0));
  });
}

const rows = (t: Tensor): Matrix => {
  const values = t.contiguous().toTypedArraySync();
  const C = t.shape.at(-1)!;
  return Array.from({ length: t.size / C }, (_, i) => [...values.subarray(i * C, (i + 1) * C)]);
};

/** Queries, keys and values of each head of a module for one row `x [1, T, C]`, and the way back. */
function expected(
  layer: { qkv: Linear; output: Linear; numHeads: number; headSize: number },
  x: Tensor,
  head: (h: number, q: Matrix, k: Matrix, v: Matrix) => Matrix,
): Matrix {
  const { numHeads: H, headSize: D } = layer;
  const all = rows(layer.qkv(x));
  const part = (first: number) => all.map((row) => row.slice(first, first + D));
  const heads = Array.from({ length: H }, (_, h) =>
    head(h, part(h * D), part((H + h) * D), part((2 * H + h) * D)),
  );
  const weight = rows(layer.output.weight);
  const bias = [...layer.output.bias!.toTypedArraySync()];
  return all.map((_, t) => {
    const joined = heads.flatMap((y) => y[t]!);
    return weight.map((row, c) => bias[c]! + row.reduce((sum, w, i) => sum + w * joined[i]!, 0));
  });
}

function expectNear(got: Tensor, wanted: Matrix): void {
  rows(got).forEach((row, t) => {
    row.forEach((value, c) => expect(value, `${t}, ${c}`).toBeCloseTo(wanted[t]![c]!, 3));
  });
}

const size = { hiddenSize: 12, numHeads: 3 };

describe("attention knows positions by", () => {
  test("ALiBi's slopes", () => {
    expect(alibiSlopes(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((h) => 2 ** -h));
    expect(alibiSlopes(3).map((s) => s.toFixed(6))).toEqual(
      [2 ** -4, 2 ** -8, 2 ** -2].map((s) => s.toFixed(6)),
    );
    manualSeed(1);
    const layer = new MultiHeadAttention({ ...size, alibi: true, causal: true });
    const x = randn([1, 7, 12]);
    const slopes = alibiSlopes(3);
    const bias = (h: number) => (i: number, j: number) => (j > i ? -Infinity : -slopes[h]! * (i - j));
    expectNear(
      layer(x),
      expected(layer, x, (h, q, k, v) => attend(q, k, v, bias(h))),
    );
  });

  test("learned keys of distances", () => {
    manualSeed(2);
    const layer = new MultiHeadAttention({ ...size, relativeKeys: { maxDistance: 2 } });
    const x = randn([1, 7, 12]);
    const table = rows(layer.relativeKeys!.table.weight);
    const near = (d: number) => Math.max(-2, Math.min(2, d)) + 2;
    const bias = (q: Matrix) => (i: number, j: number) =>
      q[i]!.reduce((sum, value, d) => sum + value * table[near(j - i)]![d]!, 0) / Math.sqrt(4);
    expectNear(
      layer(x),
      expected(layer, x, (_, q, k, v) => attend(q, k, v, bias(q))),
    );
    const y = layer(x);
    y.mul(y).sum().backward();
    const gradient = [...layer.relativeKeys!.table.weight.grad!.toTypedArraySync()];
    expect(gradient.every((g) => Number.isFinite(g) && g !== 0)).toBe(true);
  });
});

test("a sparse pattern sees its blocks and nothing else", () => {
  manualSeed(3);
  const pattern = { blockSize: 3, windowBlocks: 0, globalBlocks: 1, strideBlocks: 3 };
  const seen = rows(sparseBlocks(pattern, { queries: 14, keys: 14 }));
  expect(seen).toEqual([
    [1, 1, 1, 1, 1],
    [1, 1, 0, 0, 1],
    [1, 0, 1, 0, 0],
    [1, 0, 0, 1, 0],
    [1, 1, 0, 0, 1],
  ]);
  for (const causal of [false, true]) {
    const layer = new MultiHeadAttention({ ...size, sparse: pattern, causal });
    const x = randn([1, 14, 12]);
    const block = (i: number) => Math.floor(i / 3);
    const bias = (i: number, j: number) =>
      seen[block(i)]![block(j)] === 0 || (causal && j > i) ? -Infinity : 0;
    expectNear(
      layer(x),
      expected(layer, x, (_, q, k, v) => attend(q, k, v, bias)),
    );
  }
});

test("low-rank attention attends to mixtures", () => {
  manualSeed(4);
  const layer = new LowRankAttention({ ...size, maxPositions: 10, rank: 4 });
  const x = randn([1, 7, 12]);
  const mix = (mixture: Tensor, t: Matrix): Matrix =>
    rows(mixture).map((row) =>
      t[0]!.map((_, d) => t.reduce((sum, value, j) => sum + row[j]! * value[d]!, 0)),
    );
  const { keyMixture, valueMixture } = layer;
  const head = (_: number, q: Matrix, k: Matrix, v: Matrix) =>
    attend(q, mix(keyMixture, k), mix(valueMixture, v), () => 0);
  expectNear(layer(x), expected(layer, x, head));
  expect(() => layer(randn([1, 11, 12]))).toThrow(/T ≤ 10; got x \[1, 11, 12\]/);
  expect(() => layer(x, { lengths: tensor([3]) })).toThrow(/lengths must be left out/);
});

/** A decoder of one's own: embeddings, one block, and whatever positions. */
class Decoder extends Module<[ids: Tensor, cache?: KeyValueCache], Tensor> {
  tokens = new Embedding(12, 16, { std: 0.5 });
  positions: Module<[Tensor, Position?], Tensor> | undefined;
  block: TransformerBlock;
  output = new Linear(16, 12);

  constructor(options: Partial<BlockOptions>, positions?: Module<[Tensor, Position?], Tensor>) {
    super();
    this.positions = positions;
    this.block = new TransformerBlock({ hiddenSize: 16, numHeads: 2, causal: true, ...options });
  }
  forward(ids: Tensor, cache?: KeyValueCache): Tensor {
    const position = cache?.position(ids.device) ?? 0;
    let x = this.tokens(ids);
    if (this.positions) x = this.positions(x, position);
    x = this.block(x, { position, cache: cache?.layers[0] });
    cache?.advance(ids.shape[1]!);
    return this.output(x);
  }
}

const kinds: Record<string, () => Decoder> = {
  none: () => new Decoder({}),
  sinusoidal: () => new Decoder({}, new SinusoidalPositions(32, 16)),
  learned: () => new Decoder({}, new LearnedPositions(32, 16, { std: 0.1 })),
  rotary: () => new Decoder({ rotary: new RotaryPositions(32, 8) }),
  alibi: () => new Decoder({ alibi: true }),
  relative: () => new Decoder({ relativeKeys: { maxDistance: 4 } }),
  sparse: () =>
    new Decoder({
      rotary: new RotaryPositions(32, 8),
      sparse: { blockSize: 4, windowBlocks: 0, globalBlocks: 1 },
    }),
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`a decoder with positions of kind ${kind} learns, and goes on with a cache`, async () => {
    manualSeed(5);
    const model = make();
    const optimizer = new AdamW(model.parameters(), { learningRate: 2e-2, weightDecay: 0 });
    // The token three places before: nothing but the place tells which it was.
    let state = 1;
    const draw = () => {
      const ids = Int32Array.from({ length: 32 * 12 }, () => (state = (state * 48271) % 2147483647) % 12);
      const targets = ids.map((_, i) => (i % 12 < 3 ? -100 : ids[i - 3]!));
      return [tensor(ids, [32, 12]), tensor(targets, [32, 12])] as const;
    };
    const steps = isOnHost ? 150 : 2; // an emulated device is slow
    let loss = Infinity;
    for (let i = 0; i < steps; i++) {
      const [inputs, labels] = draw();
      const t = step(() => {
        const loss = crossEntropy(model(inputs), labels);
        loss.backward();
        optimizer.step({});
        return loss;
      });
      if (i === steps - 1) loss = await t.item();
    }
    const chance = Math.log(12);
    // Causal order alone tells something of places; ALiBi tells distances apart less sharply than the rest.
    const isSharp = kind !== "none" && kind !== "alibi";
    if (isOnHost) expect(loss).toBeLessThan((isSharp ? 0.5 : 0.8) * chance);

    noGrad(() => {
      const [inputs] = draw();
      const cache = new KeyValueCache({ numLayers: 1, batchSize: 32, capacity: 12 });
      const whole = model(inputs);
      const parts = [model(inputs.slice(1, 0, 8), cache)];
      for (let t = 8; t < 12; t++) parts.push(model(inputs.slice(1, t, t + 1), cache));
      let t = 0;
      for (const part of parts) {
        const here = rows(whole.slice(1, t, (t += part.shape[1]!)));
        expectNear(part, here);
      }
    });
  });
}
