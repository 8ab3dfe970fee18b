import { manualSeed } from "../../src/generator.ts";
import { type AttentionOptions, attention, attentionWeights } from "../../src/ops/attention.ts";
import { philox4x32 } from "../../src/random.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { defineCase, type Input, type Inputs, isIds, Reference, shapeOf } from "../case.ts";
import { softmaxRow } from "./softmax.ts";

const seed = 77;

/** What a case fixes: options that are no inputs, and the slopes as numbers, since they have no gradient. */
interface Fixed extends Omit<AttentionOptions, "lengths" | "starts" | "slopes" | "blocks" | "bias"> {
  slopes?: readonly number[];
}

/** The weights of attention by definition: every score, softmax over the keys that are seen. */
function weights({ q, k, lengths, starts, blocks, bias }: Inputs<Reference>, options: Fixed): Reference {
  const [B, T, H, D] = q!.shape as [number, number, number, number];
  const [, S, G] = k!.shape as [number, number, number, number];
  const n = options.blockSize ?? 1;
  const added = (...at: number[]) =>
    bias === undefined
      ? 0
      : bias.at(...at.slice(4 - bias.shape.length).map((i, axis) => (bias.shape[axis] === 1 ? 0 : i)));
  const p = new Reference([B, H, T, S]);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let t = 0; t < T; t++) {
        const g = Math.floor(h / (H / G));
        const place = t + (S - T);
        const seen = Array.from({ length: lengths?.at(b) ?? S }, (_, s) => s)
          .filter((s) => !options.causal || s <= place)
          .filter((s) => Math.abs(place - s) < (options.window ?? Infinity))
          .filter((s) => s >= (starts?.at(b, t) ?? 0))
          .filter((s) => blocks?.at(Math.floor(t / n), Math.floor(s / n)) !== 0);
        if (seen.length === 0) continue;
        const scores = Float64Array.from(seen, (s) => {
          let dot = 0;
          for (let d = 0; d < D; d++) dot += q!.at(b, t, h, d) * k!.at(b, s, g, d);
          const distance = (options.slopes?.[h] ?? 0) * (s - place);
          return dot * (options.scale ?? 1 / Math.sqrt(D)) + distance + added(b, h, t, s);
        });
        softmaxRow(scores).forEach((weight, i) => {
          p.set(weight, b, h, t, seen[i]!);
        });
      }
  return p;
}

/** Weights, dropout by Philox, weighted sum. */
function reference(inputs: Inputs<Reference>, options: Fixed): Reference {
  const { q, v } = inputs as { q: Reference; v: Reference };
  const [B, T, H, D] = q.shape as [number, number, number, number];
  const [, S, G] = v.shape as [number, number, number, number];
  const rate = options.dropout ?? 0;
  const block = new Uint32Array(4);
  const factor = (element: number): number => {
    if (rate === 0) return 1;
    philox4x32(seed, 0, Math.floor(element / 4), 0, 0, 0, block);
    return (block[element % 4]! >>> 8) * 2 ** -24 >= Math.fround(rate) ? 1 / (1 - rate) : 0;
  };
  const p = weights(inputs, options);
  const y = new Reference(q.shape);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let t = 0; t < T; t++)
        for (let s = 0; s < S; s++) {
          const w = p.at(b, h, t, s) * factor(((b * H + h) * T + t) * S + s);
          if (w === 0) continue;
          for (let d = 0; d < D; d++) y.add(w * v.at(b, s, Math.floor(h / (H / G)), d), b, t, h, d);
        }
  return y;
}

const sizes = (B: number, T: number, S: number, H: number, G: number, D: number): Record<string, Input> => ({
  q: [B, T, H, D],
  k: [B, S, G, D],
  v: [B, S, G, D],
});

/** The options of a call: what is fixed, and the inputs that are. */
const optionsOf = (fixed: Fixed, { lengths, starts, blocks, bias }: Inputs<Tensor>): AttentionOptions => ({
  ...fixed,
  ...{ lengths, starts, blocks, bias },
  slopes: fixed.slopes && tensor(Float32Array.from(fixed.slopes)),
});

/** The share of `blocks` that are there. */
export function shareShown(blocks: Input | undefined): number {
  if (blocks === undefined || !isIds(blocks) || !("values" in blocks)) return 1;
  return blocks.values.filter((n) => n !== 0).length / blocks.values.length;
}

