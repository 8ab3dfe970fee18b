import type { KeyValueCache } from "../nn/cache.ts";
import { Dropout, LayerNorm } from "../nn/layers.ts";
import { LearnedPositions, SinusoidalPositions } from "../nn/positions.ts";
import { TransformerBlock } from "../nn/transformer.ts";
import type { Tensor } from "../tensor.ts";
import type { FullBartConfig } from "./bart.ts";
import { Stack } from "./seq2seq-stack.ts";

/** Rows of the table of positions before that of position 0. */
const positionOffset = 2;

/** Encoder or decoder of a Bart: positions, a normalization of the embeddings (BART), post-norm layers. */
export class BartStack extends Stack {
  positions: LearnedPositions | SinusoidalPositions;
  norm: LayerNorm | undefined;
  dropout: Dropout;
  blocks: TransformerBlock[];

  constructor(config: FullBartConfig, side: "encoder" | "decoder") {
    super();
    const { modelType, contextLength, hiddenSize, activation, initializerRange } = config;
    const { dropout, attentionDropout, activationDropout } = config;
    const isDecoder = side === "decoder";
    const std = initializerRange === undefined ? {} : { std: initializerRange };
    this.positions =
      modelType === "bart"
        ? new LearnedPositions(contextLength, hiddenSize, { ...std, offset: positionOffset })
        : new SinusoidalPositions(contextLength, hiddenSize, { halves: true });
    this.norm = modelType === "bart" ? new LayerNorm(hiddenSize) : undefined;
    this.dropout = new Dropout(dropout);
    const block = {
      hiddenSize,
      numHeads: isDecoder ? config.numDecoderHeads : config.numHeads,
      intermediateSize: isDecoder ? config.decoderIntermediateSize : config.intermediateSize,
      normPosition: "post",
      activation,
      dropout,
      attentionDropout,
      activationDropout,
      causal: isDecoder,
      crossAttention: isDecoder,
      ...std,
    } as const;
    const count = isDecoder ? config.numDecoderLayers : config.numLayers;
    this.blocks = Array.from({ length: count }, () => new TransformerBlock(block));
  }

  protected begin(x: Tensor, cache: KeyValueCache | undefined): { x: Tensor } {
    const placed = this.positions(x, cache?.position(x.device));
    return { x: this.dropout(this.norm ? this.norm(placed) : placed) };
  }
}
