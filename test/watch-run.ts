import { CharTokenizer, GPT, TokenDataset } from "../src/index.ts";
import { WatchReporter, type WatchReporterOptions } from "../src/inspect/watch/index.ts";
import type { TrainerCallback } from "../src/train/callback.ts";
import { Trainer } from "../src/train/trainer.ts";

export const alphabet = new CharTokenizer("abcdefghijklmnop ");

/** Random words, each said twice: what comes in the second can be copied from the first. */
export function repeatedWords(count: number): string {
  let state = 5;
  const draw = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const word = () => Array.from({ length: 7 }, () => "abcdefghijklmnop"[draw(16)]).join("");
  return Array.from({ length: count }, () => [word()].flatMap((w) => [w, w]).join(" ")).join(" ");
}

export interface SmallRun {
  readonly folder: string;
  readonly steps: number;
  readonly options?: WatchReporterOptions;
  readonly callbacks?: readonly TrainerCallback[];
}

/** Trains a model of two layers on repeated words, watched. */
export async function trainWatched({ folder, steps, options, callbacks = [] }: SmallRun) {
  const model = new GPT({
    ...{
      vocabSize: alphabet.vocabulary.length,
      contextLength: 32,
      numLayers: 2,
      numHeads: 4,
      hiddenSize: 64,
      seed: 3,
    },
  });
  const data = TokenDataset.fromTokens(alphabet.encode(repeatedWords(2000)));
  const watch = new WatchReporter({
    ...{ prompt: "abcdefg abc", tokenizer: alphabet, everySteps: 5, port: false, ...options },
  });
  const trainer = new Trainer(model, {
    ...{
      trainData: data,
      evalData: TokenDataset.fromTokens(alphabet.encode(repeatedWords(40))),
      outputDir: folder,
    },
    ...{ maxSteps: steps, perDeviceTrainBatchSize: 16, contextLength: 32, learningRate: 3e-3, seed: 1 },
    ...{
      loggingSteps: 5,
      evalStrategy: "steps",
      evalSteps: Math.ceil(steps / 8),
      saveStrategy: "no",
      callbacks: [watch, ...callbacks],
    },
  });
  await trainer.train();
  return { model, watch, trainer };
}
