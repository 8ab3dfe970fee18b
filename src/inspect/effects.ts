import { ArgumentError } from "../errors.ts";
import { scale, sub } from "../ops/elementwise.ts";
import { expand, reshape, slice, transpose } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import type { Anatomy } from "./anatomy.ts";
import { branchedStream, type Fork, variantsAtOnce } from "./branch.ts";
import type { Inputs } from "./inputs.ts";
import { nearest } from "./names.ts";
import type { Effects, EffectsOptions } from "./types.ts";
import { comingTokens, streamLogOdds, unembeddingOf } from "./unembed.ts";

/** A part of a model whose effect is measured, and what is sent without it. */
interface Part {
  readonly part: string;
  readonly heads: number;
  /** Of the variants in which heads `[first, end)` are silent. */
  fork(first: number, end: number): Fork;
}

/** The variants of `sent [1, T, C]` that lack what heads `[first, end)` of `heads [1, T, H, C]` wrote. */
function withoutHeads(sent: Tensor, heads: Tensor, first: number, end: number): Tensor {
  const [, T, , C] = heads.shape as [number, number, number, number];
  const written = transpose(reshape(slice(heads, 2, first, end), [T, end - first, C]), 0, 1);
  return sub(expand(sent, written.shape), written);
}

/** Parts that can be measured, in the order in which they run. */
export function partsOf({ bodies }: Anatomy, of: Effects["of"]): Part[] {
  return bodies.flatMap(({ body, blocks }) =>
    blocks.flatMap((block, i): Part[] => {
      const layer = `${body}layer.${i + 1}`;
      if (of === "layers")
        return [
          {
            part: layer,
            heads: 1,
            fork: () => ({ at: `${layer}.out`, also: `${layer}.in`, variants: (_, x) => x! }),
          },
        ];
      const silent = { variants: (sent: Tensor) => scale(sent, 0) };
      if (of === "mlps")
        return [{ part: `${layer}.mlp`, heads: 1, fork: () => ({ at: `${layer}.mlp.out`, ...silent }) }];
      return (["attn", "cross"] as const).flatMap((kind) => {
        const attention = kind === "attn" ? block.attention : block.crossAttention;
        if (attention === undefined) return [];
        const part = `${layer}.${kind}`;
        const fork = (first: number, end: number): Fork => ({
          ...{ at: `${part}.out`, also: `${part}.heads` },
          variants: (sent, heads) => withoutHeads(sent, heads!, first, end),
        });
        return [{ part, heads: attention.numHeads, fork }];
      });
    }),
  );
}

/**
 * By how much the log-odds of what comes fall, at every position, where a part is taken out: heads and MLPs that write
 * nothing, layers that send on what they got.
 *
 * @see Michel et al. 2019, "Are Sixteen Heads Really Better than One?"
 */
export async function effectsOf(anatomy: Anatomy, inputs: Inputs, options: EffectsOptions): Promise<Effects> {
  const { of = "heads", signal } = options;
  unembeddingOf(anatomy, "effects");
  if (!["heads", "mlps", "layers"].includes(of))
    throw new ArgumentError(`effects: of must be "heads", "mlps" or "layers"; got ${String(of)}`);
  const all = partsOf(anatomy, of);
  const names = all.map(({ part }) => part);
  for (const wrong of options.parts ?? []) {
    if (names.includes(wrong)) continue;
    throw new ArgumentError(`effects: parts: no part "${wrong}"; did you mean "${nearest(wrong, names)}"?`);
  }
  const T = inputs.tokens.length;
  const clean = branchedStream(anatomy, inputs);
  const flat = (stream: Tensor) => reshape(stream, [stream.shape[0]! * T, anatomy.hiddenSize]);
  const tokens = await comingTokens(anatomy, inputs, flat(clean), options.tokens);
  const before = await streamLogOdds(anatomy, flat(clean), tokens);
  clean.dispose();
  const step = variantsAtOnce(anatomy, inputs);
  const parts: Effects["parts"][number][] = [];
  for (const { part, heads, fork } of all) {
    if (options.parts && !options.parts.includes(part)) continue;
    const values = new Float32Array(heads * T);
    for (let first = 0; first < heads; first += step) {
      signal?.throwIfAborted();
      const end = Math.min(heads, first + step);
      const stream = branchedStream(anatomy, inputs, fork(first, end));
      const repeated = Array.from({ length: (end - first) * T }, (_, n) => tokens[n % T]!);
      const after = await streamLogOdds(anatomy, flat(stream), repeated);
      stream.dispose();
      for (const [n, value] of after.entries()) values[first * T + n] = before[n % T]! - value;
    }
    parts.push({ part, heads, values });
  }
  return { of, length: T, parts };
}
