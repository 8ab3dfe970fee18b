import { checkNumber } from "../errors.ts";
import { isWanted, send, within } from "../messages.ts";
import { dropout } from "../ops/dropout.ts";
import { add, mul } from "../ops/elementwise.ts";
import type { Activation } from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";
import {
  type AttentionInput,
  CrossAttention,
  MultiHeadAttention,
  type MultiHeadAttentionOptions,
} from "./attention.ts";
import { Dropout, LayerNorm, Linear, RMSNorm } from "./layers.ts";
import { Module } from "./module.ts";

export interface MLPOptions {
  hiddenSize: number;
  /** Default 4 · hiddenSize. */
  intermediateSize?: number;
  /** Default "gelu". */
  activation?: Activation;
  /** Two projections up, one of which, through the activation, is the gate of the other. Default false. */
  gated?: boolean;
  /** Of what the activation made, while training. Default 0. */
  activationDropout?: number;
  /** Default true. */
  bias?: boolean;
  /** Of normal initial weights; see Linear. */
  std?: number;
  /** Of the last projection, where it differs. */
  outputStd?: number;
}

/**
 * Linear maps with an activation between them, for every position alone: `[..., C] → [..., C]`,
 * `down(activation(up(x)))`, or gated `down(activation(gate(x)) · up(x))`.
 *
 * @see Shazeer 2020, "GLU Variants Improve Transformer"
 */
export class MLP extends Module<[x: Tensor, residual?: Tensor], Tensor> {
  gate: Linear | undefined;
  up: Linear;
  down: Linear;
  readonly activationDropout: number;

  constructor(options: MLPOptions) {
    super();
    const { hiddenSize, intermediateSize = 4 * hiddenSize, activation = "gelu", bias = true, std } = options;
    const initial = { bias, ...(std !== undefined && { std }) };
    const outputStd = options.outputStd ?? std;
    const { gated = false, activationDropout = 0 } = options;
    this.activationDropout = checkNumber("MLP: activationDropout", activationDropout, 0, 1);
    this.gate = gated ? new Linear(hiddenSize, intermediateSize, { ...initial, activation }) : undefined;
    this.up = new Linear(hiddenSize, intermediateSize, gated ? initial : { ...initial, activation });
    this.down = new Linear(intermediateSize, hiddenSize, {
      bias,
      ...(outputStd !== undefined && { std: outputStd }),
    });
  }

  /** @param residual `[..., hiddenSize]`, added to the result in the same pass */
  forward(x: Tensor, residual?: Tensor): Tensor {
    const inner = this.gate ? mul(this.gate(x), this.up(x)) : this.up(x);
    return this.down(dropout(send("hidden", inner), this.activationDropout, this.training), residual);
  }
}

export interface BlockOptions
  extends Omit<MultiHeadAttentionOptions, "dropout">,
    Omit<MLPOptions, "hiddenSize"> {
  /** A second attention, to a memory, between self-attention and MLP. Default false. */
  crossAttention?: boolean;
  /** "pre": x + f(norm(x)), as GPT-2; "post": norm(x + f(x)), as the original Transformer and BERT. Default "pre". */
  normPosition?: "pre" | "post";
  /** Default "layerNorm". */
  norm?: "layerNorm" | "rmsNorm";
  normEps?: number;
  /** Of the linear maps of the MLP, where it differs from `bias`. */
  mlpBias?: boolean;
  /** `outputStd` of the MLP, where it differs from that of attention. */
  mlpOutputStd?: number;
  /** Of attention weights. Default: `dropout`. */
  attentionDropout?: number;
  /** Of what attention and MLP add to the stream. Default 0. */
  dropout?: number;
}

export interface BlockInput extends Omit<AttentionInput, "residual"> {
  /** `[B, S, C]`: what cross-attention attends to. */
  memory?: Tensor | undefined;
  /** `[B]` i32: how many positions of the memory count; the rest is padding. */
  memoryLengths?: Tensor | undefined;
  /** Like `weights`, of cross-attention. */
  crossWeights?: Tensor[] | undefined;
}

/**
 * A layer of a Transformer: attention, to a memory too where asked for, and MLP, each with a residual connection and a
 * normalization. `[B, T, C]`.
 */
export class TransformerBlock extends Module<[x: Tensor, input?: BlockInput], Tensor> {
  attentionNorm: LayerNorm | RMSNorm;
  attention: MultiHeadAttention;
  crossNorm: LayerNorm | RMSNorm | undefined;
  crossAttention: CrossAttention | undefined;
  mlpNorm: LayerNorm | RMSNorm;
  mlp: MLP;
  dropout: Dropout;
  readonly normPosition: "pre" | "post";

  constructor(options: BlockOptions) {
    super();
    const { hiddenSize, bias = true, dropout = 0, attentionDropout = dropout } = options;
    checkNumber("TransformerBlock: dropout", dropout, 0, 1);
    const norm = () => {
      const eps = options.normEps === undefined ? {} : { eps: options.normEps };
      return options.norm === "rmsNorm"
        ? new RMSNorm(hiddenSize, eps)
        : new LayerNorm(hiddenSize, { ...eps, bias });
    };
    const heads = { ...options, dropout: attentionDropout };
    this.normPosition = options.normPosition ?? "pre";
    this.attentionNorm = norm();
    this.attention = new MultiHeadAttention(heads);
    this.crossNorm = options.crossAttention ? norm() : undefined;
    this.crossAttention = options.crossAttention ? new CrossAttention(heads) : undefined;
    this.mlpNorm = norm();
    const { mlpBias = bias, mlpOutputStd = options.outputStd } = options;
    const outputStd = mlpOutputStd === undefined ? {} : { outputStd: mlpOutputStd };
    this.mlp = new MLP({ ...options, bias: mlpBias, ...outputStd });
    this.dropout = new Dropout(dropout);
  }

  forward(x: Tensor, { memory, memoryLengths, crossWeights, ...input }: BlockInput = {}): Tensor {
    let y = this.around("attn", send("in", x), this.attentionNorm, (from, residual) =>
      this.attention(from, { ...input, residual }),
    );
    y = send("mid", y);
    const { crossAttention, crossNorm } = this;
    if (crossAttention && crossNorm && (memory || input.cache?.hasMemory)) {
      const rest = { cache: input.cache, lengths: memoryLengths, weights: crossWeights };
      y = this.around("cross", y, crossNorm, (from, residual) =>
        crossAttention(from, memory, { ...rest, residual }),
      );
      y = send("cross.mid", y);
    }
    return send(
      "out",
      this.around("mlp", y, this.mlpNorm, (from, residual) => this.mlp(from, residual)),
    );
  }

  /** `x + branch(norm(x))`, or post-norm `norm(x + branch(x))`. Where nothing is dropped, the branch adds x itself. */
  private around(
    part: "attn" | "cross" | "mlp",
    x: Tensor,
    norm: LayerNorm | RMSNorm,
    branch: (from: Tensor, residual?: Tensor) => Tensor,
  ): Tensor {
    const isPre = this.normPosition === "pre";
    const from = isPre ? norm(x) : x;
    const drops = this.training && this.dropout.p > 0;
    const y = within(part, () =>
      drops || isWanted("out") ? add(x, this.dropout(send("out", branch(from)))) : branch(from, x),
    );
    return isPre ? y : norm(y);
  }
}
