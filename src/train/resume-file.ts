import path from "node:path";
import { type GeneratorState, generatorState } from "../generator.ts";
import { Settings, writeJSON } from "../io/json.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";

/** Where a run is, beside its state and its tensors: `resume.json` of a checkpoint. */
export interface Progress {
  /** Passes over the data that are complete. */
  epoch: number;
  /** Batches taken of the one under way. */
  batch: number;
  /** Sum of the losses of all updates. */
  totalLoss: number;
  /** Sum and number of the losses that are not logged yet. */
  loggedLoss: number;
  loggedUpdates: number;
  /** Updates left out as something in them was not finite. */
  skippedUpdates: number;
  /** Where the stream of random numbers stands. */
  generator: GeneratorState;
  scheduler: unknown;
}

export const newProgress = (): Progress => ({
  ...{ epoch: 0, batch: 0, totalLoss: 0, loggedLoss: 0, loggedUpdates: 0, skippedUpdates: 0 },
  generator: generatorState(),
  scheduler: null,
});

/** On what the order of the data depends: with other values, a resumed run would see other examples. */
const orderOf = (all: FullTrainingArguments): Record<string, unknown> => ({
  perDeviceTrainBatchSize: all.perDeviceTrainBatchSize,
  gradientAccumulationSteps: all.gradientAccumulationSteps,
  trainSamplingStrategy: all.trainSamplingStrategy,
  dataSeed: all.dataSeed,
  maxTokens: all.maxTokens ?? null,
  contextLength: all.contextLength ?? null,
});

const fileIn = (folder: string): string => path.join(folder, "resume.json");

export const writeProgress = (
  folder: string,
  progress: Progress,
  all: FullTrainingArguments,
): Promise<void> => writeJSON(fileIn(folder), { ...progress, order: orderOf(all) });

/**
 * Reads `resume.json`.
 *
 * @throws ERR_CHECKPOINT if there is none, or if the order of the data was another and is not to be ignored
 */
export async function readProgress(folder: string, all: FullTrainingArguments): Promise<Progress> {
  const settings = await Settings.read(fileIn(folder));
  const order = settings.object("order");
  for (const [name, value] of Object.entries(orderOf(all))) {
    if (all.ignoreDataSkip || (order?.values[name] ?? null) === value) continue;
    order?.fail(name, `${JSON.stringify(value)}, as now (or set ignoreDataSkip)`);
  }
  const generator = settings.object("generator");
  const batch = settings.integer("batch", undefined, 0);
  return {
    epoch: settings.integer("epoch", undefined, 0),
    batch: all.ignoreDataSkip ? 0 : batch,
    totalLoss: settings.number("totalLoss", undefined, -Infinity),
    loggedLoss: settings.number("loggedLoss", undefined, -Infinity),
    loggedUpdates: settings.integer("loggedUpdates", undefined, 0),
    skippedUpdates: settings.integer("skippedUpdates", undefined, 0),
    generator: {
      seed: generator?.number("seed") ?? settings.fail("generator", "{ seed, position }"),
      position: generator!.number("position"),
    },
    scheduler: settings.values.scheduler,
  };
}
