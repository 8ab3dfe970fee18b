import { expect, test } from "vitest";
import {
  type AttentionOptions,
  attention,
  attentionWeights,
  manualSeed,
  randn,
  type Tensor,
  tensor,
} from "../src/index.ts";
import { attentionScores, scoresSoftmax, weightedValues } from "../src/ops/attention-scores.ts";
import { relativeError } from "./golden-folder.ts";

const [B, T, S, H, G, D] = [2, 6, 9, 4, 2, 8];
const ids = (values: number[], shape: number[]) => tensor(Int32Array.from(values), shape);
const masks: Record<string, () => AttentionOptions> = {
  none: () => ({}),
  causal: () => ({ causal: true, scale: 0.7 }),
  window: () => ({ causal: true, window: 3 }),
  "window both ways": () => ({ window: 2 }),
  lengths: () => ({ lengths: ids([4, 9], [B]) }),
  "nothing to see": () => ({ lengths: ids([0, 5], [B]) }),
  starts: () => ({
    causal: true,
    starts: ids(
      Array.from({ length: B * T }, (_, n) => (n * 5) % 4),
      [B, T],
    ),
  }),
  slopes: () => ({ causal: true, slopes: tensor([0.5, 0.25, 0.1, 1]) }),
  blocks: () => ({ blocks: ids([1, 0, 1, 0, 1, 1], [2, 3]), blockSize: 3 }),
  bias: () => ({ bias: randn([H, T, S]), lengths: ids([7, 9], [B]) }),
};

for (const [name, optionsOf] of Object.entries(masks)) {
  test(`attention by its scores is attention, forward and back: ${name}`, async () => {
    manualSeed(5);
    const options = optionsOf();
    const leaf = (shape: number[]) => randn(shape, { requiresGrad: true });
    const [q, k, v] = [leaf([B, T, H, D]), leaf([B, S, G, D]), leaf([B, S, G, D])] as const;
    const dy = randn([B, T, H, D]);
    const run = (body: () => Tensor) => {
      const y = body();
      y.backward(dy);
      const all = [y, ...[q, k, v].map((t) => t.grad!)].map((t) =>
        t.detach().contiguous().toTypedArraySync(),
      );
      for (const t of [q, k, v]) t.gradient = undefined;
      return all;
    };
    let scores: Tensor | undefined;
    let weights: Tensor | undefined;
    const open = run(() => {
      scores = attentionScores(q, k, options);
      weights = scoresSoftmax(scores);
      return weightedValues(weights, v);
    });
    const fused = run(() => attention(q, k, v, options));
    for (const [i, got] of open.entries())
      expect(relativeError(got, fused[i]!), "y dq dk dv".split(" ")[i]).toBeLessThan(1e-5);
    const wanted = await attentionWeights(q.detach(), k.detach(), {
      ...options,
      ...(options.bias && { bias: options.bias.detach() }),
    }).toTypedArray();
    expect(relativeError(await weights!.toTypedArray(), wanted)).toBeLessThan(1e-5);
    const values = await scores!.toTypedArray();
    for (const [n, score] of values.entries()) expect(score === -Infinity, `${n}`).toBe(wanted[n] === 0);
  });
}
