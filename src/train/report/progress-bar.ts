import { checkInteger, checkNumber } from "../../errors.ts";
import { memory } from "../../memory.ts";
import type { Logs, TrainerCallback, TrainerEvent } from "../callback.ts";
import { Pace } from "./pace.ts";
import { barLine, type Duration, type ProgressFields, plainLine } from "./progress-line.ts";
import { isTerminal, print, type Screen, StatusLine, styled, widthOf } from "./screen.ts";

export interface ProgressBarOptions {
  /** Where to draw, `process.stderr` by default: one line in place on a terminal, else a line now and then. */
  stream?: Screen;
  /** A clock in milliseconds, `performance.now` by default. */
  now?: () => number;
  /** Steps between the lines of a stream that is no terminal; without it, they are 5 s apart. */
  everySteps?: number;
  /**
   * Floating-point operations that the device can do in a second, in the precision of the model's products. Only with
   * it, utilization is shown: a peak cannot be guessed.
   */
  peakFlops?: number;
}

const redraw_ms = 100;
const plainLine_ms = 5000;

/**
 * Shows how far a training run is:
 *
 *     ███████████████░░░░░░░░░  1240/2000  loss 1.712  held-out 1.934  lr 6.1e-4  |g| 0.48  10.2k tok/s  0:58 left
 *
 * On a terminal the line is redrawn in place, at most ten times a second and when the window changes, and fits the
 * width. Elsewhere lines without the bar follow each other. Colours are left out where NO_COLOR or the terminal says so.
 * Speed and the time left are at the pace of about the last 30 s, the speed without evaluations and checkpoints. Memory
 * is the most that tensors held at once.
 *
 * It is a callback of Trainer; in a loop of one's own, `update` and `finish` do the same.
 */
export class ProgressBar implements TrainerCallback {
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #everySteps: number | undefined;
  readonly #peakFlops: number | undefined;
  readonly #line: StatusLine;
  readonly #redraw = () => this.#draw();
  #fields: ProgressFields | undefined;
  #device: TrainerEvent["model"]["device"] | undefined;
  #started_ms: number;
  #updated_ms = 0;
  #drawn_ms = -Infinity;
  #drawnStep = 0;
  #isDrawn = true;
  #steps = new Pace();
  #training = { tokens: new Pace(), operations: new Pace() };
  /** When the last step of Trainer ended, or what came after it, and the counts then. */
  #last: { ms: number; tokens: number; operations: number } | undefined;

  /** @throws ArgumentError unless `everySteps` is an integer of at least 1 and `peakFlops` a number of at least 1 */
  constructor(options: ProgressBarOptions = {}) {
    const { stream = process.stderr, now = () => performance.now(), everySteps, peakFlops } = options;
    if (everySteps !== undefined) checkInteger("ProgressBar: everySteps", everySteps, 1);
    if (peakFlops !== undefined) checkNumber("ProgressBar: peakFlops", peakFlops, 1);
    this.#screen = stream;
    this.#now = now;
    this.#everySteps = everySteps;
    this.#peakFlops = peakFlops;
    this.#line = new StatusLine(stream);
    this.#started_ms = now();
  }

