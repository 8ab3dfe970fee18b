import { generatorState } from "../generator.ts";
import { Embedding } from "../nn/layers.ts";
import type { AnyModule } from "../nn/module.ts";
import type { EMA } from "../optim/ema.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { metricOf, noteBest } from "./best-model.ts";
import type { Logs, TrainerCallback, TrainerControl, TrainerEvent, TrainerState } from "./callback.ts";
import type { ModelOutput } from "./compute-loss.ts";
import { type Batch, checkNotEmpty, type DataSource, type PendingBatch } from "./data-source.ts";
import { type EventName, emit } from "./events.ts";
import { afterEpoch, afterStep, newControl } from "./flow.ts";
import type { LearningRates } from "./optimization.ts";
import { type CountItems, prepare } from "./prepared-batch.ts";
import type { Progress } from "./resume-file.ts";
import type { StepPlan } from "./step-plan.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";
import { type UpdateResult, Updater } from "./updater.ts";

/** What `steps()` gives of each update. */
export interface TrainingStep {
  /** Updates made. */
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** Of all gradients, before clipping. */
  readonly gradNorm: number;
  readonly learningRate: number;
  /** What was evaluated after it. */
  readonly metrics?: Logs;
}

export interface RunParts {
  model: AnyModule;
  all: FullTrainingArguments;
  plan: StepPlan;
  source: DataSource;
  optimizer: Optimizer;
  rates: LearningRates;
  average: EMA | undefined;
  state: TrainerState;
  callbacks: readonly TrainerCallback[];
  lossOf: (batch: Batch) => ModelOutput;
  countItems: CountItems | undefined;
  evaluate: (signal?: AbortSignal) => Promise<Logs>;
  save: () => Promise<string>;
}

interface InFlight {
  readonly result: Promise<UpdateResult>;
  readonly learningRate: number;
}

/** One run of training, from its first update or from a checkpoint on. */
export class TrainingRun {
  readonly parts: RunParts;
  readonly control: TrainerControl = newControl();
  /** Where it is: what a resumed run needs beside tensors and the state. */
  readonly progress: Progress;
  /** The update after which the last checkpoint was saved. */
  savedStep: number | undefined;
  /** Tokens that the model has read in this run. */
  tokens = 0;
  readonly #updater: Updater;
  readonly #parametersBesideEmbeddings: number;
  #hasBegun = false;
  #inFlight: InFlight | undefined;
  #failure: unknown;
  #latest: { loss: number; gradNorm: number; learningRate: number } | undefined;

