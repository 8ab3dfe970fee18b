import type { Writable } from "node:stream";
import { checkInteger, checkNumber } from "../errors.ts";

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
}

export interface ProgressOptions {
  /** Where to draw, `process.stderr` by default: one line in place on a terminal, else a line now and then. */
  stream?: Writable & { isTTY?: boolean; columns?: number };
  /** A clock in milliseconds, `performance.now` by default. */
  now?: () => number;
  /** Steps between the lines of a stream that is no terminal; without it, they are 5 s apart. */
  everySteps?: number;
}

const redraw_ms = 100;
const plainLine_ms = 5000;
const paceMemory_ms = 30_000;
const maxBarWidth = 24;
const minBarWidth = 8;

const hideCursor = "\x1b[?25l";
const showCursor = "\x1b[?25h";
const clearToEnd = "\x1b[K";

/** 950, 10.2k, 3.1M: four digits at most. */
function formatCount(n: number): string {
  if (n < 999.5) return n.toFixed(0);
  for (const [unit, suffix] of [
    [1e3, "k"],
    [1e6, "M"],
  ] as const) {
    if (n / unit < 999.95) return (n / unit).toFixed(1) + suffix;
  }
  return `${(n / 1e9).toFixed(1)}G`;
}

/** 0:58, 12:05, 3:00:07. */
function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const two = (n: number): string => String(n).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  const clock = minutes < 60 ? `${minutes}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}`;
  return `${clock}:${two(seconds % 60)}`;
}

/**
 * Shows how far a training run is:
 *
 *     ███████████████░░░░░░░░░  1240/2000  loss 1.712  held-out 1.934  lr 6.1e-4  |g| 0.48  10.2k tok/s  0:58 left
 *
 * On a terminal the line is redrawn in place, at most ten times a second, and fits the width: the bar shrinks, then
 * fields go, from the right. Elsewhere lines without the bar follow each other. A field keeps its last value until it is
 * given again. The time left follows from the pace of about the last 30 s.
 */
export class Progress {
  readonly #stream: NonNullable<ProgressOptions["stream"]>;
  readonly #now: () => number;
  readonly #everySteps: number | undefined;
  readonly #fields: ProgressFields = { step: 0, steps: 0 };
  #updated_ms: number | undefined;
  #started_ms = 0;
  #drawn_ms = 0;
  #drawnStep = -1;
  #recent_ms = 0;
  #recentSteps = 0;
  #cursorHidden = false;

  constructor({ stream = process.stderr, now = () => performance.now(), everySteps }: ProgressOptions = {}) {
    if (everySteps !== undefined) checkInteger("Progress: everySteps", everySteps, 1);
    this.#stream = stream;
    this.#now = now;
    this.#everySteps = everySteps;
  }
}
