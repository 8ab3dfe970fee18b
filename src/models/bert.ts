import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { manualSeed } from "../generator.ts";
import { send, within } from "../messages.ts";
import { checkActivationDtype } from "../nn/activation-dtype.ts";
import { Dropout, Embedding, LayerNorm, Linear } from "../nn/layers.ts";
import { LearnedPositions } from "../nn/positions.ts";
import { TransformerBlock } from "../nn/transformer.ts";
import { add } from "../ops/elementwise.ts";
import type { Activation } from "../ops/products.ts";
import { tanh } from "../ops/tanh.ts";
import { reshape, slice } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { fromBertConfig, toBertConfig, trunkNames, trunkPrefix } from "./bert-format.ts";
import type { Layout } from "./layout.ts";
import { loadPretrained, PreTrainedModel } from "./pretrained.ts";

export interface BertConfig {
  /**
   * Which of the family: "roberta" begins its positions behind that of the padding token, "distilbert" has neither
   * token types nor a pooler. All are saved and read in their own layout. Default "bert".
   */
  modelType?: "bert" | "roberta" | "distilbert";
  vocabSize: number;
  /** The most positions. */
  contextLength: number;
  numLayers: number;
  numHeads: number;
  /** Width of the stream. */
  hiddenSize: number;
  /** Default 4 · hiddenSize. */
  intermediateSize?: number;
  /** Default "gelu". */
  activation?: Activation;
  /** Kinds of segments: A and B of a pair. Default 2; DistilBERT has none, 0. */
  typeVocabSize?: number;
  /** Of embeddings and of what layers add to the stream. Default 0.1. */
  dropout?: number;
  /** Of attention weights. Default: `dropout`. */
  attentionDropout?: number;
  /** Before the output of a classifier. Default: `dropout` (DistilBERT: 0.2). */
  classifierDropout?: number | undefined;
  /** Default 1e-12. */
  normEps?: number;
  /** Default 0; 1 for RoBERTa. */
  padTokenId?: number;
  /** Standard deviation of the initial weights. Default 0.02. */
  initializerRange?: number;
  /** In which the model computes: see GPTConfig. Default "f32". */
  dtype?: "f32" | "bf16";
  /** Of the initial weights: sets the generator (see manualSeed). Default: the generator goes on. */
  seed?: number;
}

/** A configuration with nothing left to defaults. */
export type FullBertConfig = Required<Omit<BertConfig, "seed" | "classifierDropout">> &
  Pick<BertConfig, "classifierDropout">;

export interface BertInput {
  /** `[B, T]` i32: the segment of each token, 0 or 1. Default 0. */
  tokenTypeIds?: Tensor | undefined;
  /** `[B]` i32: how many tokens of each row count; the rest is padding. Default all. */
  lengths?: Tensor | undefined;
  /** Also gives what the embeddings and each layer send on. */
  outputHiddenStates?: boolean | undefined;
  /** Also gives the attention weights of each layer. */
  outputAttentions?: boolean | undefined;
}

export interface BertOutput {
  /** `[B, T, C]` */
  lastHiddenState: Tensor;
  /** `[B, C]`: of the first token, through a map and tanh; with a pooler only. */
  poolerOutput?: Tensor;
  /** `[B, T, C]` of the embeddings and of each layer. */
  hiddenStates?: Tensor[];
  /** `[B, H, T, T]` of each layer. */
  attentions?: Tensor[];
}

/** What was asked for of the encoder. */
export type States = Omit<BertOutput, "lastHiddenState" | "poolerOutput">;

/** @internal They, for the output of a head. */
export const states = ({ hiddenStates, attentions }: BertOutput): States => ({
  ...(hiddenStates && { hiddenStates }),
  ...(attentions && { attentions }),
});

/**
 * Encoder of the BERT family, without a head: embeddings of tokens, positions and segments, post-norm blocks.
 *
 * @see Devlin et al. 2019, "BERT"; Liu et al. 2019, "RoBERTa"; Sanh et al. 2019, "DistilBERT"
 */
export class Bert extends PreTrainedModel<[ids: Tensor, input?: BertInput], BertOutput> {
  readonly config: FullBertConfig;
  tokens: Embedding;
  positions: LearnedPositions;
  tokenTypes: Embedding | undefined;
  norm: LayerNorm;
  dropout: Dropout;
  blocks: TransformerBlock[];
  pooler: Linear | undefined;

