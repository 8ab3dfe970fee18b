import { showBytes } from "../../print.ts";
import { formatCount, formatDuration } from "./formats.ts";

/** What is known of a run; all but the steps may be missing. */
export interface ProgressFields {
  /** Updates done. */
  step: number;
  /** Updates in all. */
  steps: number;
  /** Loss of the last update, in nats. */
  loss?: number;
  /** Loss on held-out data, in nats. */
  heldOutLoss?: number;
  learningRate?: number;
  /** Norm of the gradient before clipping. */
  gradNorm?: number;
  tokensPerSecond?: number;
  /** Model FLOP utilization (Chowdhery et al. 2022, appendix B): operations a second over the peak of the device, 0 to 1. */
  utilization?: number;
  /** The most bytes ever held by tensors at once. */
  peakBytes?: number;
}

export interface Duration {
  /** Time since the beginning of a run that is complete. */
  elapsed_ms?: number | undefined;
  /** Time until the end of one that is not. */
  left_ms?: number | undefined;
}

/** A field, and its place when there isn't room for all: the highest rank goes first. */
interface Field {
  readonly text: string;
  readonly rank: number;
}

const maxBarWidth = 24;
const minBarWidth = 8;

function fieldsOf(fields: ProgressFields, { elapsed_ms, left_ms }: Duration): Field[] {
  const { step, steps, loss, heldOutLoss, learningRate, gradNorm, tokensPerSecond } = fields;
  const { utilization, peakBytes } = fields;
  const shown: Field[] = [{ text: `${step}/${steps}`, rank: 0 }];
  const add = (rank: number, value: number | undefined, format: (value: number) => string) => {
    if (value !== undefined) shown.push({ text: format(value), rank });
  };
  add(1, loss, (nats) => `loss ${nats.toFixed(3)}`);
  add(3, heldOutLoss, (nats) => `held-out ${nats.toFixed(3)}`);
  add(5, learningRate, (rate) => `lr ${rate.toExponential(1)}`);
  add(6, gradNorm, (norm) => `|g| ${norm.toFixed(2)}`);
  add(4, tokensPerSecond, (rate) => `${formatCount(rate)} tok/s`);
  add(7, utilization, (part) => `mfu ${(100 * part).toFixed(0)}%`);
  add(8, peakBytes, showBytes);
  add(2, elapsed_ms, (ms) => `in ${formatDuration(ms)}`);
  add(2, left_ms, (ms) => `${formatDuration(ms)} left`);
  return shown;
}

const joined = (fields: readonly Field[]): string => fields.map(({ text }) => text).join("  ");

/** The fields in one line without a bar. */
export const plainLine = (fields: ProgressFields, duration: Duration): string =>
  joined(fieldsOf(fields, duration));

/** A line with a bar, in the parts that are coloured differently. */
export interface BarLine {
  readonly filled: string;
  readonly empty: string;
  readonly text: string;
}

/**
 * The bar and as many fields as fit into `width` characters. The bar gives way first, down to 8 characters; then fields
 * go: memory, utilization, gradient, learning rate, speed, held-out loss, time, loss. Below that there is no bar, and
 * at last only the beginning of the steps.
 */
export function barLine(fields: ProgressFields, duration: Duration, width: number): BarLine {
  const shown = fieldsOf(fields, duration);
  for (;;) {
    const text = joined(shown);
    const barWidth = Math.min(maxBarWidth, width - text.length - 4);
    if (barWidth >= minBarWidth) {
      const filled = Math.round((fields.step / fields.steps) * barWidth);
      return { filled: "█".repeat(filled), empty: "░".repeat(barWidth - filled), text };
    }
    if (shown.length === 1) return { filled: "", empty: "", text: text.slice(0, Math.max(0, width)) };
    const rank = Math.max(...shown.map((field) => field.rank));
    shown.splice(
      shown.findIndex((field) => field.rank === rank),
      1,
    );
  }
}