  constructor(parts: RunParts, progress: Progress) {
    this.parts = parts;
    this.progress = progress;
    const { model, all, average, optimizer, lossOf } = parts;
    const parameters = [...model.namedParameters()].filter(([, p]) => p.requiresGrad);
    this.#parametersBesideEmbeddings = model.parameterCount - embeddingParameters(model);
    this.#updater = new Updater({
      ...{ optimizer, parameters, lossOf },
      ...{ maxGradNorm: all.maxGradNorm, maxGradValue: all.maxGradValue, nonFinite: all.nonFinite },
      onGradients: () => {
        for (const callback of parts.callbacks) callback.onPreOptimizerStep?.(this.#event());
      },
      onUpdated: () => average?.update(),
    });
  }

  /** Mean loss of the updates of this run, those before a checkpoint that it went on from included. */
  get trainLoss(): number {
    return this.progress.totalLoss / Math.max(1, this.parts.state.globalStep - this.progress.skippedUpdates);
  }

  #event(): TrainerEvent {
    const { model, state, all } = this.parts;
    return { model, state, control: this.control, options: all };
  }

  emit(name: EventName, more: object = {}): Promise<void> {
    return emit(this.parts.callbacks, name, { ...this.#event(), ...more });
  }

  /**
   * Makes updates until the run is complete or `signal` aborts: then, the one in flight is the last. With
   * `ahead`, an update is enqueued before the loss of the one before it is read, and nothing is given.
   */
  async *updates(ahead: boolean, signal: AbortSignal | undefined): AsyncGenerator<TrainingStep, void> {
    const { all, plan, state, source } = this.parts;
    const { control, progress } = this;
    if (state.globalStep >= plan.maxSteps) control.shouldTrainingStop = true;
    this.#hasBegun = true;
    await this.emit("onTrainBegin");
    if (all.evalOnStart && state.globalStep === 0 && all.evalStrategy !== "no") await this.#evaluate(signal);
    while (!control.shouldTrainingStop && !signal?.aborted) {
      const epoch = await source(progress.epoch);
      const batches = epoch.batches ?? plan.maxSteps * all.gradientAccumulationSteps;
      control.shouldEpochStop = false;
      await this.emit("onEpochBegin");
      for await (const group of groupsOf(epoch.from(progress.batch), all.gradientAccumulationSteps)) {
        await this.#update(group, batches);
        if (!ahead) await this.#settle();
        afterStep(state, control, plan, all);
        if (this.#isSomethingDue()) await this.#settle();
        await this.emit("onStepEnd", this.#latest);
        const metrics = await this.#doWhatIsDue(signal);
        if (!ahead) {
          const { loss, gradNorm, learningRate } = this.#latest!;
          const report = { step: state.globalStep, epoch: state.epoch, loss, gradNorm, learningRate };
          yield { ...report, ...(metrics && { metrics }) };
        }
        if (signal?.aborted || control.shouldEpochStop || control.shouldTrainingStop) break;
      }
      checkNotEmpty(progress.batch, progress.epoch);
      if (signal?.aborted) break;
      progress.epoch++;
      progress.batch = 0;
      afterEpoch(state, control, all);
      if (this.#isSomethingDue()) await this.#settle();
      await this.emit("onEpochEnd");
      await this.#doWhatIsDue(signal);
    }
    await this.#settle();
  }

  async #update(group: readonly PendingBatch[], batchesInEpoch: number): Promise<void> {
    const { model, state, rates, countItems } = this.parts;
    const { progress } = this;
    await this.emit("onStepBegin");
    const prepared = [];
    try {
      for (const pending of group) prepared.push(await prepare(pending, model.device, countItems));
      const learningRate = rates.at(state.globalStep - progress.skippedUpdates);
      const { result } = await this.#updater.enqueue(state.globalStep + 1, prepared, learningRate);
      const next = { result, learningRate };
      result.catch(() => {}); // told by #settle
      state.globalStep++;
      progress.batch += group.length;
      state.epoch = progress.epoch + progress.batch / batchesInEpoch;
      const tokens = prepared.reduce((sum, { inputTokens }) => sum + inputTokens, 0);
      state.numInputTokensSeen += tokens;
      this.tokens += tokens;
      state.totalFlos += 6 * tokens * this.#parametersBesideEmbeddings;
      await this.#settle(next);
    } finally {
      for (const batch of prepared) batch.end();
    }
  }

  /** Waits for the update in flight; `next` takes its place. */
  async #settle(next?: InFlight): Promise<void> {
    const last = this.#inFlight;
    this.#inFlight = next;
    if (last === undefined) return;
    const { loss, gradNorm, isSkipped } = await last.result.catch((error) => {
      this.#failure = error;
      throw error;
    });
    this.#latest = { loss, gradNorm, learningRate: last.learningRate };
    if (isSkipped) {
      this.progress.skippedUpdates++;
      return;
    }
    this.progress.totalLoss += loss;
    this.progress.loggedLoss += loss;
    this.progress.loggedUpdates++;
  }

  #isSomethingDue(): boolean {
    const { shouldLog, shouldEvaluate, shouldSave } = this.control;
    return shouldLog || shouldEvaluate || shouldSave;
  }

  /** Logs, evaluates and saves, in this order, if it is due. */
  async #doWhatIsDue(signal: AbortSignal | undefined): Promise<Logs | undefined> {
    const { control } = this;
    if (!this.#isSomethingDue()) return undefined;
    await this.#settle();
    if (control.shouldLog) {
      control.shouldLog = false;
      await this.#logLoss();
    }
    let metrics: Logs | undefined;
    if (control.shouldEvaluate) {
      control.shouldEvaluate = false;
      metrics = await this.#evaluate(signal);
    }
    if (control.shouldSave && !signal?.aborted) {
      control.shouldSave = false;
      await this.parts.save();
    }
    return metrics;
  }

  async #logLoss(): Promise<void> {
    const { progress } = this;
    const { loggedLoss, loggedUpdates } = progress;
    if (this.#latest === undefined) return;
    const { gradNorm, learningRate } = this.#latest;
    const logs = {
      ...(loggedUpdates > 0 && { loss: loggedLoss / loggedUpdates }),
      ...(Number.isFinite(gradNorm) && { gradNorm }),
      learningRate,
    };
    progress.loggedLoss = 0;
    progress.loggedUpdates = 0;
    await this.log(logs);
  }

  /** Adds to the history, and tells the callbacks. */
  async log(logs: Logs): Promise<void> {
    const { state } = this.parts;
    const entry = { ...logs, epoch: state.epoch };
    state.logHistory.push({ ...entry, step: state.globalStep });
    await this.emit("onLog", { logs: entry });
  }

  async #evaluate(signal: AbortSignal | undefined): Promise<Logs | undefined> {
    const { all, state, rates, evaluate } = this.parts;
    let metrics: Logs;
    try {
      metrics = await evaluate(signal);
    } catch (error) {
      if (signal?.aborted && error === signal.reason) return undefined;
      throw error;
    }
    await this.log(metrics);
    await this.emit("onEvaluate", { metrics });
    const isBest = noteBest(state, metrics, all);
    if (all.saveStrategy === "best" && isBest) this.control.shouldSave = true;
    rates.evaluated(metricOf(metrics, all.metricForBestModel ?? "loss"));
    return metrics;
  }

  /** Tells the callbacks that it is over, however it ended. */
  async end(): Promise<void> {
    if (!this.#hasBegun) return;
    this.#hasBegun = false;
    await this.emit("onTrainEnd");
  }

  /** What to write into a checkpoint, once all updates are computed. @throws what made one of them fail */
  async settled(): Promise<Progress> {
    await this.#settle();
    if (this.#failure !== undefined) throw this.#failure;
    return { ...this.progress, generator: generatorState(), scheduler: this.parts.rates.stateDict() };
  }
}

async function* groupsOf(batches: AsyncIterable<PendingBatch>, size: number): AsyncGenerator<PendingBatch[]> {
  let group: PendingBatch[] = [];
  for await (const batch of batches) {
    if (group.push(batch) < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

/** Values of the tables of vectors: no product has to do with them. */
function embeddingParameters(model: AnyModule, seen = new Set<unknown>()): number {
  let count = 0;
  for (const [, child] of model.children()) {
    if (child instanceof Embedding && !seen.has(child.weight)) {
      seen.add(child.weight);
      count += child.weight.size;
    }
    count += embeddingParameters(child, seen);
  }
  return count;
}
