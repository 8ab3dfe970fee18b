import { checkInteger, checkNumber } from "../errors.ts";
import { manualSeed } from "../generator.ts";
import type { StoredTensor } from "../io/safetensors.ts";
import { checkActivationDtype } from "../nn/activation-dtype.ts";
import { Embedding, Linear } from "../nn/layers.ts";
import { scale } from "../ops/elementwise.ts";
import type { Activation } from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";
import type { Layout } from "./layout.ts";
import { loadPretrained } from "./pretrained.ts";
import { type Seq2SeqInput, Seq2SeqLM, type Seq2SeqOutput } from "./seq2seq-lm.ts";
import { fromT5Config, hasOwnOutput, outputName, t5Layout, toT5Config } from "./t5-format.ts";
import { T5Stack } from "./t5-stack.ts";

export interface T5Config {
  vocabSize: number;
  /** Of the encoder. */
  numLayers: number;
  /** Default numLayers. */
  numDecoderLayers?: number;
  numHeads: number;
  /** Width of the stream. */
  hiddenSize: number;
  /** Default 64. */
  headSize?: number;
  /** Default 4 · hiddenSize. */
  intermediateSize?: number;
  /** Default "relu"; version 1.1 has "geluTanh". */
  activation?: Activation;
  /** Whether the MLP has a gate, as in version 1.1. Default false. */
  gated?: boolean;
  /** Groups of distances that share a position bias: see relativeBucket. Default 32. */
  relativeAttentionNumBuckets?: number;
  /** From this distance on all share the last one. Default 128. */
  relativeAttentionMaxDistance?: number;
  /** Of embeddings, attention weights, what the activation made and what layers add to the stream. Default 0.1. */
  dropout?: number;
  /** Default 1e-6. */
  normEps?: number;
  /** Whether the output matrix is the table of embeddings. Default true; version 1.1 has one of its own. */
  tieWordEmbeddings?: boolean;
  /** Whether the output matrix gets the decoder's result / √hiddenSize. Default tieWordEmbeddings. */
  scaleDecoderOutputs?: boolean;
  /** Default 0. */
  padTokenId?: number;
  /** What ends a sequence. Default 1. */
  eosTokenId?: number;
  /** What the decoder begins with. Default padTokenId. */
  decoderStartTokenId?: number;
  /** In which the model computes: see GPTConfig. Default "f32". */
  dtype?: "f32" | "bf16";
  /** Of the initial weights: sets the generator (see manualSeed). Default: the generator goes on. */
  seed?: number;
}

/** A configuration with nothing left to defaults. */
export type FullT5Config = Required<Omit<T5Config, "seed">>;

export interface T5 {
  (inputIds: Tensor, input: Seq2SeqInput & { labels: Tensor }): Seq2SeqOutput & { loss: Tensor };
}

/**
 * Encoder–decoder Transformer of the T5 kind: normalization by the root mean square before each part of a layer, no
 * biases, attention that is not scaled, positions by their distance alone. With `activation: "geluTanh"`, `gated` and
 * `tieWordEmbeddings: false` it is version 1.1.
 *
 * @see Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer"
 */
export class T5 extends Seq2SeqLM {
  readonly config: FullT5Config;
  tokens: Embedding;
  encoder: T5Stack;
  decoder: T5Stack;
  output: Linear | undefined;

  constructor(config: T5Config) {
    super();
    const { seed, ...given } = config;
    if (seed !== undefined) manualSeed(seed);
    this.config = filledIn(given);
    const { vocabSize, hiddenSize, dtype, tieWordEmbeddings } = this.config;
    this.tokens = new Embedding(vocabSize, hiddenSize, dtype === "bf16" ? { dtype } : {});
    this.encoder = new T5Stack(this.config, "encoder");
    this.decoder = new T5Stack(this.config, "decoder");
    this.output = tieWordEmbeddings ? undefined : new Linear(hiddenSize, vocabSize, { bias: false, std: 1 });
    const { eosTokenId, padTokenId, decoderStartTokenId } = this.config;
    this.generationConfig = { eosTokenId, padTokenId, decoderStartTokenId };
  }

  protected embed(ids: Tensor): Tensor {
    return this.tokens(ids);
  }

  get outputWeight(): Tensor {
    return (this.output ?? this.tokens).weight;
  }

  /** @internal */
  override outputOf(x: Tensor): Tensor {
    const { scaleDecoderOutputs, hiddenSize } = this.config;
    return scaleDecoderOutputs ? scale(x, 1 / Math.sqrt(hiddenSize)) : x;
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return toT5Config(this.config);
  }

  layout(): Layout {
    return t5Layout(this.config);
  }

  /** A model that doesn't scale has an output matrix in its files, be it the table of embeddings once more. */
  override async *storedTensors(): AsyncGenerator<[string, StoredTensor]> {
    for await (const [name, stored] of super.storedTensors()) {
      yield [name, stored];
      const { scaleDecoderOutputs, tieWordEmbeddings } = this.config;
      if (name === "shared.weight" && tieWordEmbeddings && !scaleDecoderOutputs) yield [outputName, stored];
    }
  }

  /**
   * Reads what `savePretrained`, or Hugging Face for a T5 of any version, has written.
   *
   * @param options.dtype in which the model computes; see GPTConfig. Default "f32"
   * @throws ERR_CHECKPOINT
   */
  static fromPretrained(folder: string, options: Pick<T5Config, "dtype"> = {}): Promise<T5> {
    return loadPretrained(folder, (settings, checkpoint) => {
      const tieWordEmbeddings = !hasOwnOutput(checkpoint);
      return new T5({ ...fromT5Config(settings), tieWordEmbeddings, ...options });
    });
  }
}

function filledIn(given: Omit<T5Config, "seed">): FullT5Config {
  const { vocabSize, hiddenSize, numLayers, numHeads, tieWordEmbeddings = true } = given;
  const size = (name: keyof T5Config, value: number, min = 1) => checkInteger(`T5: ${name}`, value, min);
  const id = (name: keyof T5Config, value: number) =>
    checkInteger(`T5: ${name}`, value, 0, given.vocabSize - 1);
  const padTokenId = id("padTokenId", given.padTokenId ?? 0);
  return {
    vocabSize: size("vocabSize", vocabSize),
    numLayers: size("numLayers", numLayers, 0),
    numDecoderLayers: size("numDecoderLayers", given.numDecoderLayers ?? numLayers, 0),
    numHeads: size("numHeads", numHeads),
    hiddenSize: size("hiddenSize", hiddenSize),
    headSize: size("headSize", given.headSize ?? 64),
    intermediateSize: size("intermediateSize", given.intermediateSize ?? 4 * hiddenSize),
    activation: given.activation ?? "relu",
    gated: given.gated ?? false,
    relativeAttentionNumBuckets: given.relativeAttentionNumBuckets ?? 32,
    relativeAttentionMaxDistance: given.relativeAttentionMaxDistance ?? 128,
    dropout: checkNumber("T5: dropout", given.dropout ?? 0.1, 0, 1),
    normEps: checkNumber("T5: normEps", given.normEps ?? 1e-6, 0),
    tieWordEmbeddings,
    scaleDecoderOutputs: given.scaleDecoderOutputs ?? tieWordEmbeddings,
    padTokenId,
    eosTokenId: id("eosTokenId", given.eosTokenId ?? 1),
    decoderStartTokenId: id("decoderStartTokenId", given.decoderStartTokenId ?? padTokenId),
    dtype: checkActivationDtype("T5: dtype", given.dtype ?? "f32"),
  };
}
