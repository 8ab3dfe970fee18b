import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { manualSeed } from "../generator.ts";
import type { StoredTensor } from "../io/safetensors.ts";
import { unscoped } from "../memory.ts";
import { checkActivationDtype } from "../nn/activation-dtype.ts";
import { Embedding, Linear } from "../nn/layers.ts";
import { zeros } from "../ops/creation.ts";
import { scale } from "../ops/elementwise.ts";
import type { Activation } from "../ops/products.ts";
import { reshape } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import { bartLayout, fromBartConfig, logitsBiasName, toBartConfig } from "./bart-format.ts";
import { BartStack } from "./bart-stack.ts";
import { fillBuffer, type Layout } from "./layout.ts";
import { loadPretrained } from "./pretrained.ts";
import { type Seq2SeqConfig, type Seq2SeqInput, Seq2SeqLM, type Seq2SeqOutput } from "./seq2seq-lm.ts";

export interface BartConfig {
  /**
   * "bart": learned positions and a normalization of the embeddings; "marian": sinusoidal positions, in halves, and no
   * such normalization. Default "bart".
   */
  modelType?: "bart" | "marian";
  /** Of the input, and of the output where nothing else is said. */
  vocabSize: number;
  /** Of the output. Default vocabSize. */
  decoderVocabSize?: number;
  /** The most positions of input and output. Default 1024. */
  contextLength?: number;
  /** Of the encoder. */
  numLayers: number;
  /** Default numLayers. */
  numDecoderLayers?: number;
  /** Of the encoder. */
  numHeads: number;
  /** Default numHeads. */
  numDecoderHeads?: number;
  /** Width of the stream. */
  hiddenSize: number;
  /** Of the encoder. Default 4 · hiddenSize. */
  intermediateSize?: number;
  /** Default intermediateSize. */
  decoderIntermediateSize?: number;
  /** Default "gelu". */
  activation?: Activation;
  /** Of embeddings and what layers add to the stream. Default 0.1. */
  dropout?: number;
  /** Of attention weights. Default 0. */
  attentionDropout?: number;
  /** Of what the activation made. Default 0. */
  activationDropout?: number;
  /** Multiplies embeddings by √hiddenSize. Default false. */
  scaleEmbedding?: boolean;
  /** Whether encoder and decoder have one table of embeddings. Default: whether their vocabularies are of one size. */
  shareEmbeddings?: boolean;
  /** Whether the output matrix is the decoder's table of embeddings. Default true. */
  tieWordEmbeddings?: boolean;
  /** Standard deviation of the initial weights; undefined: see Linear. Default 0.02. */
  initializerRange?: number | undefined;
  /** Standard deviation of the initial embeddings. Default initializerRange. */
  embeddingStd?: number;
  /** Default 1, as BART. */
  padTokenId?: number;
  /** What ends a sequence. Default 2, as BART. */
  eosTokenId?: number;
  bosTokenId?: number | undefined;
  /** What the decoder begins with. Default eosTokenId. */
  decoderStartTokenId?: number;
  /** In generation, the token after the start token. */
  forcedBosTokenId?: number | undefined;
  /** In generation, the last token of a row that comes to its greatest length. */
  forcedEosTokenId?: number | undefined;
  /** In which the model computes: see GPTConfig. Default "f32". */
  dtype?: "f32" | "bf16";
  /** Of the initial weights: sets the generator (see manualSeed). Default: the generator goes on. */
  seed?: number;
}

type Optional = "initializerRange" | "bosTokenId" | "forcedBosTokenId" | "forcedEosTokenId";
/** A configuration with nothing left to defaults. */
export type FullBartConfig = Required<Omit<BartConfig, "seed" | "embeddingStd" | Optional>> &
  Pick<BartConfig, Optional> &
  Seq2SeqConfig;

export interface Bart {
  (inputIds: Tensor, input: Seq2SeqInput & { labels: Tensor }): Seq2SeqOutput & { loss: Tensor };
}

/**
 * Encoder–decoder Transformer with normalization after each part of a layer: BART and Marian.
 *
 * @see Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training"; Junczys-Dowmunt et al. 2018, "Marian"
 */
export class Bart extends Seq2SeqLM {
  readonly config: FullBartConfig;
  /** Of the encoder, and of the decoder if they share. */
  tokens: Embedding;
  decoderTokens: Embedding | undefined;
  encoder: BartStack;
  decoder: BartStack;
  output: Linear | undefined;
  /** `[1, V]`, added to the logits; not trained, but kept with the weights. */
  readonly logitsBias: Tensor;

  constructor(config: BartConfig) {
    super();
    const { seed, embeddingStd, ...given } = config;
    if (seed !== undefined) manualSeed(seed);
    this.config = filledIn(given);
    const { vocabSize, decoderVocabSize, hiddenSize, dtype, initializerRange } = this.config;
    const std = initializerRange === undefined ? {} : { std: initializerRange };
    const table = (size: number) =>
      new Embedding(size, hiddenSize, {
        ...std,
        ...(embeddingStd !== undefined && { std: embeddingStd }),
        ...(dtype === "bf16" && { dtype }),
      });
    this.tokens = table(vocabSize);
    this.decoderTokens = this.config.shareEmbeddings ? undefined : table(decoderVocabSize);
    this.encoder = new BartStack(this.config, "encoder");
    this.decoder = new BartStack(this.config, "decoder");
    this.output = this.config.tieWordEmbeddings
      ? undefined
      : new Linear(hiddenSize, decoderVocabSize, { bias: false, ...std });
    this.logitsBias = unscoped(() => zeros([1, decoderVocabSize]));
    const { eosTokenId, bosTokenId, padTokenId, decoderStartTokenId } = this.config;
    const { forcedBosTokenId, forcedEosTokenId } = this.config;
    this.generationConfig = {
      ...{ eosTokenId, padTokenId, decoderStartTokenId },
      ...(bosTokenId !== undefined && { bosTokenId }),
      ...(forcedBosTokenId !== undefined && { forcedBosTokenId }),
      ...(forcedEosTokenId !== undefined && { forcedEosTokenId }),
    };
  }

