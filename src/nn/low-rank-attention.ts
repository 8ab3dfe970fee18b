import { ArgumentError, checkInteger, ShapeError } from "../errors.ts";
import { randn } from "../ops/creation.ts";
import { matmul } from "../ops/products.ts";
import { reshape, slice, split } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Attention, type AttentionInput, type HeadOptions } from "./attention.ts";
import type { Linear } from "./layers.ts";
import { type Parameter, parameter } from "./module.ts";

export interface LowRankAttentionOptions extends HeadOptions {
  /** The most positions. Inputs are to have their own places filled: they are mixed along the sequence. */
  maxPositions: number;
  /** R: as how many keys and values the sequence is seen. */
  rank: number;
}

/**
 * Attention to R learned mixtures of the keys and values instead of to all of them: time and memory grow as T · R.
 * `softmax(scale · q·(E·k)ᵀ) · (F·v)`, E and F `[R, maxPositions]`, shared by the heads; of shorter sequences their
 * first columns. A mixture sees the whole sequence, so it cannot be causal, nor leave out padding.
 *
 * @see Wang et al. 2020, "Linformer: Self-Attention with Linear Complexity", eq. 7
 */
export class LowRankAttention extends Attention<[input?: AttentionInput]> {
  qkv: Linear;
  output: Linear;
  /** E `[R, maxPositions]` */
  keyMixture: Parameter;
  /** F `[R, maxPositions]` */
  valueMixture: Parameter;

  constructor(options: LowRankAttentionOptions) {
    super("LowRankAttention", options);
    const rank = checkInteger("LowRankAttention: rank", options.rank, 1);
    const length = checkInteger("LowRankAttention: maxPositions", options.maxPositions, 1);
    this.qkv = this.projection(this.numHeads + 2 * this.numKeyValueHeads, options);
    this.output = this.outputProjection(options);
    const mixture = () => randn([rank, length], { std: 1 / Math.sqrt(rank) });
    this.keyMixture = parameter(mixture, [rank, length]);
    this.valueMixture = parameter(mixture, [rank, length]);
  }

  forward(x: Tensor, input: AttentionInput = {}): Tensor {
    const { numHeads: H, numKeyValueHeads: G, headSize: D } = this;
    for (const name of ["lengths", "starts", "cache", "bias"] as const) {
      if (input[name] === undefined) continue;
      throw new ArgumentError(`LowRankAttention: ${name} must be left out: mixtures are of whole sequences`);
    }
    const [B, T] = x.shape as [number, number, number];
    const length = this.keyMixture.shape[1]!;
    if (T > length) {
      throw new ShapeError(
        `LowRankAttention: x must be [B, T, C] with T ≤ ${length}; got x ${showShape(x.shape)}`,
      );
    }
    const [q, k, v] = split(this.qkv(x), [H * D, G * D, G * D]) as [Tensor, Tensor, Tensor];
    const mixed = (mixture: Tensor, t: Tensor) => {
      const columns = slice(mixture, 1, 0, T);
      return this.heads(matmul(columns.dtype === t.dtype ? columns : columns.to(t.dtype), t), G);
    };
    const [keys, values] = [mixed(this.keyMixture, k), mixed(this.valueMixture, v)];
    return this.attend(reshape(q, [B, T, H, D]), keys, values, input, {});
  }
}
