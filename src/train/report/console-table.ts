import type { Logs, TrainerCallback, TrainerEvent } from "../callback.ts";
import type { ConsoleOptions } from "./console-lines.ts";
import { formatNumber } from "./formats.ts";
import { labelOf } from "./names.ts";
import { print, type Screen, styled, widthOf } from "./screen.ts";

/** Measures of the machine, which a table of the model leaves out. */
const isOfTheMachine = /(^epoch$|Runtime$|PerSecond$|PreparationTime$)/;
const minWidth = 7;
const gap = "  ";
const more = " …";

/**
 * A table with a row for each evaluation, as Hugging Face's in a notebook: the last training loss that was logged, and
 * what the evaluation found.
 *
 *        step    epoch  training loss  validation loss  accuracy
 *     ──────────────────────────────────────────────────────────
 *         500     0.50          1.712            1.934     0.813
 *        1000     1.00          1.604            1.801     0.840
 *
 * Columns that the width of a terminal has no room for are left out, and an ellipsis says so: the epoch, the training
 * loss, then measures from the right. Evaluations with other measures begin a table of their own.
 */
export class ConsoleTable implements TrainerCallback {
  readonly #screen: Screen;
  #loss: number | undefined;
  #labels = "";

  constructor({ stream = process.stdout }: ConsoleOptions = {}) {
    this.#screen = stream;
  }

  onTrainBegin(): void {
    this.#loss = undefined;
    this.#labels = "";
  }

  onLog({ logs }: TrainerEvent & { logs: Logs }): void {
    this.#loss = logs.loss ?? this.#loss;
  }

  onEvaluate({ state, metrics }: TrainerEvent & { metrics: Logs }): void {
    const measured = Object.entries(metrics).filter(([name]) => !isOfTheMachine.test(name));
    const columns: Column[] = [
      { label: "step", value: String(state.globalStep), rank: 0 },
      { label: "epoch", value: state.epoch.toFixed(2), rank: Infinity },
      { label: "training loss", value: this.#loss === undefined ? "–" : formatNumber(this.#loss), rank: 1e6 },
      ...measured.map(([name, value], i) => ({
        label: columnOf(name),
        value: formatNumber(value),
        rank: 1 + i,
      })),
    ];
    const shown = fitting(columns, widthOf(this.#screen));
    const line = (cell: "label" | "value") =>
      shown.map((column) => column[cell].padStart(widthOfColumn(column))).join(gap) +
      (shown.length < columns.length ? more : "");
    const labels = line("label");
    if (labels !== this.#labels) {
      const rule = "─".repeat(labels.length);
      print(this.#screen, [styled(this.#screen, "bold", labels), styled(this.#screen, "dim", rule)]);
      this.#labels = labels;
    }
    print(this.#screen, [line("value")]);
  }
}

interface Column {
  readonly label: string;
  readonly value: string;
  /** The highest goes first when there isn't room for all. */
  readonly rank: number;
}

const widthOfColumn = ({ label }: Column): number => Math.max(minWidth, label.length);

/** `evalLoss` → "validation loss", `evalAccuracy` → "accuracy". */
const columnOf = (name: string): string =>
  name === "evalLoss" ? "validation loss" : labelOf(name.replace(/^eval(?=[A-Z0-9_])/, "")).trim();

/** Those of the columns that fit side by side, at least one. */
function fitting(columns: readonly Column[], room: number): readonly Column[] {
  const needed = (kept: readonly Column[]) =>
    kept.reduce((sum, column) => sum + widthOfColumn(column), gap.length * (kept.length - 1)) +
    (kept.length < columns.length ? more.length : 0);
  let kept = columns;
  while (kept.length > 1 && needed(kept) > room) {
    const highest = Math.max(...kept.map(({ rank }) => rank));
    kept = kept.filter(({ rank }) => rank < highest);
  }
  return kept;
}
