import { ArgumentError } from "../errors.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";

/** The counts of updates that follow from the arguments and the length of the data. */
export interface StepPlan {
  maxSteps: number;
  /** Passes over the data, begun ones counted. */
  numTrainEpochs: number;
  warmupSteps: number;
  loggingSteps: number;
  evalSteps: number;
  saveSteps: number;
}

/**
 * @param batchesPerEpoch forward passes of one pass over the data, if that is known
 * @throws ERR_ARGUMENT without maxSteps for data of unknown length
 */
export function planSteps(all: FullTrainingArguments, batchesPerEpoch: number | undefined): StepPlan {
  const perEpoch =
    batchesPerEpoch === undefined
      ? undefined
      : Math.max(1, Math.ceil(batchesPerEpoch / all.gradientAccumulationSteps));
  if (all.maxSteps < 0 && perEpoch === undefined) {
    throw new ArgumentError(
      `Trainer: data that is read as it comes has no known length: give maxSteps, the number of updates; got ${all.maxSteps}`,
    );
  }
  const maxSteps = all.maxSteps > 0 ? all.maxSteps : Math.ceil(all.numTrainEpochs * perEpoch!);
  const numTrainEpochs =
    all.maxSteps < 0
      ? Math.ceil(all.numTrainEpochs)
      : perEpoch === undefined
        ? 1
        : Math.ceil(maxSteps / perEpoch);
  const steps = (value: number) => (value < 1 ? Math.ceil(maxSteps * value) : value);
  return {
    maxSteps,
    numTrainEpochs,
    warmupSteps: all.warmupSteps < 1 ? Math.ceil(maxSteps * all.warmupSteps) : Math.trunc(all.warmupSteps),
    loggingSteps: steps(all.loggingSteps),
    evalSteps: steps(all.evalSteps),
    saveSteps: steps(all.saveSteps),
  };
}
