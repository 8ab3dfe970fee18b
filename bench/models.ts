/** The models whose training is timed, and one step of it. */
import { GPT } from "../src/models/gpt.ts";
import { AdamW } from "../src/optim/adamw.ts";
import { Random } from "../src/random.ts";
import { type Tensor, tensor } from "../src/tensor.ts";
import { step } from "../src/train/step.ts";
import "../src/functional.ts";

export interface ModelSize {
  readonly layers: number;
  readonly heads: number;
  readonly hidden: number;
  readonly context: number;
  readonly vocabulary: number;
  readonly batch: number;
  /** Of the sequences, at most `context`. */
  readonly length: number;
}

const characters = { context: 64, vocabulary: 65, batch: 12, length: 64 };

export const modelSizes: Readonly<Record<string, ModelSize>> = {
  char: { layers: 4, heads: 4, hidden: 128, ...characters },
  small: { layers: 6, heads: 6, hidden: 384, ...characters },
  gpt2: { layers: 12, heads: 12, hidden: 768, context: 1024, vocabulary: 50257, batch: 4, length: 64 },
};

/** A model with its optimizer and a batch. The function enqueues one step and returns the loss, not yet computed. */
export function makeTraining(size: ModelSize, dtype: "f32" | "bf16" = "f32"): () => Tensor {
  const model = new GPT({
    dtype,
    vocabSize: size.vocabulary,
    contextLength: size.context,
    numLayers: size.layers,
    numHeads: size.heads,
    hiddenSize: size.hidden,
    seed: 0,
  });
  const optimizer = new AdamW(model.parameters(), {
    learningRate: 3e-4,
    betas: [0.9, 0.95],
    weightDecay: 0.1,
  });
  const random = new Random(0);
  const tokens = () => {
    const values = { length: size.batch * size.length };
    return tensor(
      Int32Array.from(values, () => random.integer(size.vocabulary)),
      [size.batch, size.length],
    );
  };
  const [inputs, targets] = [tokens(), tokens()];
  return () =>
    step(() => {
      const { loss } = model(inputs, { targets });
      loss.backward();
      optimizer.step();
      return loss;
    });
}