  /** @param options.pooler whether there is one. Default true, but for DistilBERT */
  constructor(config: BertConfig, options: { pooler?: boolean } = {}) {
    super();
    const { seed, ...given } = config;
    if (seed !== undefined) manualSeed(seed);
    this.config = filledIn(given);
    const { vocabSize, contextLength, hiddenSize, numLayers, typeVocabSize, modelType } = this.config;
    const { initializerRange: std, normEps, dropout, padTokenId, dtype } = this.config;
    this.tokens = new Embedding(vocabSize, hiddenSize, { std, ...(dtype === "bf16" && { dtype }) });
    const offset = modelType === "roberta" ? padTokenId + 1 : 0;
    this.positions = new LearnedPositions(contextLength, hiddenSize, { std, offset });
    this.tokenTypes = typeVocabSize > 0 ? new Embedding(typeVocabSize, hiddenSize, { std }) : undefined;
    this.norm = new LayerNorm(hiddenSize, { eps: normEps });
    this.dropout = new Dropout(dropout);
    const block = { ...this.config, normPosition: "post", std } as const;
    this.blocks = Array.from({ length: numLayers }, () => new TransformerBlock(block));
    const pools = options.pooler ?? modelType !== "distilbert";
    this.pooler = pools ? new Linear(hiddenSize, hiddenSize, { std }) : undefined;
  }

  /** @param ids `[B, T]` i32, T at most contextLength */
  forward(ids: Tensor, input: BertInput = {}): BertOutput {
    const { lengths, outputHiddenStates, outputAttentions } = input;
    const attentions: Tensor[] = [];
    const hiddenStates: Tensor[] = [];
    let x = this.dropout(this.norm(this.embed(ids, input.tokenTypeIds)));
    hiddenStates.push(x);
    for (const [i, block] of this.blocks.entries()) {
      const rest = { lengths, weights: outputAttentions ? attentions : undefined };
      x = within(`layer.${i + 1}`, () => block(x, rest));
      hiddenStates.push(x);
    }
    return {
      lastHiddenState: x,
      ...(this.pooler && { poolerOutput: tanh(this.pooler(firstOf(x))) }),
      ...(outputHiddenStates && { hiddenStates }),
      ...(outputAttentions && { attentions }),
    };
  }

  private embed(ids: Tensor, tokenTypeIds: Tensor | undefined): Tensor {
    const x = this.positions(send("embed.token", this.tokens(ids)));
    if (this.tokenTypes === undefined) {
      if (tokenTypeIds === undefined) return x;
      throw new ArgumentError(`Bert: tokenTypeIds need token types; ${this.config.modelType} has none`);
    }
    const types = tokenTypeIds ?? tensor(new Int32Array(ids.size), [...ids.shape], { device: ids.device });
    return add(x, send("embed.type", this.tokenTypes(types, x.dtype)));
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return toBertConfig(this.config, "Model");
  }

  layout(): Layout {
    return {
      names: trunkNames(this.config, "", ""),
      prefix: trunkPrefix[this.config.modelType],
      fresh: ["pooler"],
      ignored: /position_ids$/,
    };
  }

  /**
   * Reads the encoder of what `savePretrained`, or Hugging Face for a model of this family, has written.
   *
   * @param options.dtype in which the model computes; see GPTConfig. Default "f32"
   * @throws ERR_CHECKPOINT
   */
  static fromPretrained(folder: string, options: Pick<BertConfig, "dtype"> = {}): Promise<Bert> {
    return loadPretrained(folder, (settings) => new Bert({ ...fromBertConfig(settings), ...options }));
  }
}

/** The first position of each row: `[B, T, C]` → `[B, C]`. */
export function firstOf(x: Tensor): Tensor {
  const [B, , C] = x.shape as [number, number, number];
  return reshape(slice(x, 1, 0, 1), [B, C]);
}

function filledIn(given: Omit<BertConfig, "seed">): FullBertConfig {
  const { modelType = "bert", vocabSize, contextLength, numLayers, hiddenSize, dropout = 0.1 } = given;
  for (const [name, size] of Object.entries({ vocabSize, contextLength, hiddenSize }))
    checkInteger(`Bert: ${name}`, size, 1);
  checkInteger("Bert: numLayers", numLayers, 0);
  const typeVocabSize = given.typeVocabSize ?? (modelType === "distilbert" ? 0 : 2);
  return {
    ...given,
    modelType,
    intermediateSize: checkInteger("Bert: intermediateSize", given.intermediateSize ?? 4 * hiddenSize, 1),
    activation: given.activation ?? "gelu",
    typeVocabSize: checkInteger("Bert: typeVocabSize", typeVocabSize, 0),
    dropout: checkNumber("Bert: dropout", dropout, 0, 1),
    attentionDropout: checkNumber("Bert: attentionDropout", given.attentionDropout ?? dropout, 0, 1),
    normEps: checkNumber("Bert: normEps", given.normEps ?? 1e-12, 0),
    padTokenId: checkInteger("Bert: padTokenId", given.padTokenId ?? (modelType === "roberta" ? 1 : 0), 0),
    initializerRange: checkNumber("Bert: initializerRange", given.initializerRange ?? 0.02, 0),
    dtype: checkActivationDtype("Bert: dtype", given.dtype ?? "f32"),
  };
}
