import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { attention } from "../ops/attention.ts";
import { linear } from "../ops/products.ts";
import { reshape, split } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import { Linear } from "./layers.ts";
import { Module } from "./module.ts";
import type { RotaryPositions } from "./positions.ts";

export interface MultiHeadAttentionOptions {
  /** Width of the stream, C. */
  hiddenSize: number;
  numHeads: number;
  /** Key-value heads, of which each serves numHeads / numKeyValueHeads query heads. Default numHeads. */
  numKeyValueHeads?: number;
  /** Default hiddenSize / numHeads. */
  headSize?: number;
  /** Position t sees positions up to t only. Default false. */
  causal?: boolean;
  /** Position t sees only positions less than so many away; see attention. Default: all. */
  window?: number | undefined;
  /** Of attention weights, while training. Default 0. */
  dropout?: number;
  /** Default true. */
  bias?: boolean;
  /** Turns queries and keys by their positions. */
  rotary?: RotaryPositions;
  /** Of normal initial weights; see Linear. */
  std?: number;
  /** Of the output projection, where it differs. */
  outputStd?: number;
}

type Triple = [q: Tensor, k: Tensor, v: Tensor];

export interface AttentionInput {
  /** What to attend to, `[B, S, C]`, for cross-attention. Default: the input itself. */
  memory?: Tensor;
  /** `[B]` i32: how many positions of `memory` count; the rest is padding. */
  lengths?: Tensor;
  /** `[B, T, C]`, added to the result in the same pass. */
  residual?: Tensor | undefined;
}

/**
 * Multi-head attention `[B, T, C] → [B, T, C]`, over the input itself or over a `memory`.
 *
 * Queries, keys and values come from one projection; they are views of its result, not copies.
 *
 * @see Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 for grouped heads
 */
export class MultiHeadAttention extends Module<[x: Tensor, input?: AttentionInput], Tensor> {
  qkv: Linear;
  output: Linear;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headSize: number;
  readonly causal: boolean;
  readonly window: number | undefined;
  readonly dropout: number;
  private readonly rotary: RotaryPositions | undefined;

  constructor(options: MultiHeadAttentionOptions) {
    super();
    const { hiddenSize, numHeads } = options;
    checkInteger("MultiHeadAttention: hiddenSize", hiddenSize, 1);
    checkInteger("MultiHeadAttention: numHeads", numHeads, 1);
    this.numHeads = numHeads;
    this.numKeyValueHeads = checkInteger(
      "MultiHeadAttention: numKeyValueHeads",
      options.numKeyValueHeads ?? numHeads,
      1,
    );
    this.headSize = options.headSize ?? hiddenSize / numHeads;
    if (!Number.isInteger(this.headSize)) {
      throw new ArgumentError(
        `MultiHeadAttention: hiddenSize must be a multiple of numHeads; got hiddenSize ${hiddenSize}, numHeads ${numHeads}`,
      );
    }
    if (numHeads % this.numKeyValueHeads !== 0) {
      throw new ArgumentError(
        `MultiHeadAttention: numHeads must be a multiple of numKeyValueHeads; got ${numHeads} and ${this.numKeyValueHeads}`,
      );
    }
    this.causal = options.causal ?? false;
    this.window =
      options.window === undefined
        ? undefined
        : checkInteger("MultiHeadAttention: window", options.window, 1);
    this.dropout = checkNumber("MultiHeadAttention: dropout", options.dropout ?? 0, 0, 1);
    const { bias = true, std } = options;
    const outputStd = options.outputStd ?? std;
    const width = (numHeads + 2 * this.numKeyValueHeads) * this.headSize;
    this.qkv = new Linear(hiddenSize, width, { bias, ...(std !== undefined && { std }) });
    this.output = new Linear(numHeads * this.headSize, hiddenSize, {
      bias,
      ...(outputStd !== undefined && { std: outputStd }),
    });
    // Shared by all layers of a model: not a part of this module.
    Object.defineProperty(this, "rotary", { value: options.rotary });
  }

  forward(x: Tensor, { memory, lengths, residual }: AttentionInput = {}): Tensor {
    const { numHeads: H, numKeyValueHeads: G, headSize: D } = this;
    const heads = (t: Tensor, count: number) => reshape(t, [t.shape[0]!, t.shape[1]!, count, D]);
    const [fromX, k0, v] = memory === undefined ? this.project(x) : this.projectBoth(x, memory);
    let q = heads(fromX, H);
    let k = heads(k0, G);
    if (this.rotary !== undefined) [q, k] = [this.rotary(q), this.rotary(k)];
    const y = attention(q, k, heads(v, G), {
      causal: this.causal,
      window: this.window,
      lengths,
      dropout: this.training ? this.dropout : 0,
    });
    return this.output(reshape(y, [y.shape[0]!, y.shape[1]!, H * D]), residual);
  }

  private get widths(): [number, number, number] {
    const { numHeads: H, numKeyValueHeads: G, headSize: D } = this;
    return [H * D, G * D, G * D];
  }

  /** Queries, keys and values of one sequence: parts of one product. */
  private project(x: Tensor): Triple {
    return split(this.qkv(x), this.widths) as Triple;
  }

  /** Queries from `x`, keys and values from `memory`. */
  private projectBoth(x: Tensor, memory: Tensor): Triple {
    const [Q, K, V] = this.widths;
    const [queryWeight, memoryWeight] = split(this.qkv.weight, [Q, K + V], 0) as [Tensor, Tensor];
    const [queryBias, memoryBias] = this.qkv.bias ? split(this.qkv.bias, [Q, K + V], 0) : [];
    const [k, v] = split(linear(memory, memoryWeight, memoryBias), [K, V]) as [Tensor, Tensor];
    return [linear(x, queryWeight, queryBias), k, v];
  }
}
