import { checkInteger, checkNumber } from "../errors.ts";
import { manualSeed } from "../generator.ts";
import type { StoredTensor } from "../io/safetensors.ts";
import { send } from "../messages.ts";
import { checkActivationDtype } from "../nn/activation-dtype.ts";
import { Dropout, Embedding, LayerNorm } from "../nn/layers.ts";
import { LearnedPositions, type Position } from "../nn/positions.ts";
import { TransformerBlock } from "../nn/transformer.ts";
import type { Activation } from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";
import { CausalLM, type CausalLMInput, type CausalLMOutput } from "./causal-lm.ts";
import { fromGPT2Config, gpt2Layout, toGPT2Config, zeroBiases } from "./gpt2-format.ts";
import type { Layout } from "./layout.ts";
import { loadPretrained } from "./pretrained.ts";

export interface GPTConfig {
  vocabSize: number;
  /** The most positions that the model can see. */
  contextLength: number;
  numLayers: number;
  numHeads: number;
  /** Width of the stream. */
  hiddenSize: number;
  /** Default 4 · hiddenSize. */
  intermediateSize?: number;
  /** Default "geluTanh", as GPT-2. */
  activation?: Activation;
  /** Of embeddings and what layers add to the stream. Default 0. */
  dropout?: number;
  /** Of attention weights. Default: `dropout`. */
  attentionDropout?: number;
  /** In linear maps and normalizations. Default true, as GPT-2. */
  bias?: boolean;
  /** Default 1e-5. */
  normEps?: number;
  /**
   * In which the model computes. "bf16" is mixed precision: activations and what products read of the weights are
   * bf16; parameters, their gradients, normalization statistics, sums and the loss stay f32. Default "f32".
   */
  dtype?: "f32" | "bf16";
  /** Of the initial weights: sets the generator (see manualSeed). Default: the generator goes on. */
  seed?: number;
}

export interface GPT {
  (ids: Tensor, input: CausalLMInput & { targets: Tensor }): CausalLMOutput & { loss: Tensor };
}

/**
 * Decoder-only Transformer of the GPT-2 kind: learned positions, pre-norm blocks, embeddings tied to the output.
 *
 * @see Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"
 */
export class GPT extends CausalLM {
  readonly config: Required<Omit<GPTConfig, "seed">>;
  tokens: Embedding;
  positions: LearnedPositions;
  dropout: Dropout;
  blocks: TransformerBlock[];
  norm: LayerNorm;

  constructor(config: GPTConfig) {
    super();
    const { seed, ...given } = config;
    if (seed !== undefined) manualSeed(seed);
    const { vocabSize, contextLength, numLayers, hiddenSize } = given;
    checkInteger("GPT: vocabSize", vocabSize, 1);
    checkInteger("GPT: contextLength", contextLength, 1);
    checkInteger("GPT: numLayers", numLayers, 0);
    checkInteger("GPT: hiddenSize", hiddenSize, 1);
    const intermediateSize = checkInteger(
      "GPT: intermediateSize",
      given.intermediateSize ?? 4 * hiddenSize,
      1,
    );
    const dropout = checkNumber("GPT: dropout", given.dropout ?? 0, 0, 1);
    const attentionDropout = checkNumber("GPT: attentionDropout", given.attentionDropout ?? dropout, 0, 1);
    const { activation = "geluTanh", bias = true, normEps = 1e-5, dtype = "f32" } = given;
    checkActivationDtype("GPT: dtype", dtype);
    this.config = { ...given, intermediateSize, activation, dropout, attentionDropout, bias, normEps, dtype };

    const std = 0.02;
    this.tokens = new Embedding(vocabSize, hiddenSize, { std, ...(dtype === "bf16" && { dtype }) });
    this.positions = new LearnedPositions(contextLength, hiddenSize, { std });
    this.dropout = new Dropout(dropout);
    // What 2·numLayers projections add to the stream shall not grow it: their weights start smaller.
    const outputStd = std / Math.sqrt(2 * numLayers);
    const block = { ...this.config, std, outputStd, causal: true };
    this.blocks = Array.from({ length: numLayers }, () => new TransformerBlock(block));
    this.norm = new LayerNorm(hiddenSize, { eps: normEps, bias });
  }

  protected embed(ids: Tensor, position: Position): Tensor {
    return this.dropout(this.positions(send("embed.token", this.tokens(ids)), position));
  }

  get outputWeight(): Tensor {
    return this.tokens.weight;
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return { ...toGPT2Config(this.config), ...this.specialTokens() };
  }

  layout(): Layout {
    return gpt2Layout(this.config.bias);
  }

  /** GPT-2 always has biases; those that this model lacks are written as zeros. */
  override async *storedTensors(): AsyncGenerator<[string, StoredTensor]> {
    yield* super.storedTensors();
    if (!this.config.bias) yield* zeroBiases(this.config);
  }

  /**
   * Reads what `savePretrained`, or Hugging Face for a GPT-2, has written.
   *
   * @param options.dtype in which the model computes; see GPTConfig. Default "f32"
   * @throws ERR_CHECKPOINT
   */
  static fromPretrained(folder: string, options: Pick<GPTConfig, "dtype"> = {}): Promise<GPT> {
    return loadPretrained(folder, (settings) => new GPT({ ...fromGPT2Config(settings), ...options }));
  }
}
