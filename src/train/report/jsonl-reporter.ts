import { join } from "node:path";
import { snakeCase } from "../../letter-case.ts";
import type { Logs, TrainerCallback, TrainerEvent } from "../callback.ts";
import { MetricsFile } from "./metrics-file.ts";

export interface JSONLReporterOptions {
  /** The folder of `metrics.jsonl`. */
  outputDir: string;
}

/**
 * Appends everything that is logged to `metrics.jsonl`, one JSON object a line, which survives a killed process:
 *
 *     {"step":500,"epoch":0.5,"time":1760000000.123,"loss":1.712,"learning_rate":3.8e-5,"grad_norm":0.483}
 *     {"step":500,"epoch":0.5,"time":1760000003.456,"eval_loss":1.934,"eval_accuracy":0.813}
 *
 * A run that is resumed goes on after the lines up to its step; one that begins anew begins the file anew.
 */
export class JSONLReporter implements TrainerCallback {
  readonly #path: string;
  #file: MetricsFile | undefined;

  constructor({ outputDir }: JSONLReporterOptions) {
    this.#path = join(outputDir, "metrics.jsonl");
  }

  async onTrainBegin({ state }: TrainerEvent): Promise<void> {
    this.#file = await MetricsFile.open(this.#path, state.globalStep);
  }

  async onLog({ state, logs }: TrainerEvent & { logs: Logs }): Promise<void> {
    const { globalStep: step, epoch } = state;
    this.#file ??= await MetricsFile.open(this.#path); // an evaluation without training
    const named = Object.entries(logs).map(([name, value]): [string, number] => [snakeCase(name), value]);
    await this.#file.append({ step, epoch, time: Date.now() / 1000, ...Object.fromEntries(named) });
  }
}