const attentionCase = (name: string, fixed: Fixed, at: Record<string, Record<string, Input>>) =>
  defineCase({
    name,
    sizes: at,
    run(inputs) {
      manualSeed(seed);
      return attention(inputs.q!, inputs.k!, inputs.v!, optionsOf(fixed, inputs));
    },
    reference: (inputs) => reference(inputs, fixed),
    multiplies: name.includes("bias"),
    // As in FlashAttention's own tests: the backward pass starts from the output, which is rounded once more.
    tolerance: { forward: 4e-6, gradient: 2e-5, bf16Gradient: 3 },
    work({ q, k, blocks }) {
      const [B, T, H, D] = shapeOf(q!) as [number, number, number, number];
      const S = shapeOf(k!)[1]!;
      const reach = fixed.window ?? Infinity;
      const near = fixed.causal ? Math.min(S / 2, reach) : Math.min(S, 2 * reach - 1);
      const keys = near * shareShown(blocks); // of a query, on average
      const flops = 4 * B * H * T * keys * D;
      return { forward: { flops }, backward: { flops: 2.5 * flops } }; // five products, one of them a second time
    },
  });

/** Where the document of each position begins, in rows of `T` positions. */
const documents = (B: number, T: number, length: number): number[] =>
  Array.from({ length: B * T }, (_, n) => Math.floor(((n % T) + Math.floor(n / T)) / length) * length);

/** The diagonal, every third column, and the first row. */
const stripes = (rows: number, columns: number): number[] =>
  Array.from({ length: rows * columns }, (_, n) => {
    const [i, j] = [Math.floor(n / columns), n % columns];
    return Number(i === j || j % 3 === 0 || i === 0);
  });

/** Blocks at most `reach` from the diagonal: a window. */
const diagonal = (size: number, reach: number): number[] =>
  Array.from({ length: size * size }, (_, n) => Number(Math.abs(Math.floor(n / size) - (n % size)) <= reach));

const weightCases = Object.entries<Fixed>({
  "attentionWeights of a window": { causal: true, window: 3 },
  "attentionWeights with slopes": { slopes: [0.5, 0.25], blockSize: 2, scale: -0.4 },
}).map(([name, fixed]) =>
  defineCase({
    name,
    sizes: {
      tiny: {
        q: [2, 5, 2, 4],
        k: [2, 6, 1, 4],
        bias: [2, 5, 6],
        lengths: { ids: [2], values: [6, 3] },
        starts: { ids: [2, 5], values: [0, 0, 1, 4, 6, 0, 2, 0, 1, 1] },
        ...(fixed.blockSize && { blocks: { ids: [3, 3], values: [1, 0, 1, 1, 1, 0, 0, 1, 1] } }),
      },
      large: {
        q: [2, 40, 2, 33],
        k: [2, 300, 2, 33],
        ...(fixed.blockSize && { blocks: { ids: [20, 150], below: 3 } }),
      },
    },
    run: (inputs) => attentionWeights(inputs.q!, inputs.k!, optionsOf(fixed, inputs)),
    reference: (inputs) => weights(inputs, fixed),
    backward: "none",
    multiplies: true,
    tolerance: { forward: 4e-6 },
  }),
);

