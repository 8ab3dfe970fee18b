/** The models whose training is timed, and one step of it. */
import { GPT } from "../src/models/gpt.ts";
import { Embedding } from "../src/nn/layers.ts";
import { type AnyModule, Module } from "../src/nn/module.ts";
import { SinusoidalPositions } from "../src/nn/positions.ts";
import { TransformerBlock } from "../src/nn/transformer.ts";
import { linearCrossEntropy } from "../src/ops/linearcrossentropy.ts";
import { AdamW } from "../src/optim/adamw.ts";
import { Random } from "../src/random.ts";
import { type Tensor, tensor } from "../src/tensor.ts";
import { step } from "../src/train/step.ts";
import "../src/functional.ts";

export interface ModelSize {
  /** "gpt": GPT-2. "encdec": the Transformer of 2017, as many layers in the encoder as in the decoder. */
  readonly kind: "gpt" | "encdec";
  readonly layers: number;
  readonly heads: number;
  readonly hidden: number;
  readonly context: number;
  readonly vocabulary: number;
  readonly batch: number;
  /** Of the sequences, at most `context`. */
  readonly length: number;
}

const char = {
  kind: "gpt",
  layers: 4,
  heads: 4,
  hidden: 128,
  context: 64,
  vocabulary: 65,
  batch: 12,
  length: 64,
} as const;
const gpt2 = {
  kind: "gpt",
  layers: 12,
  heads: 12,
  hidden: 768,
  context: 1024,
  vocabulary: 50257,
  batch: 4,
} as const;
const base = { kind: "encdec", layers: 6, heads: 8, hidden: 512, context: 32, vocabulary: 8000 } as const;

export const modelSizes: Readonly<Record<string, ModelSize>> = {
  char,
  small: { ...char, layers: 6, heads: 6, hidden: 384 },
  gpt2: { ...gpt2, length: 64 },
  "gpt2-256": { ...gpt2, length: 256 },
  encdec: { ...base, batch: 16, length: 32 },
};

/**
 * Floating-point operations of the products of a step, those of attention included; backward has twice as many as
 * forward. A token takes 24·C² in a layer of GPT or of the encoder, of which 8·C² are attention's projections, and 32·C²
 * in one of the decoder; 2·C·V in the output; and 4·C for each position that it attends to.
 */
export function flopsOf({ kind, layers, hidden: C, vocabulary: V, batch, length: T }: ModelSize): number {
  const causal = (T + 1) / 2;
  const perLayer = kind === "gpt" ? 24 * C + 4 * causal : 56 * C + 4 * (causal + 2 * T);
  return 3 * batch * T * C * (layers * perLayer + 2 * V);
}

/**
 * Encoder and decoder, post-norm, with ReLU and sinusoidal positions; the output is tied to the target embedding.
 *
 * @see Vaswani et al. 2017, "Attention Is All You Need"
 */
class EncoderDecoder extends Module<[source: Tensor, target: Tensor, targets: Tensor], Tensor> {
  sourceTokens: Embedding;
  targetTokens: Embedding;
  positions: SinusoidalPositions;
  encoder: TransformerBlock[];
  decoder: TransformerBlock[];

  constructor({ layers, heads, hidden, context, vocabulary }: ModelSize, dtype: "f32" | "bf16") {
    super();
    const layer = { hiddenSize: hidden, numHeads: heads, normPosition: "post", activation: "relu" } as const;
    const decoderLayer = { ...layer, causal: true, crossAttention: true };
    this.sourceTokens = new Embedding(vocabulary, hidden, { std: 0.02, dtype });
    this.targetTokens = new Embedding(vocabulary, hidden, { std: 0.02, dtype });
    this.positions = new SinusoidalPositions(context, hidden);
    this.encoder = Array.from({ length: layers }, () => new TransformerBlock(layer));
    this.decoder = Array.from({ length: layers }, () => new TransformerBlock(decoderLayer));
  }

  /** `[B, S]`, `[B, T]` and what follows, `[B, T]`, i32 → the loss. */
  forward(source: Tensor, target: Tensor, targets: Tensor): Tensor {
    let memory = this.positions(this.sourceTokens(source));
    for (const layer of this.encoder) memory = layer(memory);
    let x = this.positions(this.targetTokens(target));
    for (const layer of this.decoder) x = layer(x, { memory });
    return linearCrossEntropy(x, this.targetTokens.weight, targets);
  }
}

/** A model and its loss on one batch of random tokens. */
function makeModel(size: ModelSize, dtype: "f32" | "bf16"): { model: AnyModule; loss: () => Tensor } {
  const random = new Random(0);
  const tokens = () => {
    const values = { length: size.batch * size.length };
    return tensor(
      Int32Array.from(values, () => random.integer(size.vocabulary)),
      [size.batch, size.length],
    );
  };
  const [inputs, targets] = [tokens(), tokens()];
  if (size.kind === "encdec") {
    const model = new EncoderDecoder(size, dtype);
    const source = tokens();
    return { model, loss: () => model(source, inputs, targets) };
  }
  const model = new GPT({
    dtype,
    vocabSize: size.vocabulary,
    contextLength: size.context,
    numLayers: size.layers,
    numHeads: size.heads,
    hiddenSize: size.hidden,
    seed: 0,
  });
  return { model, loss: () => model(inputs, { targets }).loss };
}

/** A model with its optimizer and a batch. The function enqueues one step and returns the loss, not yet computed. */
export function makeTraining(size: ModelSize, dtype: "f32" | "bf16" = "f32"): () => Tensor {
  const { model, loss: lossOf } = makeModel(size, dtype);
  const optimizer = new AdamW(model.parameters(), {
    learningRate: 3e-4,
    betas: [0.9, 0.95],
    weightDecay: 0.1,
  });
  return () =>
    step(() => {
      const loss = lossOf();
      loss.backward();
      optimizer.step();
      return loss;
    });
}
