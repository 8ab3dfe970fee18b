import path from "node:path";
import { ArgumentError } from "../errors.ts";
import type { GenerationTokenizer } from "../generate/decoding.ts";
import type { EvalPredictionParts, Metric } from "../metrics/metric.ts";
import type { AnyModule } from "../nn/module.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Schedule } from "../optim/schedule.ts";
import { evalName } from "./best-model.ts";
import type { Logs, TrainerCallback, TrainerState } from "./callback.ts";
import { collator } from "./collator.ts";
import { type ComputeLoss, lossFunction } from "./compute-loss.ts";
import {
  type BatchRules,
  type Collate,
  type DataSource,
  dataSource,
  inOrder,
  type TrainerData,
} from "./data-source.ts";
import { type Evaluation, evaluate } from "./evaluation.ts";
import { emit } from "./events.ts";
import { newControl } from "./flow.ts";
import type { CountItems } from "./prepared-batch.ts";
import { reporters } from "./report/index.ts";
import { resolveArguments } from "./resolve-arguments.ts";
import { saveRun } from "./save-run.ts";
import { type SavedTokenizer, saveModel } from "./saved-tensors.ts";
import { finishRun, type ResumeFrom, startRun, type TrainResult } from "./start-run.ts";
import type { FullTrainingArguments, TrainingArguments } from "./training-arguments.ts";
import type { TrainingRun, TrainingStep } from "./training-run.ts";

export interface TrainerOptions<M extends AnyModule = AnyModule, E = never> extends TrainingArguments {
  /** Examples to learn from; see {@link TrainerData}. */
  trainData?: TrainerData<E>;
  /** Examples to evaluate on. */
  evalData?: TrainerData<E>;
  /**
   * Makes a batch of examples: an object of tensors, of which `inputIds` is the first argument of the model and the rest,
   * as an object, the second; without `inputIds` the object is its only argument; an array holds all of its arguments.
   * Default `collator()`. The windows of a TokenDataset are batches already.
   *
   * Tensors that it makes are freed after the update. What it makes on the processor is moved to the model's device.
   */
  collate?: Collate<E>;
  /** The loss of a batch, for a model that does not give `{ loss }`: the mean over the items of the batch. */
  computeLoss?: ComputeLoss<M>;
  /** How many items the loss of a batch is the mean of. Default: its `labels` (or `targets`) that are not -100. */
  countItems?: CountItems;
  /** Computed in evaluations. */
  metrics?: readonly Metric[];
  callbacks?: readonly TrainerCallback[];
  /** Saved into checkpoints, and what `predictWithGenerate` makes texts with. */
  tokenizer?: SavedTokenizer & Partial<GenerationTokenizer>;
  /** Makes the optimizer, in place of `optim`. */
  optimizer?: (model: M) => Optimizer;
  /** The learning rate of each update, in place of `lrSchedulerType` and its warmup. */
  schedule?: Schedule;
}

export interface TrainOptions {
  /**
   * A folder of a checkpoint; true for the newest in outputDir, which must be there; "auto" for the newest, or from the
   * beginning if there is none. Default: from the beginning.
   */
  resumeFromCheckpoint?: ResumeFrom;
  /** Ends the run after the update in flight, with a checkpoint. */
  signal?: AbortSignal;
}

/** What `predict` gives: parts of an evaluation, and its metrics. */
export interface Predictions extends EvalPredictionParts {
  readonly metrics: Logs;
}

/**
 * Trains a model: any Module whose forward gives `{ loss }`, or with `computeLoss` any Module.
 *
 * ```ts
 * const trainer = new Trainer(model, {
 *   trainData, evalData, collate: collator({ padTokenId: tokenizer.padTokenId }),
 *   numTrainEpochs: 3, perDeviceTrainBatchSize: 32, learningRate: 5e-4, warmupRatio: 0.1,
 *   evalSteps: 200, saveSteps: 200, saveTotalLimit: 2, loadBestModelAtEnd: true, outputDir: "run",
 * });
 * const { trainLoss } = await trainer.train({ resumeFromCheckpoint: "auto", signal });
 * ```
 *
 * Options have the names, defaults and rules of Hugging Face's `TrainingArguments`. Two runs with one seed are the same
 * bit for bit, and so is one that was resumed from a checkpoint. The event loop stays alive.
 *
 * @see Hugging Face's `Trainer` (transformers 5.17)
 */
