import { checkInteger, checkNumber } from "../errors.ts";
import { manualSeed } from "../generator.ts";
import { send } from "../messages.ts";
import { checkActivationDtype } from "../nn/activation-dtype.ts";
import { Embedding, Linear, RMSNorm } from "../nn/layers.ts";
import { RotaryPositions } from "../nn/rotary.ts";
import type { RotaryScaling } from "../nn/rotary-scaling.ts";
import { TransformerBlock } from "../nn/transformer.ts";
import type { Activation } from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";
import { CausalLM, type CausalLMInput, type CausalLMOutput } from "./causal-lm.ts";
import type { Layout } from "./layout.ts";
import { fromLlamaConfig, llamaLayout, toLlamaConfig } from "./llama-format.ts";
import { loadPretrained } from "./pretrained.ts";

export interface LlamaConfig {
  /** As which of the family the model is saved. It decides nothing else. Default "llama". */
  modelType?: "llama" | "mistral" | "qwen2" | "qwen3";
  vocabSize: number;
  /** The most positions that the model can see. */
  contextLength: number;
  numLayers: number;
  numHeads: number;
  /** Key-value heads, of which each serves numHeads / numKeyValueHeads query heads. Default numHeads. */
  numKeyValueHeads?: number;
  /** Default hiddenSize / numHeads. */
  headSize?: number;
  /** Width of the stream. */
  hiddenSize: number;
  intermediateSize: number;
  /** Of the gate. Default "silu". */
  activation?: Activation;
  /** Default 1e-6. */
  normEps?: number;
  /** Base of the wavelengths of rotary positions. Default 10000. */
  ropeTheta?: number;
  ropeScaling?: RotaryScaling | undefined;
  /** In the projections of attention: none, all, or all but the output's ("qkv", as Qwen 2). Default false. */
  attentionBias?: boolean | "qkv";
  /** In the linear maps of the MLP. Default false. */
  mlpBias?: boolean;
  /** Normalizes each head of queries and keys, as Qwen 3. Default false. */
  headNorm?: boolean;
  /** A position sees only so many, itself included. Default: all. */
  slidingWindow?: number | undefined;
  /** Which layers have that window. Default: all. */
  slidingLayers?: readonly boolean[] | undefined;
  /** Whether the output matrix is that of the embeddings. Default false. */
  tieWordEmbeddings?: boolean;
  /** Of attention weights. Default 0. */
  attentionDropout?: number;
  /** Standard deviation of the initial weights. Default 0.02. */
  initializerRange?: number;
  /** In which the model computes: see GPTConfig. Default "f32". */
  dtype?: "f32" | "bf16";
  /** Of the initial weights: sets the generator (see manualSeed). Default: the generator goes on. */
  seed?: number;
}

/** A configuration with nothing left to defaults. */
export type FullLlamaConfig = Required<
  Omit<LlamaConfig, "seed" | "ropeScaling" | "slidingWindow" | "slidingLayers">
> &
  Pick<LlamaConfig, "ropeScaling" | "slidingWindow" | "slidingLayers">;

export interface Llama {
  (ids: Tensor, input: CausalLMInput & { targets: Tensor }): CausalLMOutput & { loss: Tensor };
}

/**
 * Decoder-only Transformer of the Llama family (Llama, Mistral, Qwen 2 and 3, SmolLM): rotary positions, root-mean-square
 * normalization before each part of a layer, a gated MLP, grouped key-value heads.
 *
 * @see Touvron et al. 2023, "LLaMA"; Jiang et al. 2023, "Mistral 7B"; Yang et al. 2024, "Qwen2 Technical Report"
 */
export class Llama extends CausalLM {
  readonly config: FullLlamaConfig;
  tokens: Embedding;
  blocks: TransformerBlock[];
  norm: RMSNorm;
  output: Linear | undefined;

  constructor(config: LlamaConfig) {
    super();
    const { seed, ...given } = config;
    if (seed !== undefined) manualSeed(seed);
    this.config = filledIn(given);
    const { vocabSize, contextLength, numLayers, hiddenSize, headSize, normEps } = this.config;
    const { attentionBias, mlpBias, headNorm, ropeTheta, ropeScaling, dtype } = this.config;
    const { slidingWindow, slidingLayers, initializerRange: std } = this.config;
    this.tokens = new Embedding(vocabSize, hiddenSize, { std, ...(dtype === "bf16" && { dtype }) });
    const rotary = new RotaryPositions(contextLength, headSize, { base: ropeTheta, scaling: ropeScaling });
    const block = {
      ...this.config,
      norm: "rmsNorm",
      gated: true,
      causal: true,
      bias: attentionBias !== false,
      outputBias: attentionBias === true,
      mlpBias,
      headNorm: headNorm ? { eps: normEps } : undefined,
      rotary,
      std,
    } as const;
    this.blocks = Array.from({ length: numLayers }, (_, i) => {
      const isSliding = slidingLayers?.[i] ?? true;
      return new TransformerBlock({ ...block, window: isSliding ? slidingWindow : undefined });
    });
    this.norm = new RMSNorm(hiddenSize, { eps: normEps });
    this.output = this.config.tieWordEmbeddings
      ? undefined
      : new Linear(hiddenSize, vocabSize, { bias: false, std });
  }

  protected embed(ids: Tensor): Tensor {
    return send("embed.token", this.tokens(ids));
  }

  get outputWeight(): Tensor {
    return (this.output ?? this.tokens).weight;
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return { ...toLlamaConfig(this.config), ...this.specialTokens() };
  }

  layout(): Layout {
    return llamaLayout(this.config);
  }

  /**
   * Reads what `savePretrained`, or Hugging Face for a model of this family, has written.
   *
   * @param options.dtype in which the model computes; see GPTConfig. Default "f32"
   * @throws ERR_CHECKPOINT
   */
  static fromPretrained(folder: string, options: Pick<LlamaConfig, "dtype"> = {}): Promise<Llama> {
    return loadPretrained(folder, (settings) => new Llama({ ...fromLlamaConfig(settings), ...options }));
  }
}

function filledIn(given: Omit<LlamaConfig, "seed">): FullLlamaConfig {
  const { vocabSize, contextLength, numLayers, numHeads, hiddenSize, intermediateSize } = given;
  for (const [name, size] of Object.entries({ vocabSize, contextLength, hiddenSize, intermediateSize }))
    checkInteger(`Llama: ${name}`, size, 1);
  checkInteger("Llama: numLayers", numLayers, 0);
  return {
    ...given,
    modelType: given.modelType ?? "llama",
    numKeyValueHeads: given.numKeyValueHeads ?? numHeads,
    headSize: given.headSize ?? hiddenSize / numHeads,
    activation: given.activation ?? "silu",
    normEps: checkNumber("Llama: normEps", given.normEps ?? 1e-6, 0),
    ropeTheta: given.ropeTheta ?? 10000,
    ropeScaling: given.ropeScaling,
    attentionBias: given.attentionBias ?? false,
    mlpBias: given.mlpBias ?? false,
    headNorm: given.headNorm ?? false,
    slidingWindow: given.slidingWindow,
    slidingLayers: given.slidingLayers,
    tieWordEmbeddings: given.tieWordEmbeddings ?? false,
    attentionDropout: checkNumber("Llama: attentionDropout", given.attentionDropout ?? 0, 0, 1),
    initializerRange: checkNumber("Llama: initializerRange", given.initializerRange ?? 0.02, 0),
    dtype: checkActivationDtype("Llama: dtype", given.dtype ?? "f32"),
  };
}
