import type { Writable } from "node:stream";
import { checkInteger } from "../errors.ts";

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

function formatFields(fields: ProgressFields): string[] {
  const { step, steps, loss, heldOutLoss, learningRate, gradNorm, tokensPerSecond } = fields;
  const texts = [`${step}/${steps}`];
  if (loss !== undefined) texts.push(`loss ${loss.toFixed(3)}`);
  if (heldOutLoss !== undefined) texts.push(`held-out ${heldOutLoss.toFixed(3)}`);
  if (learningRate !== undefined) texts.push(`lr ${learningRate.toExponential(1)}`);
  if (gradNorm !== undefined) texts.push(`|g| ${gradNorm.toFixed(2)}`);
  if (tokensPerSecond !== undefined) texts.push(`${formatCount(tokensPerSecond)} tok/s`);
  return texts;
}

/** The bar and as many fields as fit into `width` characters; the bar gives way first. */
function fit(texts: readonly string[], done: number, width: number): string {
  for (let count = texts.length; count > 0; count--) {
    const text = texts.slice(0, count).join("  ");
    const room = width - text.length - 4;
    if (room < minBarWidth) continue;
    const barWidth = Math.min(maxBarWidth, room);
    const filled = Math.round(done * barWidth);
    return `  ${"█".repeat(filled)}${"░".repeat(barWidth - filled)}  ${text}`;
  }
  return texts[0]!.slice(0, width);
}

/**
 * Shows how far a training run is:
 *
 *     ███████████████░░░░░░░░░  1240/2000  loss 1.712  held-out 1.934  lr 6.1e-4  |g| 0.48  10.2k tok/s  0:58 left
 *
 * On a terminal the line is redrawn in place, at most ten times a second, and fits the width: the bar shrinks, then
 * fields go, from the right. The cursor is never hidden, so that nothing is left to restore when the process is killed.
 * Elsewhere lines without the bar follow each other. The time left is at the pace of about the last 30 s.
 */
export class Progress {
  readonly #stream: NonNullable<ProgressOptions["stream"]>;
  readonly #now: () => number;
  readonly #everySteps: number | undefined;
  readonly #started_ms: number;
  #fields: ProgressFields | undefined;
  #updated_ms = 0;
  #recent_ms = 0;
  #recentSteps = 0;
  #drawn_ms = -Infinity;
  #drawnStep = 0;
  #isDrawn = true;

  /** @throws ArgumentError unless `everySteps`, if given, is an integer of at least 1 */
  constructor({ stream = process.stderr, now = () => performance.now(), everySteps }: ProgressOptions = {}) {
    if (everySteps !== undefined) checkInteger("Progress: everySteps", everySteps, 1);
    this.#stream = stream;
    this.#now = now;
    this.#everySteps = everySteps;
    this.#started_ms = now();
  }

  /**
   * Tells where the run is, and draws if it is time to, and always when the run is complete. A field that is not given
   * keeps its last value.
   *
   * @throws ArgumentError unless `step` is an integer from that of the last update to `steps`
   */
  update(fields: ProgressFields): void {
    const last = this.#fields;
    checkInteger("Progress.update: steps", fields.steps, 1);
    checkInteger("Progress.update: step", fields.step, last?.step ?? 0, fields.steps);
    const now_ms = this.#now();
    if (last) {
      const elapsed_ms = now_ms - this.#updated_ms;
      const kept = Math.exp(-elapsed_ms / paceMemory_ms);
      this.#recent_ms = this.#recent_ms * kept + elapsed_ms;
      this.#recentSteps = this.#recentSteps * kept + fields.step - last.step;
    }
    this.#updated_ms = now_ms;
    const given = Object.entries(fields).filter(([, value]) => value !== undefined);
    this.#fields = { ...last, ...(Object.fromEntries(given) as unknown as ProgressFields) };
    this.#isDrawn = false;
    if (fields.step === fields.steps || this.#isTimeToDraw(fields.step)) this.#draw();
  }

  /** Draws what is not drawn yet and leaves the cursor at the start of a line of its own. */
  finish(): void {
    if (!this.#isDrawn) this.#draw();
    if (this.#fields && this.#stream.isTTY) this.#stream.write("\n");
    this.#fields = undefined;
  }

  #isTimeToDraw(step: number): boolean {
    const waited_ms = this.#updated_ms - this.#drawn_ms;
    if (this.#stream.isTTY) return waited_ms >= redraw_ms;
    if (this.#everySteps === undefined) return waited_ms >= plainLine_ms;
    return Math.floor(step / this.#everySteps) > Math.floor(this.#drawnStep / this.#everySteps);
  }

  #draw(): void {
    if (!this.#fields) return;
    const { step, steps } = this.#fields;
    const texts = formatFields(this.#fields);
    if (step === steps) {
      texts.push(`in ${formatDuration(this.#updated_ms - this.#started_ms)}`);
    } else if (this.#recentSteps > 0) {
      texts.push(`${formatDuration((this.#recent_ms / this.#recentSteps) * (steps - step))} left`);
    }
    if (this.#stream.isTTY) {
      const width = (this.#stream.columns || 80) - 1;
      this.#stream.write(`\r${fit(texts, step / steps, width)}\x1b[K`);
    } else {
      this.#stream.write(`${texts.join("  ")}\n`);
    }
    this.#drawn_ms = this.#updated_ms;
    this.#drawnStep = step;
    this.#isDrawn = true;
  }
}
