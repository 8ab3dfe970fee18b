import type { OptimizerName } from "../optim/make-optimizer.ts";

/** When something is done: never, every so many updates, or at the end of each pass over the data. */
export type IntervalStrategy = "no" | "steps" | "epoch";

/**
 * How to train. Names, defaults and rules are those of Hugging Face's `TrainingArguments` (transformers 5.17), in
 * camelCase; what Hugging Face does not have says so.
 */
export interface FullTrainingArguments {
  /** Where checkpoints are saved. Default "trainer_output". */
  outputDir: string;
  /** Examples of a forward pass. Default 8. */
  perDeviceTrainBatchSize: number;
  /** Default 8. */
  perDeviceEvalBatchSize: number;
  /** Passes over the data; a fraction ends within one. Default 3. */
  numTrainEpochs: number;
  /** Updates, in place of numTrainEpochs if above 0. Default -1. */
  maxSteps: number;
  /** Forward and backward passes of an update. Default 1. */
  gradientAccumulationSteps: number;

  /** The rate that the schedule scales. Default 5e-5. */
  learningRate: number;
  /** The name of a schedule; see `getScheduler`, and "reduce_lr_on_plateau". Default "linear". */
  lrSchedulerType: string;
  /** Further options of the schedule. Default none. */
  lrSchedulerKwargs: Readonly<Record<string, unknown>>;
  /** Updates below the full rate; below 1, a share of all updates. Default 0. */
  warmupSteps: number;
  /** Default "adamw". */
  optim: OptimizerName;
  /** Further options of the optimizer, such as `{ momentum: 0.9 }`. Default none. */
  optimArgs: Readonly<Record<string, unknown>>;
  /** Of all parameters but biases and those of normalizations. Default 0. */
  weightDecay: number;
  /** Of AdamW and Adam. Default 0.9. */
  adamBeta1: number;
  /** Default 0.999. */
  adamBeta2: number;
  /** Default 1e-8. */
  adamEpsilon: number;
  /** The largest norm of all gradients together; 0 for any. Default 1, or 0 where maxGradValue is given. */
  maxGradNorm: number;
  /** The largest magnitude of an element of a gradient; 0 for any. Not of Hugging Face. Default 0. */
  maxGradValue: number;
  /** ε: the label has probability 1 − ε, and ε is spread over all classes. Default 0. */
  labelSmoothingFactor: number;
  /** Decay of the average of weights that is kept beside them, such as 0.999. Not of Hugging Face. Default none. */
  emaDecay: number | undefined;
  /** "stop" throws ERR_NON_FINITE when a loss or gradient is not finite, "skip" leaves the update out. Default "stop". */
  nonFinite: "stop" | "skip";

  /** Mixed precision; true throws where the hardware has no products of bf16, "auto" then stays in f32. Default false. */
  bf16: boolean | "auto";
  /** Compute the activations of blocks again in the backward pass instead of keeping them. Default false. */
  gradientCheckpointing: boolean;

  /** Default "steps". */
  loggingStrategy: IntervalStrategy;
  /** Updates; below 1, a share of all. Default 500. */
  loggingSteps: number;
  /** Default false. */
  loggingFirstStep: boolean;
  /** Default "no", or "steps" if evalSteps is given. */
  evalStrategy: IntervalStrategy;
  /** Updates; below 1, a share of all. Default loggingSteps. */
  evalSteps: number;
  /** Updates or epochs before the first evaluation. Default 0. */
  evalDelay: number;
  /** Evaluate before the first update. Default false. */
  evalOnStart: boolean;
  /** "best" saves when an evaluation is the best so far. Default "steps". */
  saveStrategy: IntervalStrategy | "best";
  /** Updates; below 1, a share of all. Default 500. */
  saveSteps: number;
  /** Checkpoints to keep: the oldest go, the newest and the best never. Default: all. */
  saveTotalLimit: number | undefined;
  /** Leave out what a resumed run needs. Default false. */
  saveOnlyModel: boolean;
  /** Default false. */
  loadBestModelAtEnd: boolean;
  /** A metric of the evaluation, with `eval` before it or without. Default "loss" where one is needed. */
  metricForBestModel: string | undefined;
  /** Default what the metric says of itself, else unless its name ends in "loss". */
  greaterIsBetter: boolean | undefined;

  /** Of dropout, and of the data unless dataSeed is given. Default 42. */
  seed: number;
  /** Of the order of the data. Default `seed`. */
  dataSeed: number;
  /** "group_by_length" makes batches of examples of similar length. Default "random". */
  trainSamplingStrategy: "random" | "sequential" | "group_by_length";
  /** The field with the length of an example, for "group_by_length". Default "length", else the length of `inputIds`. */
  lengthColumnName: string;
  /** With "group_by_length": tokens of a batch, padding included, in place of the batch size. Not of Hugging Face. */
  maxTokens: number | undefined;
  /** Tokens of a window of a TokenDataset. Not of Hugging Face. Default that of the model. */
  contextLength: number | undefined;
  /** Leave out a last batch that is not full. Default false. */
  dataloaderDropLast: boolean;
  /** A resumed run starts with the first batch of its epoch. Default false. */
  ignoreDataSkip: boolean;

  /** Evaluate texts that the model writes. Default false. */
  predictWithGenerate: boolean;
  /** The most tokens of such a text. Default that of the model. */
  generationMaxLength: number | undefined;
  /** Default that of the model. */
  generationNumBeams: number | undefined;
  /** Reporters by name, such as "tensorboard". Default none. */
  reportTo: readonly string[];
}

export interface TrainingArguments
  extends Omit<Partial<FullTrainingArguments>, "optim" | "reportTo" | "optimArgs"> {
  /** Default "adamw"; Hugging Face's "adamw_torch", "adamw_torch_fused" and "lion_32bit" are taken too. */
  optim?: OptimizerName | "adamw_torch" | "adamw_torch_fused" | "lion_32bit";
  /** As an object, or as Hugging Face has it: "momentum=0.9,nesterov=true". */
  optimArgs?: Readonly<Record<string, unknown>> | string;
  reportTo?: string | readonly string[];
  /** Warmup as a share of all updates: another name for a warmupSteps below 1. */
  warmupRatio?: number;
}
