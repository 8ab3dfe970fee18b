import path from "node:path";
import { CheckpointError } from "../errors.ts";
import { manualSeed, setGeneratorState } from "../generator.ts";
import { exists } from "../io/files.ts";
import type { AnyModule } from "../nn/module.ts";
import { reshape, slice } from "../ops/views.ts";
import { EMA } from "../optim/ema.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Schedule } from "../optim/schedule.ts";
import type { TrainerState } from "./callback.ts";
import { latestCheckpoint, listCheckpoints, pruneCheckpoints, tidyCheckpoints } from "./checkpoint-folder.ts";
import type { Epoch } from "./data-source.ts";
import { setGradientCheckpointing } from "./gradient-checkpointing.ts";
import { useBf16 } from "./mixed-precision.ts";
import { makeLearningRates, makeOptimizer } from "./optimization.ts";
import { newProgress, type Progress, readProgress } from "./resume-file.ts";
import { keptOf } from "./save-run.ts";
import { loadModel, loadTensors } from "./saved-tensors.ts";
import { planSteps } from "./step-plan.ts";
import { newState, readState } from "./trainer-state.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";
import { type RunParts, TrainingRun } from "./training-run.ts";

export type ResumeFrom = boolean | "auto" | (string & {});

export interface TrainResult {
  /** Updates made, those before a checkpoint that the run went on from included. */
  readonly globalStep: number;
  /** Mean loss of all of them. */
  readonly trainLoss: number;
  /** `signal` ended it. */
  readonly interrupted: boolean;
  /** Seconds of this run. */
  readonly trainRuntime: number;
  readonly trainStepsPerSecond: number;
  readonly trainTokensPerSecond: number;
  /** The best value of `metricForBestModel`, if there is one. */
  readonly bestMetric?: number;
  readonly bestModelCheckpoint?: string;
}

type Given = Omit<RunParts, "plan" | "optimizer" | "rates" | "average" | "state"> & {
  makeOptimizer: ((model: AnyModule) => Optimizer) | undefined;
  schedule: Schedule | undefined;
};

/** Makes everything ready for the first update, or for the one after a checkpoint. */
export async function startRun(resumeFrom: ResumeFrom, given: Given): Promise<TrainingRun> {
  const { model, all, callbacks, makeOptimizer: own, schedule, ...parts } = given;
  await tidyCheckpoints(all.outputDir);
  const folder = await folderOf(resumeFrom, all.outputDir);
  const resumed = folder === undefined ? undefined : await readRun(folder, all);
  if (folder === undefined) await warnOfOthers(all);
  useBf16(model, all.bf16);
  setGradientCheckpointing(model, all.gradientCheckpointing);
  model.train();

  if (resumed === undefined) manualSeed(all.seed);
  const progress = resumed?.progress ?? newProgress();
  const source = withFirst(parts.source, progress.epoch, await parts.source(progress.epoch));
  const plan = planSteps(all, (await source(progress.epoch)).batches);
  if (folder !== undefined) await loadModel(folder, model);
  await computed(model); // making an optimizer waits for it, and holds up the event loop
  const optimizer = own ? own(model) : makeOptimizer(model, all);
  const rates = makeLearningRates(all, plan, optimizer, model, schedule);
  const average = all.emaDecay === undefined ? undefined : new EMA(model, { decay: all.emaDecay });
  const state = resumed?.state ?? newState(plan);
  Object.assign(state, { maxSteps: plan.maxSteps, numTrainEpochs: plan.numTrainEpochs });
  if (folder !== undefined && resumed !== undefined) {
    optimizer.loadStateDict(await loadTensors(path.join(folder, "optimizer.safetensors")));
    average?.loadStateDict(await loadTensors(path.join(folder, "ema.safetensors")));
    rates.loadStateDict(progress.scheduler);
    for (const callback of callbacks) {
      const remembered = resumed.callbacks[callback.constructor.name];
      if (remembered !== undefined) callback.loadStateDict?.(remembered);
    }
    setGeneratorState(progress.generator);
  }
  const ready = { ...parts, source, model, all, plan, callbacks, optimizer, rates, average, state };
  return new TrainingRun(ready, progress);
}

