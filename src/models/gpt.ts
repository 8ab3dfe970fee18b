import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { isRecording, noGrad, withRecording } from "../autograd.ts";
import type { TokenDataset } from "../data/token-dataset.ts";
import { ArgumentError, CheckpointError, checkInteger, checkNumber } from "../errors.ts";
import { type SampleOptions, sampleToken } from "../generate/sample.ts";
import { manualSeed } from "../generator.ts";
import { writeAtomically } from "../io/files.ts";
import { readSafetensors, type StoredTensor, writeSafetensors } from "../io/safetensors.ts";
import { inScopeOf, scope } from "../memory.ts";
import { checkActivationDtype } from "../nn/activation-dtype.ts";
import { Dropout, Embedding, LayerNorm } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { LearnedPositions } from "../nn/positions.ts";
import { TransformerBlock } from "../nn/transformer.ts";
import { linearCrossEntropy } from "../ops/linearcrossentropy.ts";
import { type Activation, linear } from "../ops/products.ts";
import { slice } from "../ops/views.ts";
import { Random } from "../random.ts";
import { showShape } from "../shape.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { fromGPT2Config, gpt2Name, isTransposedInGPT2, toGPT2Config, toGPT2Tensors } from "./gpt2-format.ts";

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
  /** Of embeddings, attention weights and what layers add to the stream. Default 0. */
  dropout?: number;
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

export interface GPTInput {
  /** `[B, T]` i32: the token that follows each position; -100 counts for nothing. */
  targets?: Tensor;
  /** Logits of the last position only: for generation. */
  lastOnly?: boolean;
}

export interface GPTOutput {
  /**
   * `[B, T, V]`, or `[B, 1, V]` of the last position.
   *
   * With targets they are made when first read, of the weights as they are then, and kept: a loss alone does without
   * them. The property is not enumerable, so that a scope that returns the whole output does not keep them; read them
   * inside of it.
   */
  readonly logits: Tensor;
  /** `[]` f32, mean cross entropy in nats; with targets only. */
  loss?: Tensor;
}

export interface GenerateOptions extends SampleOptions {
  /** Default 100. */
  maxNewTokens?: number;
  /** Of the draws. Default 0. */
  seed?: number;
  signal?: AbortSignal;
}

/** What turns text into tokens and back. */
export interface TextTokenizer {
  readonly size: number;
  encode(text: string): Int32Array;
  decode(ids: ArrayLike<number>): string;
}

export interface GPT {
  (ids: Tensor, input: GPTInput & { targets: Tensor }): Required<GPTOutput>;
}

/**
 * Decoder-only Transformer of the GPT-2 kind: learned positions, pre-norm blocks, embeddings tied to the output.
 *
 * @see Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"
 */
export class GPT extends Module<[ids: Tensor, input?: GPTInput], GPTOutput> {
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
    const { vocabSize, contextLength, numLayers, numHeads, hiddenSize } = given;
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
    const { activation = "geluTanh", bias = true, normEps = 1e-5, dtype = "f32" } = given;
    checkActivationDtype("GPT: dtype", dtype);
    this.config = { ...given, intermediateSize, activation, dropout, bias, normEps, dtype };

