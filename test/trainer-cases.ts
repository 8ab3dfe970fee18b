import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";
import {
  collator,
  GPT,
  type GPTConfig,
  type Tensor,
  TokenDataset,
  Trainer,
  type TrainerOptions,
} from "../src/index.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "trainformer-trainer-"));
  folders.push(folder);
  return folder;
}

export const vocabSize = 11;

export const tinyGPT = (config: Partial<GPTConfig> = {}): GPT =>
  new GPT({ vocabSize, contextLength: 8, numLayers: 1, numHeads: 2, hiddenSize: 8, seed: 5, ...config });

/** Rows of ids that follow a rule, so that there is something to learn. */
export const examples = (count: number, length = 8): { inputIds: number[]; targets: number[] }[] =>
  Array.from({ length: count }, (_, n) => {
    const ids = Array.from({ length: length + 1 }, (_, t) => (n * 5 + t * t * 2 + 3) % vocabSize);
    return { inputIds: ids.slice(0, -1), targets: ids.slice(1) };
  });

export const tokens = (count: number): TokenDataset =>
  TokenDataset.fromTokens(Int32Array.from({ length: count }, (_, i) => (i * i + 3 * i) % vocabSize));

/** All weights of a model, by name. */
export async function weightsOf(model: {
  namedParameters(): Iterable<[string, Tensor]>;
}): Promise<Map<string, number[]>> {
  const all = new Map<string, number[]>();
  for (const [name, p] of model.namedParameters()) all.set(name, [...(await p.toTypedArray())]);
  return all;
}

export type Row = ReturnType<typeof examples>[number];
export type Options = TrainerOptions<GPT, Row>;

/** Nothing is saved unless a test asks for it. */
export const base = (more: Options = {}): Options => ({
  ...{
    trainData: examples(24),
    collate: collator(),
    perDeviceTrainBatchSize: 4,
    maxSteps: 6,
    loggingSteps: 1,
  },
  ...{ learningRate: 1e-2, saveStrategy: "no", outputDir: temporaryFolder(), ...more },
});
export const trained = async (more: Options = {}, model = tinyGPT()) => {
  const trainer = new Trainer(model, base(more));
  const result = await trainer.train();
  const losses = trainer.state!.logHistory.flatMap(({ loss }) => (loss === undefined ? [] : [loss]));
  return { trainer, model, result, losses };
};
