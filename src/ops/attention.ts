import { defineOp } from "../autograd.ts";
import { checkInteger, checkNumber, ShapeError } from "../errors.ts";
import { type GeneratorState, reserveRandom } from "../generator.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

export interface AttentionOptions {
  /** Query i of T sees the keys up to i + (S − T): all earlier ones, if T = S. Default false. */
  causal?: boolean;
  /**
   * Query i sees only keys j with |i + (S − T) − j| < window: when causal, the last `window` up to its own place.
   * Time then grows as T · window. Default: all.
   */
  window?: number | undefined;
  /** `[B]` i32: only the first `lengths[b]` keys count, the rest is padding. */
  lengths?: Tensor | undefined;
  /** Factor of q·kᵀ. Default 1/√D. */
  scale?: number;
  /** Probability with which an attention weight is dropped. Default 0. */
  dropout?: number;
}

const tiledAttention = defineOp({
  name: "attention",
  args: (q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions, random: GeneratorState) => ({
    q,
    k,
    v,
    lengths: options.lengths,
    scale: options.scale ?? 1 / Math.sqrt(q.shape.at(-1) ?? 1),
    causal: options.causal ?? false,
    window: options.window ?? 0,
    dropout: options.dropout ?? 0,
    ...random,
  }),
  shapes: {
    q: "[B, T, H, D]",
    k: "[B, S, G, D]",
    v: "[B, S, G, D]",
    lengths: "[B]",
    y: "[B, T, H, D]",
    lse: "[B, H, T]",
  },
  output: "y",
  saved: ["lse"],
});

/**
 * Scaled dot-product attention, `softmax(scale · q·kᵀ) · v` for every head, in tiles: the T × S matrix of weights never
 * exists, forward or backward.
 *
 * @param q    `[B, T, H, D]`
 * @param k, v `[B, S, G, D]`; each of the G key-value heads serves H / G query heads in a row
 * @returns    `[B, T, H, D]`; zeros for a query that sees no key
 * @see Vaswani et al. 2017, eq. 1; Ainslie et al. 2023 (grouped heads); Dao 2023, "FlashAttention-2"; Beltagy et al.
 *      2020, "Longformer", and Jiang et al. 2023, "Mistral 7B" (windows)
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const [B, T, H] = q.shape;
  const [, S, G] = k.shape;
  if (q.rank === 4 && k.rank === 4 && (G === 0 || H! % G! !== 0)) {
    throw new ShapeError(
      `attention: the heads of q must be a multiple of those of k and v; got q ${showShape(q.shape)}, k ${showShape(k.shape)}`,
    );
  }
  if (options.window !== undefined) checkInteger("attention: window", options.window, 1);
  const p = checkNumber("attention: dropout", options.dropout ?? 0, 0, 1);
  const random = p === 0 ? { seed: 0, position: 0 } : reserveRandom(B! * H! * T! * S!);
  return tiledAttention(q, k, v, options, random);
}