  protected embed(ids: Tensor, side: "encoder" | "decoder"): Tensor {
    const table = side === "encoder" ? this.tokens : (this.decoderTokens ?? this.tokens);
    const { scaleEmbedding, hiddenSize } = this.config;
    return scaleEmbedding ? scale(table(ids), Math.sqrt(hiddenSize)) : table(ids);
  }

  get outputWeight(): Tensor {
    return (this.output ?? this.decoderTokens ?? this.tokens).weight;
  }

  override get outputBias(): Tensor {
    return reshape(this.logitsBias, [this.logitsBias.size]);
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return toBartConfig(this.config);
  }

  layout(): Layout {
    return bartLayout(this.config);
  }

  override async *storedTensors(): AsyncGenerator<[string, StoredTensor]> {
    yield* super.storedTensors();
    const data = (await this.logitsBias.toTypedArray()) as Float32Array;
    yield [logitsBiasName, { dtype: "f32", shape: [...this.logitsBias.shape], data }];
  }

  /**
   * Reads what `savePretrained`, or Hugging Face for a BART or Marian, has written.
   *
   * @param options.dtype in which the model computes; see GPTConfig. Default "f32"
   * @throws ERR_CHECKPOINT
   */
  static fromPretrained(folder: string, options: Pick<BartConfig, "dtype"> = {}): Promise<Bart> {
    return loadPretrained(folder, (settings, checkpoint) => {
      const model = new Bart({ ...fromBartConfig(settings), ...options });
      fillBuffer(model.logitsBias, logitsBiasName, checkpoint);
      return model;
    });
  }
}

function filledIn(given: Omit<BartConfig, "seed" | "embeddingStd">): FullBartConfig {
  const { modelType = "bart", vocabSize, hiddenSize, numLayers, numHeads } = given;
  const size = (name: keyof BartConfig, value: number, min = 1) => checkInteger(`Bart: ${name}`, value, min);
  if (modelType !== "bart" && modelType !== "marian") {
    throw new ArgumentError(`Bart: modelType must be "bart" or "marian"; got ${String(modelType)}`);
  }
  const decoderVocabSize = size("decoderVocabSize", given.decoderVocabSize ?? vocabSize);
  const { shareEmbeddings = decoderVocabSize === vocabSize, tieWordEmbeddings = true } = given;
  if (shareEmbeddings && decoderVocabSize !== vocabSize) {
    throw new ArgumentError(
      `Bart: shareEmbeddings needs vocabularies of one size; got vocabSize ${vocabSize}, decoderVocabSize ${decoderVocabSize}`,
    );
  }
  if (shareEmbeddings && !tieWordEmbeddings) {
    throw new ArgumentError("Bart: tieWordEmbeddings false needs shareEmbeddings false; got true");
  }
  if (modelType === "bart" && !shareEmbeddings) {
    throw new ArgumentError('Bart: shareEmbeddings false needs modelType "marian"; got "bart"');
  }
  const intermediateSize = size("intermediateSize", given.intermediateSize ?? 4 * hiddenSize);
  const { eosTokenId = 2, initializerRange } = given;
  const id = (name: keyof BartConfig, value: number, vocabulary = decoderVocabSize) =>
    checkInteger(`Bart: ${name}`, value, 0, vocabulary - 1);
  const { bosTokenId, forcedBosTokenId, forcedEosTokenId } = given;
  return {
    modelType,
    vocabSize: size("vocabSize", vocabSize),
    decoderVocabSize,
    contextLength: size("contextLength", given.contextLength ?? 1024),
    numLayers: size("numLayers", numLayers, 0),
    numDecoderLayers: size("numDecoderLayers", given.numDecoderLayers ?? numLayers, 0),
    numHeads,
    numDecoderHeads: given.numDecoderHeads ?? numHeads,
    hiddenSize: size("hiddenSize", hiddenSize),
    intermediateSize,
    decoderIntermediateSize: size(
      "decoderIntermediateSize",
      given.decoderIntermediateSize ?? intermediateSize,
    ),
    activation: given.activation ?? "gelu",
    dropout: checkNumber("Bart: dropout", given.dropout ?? 0.1, 0, 1),
    attentionDropout: checkNumber("Bart: attentionDropout", given.attentionDropout ?? 0, 0, 1),
    activationDropout: checkNumber("Bart: activationDropout", given.activationDropout ?? 0, 0, 1),
    scaleEmbedding: given.scaleEmbedding ?? false,
    shareEmbeddings,
    tieWordEmbeddings,
    initializerRange: "initializerRange" in given ? initializerRange : 0.02,
    padTokenId: id("padTokenId", given.padTokenId ?? 1),
    eosTokenId: id("eosTokenId", eosTokenId),
    decoderStartTokenId: id("decoderStartTokenId", given.decoderStartTokenId ?? eosTokenId),
    dtype: checkActivationDtype("Bart: dtype", given.dtype ?? "f32"),
    ...(bosTokenId !== undefined && { bosTokenId: id("bosTokenId", bosTokenId) }),
    ...(forcedBosTokenId !== undefined && { forcedBosTokenId: id("forcedBosTokenId", forcedBosTokenId) }),
    ...(forcedEosTokenId !== undefined && { forcedEosTokenId: id("forcedEosTokenId", forcedEosTokenId) }),
  };
}
