import { ArgumentError } from "../../errors.ts";
import type { TrainerCallback } from "../callback.ts";
import { ConsoleLines } from "./console-lines.ts";
import { ConsoleTable } from "./console-table.ts";
import { JSONLReporter } from "./jsonl-reporter.ts";
import { ProgressBar, type ProgressBarOptions } from "./progress-bar.ts";
import { TensorBoardReporter, type TensorBoardReporterOptions } from "./tensorboard-reporter.ts";

/** What `reportTo` takes. */
export type ReporterName = keyof typeof makers;

export interface ReportersOptions
  extends TensorBoardReporterOptions,
    Pick<ProgressBarOptions, "everySteps" | "peakFlops"> {}

const makers = {
  progress: (options: ReportersOptions): TrainerCallback => new ProgressBar(options),
  table: (): TrainerCallback => new ConsoleTable(),
  console: (): TrainerCallback => new ConsoleLines(),
  jsonl: (options: ReportersOptions): TrainerCallback => new JSONLReporter(options),
  tensorboard: (options: ReportersOptions): TrainerCallback => new TensorBoardReporter(options),
};

const isReporterName = (name: string): name is ReporterName => Object.hasOwn(makers, name);

/**
 * Reporters by name, each once: "progress" is a ProgressBar, "table" a ConsoleTable, "console" ConsoleLines, "jsonl" a
 * JSONLReporter (`<outputDir>/metrics.jsonl`), "tensorboard" a TensorBoardReporter (`<outputDir>/runs`).
 *
 * @throws ArgumentError for another name
 */
export function reporters(names: readonly string[], options: ReportersOptions): TrainerCallback[] {
  return [...new Set(names)].map((name) => {
    if (!isReporterName(name))
      throw new ArgumentError(
        `reportTo: names must be of ${Object.keys(makers).join(", ")}; got ${JSON.stringify(name)}`,
      );
    return makers[name](options);
  });
}
