export type { Logs, TrainerCallback, TrainerControl, TrainerEvent, TrainerState } from "./callback.ts";
export { latestCheckpoint } from "./checkpoint-folder.ts";
export { type CollatorOptions, collator, seq2seqCollator } from "./collator.ts";
export type { ComputeLoss, ModelOutput } from "./compute-loss.ts";
export type { Batch, Collate, TrainerData } from "./data-source.ts";
export { EarlyStoppingCallback } from "./early-stopping.ts";
export { NonFiniteError } from "./gradients.ts";
export * from "./report/index.ts";
export {
  type HalvingOptions,
  hyperparameterSearch,
  type SearchOptions,
  type SearchResult,
} from "./search.ts";
export type { Configuration, SearchRange, SearchSpace } from "./search-space.ts";
export type { ResumeFrom, TrainResult } from "./start-run.ts";
export * from "./step.ts";
export { type Predictions, Trainer, type TrainerOptions, type TrainOptions } from "./trainer.ts";
export type {
  FullTrainingArguments,
  IntervalStrategy,
  TrainingArguments,
} from "./training-arguments.ts";
export type { TrainingStep } from "./training-run.ts";
export type { Objective, Trial, TrialResult } from "./trial.ts";