export default [
  attentionCase(
    "attention",
    {},
    {
      tiny: sizes(2, 5, 5, 2, 2, 4),
      cross: sizes(1, 3, 9, 2, 2, 7),
      grouped: sizes(1, 4, 5, 4, 2, 3),
      padded: { ...sizes(2, 3, 6, 2, 1, 5), lengths: { ids: [2], values: [4, 0] } },
      token: { ...sizes(3, 1, 70, 4, 2, 3), lengths: { ids: [3], values: [70, 66, 0] } },
      "a token's channels": sizes(1, 1, 6, 2, 1, 37),
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
      token: sizes(2, 1, 9, 2, 1, 18),
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
  attentionCase(
    "attention with a bias",
    {},
    {
      tiny: { ...sizes(2, 5, 6, 2, 2, 4), bias: [2, 2, 5, 6] },
      grouped: { ...sizes(2, 3, 5, 4, 2, 3), bias: [4, 3, 5] },
      "grouped, one query": { ...sizes(2, 1, 6, 6, 2, 4), bias: [1, 6, 1, 6] },
      "of rows": { ...sizes(2, 4, 5, 3, 3, 3), bias: [2, 1, 1, 5] },
      "some see nothing": {
        ...sizes(2, 4, 5, 2, 1, 3),
        bias: [2, 4, 5],
        lengths: { ids: [2], values: [4, 0] },
      },
      large: { ...sizes(2, 70, 133, 4, 2, 33), bias: [1, 4, 70, 133] },
    },
  ),
  attentionCase(
    "causal attention with a bias",
    { causal: true, window: 4, dropout: 0.3, scale: 1 },
    {
      tiny: { ...sizes(1, 6, 6, 2, 2, 4), bias: [2, 6, 6] },
      grouped: { ...sizes(2, 3, 8, 4, 1, 2), bias: [4, 3, 8], lengths: { ids: [2], values: [8, 5] } },
    },
  ),
  attentionCase(
    "attention from starts",
    { causal: true },
    {
      tiny: {
        ...sizes(2, 6, 6, 2, 2, 4),
        starts: { ids: [2, 6], values: [0, 0, 2, 2, 2, 5, 0, 1, 1, 1, 4, 4] },
      },
      "cached keys": { ...sizes(2, 2, 7, 2, 1, 3), starts: { ids: [2, 2], values: [3, 3, 0, 6] } },
      token: { ...sizes(3, 1, 70, 2, 1, 2), starts: { ids: [3, 1], values: [3, -1, 70] } },
      "some see nothing": { ...sizes(1, 4, 4, 1, 1, 3), starts: { ids: [1, 4], values: [0, 3, 9, -2] } },
      large: { ...sizes(2, 150, 150, 4, 2, 33), starts: { ids: [2, 150], values: documents(2, 150, 40) } },
    },
  ),
  attentionCase(
    "attention with slopes",
    { causal: true, slopes: [0.5, 0.0625, 0.25, 1] },
    {
      tiny: sizes(2, 6, 6, 4, 2, 4),
      "cached keys": sizes(1, 2, 9, 4, 4, 3),
      token: { ...sizes(2, 1, 70, 4, 4, 2), lengths: { ids: [2], values: [70, 65] } },
      padded: { ...sizes(2, 5, 5, 4, 1, 3), lengths: { ids: [2], values: [5, 2] } },
      large: sizes(1, 170, 170, 4, 2, 32),
    },
  ),
  attentionCase(
    "attention with slopes both ways",
    { slopes: [0.25, -0.5], dropout: 0.3 },
    {
      tiny: sizes(2, 5, 8, 2, 2, 4),
    },
  ),
  attentionCase(
    "attention in blocks",
    { blockSize: 2 },
    {
      tiny: { ...sizes(2, 5, 6, 2, 2, 4), blocks: { ids: [3, 3], values: [1, 0, 1, 0, 1, 0, 0, 1, 1] } },
      "some see nothing": { ...sizes(1, 4, 5, 4, 2, 3), blocks: { ids: [2, 3], values: [0, 0, 0, 1, 0, 2] } },
    },
  ),
  attentionCase(
    "attention in large blocks",
    { blockSize: 48, causal: true, dropout: 0.2 },
    { large: { ...sizes(2, 200, 220, 4, 2, 32), blocks: { ids: [5, 5], values: stripes(5, 5) } } },
  ),
  attentionCase(
    "attention over 4096 positions",
    {},
    { "one position": sizes(1, 1, 1, 1, 1, 1), model: sizes(1, 4096, 4096, 4, 4, 64) },
  ),
  attentionCase(
    "block-sparse attention over 4096 positions",
    { blockSize: 64 },
    {
      "two blocks": { ...sizes(1, 70, 70, 1, 1, 1), blocks: { ids: [2, 2], values: [0, 1, 1, 0] } },
      model: { ...sizes(1, 4096, 4096, 4, 4, 64), blocks: { ids: [64, 64], values: diagonal(64, 2) } },
    },
  ),
  attentionCase(
    "attention with everything",
    { blockSize: 3, causal: true, window: 7, slopes: [0.5, 0.25], dropout: 0.3, scale: 0.7 },
    {
      tiny: {
        ...sizes(2, 8, 9, 2, 1, 4),
        starts: { ids: [2, 8], values: documents(2, 8, 3) },
        blocks: { ids: [3, 3], values: [1, 0, 0, 1, 1, 0, 1, 0, 1] },
        lengths: { ids: [2], values: [9, 6] },
      },
    },
  ),
  ...weightCases,
];
