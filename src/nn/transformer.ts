import { checkNumber } from "../errors.ts";
import { add } from "../ops/elementwise.ts";
import type { Activation } from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";
import { type AttentionInput, MultiHeadAttention, type MultiHeadAttentionOptions } from "./attention.ts";
import { Dropout, LayerNorm, Linear, RMSNorm } from "./layers.ts";
import { Module } from "./module.ts";

export interface MLPOptions {
  hiddenSize: number;
  /** Default 4 · hiddenSize. */
  intermediateSize?: number;
  /** Default "gelu". */
  activation?: Activation;
  /** Default true. */
  bias?: boolean;
  /** Of normal initial weights; see Linear. */
  std?: number;
  /** Of the second projection, where it differs. */
  outputStd?: number;
}

/** Two linear maps with an activation between them, for every position alone: `[..., C] → [..., C]`. */
export class MLP extends Module<[x: Tensor, residual?: Tensor], Tensor> {
  up: Linear;
  down: Linear;

  constructor(options: MLPOptions) {
    super();
    const { hiddenSize, intermediateSize = 4 * hiddenSize, activation = "gelu", bias = true, std } = options;
    const outputStd = options.outputStd ?? std;
    this.up = new Linear(hiddenSize, intermediateSize, {
      bias,
      activation,
      ...(std !== undefined && { std }),
    });
    this.down = new Linear(intermediateSize, hiddenSize, {
      bias,
      ...(outputStd !== undefined && { std: outputStd }),
    });
  }

  /** @param residual `[..., hiddenSize]`, added to the result in the same pass */
  forward(x: Tensor, residual?: Tensor): Tensor {
    return this.down(this.up(x), residual);
  }
}

export interface BlockOptions
  extends Omit<MultiHeadAttentionOptions, "dropout">,
    Omit<MLPOptions, "hiddenSize"> {
  /** "pre": x + f(norm(x)), as GPT-2; "post": norm(x + f(x)), as the original Transformer and BERT. Default "pre". */
  normPosition?: "pre" | "post";
  /** Default "layerNorm". */
  norm?: "layerNorm" | "rmsNorm";
  normEps?: number;
  /** Of attention weights. Default: `dropout`. */
  attentionDropout?: number;
  /** Of what attention and MLP add to the stream. Default 0. */
  dropout?: number;
}

/** A layer of a Transformer: attention and MLP, each with a residual connection and a normalization. `[B, T, C]`. */
export class TransformerBlock extends Module<[x: Tensor, input?: AttentionInput], Tensor> {
  attentionNorm: LayerNorm | RMSNorm;
  attention: MultiHeadAttention;
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
    this.normPosition = options.normPosition ?? "pre";
    this.attentionNorm = norm();
    this.attention = new MultiHeadAttention({ ...options, dropout: attentionDropout });
    this.mlpNorm = norm();
    this.mlp = new MLP(options);
    this.dropout = new Dropout(dropout);
  }

  forward(x: Tensor, input?: AttentionInput): Tensor {
    const attend = (from: Tensor) =>
      this.added(x, (residual) => this.attention(from, { ...input, residual }));
    if (this.normPosition === "post") {
      const attended = this.attentionNorm(attend(x));
      return this.mlpNorm(this.added(attended, (residual) => this.mlp(attended, residual)));
    }
    const attended = attend(this.attentionNorm(x));
    return this.added(attended, (residual) => this.mlp(this.mlpNorm(attended), residual));
  }

  /** `x + dropout(branch())`. Where nothing is dropped, the last product of the branch adds x itself. */
  private added(x: Tensor, branch: (residual?: Tensor) => Tensor): Tensor {
    if (!this.training || this.dropout.p === 0) return branch(x);
    return add(x, this.dropout(branch()));
  }
}
