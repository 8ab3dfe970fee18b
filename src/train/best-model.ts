import { ArgumentError } from "../errors.ts";
import { camelCase } from "../letter-case.ts";
import type { Logs, TrainerState } from "./callback.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";

/** The name under which an evaluation reports a metric: `accuracy` and `eval_accuracy` are `evalAccuracy`. */
export function evalName(metric: string): string {
  const name = camelCase(metric);
  return /^eval[A-Z0-9]/.test(name) ? name : `eval${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

/** @throws ERR_ARGUMENT if the evaluation has no metric of that name */
export function metricOf(metrics: Logs, metric: string): number {
  const value = metrics[evalName(metric)];
  if (value !== undefined) return value;
  const names = Object.keys(metrics).join(", ");
  throw new ArgumentError(
    `Trainer: metricForBestModel must be one of the evaluation's, ${names}; got ${metric}`,
  );
}

/** Notes an evaluation that is strictly better than all before. Tells whether it is. */
export function noteBest(
  state: TrainerState,
  metrics: Logs,
  { metricForBestModel, greaterIsBetter }: FullTrainingArguments,
): boolean {
  if (metricForBestModel === undefined) return false;
  const value = metricOf(metrics, metricForBestModel);
  const best = state.bestMetric ?? (greaterIsBetter ? -Infinity : Infinity);
  const isBetter = greaterIsBetter ? value > best : value < best;
  if (!isBetter) return false;
  state.bestMetric = value;
  state.bestGlobalStep = state.globalStep;
  return true;
}