    const std = 0.02;
    this.tokens = new Embedding(vocabSize, hiddenSize, { std, ...(dtype === "bf16" && { dtype }) });
    this.positions = new LearnedPositions(contextLength, hiddenSize, { std });
    this.dropout = new Dropout(dropout);
    // What 2·numLayers projections add to the stream shall not grow it: their weights start smaller.
    const outputStd = std / Math.sqrt(2 * numLayers);
    const block = {
      hiddenSize,
      numHeads,
      intermediateSize,
      activation,
      bias,
      normEps,
      dropout,
      std,
      outputStd,
      causal: true,
    };
    this.blocks = Array.from({ length: numLayers }, () => new TransformerBlock(block));
    this.norm = new LayerNorm(hiddenSize, { eps: normEps, bias });
  }

  /** @param ids `[B, T]` i32, T at most contextLength */
  forward(ids: Tensor, { targets, lastOnly = false }: GPTInput = {}): GPTOutput {
    let x = this.dropout(this.positions(this.tokens(ids)));
    for (const block of this.blocks) x = block(x);
    if (lastOnly) x = slice(x, 1, -1);
    x = this.norm(x);
    const { weight } = this.tokens;
    if (targets === undefined) return { logits: linear(x, weight) };
    return withLazyLogits({ loss: linearCrossEntropy(x, weight, targets) }, x, weight);
  }

  /**
   * Mean cross entropy over a whole data set, in nats per token, in evaluation mode. The event loop stays alive.
   *
   * @param options.batchSize windows of contextLength tokens at a time. Default 32
   */
  async evaluate(
    dataset: TokenDataset,
    options: { batchSize?: number; signal?: AbortSignal } = {},
  ): Promise<number> {
    const { contextLength } = this.config;
    const wasTraining = this.training;
    let total = 0;
    let count = 0;
    try {
      for (const { inputs, targets } of dataset.sequentialBatches({
        batchSize: options.batchSize ?? 32,
        contextLength,
        device: this.device,
      })) {
        options.signal?.throwIfAborted();
        this.eval();
        const loss = scope(() => noGrad(() => this(inputs, { targets }).loss));
        this.train(wasTraining);
        total += (await loss.item()) * targets.size;
        count += targets.size;
        loss.dispose();
      }
    } finally {
      this.train(wasTraining);
    }
    return total / count;
  }

  /** Draws tokens that go on from `prompt`, one at a time. The model sees the last contextLength tokens. */
  async *generate(
    prompt: Int32Array | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<number> {
    const { maxNewTokens = 100, seed = 0, signal, ...sampling } = options;
    checkInteger("generate: maxNewTokens", maxNewTokens, 0);
    if (prompt.length === 0) throw new ArgumentError("generate: prompt must hold at least one token");
    const { contextLength } = this.config;
    const random = new Random(seed);
    const ids = [...prompt];
    for (let n = 0; n < maxNewTokens; n++) {
      signal?.throwIfAborted();
      const token = sampleToken(await this.nextLogits(ids.slice(-contextLength)), sampling, random);
      ids.push(token);
      yield token;
    }
  }

  private async nextLogits(ids: readonly number[]): Promise<Float32Array> {
    const wasTraining = this.training;
    this.eval();
    const logits = scope(() =>
      noGrad(
        () =>
          this(tensor(Int32Array.from(ids), [1, ids.length], { device: this.device }), { lastOnly: true })
            .logits,
      ),
    );
    this.train(wasTraining);
    const values = await logits.toTypedArray();
    logits.dispose();
    return values as Float32Array;
  }

  /** Like `generate`, from text to pieces of text. */
  async *stream(
    prompt: string,
    options: GenerateOptions & { tokenizer: TextTokenizer },
  ): AsyncGenerator<string> {
    const { tokenizer, ...rest } = options;
    for await (const token of this.generate(tokenizer.encode(prompt), rest)) yield tokenizer.decode([token]);
  }

  /**
   * Writes `config.json` and `model.safetensors` as Hugging Face's GPT2LMHeadModel reads them, and the tokenizer's
   * files if one is given. Each file appears whole or not at all.
   */
  async savePretrained(
    folder: string,
    options: { tokenizer?: { save(folder: string): Promise<void> } } = {},
  ): Promise<void> {
    await mkdir(folder, { recursive: true });
    const config = new TextEncoder().encode(`${JSON.stringify(toGPT2Config(this.config), null, 2)}\n`);
    await writeAtomically(path.join(folder, "config.json"), [config]);
    await options.tokenizer?.save(folder);
    const tensors: [string, StoredTensor][] = [];
    for await (const entry of toGPT2Tensors(this.stateDict())) tensors.push(entry);
    await writeSafetensors(path.join(folder, "model.safetensors"), tensors);
  }

  /**
   * Reads what `savePretrained`, or Hugging Face for a GPT-2, has written.
   *
   * @param options.dtype in which the model computes; see GPTConfig. Default "f32"
   * @throws ERR_CHECKPOINT
   */
  static async fromPretrained(folder: string, options: Pick<GPTConfig, "dtype"> = {}): Promise<GPT> {
    const configPath = path.join(folder, "config.json");
    const model = new GPT({ ...fromGPT2Config(await readJSON(configPath), configPath), ...options });
    const file = path.join(folder, "model.safetensors");
    model.loadGPT2Tensors((await readSafetensors(file)).tensors, file);
    return model;
  }

  /** Copies the tensors of a GPT-2 file, by their names there, into the parameters. */
  loadGPT2Tensors(tensors: ReadonlyMap<string, StoredTensor>, source = "loadGPT2Tensors"): void {
    scope(() => {
      for (const [name, parameter] of this.namedParameters()) {
        const theirs = gpt2Name(name);
        const stored = tensors.get(theirs) ?? tensors.get(theirs.replace(/^transformer\./, ""));
        if (stored === undefined) throw new CheckpointError(`${source}: ${theirs} is missing`);
        const value = tensor(stored.data, stored.shape);
        const oriented = isTransposedInGPT2(theirs) && value.rank === 2 ? value.T : value;
        if (showShape(oriented.shape) !== showShape(parameter.shape)) {
          const expected = isTransposedInGPT2(theirs) ? [...parameter.shape].reverse() : parameter.shape;
          throw new CheckpointError(
            `${source}: ${theirs} must be ${showShape(expected)}; got ${showShape(stored.shape)}`,
          );
        }
        parameter.assign(oriented.isContiguous ? oriented : oriented.contiguous());
      }
    });
  }
}

/** `output` with the logits of `x`: made when first read, but in the scope of `x`, and recorded if this call is. */
function withLazyLogits(output: { loss: Tensor }, x: Tensor, weight: Tensor): Required<GPTOutput> {
  const recording = isRecording([x, weight]);
  let logits: Tensor | undefined;
  const get = () =>
    (logits ??= withRecording(recording, () => inScopeOf(x.storage, () => linear(x, weight))));
  return Object.defineProperty(output, "logits", { get }) as Required<GPTOutput>;
}

async function readJSON(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw new CheckpointError(`${file}: cannot be read: ${(cause as Error).message}`, { cause });
  }
}