/** Resolves when the weights are there: initial values may still be drawn. */
async function computed(model: AnyModule): Promise<void> {
  const last = model.parameters().at(-1);
  if (last !== undefined) await slice(reshape(last.detach(), [last.size]), 0, 0, 1).toTypedArray();
}

async function folderOf(resumeFrom: ResumeFrom, outputDir: string): Promise<string | undefined> {
  if (resumeFrom === false) return undefined;
  if (typeof resumeFrom === "string" && resumeFrom !== "auto") return resumeFrom;
  const latest = await latestCheckpoint(outputDir);
  if (latest !== undefined || resumeFrom === "auto") return latest;
  throw new CheckpointError(
    `${outputDir}: must hold a checkpoint for resumeFromCheckpoint: true; it has none ("auto" then starts from the beginning)`,
  );
}

async function readRun(
  folder: string,
  all: FullTrainingArguments,
): Promise<{ state: TrainerState; progress: Progress; callbacks: Readonly<Record<string, unknown>> }> {
  if (!(await exists(path.join(folder, "resume.json")))) {
    throw new CheckpointError(
      `${folder}: must hold resume.json to be resumed; it has none: it is no checkpoint of a Trainer, or was saved with saveOnlyModel`,
    );
  }
  return { ...(await readState(folder)), progress: await readProgress(folder, all) };
}

/** A run from the beginning in the folder of another is likely a mistake, but may be meant. */
async function warnOfOthers({ outputDir }: FullTrainingArguments): Promise<void> {
  const last = (await listCheckpoints(outputDir)).at(-1);
  if (last === undefined) return;
  process.emitWarning(
    `${outputDir} holds checkpoints of an earlier run, up to step ${last.step}; resumeFromCheckpoint: true would go on with it`,
    { type: "TrainformerWarning", code: "WARN_OTHER_RUN" },
  );
}

/** The pass over the data that was opened to count its batches is not opened twice. */
function withFirst(source: RunParts["source"], number: number, first: Epoch): RunParts["source"] {
  let opened: Epoch | undefined = first;
  let uses = 0;
  return async (epoch) => {
    if (epoch !== number || opened === undefined) return source(epoch);
    const result = opened;
    if (++uses === 2) opened = undefined;
    return result;
  };
}

/** Saves a run that was interrupted; else loads the best model if asked to, and tells how it went. */
export async function finishRun(
  run: TrainingRun,
  {
    firstStep,
    started_ms,
    signal,
  }: { firstStep: number; started_ms: number; signal: AbortSignal | undefined },
): Promise<TrainResult> {
  const { all, state, model } = run.parts;
  const interrupted = signal?.aborted === true && state.globalStep < state.maxSteps;
  if (signal?.aborted && all.saveStrategy !== "no" && run.savedStep !== state.globalStep)
    await run.parts.save();
  const best = state.bestModelCheckpoint;
  if (all.loadBestModelAtEnd && !interrupted && best !== undefined) await loadModel(best, model);
  const seconds = (performance.now() - started_ms) / 1000;
  const updates = state.globalStep - firstStep;
  const result = {
    trainRuntime: seconds,
    trainStepsPerSecond: updates / seconds,
    trainTokensPerSecond: run.tokens / seconds,
    trainLoss: run.trainLoss,
  };
  await run.log({ ...result, totalFlos: state.totalFlos });
  if (all.saveTotalLimit === 1 && all.loadBestModelAtEnd && !interrupted && best !== undefined) {
    await pruneCheckpoints(all.outputDir, 1, keptOf(run, undefined));
  }
  return {
    ...result,
    globalStep: state.globalStep,
    interrupted,
    ...(state.bestMetric !== undefined && { bestMetric: state.bestMetric }),
    ...(best !== undefined && { bestModelCheckpoint: best }),
  };
}
