import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { metricOf } from "./best-model.ts";
import type { Logs, TrainerCallback, TrainerEvent } from "./callback.ts";

/**
 * Ends training when the metric that chooses the best model (`metricForBestModel`) has not become better in several
 * evaluations in a row.
 *
 * @see Hugging Face's `EarlyStoppingCallback`, of which the defaults are
 */
export class EarlyStoppingCallback implements TrainerCallback {
  readonly patience: number;
  readonly threshold: number;
  private waited = 0;

  /**
   * @param options.earlyStoppingPatience  evaluations without a better value that end training. Default 1
   * @param options.earlyStoppingThreshold by how much a value must be better to count. Default 0
   */
  constructor(options: { earlyStoppingPatience?: number; earlyStoppingThreshold?: number } = {}) {
    const { earlyStoppingPatience = 1, earlyStoppingThreshold = 0 } = options;
    this.patience = checkInteger("EarlyStoppingCallback: earlyStoppingPatience", earlyStoppingPatience, 1);
    this.threshold = checkNumber("EarlyStoppingCallback: earlyStoppingThreshold", earlyStoppingThreshold, 0);
  }

  onTrainBegin({ options }: TrainerEvent): void {
    if (options?.metricForBestModel !== undefined && options.evalStrategy !== "no") return;
    throw new ArgumentError(
      `EarlyStoppingCallback: needs metricForBestModel and an evalStrategy other than "no"; got ${options?.metricForBestModel} and "${options?.evalStrategy}"`,
    );
  }

  onEvaluate({ state, control, options, metrics }: TrainerEvent & { metrics: Logs }): void {
    const value = metricOf(metrics, options!.metricForBestModel!);
    const best = state.bestMetric;
    const gain = best === undefined ? Infinity : options!.greaterIsBetter ? value - best : best - value;
    this.waited = gain > this.threshold ? 0 : this.waited + 1;
    if (this.waited >= this.patience) control.shouldTrainingStop = true;
  }

  stateDict(): unknown {
    return { waited: this.waited };
  }

  loadStateDict(state: unknown): void {
    this.waited = checkInteger("EarlyStoppingCallback: waited", (state as { waited?: unknown })?.waited, 0);
  }
}
