import type { AnyModule } from "../nn/module.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";

/** What is reported: `loss`, `learningRate`, `gradNorm`, `epoch`, `evalLoss`, `tokensPerSecond` and metrics by name. */
export type Logs = Readonly<Record<string, number>>;

/** How far training has come; written to `trainer_state.json` of every checkpoint. */
export interface TrainerState {
  /** Updates made. */
  globalStep: number;
  /** Updates that the run makes in all. */
  maxSteps: number;
  /** Passes over the data, the one under way as a fraction. */
  epoch: number;
  numTrainEpochs: number;
  logHistory: (Logs & { readonly step: number })[];
  bestMetric?: number;
  bestGlobalStep?: number;
  /** The folder of the best checkpoint. */
  bestModelCheckpoint?: string;
  numInputTokensSeen: number;
  /** Floating-point operations of all passes, forward and backward. */
  totalFlos: number;
}

/** What happens next; callbacks may set any of it. */
export interface TrainerControl {
  shouldTrainingStop: boolean;
  shouldEpochStop: boolean;
  shouldEvaluate: boolean;
  shouldSave: boolean;
  shouldLog: boolean;
}

export interface TrainerEvent {
  readonly model: AnyModule;
  readonly state: Readonly<TrainerState>;
  readonly control: TrainerControl;
  /** How it trains; of a Trainer, it is always there. */
  readonly options?: Readonly<FullTrainingArguments>;
}

type Answer = void | Promise<void>;

/** Is told what happens, and may change what happens next through `control`. */
export interface TrainerCallback {
  onTrainBegin?(event: TrainerEvent): Answer;
  onEpochBegin?(event: TrainerEvent): Answer;
  onStepBegin?(event: TrainerEvent): Answer;
  /** Inside the step: gradients are complete, nothing is updated yet. Must be synchronous. */
  onPreOptimizerStep?(event: TrainerEvent): void;
  /**
   * The update is enqueued. `loss` and `gradNorm` (before clipping) are those of the latest update that is computed: this
   * one where something waits for it (an evaluation, `steps()`), else the one before.
   */
  onStepEnd?(event: TrainerEvent & { readonly loss?: number; readonly gradNorm?: number }): Answer;
  onLog?(event: TrainerEvent & { readonly logs: Logs }): Answer;
  onEvaluate?(event: TrainerEvent & { readonly metrics: Logs }): Answer;
  onSave?(event: TrainerEvent & { readonly folder: string }): Answer;
  onEpochEnd?(event: TrainerEvent): Answer;
  onTrainEnd?(event: TrainerEvent): Answer;
  /** What a resumed run needs to know, as JSON; saved in `trainer_state.json` under the name of the class. */
  stateDict?(): unknown;
  loadStateDict?(state: unknown): void;
}