  /**
   * Tells where the run is, and draws if it is time to, and always when the run is complete. A field that is not given
   * keeps its last value.
   *
   * @throws ArgumentError unless `step` is an integer from that of the last update to `steps`
   */
  update(fields: ProgressFields): void {
    this.#tell(fields);
    if (fields.step === fields.steps && !this.#isDrawn) this.#draw();
  }

  /** As `update`, but the end is drawn by `finish`: more may become known of it. */
  #tell(fields: ProgressFields): void {
    const last = this.#fields;
    checkInteger("ProgressBar.update: steps", fields.steps, 1);
    checkInteger("ProgressBar.update: step", fields.step, last?.step ?? 0, fields.steps);
    const now_ms = this.#now();
    if (last) this.#steps.add(now_ms - this.#updated_ms, fields.step - last.step);
    else if (isTerminal(this.#screen)) this.#screen.on("resize", this.#redraw);
    this.#updated_ms = now_ms;
    const given = Object.entries(fields).filter(([, value]) => value !== undefined);
    this.#fields = { ...last, ...(Object.fromEntries(given) as unknown as ProgressFields) };
    this.#isDrawn = false;
    if (this.#isTimeToDraw(fields.step)) this.#draw();
  }

  /** Draws what is not drawn yet and leaves the cursor at the start of a line of its own. */
  finish(): void {
    if (!this.#isDrawn) this.#draw();
    this.#line.end();
    this.#screen.off("resize", this.#redraw);
    this.#fields = undefined;
  }

  onTrainBegin({ model, state }: TrainerEvent): void {
    this.finish();
    this.#started_ms = this.#now();
    this.#steps = new Pace();
    this.#training = { tokens: new Pace(), operations: new Pace() };
    this.#drawn_ms = -Infinity;
    this.#device = model.device;
    this.#last = undefined;
    if (state.maxSteps >= 1) this.#tell({ step: state.globalStep, steps: state.maxSteps });
  }

  onStepEnd({ state, loss, gradNorm }: TrainerEvent & { loss?: number; gradNorm?: number }): void {
    const now = { ms: this.#now(), tokens: state.numInputTokensSeen, operations: state.totalFlos };
    const { tokens, operations } = this.#training;
    if (this.#last) {
      const elapsed_ms = now.ms - this.#last.ms;
      tokens.add(elapsed_ms, now.tokens - this.#last.tokens);
      operations.add(elapsed_ms, now.operations - this.#last.operations);
    }
    this.#last = now;
    const fields: ProgressFields = { step: state.globalStep, steps: state.maxSteps };
    if (loss !== undefined) fields.loss = loss;
    if (gradNorm !== undefined) fields.gradNorm = gradNorm;
    if (tokens.perMs !== undefined) fields.tokensPerSecond = 1000 * tokens.perMs;
    if (this.#peakFlops !== undefined && operations.perMs !== undefined)
      fields.utilization = (1000 * operations.perMs) / this.#peakFlops;
    this.#tell(fields);
  }

  onLog({ state, logs }: TrainerEvent & { logs: Logs }): void {
    const { learningRate, evalLoss: heldOutLoss } = logs; // steps tell their loss themselves, more often
    if (this.#fields === undefined || (learningRate ?? heldOutLoss) === undefined) return;
    const fields: ProgressFields = { step: state.globalStep, steps: state.maxSteps };
    if (learningRate !== undefined) fields.learningRate = learningRate;
    if (heldOutLoss !== undefined) fields.heldOutLoss = heldOutLoss;
    this.#tell(fields);
  }

  onEvaluate(): void {
    this.#pause();
  }

  onSave(): void {
    this.#pause();
  }

  onTrainEnd(): void {
    this.finish();
  }

  /** The time until now is none of training. */
  #pause(): void {
    if (this.#last) this.#last.ms = this.#now();
  }

  #isTimeToDraw(step: number): boolean {
    const waited_ms = this.#updated_ms - this.#drawn_ms;
    if (isTerminal(this.#screen)) return waited_ms >= redraw_ms;
    if (this.#everySteps === undefined) return waited_ms >= plainLine_ms;
    return Math.floor(step / this.#everySteps) > Math.floor(this.#drawnStep / this.#everySteps);
  }

  #duration({ step, steps }: ProgressFields): Duration {
    if (step === steps) return { elapsed_ms: this.#updated_ms - this.#started_ms };
    const { perMs } = this.#steps;
    return { left_ms: perMs && (steps - step) / perMs };
  }

  #draw(): void {
    if (!this.#fields) return;
    const duration = this.#duration(this.#fields);
    const fields = this.#device
      ? { ...this.#fields, peakBytes: memory(this.#device).peakBytes }
      : this.#fields;
    if (isTerminal(this.#screen)) {
      const { filled, empty, text } = barLine(fields, duration, widthOf(this.#screen));
      const bar = styled(this.#screen, "cyan", filled) + styled(this.#screen, "dim", empty);
      this.#line.draw(bar === "" ? text : `  ${bar}  ${text}`);
    } else {
      print(this.#screen, [plainLine(fields, duration)]);
    }
    this.#drawn_ms = this.#updated_ms;
    this.#drawnStep = fields.step;
    this.#isDrawn = true;
  }
}
