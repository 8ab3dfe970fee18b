import { ArgumentError, CheckpointError, checkInteger, checkNumber } from "../errors.ts";

export interface ReduceLROnPlateauOptions {
  /** Whether a metric is better the smaller, or the larger it is. Default "min". */
  mode?: "min" | "max";
  /** By which the learning rate is multiplied. Default 0.1. */
  factor?: number;
  /** Metrics in a row that may be no better before it is. Default 10. */
  patience?: number;
  /** By how much a metric must be better to count. Default 1e-4. */
  threshold?: number;
  /** Whether the threshold is a part of the best metric, or a difference to it. Default "rel". */
  thresholdMode?: "rel" | "abs";
  /** Metrics after a reduction that do not count. Default 0. */
  cooldown?: number;
  /** Default 0. */
  minLr?: number;
  /** A reduction by no more than this is not made. Default 1e-8. */
  eps?: number;
}

const modes = ["min", "max"];
const thresholdModes = ["rel", "abs"];

/**
 * Reduces the learning rate of an optimizer when a metric has stopped getting better.
 *
 * ```ts
 * const plateau = new ReduceLROnPlateau(optimizer, { patience: 2 });
 * plateau.step(await model.evaluate(heldOut)); // after each evaluation
 * ```
 *
 * Names and defaults are PyTorch's.
 */
export class ReduceLROnPlateau {
  private readonly optimizer: { learningRate: number };
  private readonly options: Required<ReduceLROnPlateauOptions>;
  private best: number | undefined;
  private badCount = 0;
  private cooldownLeft = 0;

  constructor(optimizer: { learningRate: number }, options: ReduceLROnPlateauOptions = {}) {
    const name = "ReduceLROnPlateau";
    const { mode = "min", thresholdMode = "rel", factor = 0.1 } = options;
    if (!modes.includes(mode))
      throw new ArgumentError(`${name}: mode must be min or max; got ${String(mode)}`);
    if (!thresholdModes.includes(thresholdMode))
      throw new ArgumentError(`${name}: thresholdMode must be rel or abs; got ${String(thresholdMode)}`);
    if (checkNumber(`${name}: factor`, factor, 0, 1) === 1)
      throw new ArgumentError(`${name}: factor must be below 1; got 1`);
    this.optimizer = optimizer;
    this.options = {
      mode,
      thresholdMode,
      factor,
      patience: checkInteger(`${name}: patience`, options.patience ?? 10, 0),
      threshold: checkNumber(`${name}: threshold`, options.threshold ?? 1e-4, 0),
      cooldown: checkInteger(`${name}: cooldown`, options.cooldown ?? 0, 0),
      minLr: checkNumber(`${name}: minLr`, options.minLr ?? 0, 0),
      eps: checkNumber(`${name}: eps`, options.eps ?? 1e-8, 0),
    };
  }

  private isBetter(metric: number): boolean {
    const { mode, thresholdMode, threshold } = this.options;
    if (this.best === undefined) return true;
    const least = (sign: number) =>
      thresholdMode === "rel" ? this.best! * (1 + sign * threshold) : this.best! + sign * threshold;
    return mode === "min" ? metric < least(-1) : metric > least(1);
  }

  /**
   * Takes the next metric. One that is NaN is no better than any.
   *
   * @returns the learning rate from here on
   */
  step(metric: number): number {
    if (typeof metric !== "number")
      throw new ArgumentError(`ReduceLROnPlateau.step: metric must be a number; got ${typeof metric}`);
    const { factor, patience, cooldown, minLr, eps } = this.options;
    if (!Number.isNaN(metric) && this.isBetter(metric)) {
      this.best = metric;
      this.badCount = 0;
    } else {
      this.badCount++;
    }
    if (this.cooldownLeft > 0) {
      this.cooldownLeft--;
      this.badCount = 0;
    }
    if (this.badCount > patience) {
      const { learningRate } = this.optimizer;
      const reduced = Math.max(learningRate * factor, minLr);
      if (learningRate - reduced > eps) this.optimizer.learningRate = reduced;
      this.cooldownLeft = cooldown;
      this.badCount = 0;
    }
    return this.optimizer.learningRate;
  }

  /** All that JSON must hold for an exact resume; the learning rate is a part of the optimizer's state. */
  stateDict(): Record<string, unknown> {
    return { best: this.best ?? null, badCount: this.badCount, cooldownLeft: this.cooldownLeft };
  }

  loadStateDict({ best, badCount, cooldownLeft }: Record<string, unknown>): void {
    const isCount = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
    if ((best !== null && !Number.isFinite(best)) || !isCount(badCount) || !isCount(cooldownLeft)) {
      throw new CheckpointError(
        `ReduceLROnPlateau.loadStateDict: best must be a number or null, badCount and cooldownLeft counts; got ${String(best)}, ${String(badCount)}, ${String(cooldownLeft)}`,
      );
    }
    this.best = (best as number | null) ?? undefined;
    this.badCount = badCount as number;
    this.cooldownLeft = cooldownLeft as number;
  }
}
