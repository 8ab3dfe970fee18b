import { send } from "../messages.ts";
import type { KeyValueCache } from "../nn/cache.ts";
import { Dropout, RMSNorm } from "../nn/layers.ts";
import { RelativePositionBias } from "../nn/relative-bias.ts";
import { TransformerBlock } from "../nn/transformer.ts";
import type { Tensor } from "../tensor.ts";
import { Stack } from "./seq2seq-stack.ts";
import type { FullT5Config } from "./t5.ts";

/** Encoder or decoder of a T5: pre-norm layers with one relative position bias for all, and a last normalization. */
export class T5Stack extends Stack {
  positionBias: RelativePositionBias;
  blocks: TransformerBlock[];
  norm: RMSNorm;
  dropout: Dropout;

  constructor(config: FullT5Config, side: "encoder" | "decoder") {
    super();
    const { hiddenSize, numHeads, headSize, intermediateSize, normEps, dropout } = config;
    const isDecoder = side === "decoder";
    this.positionBias = new RelativePositionBias({
      numHeads,
      numBuckets: config.relativeAttentionNumBuckets,
      maxDistance: config.relativeAttentionMaxDistance,
      bidirectional: !isDecoder,
      std: hiddenSize ** -0.5,
    });
    const block = {
      hiddenSize,
      numHeads,
      headSize,
      intermediateSize,
      normEps,
      activation: config.activation,
      gated: config.gated,
      norm: "rmsNorm",
      bias: false,
      scale: 1,
      dropout,
      activationDropout: dropout,
      causal: isDecoder,
      crossAttention: isDecoder,
      std: hiddenSize ** -0.5,
      queryStd: (hiddenSize * headSize) ** -0.5,
      outputStd: (numHeads * headSize) ** -0.5,
      mlpOutputStd: intermediateSize ** -0.5,
    } as const;
    const count = isDecoder ? config.numDecoderLayers : config.numLayers;
    this.blocks = Array.from({ length: count }, () => new TransformerBlock(block));
    this.norm = new RMSNorm(hiddenSize, { eps: normEps });
    this.dropout = new Dropout(dropout);
  }

  protected begin(embedded: Tensor, cache: KeyValueCache | undefined): { x: Tensor; bias: Tensor } {
    const x = this.dropout(embedded);
    const T = x.shape[1]!;
    const { counts, isUniform } = cache ?? { counts: [0], isUniform: true };
    const keys = Math.max(...counts) + T;
    return { x, bias: this.positionBias(T, keys, isUniform ? counts[0] : counts) };
  }

  protected override end(x: Tensor): Tensor {
    return send("final.norm", this.dropout(this.norm(x)));
  }
}
