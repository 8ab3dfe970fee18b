import path from "node:path";
import { CheckpointError } from "../errors.ts";
import { Settings } from "../io/json.ts";
import { isRecord } from "../io/stored-tensor.ts";
import { camelCase, snakeCase } from "../letter-case.ts";
import type { TrainerState } from "./callback.ts";
import type { StepPlan } from "./step-plan.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";

type Entry = TrainerState["logHistory"][number];

const renamed = <T>(values: Readonly<Record<string, T>>, rename: (name: string) => string) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [rename(name), value]));

export const newState = ({ maxSteps, numTrainEpochs }: StepPlan): TrainerState => ({
  globalStep: 0,
  maxSteps,
  epoch: 0,
  numTrainEpochs,
  logHistory: [],
  numInputTokensSeen: 0,
  totalFlos: 0,
});

/** `trainer_state.json` as Hugging Face's Trainer writes it. */
export function stateToJSON(
  state: Readonly<TrainerState>,
  plan: StepPlan,
  all: FullTrainingArguments,
  callbacks: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return {
    best_global_step: state.bestGlobalStep ?? null,
    best_metric: state.bestMetric ?? null,
    best_model_checkpoint: state.bestModelCheckpoint ?? null,
    epoch: state.epoch,
    eval_steps: plan.evalSteps,
    global_step: state.globalStep,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: state.logHistory.map((entry) => renamed(entry, snakeCase)),
    logging_steps: plan.loggingSteps,
    max_steps: state.maxSteps,
    num_input_tokens_seen: state.numInputTokensSeen,
    num_train_epochs: state.numTrainEpochs,
    save_steps: plan.saveSteps,
    stateful_callbacks: callbacks,
    total_flos: state.totalFlos,
    train_batch_size: all.perDeviceTrainBatchSize,
    trial_name: null,
    trial_params: null,
  };
}

/**
 * Reads `trainer_state.json`: ours or Hugging Face's.
 *
 * @throws ERR_CHECKPOINT
 */
export async function readState(
  folder: string,
): Promise<{ state: TrainerState; callbacks: Readonly<Record<string, unknown>> }> {
  const settings = await Settings.read(path.join(folder, "trainer_state.json"));
  const { values, source } = settings;
  const history = values.log_history;
  if (!Array.isArray(history) || !history.every(isRecord)) {
    throw new CheckpointError(`${source}: log_history must be a list of objects`);
  }
  const state: TrainerState = {
    globalStep: settings.integer("global_step", undefined, 0),
    maxSteps: settings.integer("max_steps", undefined, 0),
    epoch: settings.number("epoch", 0),
    numTrainEpochs: settings.number("num_train_epochs", 0),
    logHistory: history.map((entry) => renamed(entry as Record<string, number>, camelCase) as Entry),
    numInputTokensSeen: settings.number("num_input_tokens_seen", 0),
    totalFlos: settings.number("total_flos", 0),
    ...(settings.has("best_metric") && { bestMetric: settings.number("best_metric", undefined, -Infinity) }),
    ...(settings.has("best_global_step") && { bestGlobalStep: settings.integer("best_global_step") }),
    ...(settings.has("best_model_checkpoint") && {
      bestModelCheckpoint: settings.string("best_model_checkpoint"),
    }),
  };
  return { state, callbacks: settings.object("stateful_callbacks")?.values ?? {} };
}