export class Trainer<M extends AnyModule = AnyModule, E = never> {
  readonly model: M;
  /** All options, with nothing left to defaults. */
  readonly options: FullTrainingArguments;
  readonly callbacks: readonly TrainerCallback[];
  readonly #given: Omit<TrainerOptions<M, E>, keyof TrainingArguments>;
  #run: TrainingRun | undefined;
  #isTraining = false;

  /** @throws ERR_ARGUMENT on an option that is unknown, out of range, or does not go with another */
  constructor(model: M, options: TrainerOptions<M, E> = {}) {
    const { trainData, evalData, collate, computeLoss, countItems, metrics, ...others } = options;
    const { callbacks = [], tokenizer, optimizer, schedule, ...trainingArguments } = others;
    this.model = model;
    this.options = resolveArguments(trainingArguments);
    const chosen = metrics?.find(
      ({ name }) => evalName(name) === evalName(this.options.metricForBestModel ?? ""),
    );
    if (chosen && trainingArguments.greaterIsBetter === undefined) {
      this.options.greaterIsBetter = chosen.greaterIsBetter ?? true;
    }
    this.#given = {
      trainData,
      evalData,
      collate,
      computeLoss,
      countItems,
      metrics,
      tokenizer,
      optimizer,
      schedule,
    };
    const named = reporters(this.options.reportTo, this.options);
    this.callbacks = [...callbacks, ...named];
    if (this.options.evalStrategy !== "no" && evalData === undefined) {
      throw new ArgumentError(
        `Trainer: evalData must be given for evalStrategy "${this.options.evalStrategy}"; got none`,
      );
    }
  }

  /** How far training has come; undefined before. */
  get state(): Readonly<TrainerState> | undefined {
    return this.#run?.parts.state;
  }

  /**
   * Trains to the end, or until `signal` aborts: then with a checkpoint, and without an error.
   *
   * @throws ERR_NON_FINITE when a loss or gradient is not finite; ERR_CHECKPOINT when a checkpoint cannot be saved, after
   *   which `saveCheckpoint` can save it elsewhere; ERR_ARGUMENT on options that do not go with the data or the model
   */
  async train(options: TrainOptions = {}): Promise<TrainResult> {
    let result: TrainResult | undefined;
    for await (const event of this.#training(options, true)) if ("interrupted" in event) result = event;
    return result!;
  }

  /** Trains on `trainData`, or on the option of that name. */
  fit(trainData?: TrainerData<E>, options: TrainOptions = {}): Promise<TrainResult> {
    if (trainData !== undefined) this.#given.trainData = trainData;
    return this.train(options);
  }

  /**
   * The same, update by update: each is given once it is computed, and evaluations and checkpoints that were due after
   * it are there. Leaving the loop ends the run.
   *
   * ```ts
   * for await (const { step, loss } of trainer.steps()) if (loss < 1) break;
   * ```
   */
  async *steps(options: TrainOptions = {}): AsyncGenerator<TrainingStep, void> {
    for await (const event of this.#training(options, false)) if (!("interrupted" in event)) yield event;
  }

  /**
   * The loss and the metrics of `data`, by default evalData, in evaluation mode; with emaDecay, of the averaged weights.
   *
   * @returns `evalLoss`, the metrics as `evalName`, `evalRuntime` in seconds …
   */
  async evaluate(data?: TrainerData<E>, options: { signal?: AbortSignal } = {}): Promise<Logs> {
    const { metrics } = await this.#evaluation(data, options.signal);
    const { model, options: all } = this;
    const state = this.state ?? { ...emptyState };
    const event = { model, state, options: all, control: newControl() };
    await emit(this.callbacks, "onLog", { ...event, logs: metrics } as never);
    await emit(this.callbacks, "onEvaluate", { ...event, metrics } as never);
    return metrics;
  }

  /** What the model makes of `data`: predicted classes, logits and labels, or with predictWithGenerate texts. */
  async predict(data: TrainerData<E>, options: { signal?: AbortSignal } = {}): Promise<Predictions> {
    const keeps = this.options.predictWithGenerate
      ? (["texts"] as const)
      : (["predictions", "logits", "labels"] as const);
    const { parts, metrics } = await this.#evaluation(data, options.signal, keeps);
    return { ...parts, metrics };
  }

  /** Saves the model and the tokenizer. @throws ERR_CHECKPOINT */
  saveModel(folder: string = this.options.outputDir): Promise<void> {
    return saveModel(folder, this.model, this.#given.tokenizer);
  }

  /**
   * Saves `checkpoint-{step}` with all that a resumed run needs, into outputDir or elsewhere: after a full disk, for
   * example.
   *
   * @returns its folder
   * @throws ERR_CHECKPOINT with the cause; ERR_ARGUMENT before any training
   */
  async saveCheckpoint({ outputDir = this.options.outputDir }: { outputDir?: string } = {}): Promise<string> {
    if (this.#run === undefined) {
      throw new ArgumentError("Trainer.saveCheckpoint: there is nothing to save before training begins");
    }
    return saveRun(this.#run, path.normalize(outputDir), this.#given.tokenizer);
  }

  async *#training(
    { resumeFromCheckpoint = false, signal }: TrainOptions,
    ahead: boolean,
  ): AsyncGenerator<TrainingStep | TrainResult, void> {
    if (this.#isTraining) throw new ArgumentError("Trainer: it is training already");
    this.#isTraining = true;
    const wasTraining = this.model.training;
    let run: TrainingRun | undefined;
    try {
      const { model, options, callbacks } = this;
      run = await startRun(resumeFromCheckpoint, {
        ...{ model, all: options, callbacks },
        source: this.#source("trainData"),
        makeOptimizer: this.#given.optimizer as ((model: AnyModule) => Optimizer) | undefined,
        schedule: this.#given.schedule,
        countItems: this.#given.countItems,
        lossOf: this.#lossOf(),
        evaluate: async (signal) => (await this.#evaluation(undefined, signal)).metrics,
        save: () => this.saveCheckpoint(),
      });
      this.#run = run;
      const started_ms = performance.now();
      const firstStep = run.parts.state.globalStep;
      yield* run.updates(ahead, signal);
      yield await finishRun(run, { firstStep, started_ms, signal });
    } catch (error) {
      await run?.end().catch(() => {}); // the first error is told
      throw error;
    } finally {
      this.#isTraining = false;
      this.model.train(wasTraining);
      await run?.end();
    }
  }

  #lossOf() {
    const computeLoss = this.#given.computeLoss as ComputeLoss | undefined;
    return lossFunction(this.model, computeLoss, this.options.labelSmoothingFactor);
  }

  #source(name: "trainData" | "evalData", data = this.#given[name]): DataSource {
    if (data === undefined) throw new ArgumentError(`Trainer: ${name} must be given; got none`);
    const { options, model } = this;
    const { config } = model as { config?: { contextLength?: number } };
    const contextLength = options.contextLength ?? config?.contextLength;
    const rules: BatchRules =
      name === "trainData"
        ? { ...options, batchSize: options.perDeviceTrainBatchSize, contextLength }
        : inOrder(options.perDeviceEvalBatchSize, contextLength, options);
    return dataSource(name, data, this.#given.collate ?? (collator() as unknown as Collate<E>), rules);
  }

  async #evaluation(
    data: TrainerData<E> | undefined,
    signal: AbortSignal | undefined,
    keeps: readonly ("predictions" | "logits" | "labels" | "texts")[] = [],
  ): Promise<Evaluation> {
    const { options, model } = this;
    const epoch = await this.#source("evalData", data)(0);
    const { tokenizer, metrics = [] } = this.#given;
    const writes = options.predictWithGenerate && tokenizer?.encode && tokenizer.decode;
    const { generationMaxLength: maxNewTokens, generationNumBeams: numBeams } = options;
    const config = { ...(maxNewTokens && { maxNewTokens }), ...(numBeams && { numBeams }) };
    const texts = writes ? { tokenizer: tokenizer as GenerationTokenizer, config } : undefined;
    const average = this.#run?.parts.average;
    average?.swap();
    try {
      const { countItems } = this.#given;
      return await evaluate(epoch, {
        model,
        metrics,
        keeps,
        texts,
        signal,
        countItems,
        lossOf: this.#lossOf(),
      });
    } finally {
      average?.restore();
    }
  }
}

const emptyState: TrainerState = {
  ...{ globalStep: 0, maxSteps: 0, epoch: 0, numTrainEpochs: 0 },
  ...{ logHistory: [], numInputTokensSeen: 0, totalFlos: 0 },
};
