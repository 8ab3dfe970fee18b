import {
  ArgumentError,
  type CharTokenizer,
  CheckpointError,
  EarlyStoppingCallback,
  type GPT,
  latestCheckpoint,
  NonFiniteError,
  ProgressBar,
  type Schedule,
  type TokenDataset,
  Trainer,
  type TrainerCallback,
  TrainformerError,
  type TrainingArguments,
} from "../index.ts";
import { listCheckpoints, removeCheckpoint } from "../train/checkpoint-folder.ts";
import { UsageError } from "./usage-error.ts";

export interface Plan {
  model: GPT;
  tokenizer: CharTokenizer;
  trainData: TokenDataset;
  /** Looked at while training. */
  evalData: TokenDataset;
  options: TrainingArguments & { outputDir: string; schedule?: Schedule };
  /** Evaluations without a better one before the end. */
  patience: number | undefined;
  /** Go on from the newest checkpoint. */
  resume: boolean;
  /** Told before what draws on the terminal. */
  watchers: readonly TrainerCallback[];
}

export interface Outcome {
  firstLoss: number;
  lastLoss: number;
  steps: number;
  tokensPerSecond: number;
  interrupted: boolean;
}

/**
 * Checks that a folder is of this run: that of another is replaced with `force`, and gone on with to resume.
 *
 * @throws UsageError
 */
export async function prepareFolder(folder: string, { resume, force }: { resume: boolean; force: boolean }) {
  if (resume && force) throw new UsageError("--resume excludes --force; got both");
  if (resume) {
    if ((await latestCheckpoint(folder)) !== undefined) return;
    throw new CheckpointError(`--resume: --out ${folder} must hold a checkpoint; it has none`);
  }
  const checkpoints = await listCheckpoints(folder);
  if (checkpoints.length === 0) return;
  if (!force) {
    const last = `up to step ${checkpoints.at(-1)!.step}`;
    throw new UsageError(
      `--out ${folder} holds checkpoints of another run, ${last}: --resume goes on with it, --force removes them`,
    );
  }
  for (const checkpoint of checkpoints) await removeCheckpoint(checkpoint.folder);
}

/** Notes the losses of the first update and of the last that is known. */
class Losses implements TrainerCallback {
  first = Number.NaN;
  last = Number.NaN;

  onStepEnd({ loss }: { loss?: number }): void {
    if (loss === undefined) return;
    if (Number.isNaN(this.first)) this.first = loss;
    this.last = loss;
  }
}

const inFlag = (message: string): string =>
  message.replace(/^Trainer: /, "").replace(/^WatchServer: port/, "--port");

/** What may help, in the words of the command line. */
function inFlags(error: unknown): unknown {
  if (error instanceof NonFiniteError) {
    const { step, loss, parameter } = error;
    const where = parameter === undefined ? "" : `, and the gradient of ${parameter} is not finite`;
    const advice = "a lower --lr, a longer --warmup or a smaller --grad-clip may help";
    return new TrainformerError("ERR_NON_FINITE", `step ${step}: the loss is ${loss}${where}; ${advice}`);
  }
  return error instanceof ArgumentError ? new ArgumentError(inFlag(error.message)) : error;
}

/**
 * Trains, draws the progress and saves checkpoints, the last one after the last update: when `signal` aborts, that is the
 * one in flight. The model itself is then saved into the folder.
 *
 * @throws ERR_NON_FINITE when a loss is not finite; the last checkpoint is then of an earlier update
 */
export async function train(plan: Plan, signal: AbortSignal): Promise<Outcome> {
  const { model, tokenizer, trainData, evalData, options, patience, resume, watchers } = plan;
  const losses = new Losses();
  const stopping =
    patience === undefined ? [] : [new EarlyStoppingCallback({ earlyStoppingPatience: patience })];
  const callbacks = [...watchers, new ProgressBar(), losses, ...stopping];
  try {
    const trainer = new Trainer(model, { ...options, trainData, evalData, tokenizer, callbacks });
    const result = await trainer.train({ resumeFromCheckpoint: resume, signal });
    await trainer.saveModel(options.outputDir);
    return {
      firstLoss: losses.first,
      lastLoss: losses.last,
      steps: result.globalStep,
      tokensPerSecond: result.trainTokensPerSecond,
      interrupted: result.interrupted,
    };
  } catch (error) {
    throw inFlags(error);
  }
}
