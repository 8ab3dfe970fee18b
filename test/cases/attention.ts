import { manualSeed } from "../../src/generator.ts";
import { type AttentionOptions, attention } from "../../src/ops/attention.ts";
import { philox4x32 } from "../../src/random.ts";
import { defineCase, type Input, Reference, shapeOf } from "../case.ts";
import { softmaxRow } from "./softmax.ts";

const seed = 77;

/** Attention by definition: every score, softmax over the keys that are seen, dropout by Philox, weighted sum. */
function reference(
  q: Reference,
  k: Reference,
  v: Reference,
  options: Omit<AttentionOptions, "lengths">,
  lengths?: Reference,
) {
  const [B, T, H, D] = q.shape as [number, number, number, number];
  const [, S, G] = k.shape as [number, number, number, number];
  const p = options.dropout ?? 0;
  const block = new Uint32Array(4);
  const factor = (element: number): number => {
    if (p === 0) return 1;
    philox4x32(seed, 0, Math.floor(element / 4), 0, 0, 0, block);
    return (block[element % 4]! >>> 8) * 2 ** -24 >= Math.fround(p) ? 1 / (1 - p) : 0;
  };
  const y = new Reference(q.shape);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let t = 0; t < T; t++) {
        const g = Math.floor(h / (H / G));
        const place = t + (S - T);
        const seen = Array.from({ length: lengths?.at(b) ?? S }, (_, s) => s)
          .filter((s) => !options.causal || s <= place)
          .filter((s) => Math.abs(place - s) < (options.window ?? Infinity));
        if (seen.length === 0) continue;
        const scores = Float64Array.from(seen, (s) => {
          let dot = 0;
          for (let d = 0; d < D; d++) dot += q.at(b, t, h, d) * k.at(b, s, g, d);
          return dot * (options.scale ?? 1 / Math.sqrt(D));
        });
        softmaxRow(scores).forEach((weight, n) => {
          const s = seen[n]!;
          const w = weight * factor(((b * H + h) * T + t) * S + s);
          for (let d = 0; d < D; d++) y.add(w * v.at(b, s, g, d), b, t, h, d);
        });
      }
  return y;
}

const sizes = (B: number, T: number, S: number, H: number, G: number, D: number): Record<string, Input> => ({
  q: [B, T, H, D],
  k: [B, S, G, D],
  v: [B, S, G, D],
});

const attentionCase = (
  name: string,
  options: Omit<AttentionOptions, "lengths">,
  at: Record<string, Record<string, Input>>,
) =>
  defineCase({
    name,
    sizes: at,
    run({ q, k, v, lengths }) {
      manualSeed(seed);
      return attention(q!, k!, v!, { ...options, lengths });
    },
    reference: ({ q, k, v, lengths }) => reference(q!, k!, v!, options, lengths),
    // As in FlashAttention's own tests: the backward pass starts from the output, which is rounded once more.
    tolerance: { forward: 4e-6, gradient: 2e-5, bf16Gradient: 3 },
    work({ q, k }) {
      const [B, T, H, D] = shapeOf(q!) as [number, number, number, number];
      const S = shapeOf(k!)[1]!;
      const reach = options.window ?? Infinity;
      const keys = options.causal ? Math.min(S / 2, reach) : Math.min(S, 2 * reach - 1); // of a query, on average
      const flops = 4 * B * H * T * keys * D;
      return { forward: { flops }, backward: { flops: 2.5 * flops } }; // five products, one of them a second time
    },
  });

export default [
  attentionCase(
    "attention",
    {},
    {
      tiny: sizes(2, 5, 5, 2, 2, 4),
      cross: sizes(1, 3, 9, 2, 2, 7),
      grouped: sizes(1, 4, 5, 4, 2, 3),
      padded: { ...sizes(2, 3, 6, 2, 1, 5), lengths: { ids: [2], values: [4, 0] } },
      large: sizes(2, 150, 133, 4, 2, 33),
      model: sizes(4, 256, 256, 12, 12, 64),
    },
  ),
  attentionCase(
    "causal attention",
    { causal: true },
    {
      tiny: sizes(2, 6, 6, 2, 2, 5),
      "one position": sizes(1, 1, 1, 1, 1, 1),
      "cached keys": sizes(1, 3, 8, 2, 1, 4),
      "more queries than keys": sizes(1, 6, 4, 1, 1, 3),
      padded: { ...sizes(2, 5, 5, 2, 2, 3), lengths: { ids: [2], values: [5, 2] } },
      large: sizes(1, 200, 200, 3, 3, 64),
      model: sizes(1, 1024, 1024, 12, 12, 64),
    },
  ),
  attentionCase(
    "windowed attention",
    { window: 3 },
    {
      tiny: sizes(2, 7, 7, 2, 2, 4),
      cross: sizes(1, 4, 9, 2, 1, 3),
      "more queries than keys": sizes(1, 9, 4, 1, 1, 3),
      padded: { ...sizes(2, 6, 6, 2, 2, 3), lengths: { ids: [2], values: [6, 2] } },
      large: sizes(1, 150, 133, 4, 2, 33),
    },
  ),
  attentionCase(
    "windowed causal attention",
    { window: 4, causal: true },
    {
      tiny: sizes(2, 9, 9, 2, 2, 5),
      "cached keys": sizes(1, 3, 8, 2, 1, 4),
      "more queries than keys": sizes(1, 9, 4, 1, 1, 3),
      padded: { ...sizes(2, 8, 8, 2, 2, 3), lengths: { ids: [2], values: [8, 2] } },
    },
  ),
  attentionCase(
    "wide windowed causal attention",
    { window: 50, causal: true },
    {
      long: sizes(1, 96, 100, 1, 1, 1),
      large: sizes(1, 300, 333, 3, 3, 32),
      model: sizes(1, 4096, 4096, 4, 4, 64),
    },
  ),
  attentionCase(
    "windowed attention with dropout",
    { window: 5, dropout: 0.4 },
    { tiny: sizes(2, 9, 9, 2, 2, 3) },
  ),
  attentionCase(
    "wide windowed attention with dropout",
    { window: 70, dropout: 0.4 },
    { large: sizes(1, 260, 260, 4, 2, 16) },
  ),
  attentionCase(
    "attention with dropout",
    { dropout: 0.4, causal: true },
    {
      tiny: sizes(2, 5, 5, 2, 2, 4),
      large: sizes(1, 130, 130, 2, 2, 16),
    },
  ),
];
