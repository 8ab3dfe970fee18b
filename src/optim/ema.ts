import { ArgumentError, CheckpointError, checkInteger, checkNumber, DtypeError } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { kernelNamed } from "../native.ts";
import type { AnyModule, Parameter } from "../nn/module.ts";
import { contiguousCopy, runKernel } from "../op.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { part } from "./flat-parameters.ts";
import type { OptimizerState } from "./optimizer.ts";

const lerp = kernelNamed("lerp");

export interface EMAOptions {
  /** How much of the average stays in an update. Default 0.999. */
  decay?: number;
  /** Begins with a shorter memory: update n keeps `min(decay, (1 + n) / (10 + n))`. Default false. */
  warmup?: boolean;
}

/**
 * A running average of a model's weights: `average += (1 − decay) (weight − average)` after each step. It often scores
 * better than the weights themselves.
 *
 * ```ts
 * const ema = new EMA(model, { decay: 0.999 });
 * // after each optimizer.step():
 * ema.update();
 * // to evaluate or to save:
 * ema.swap();
 * const loss = await model.evaluate(heldOut);
 * ema.restore();
 * ```
 *
 * @see Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"
 */
export class EMA {
  readonly decay: number;
  readonly warmup: boolean;
  /** Updates so far. */
  updateCount = 0;
  private readonly model: AnyModule;
  private readonly averages = new Map<Parameter, Tensor>();
  private swapped = false;

  /** Begins with the weights that the model has. @throws ERR_DTYPE unless they are f32 */
  constructor(model: AnyModule, options: EMAOptions = {}) {
    this.decay = checkNumber("EMA: decay", options.decay ?? 0.999, 0, 1);
    this.warmup = options.warmup ?? false;
    this.model = model;
    for (const [name, p] of model.namedParameters()) {
      if (p.dtype !== "f32") throw new DtypeError(`EMA: parameters must be f32; got ${name} ${p.dtype}`);
      this.averages.set(
        p,
        unscoped(() => contiguousCopy(p)),
      );
    }
  }

  /** Whether the model has the averages at the moment. */
  get isSwapped(): boolean {
    return this.swapped;
  }

  /** Takes in the weights as they are now. @throws ERR_ARGUMENT between `swap` and `restore` */
  update(): void {
    if (this.swapped) throw new ArgumentError("EMA.update: the model has the averages; call restore() first");
    this.updateCount++;
    const n = this.updateCount;
    const decay = this.warmup ? Math.min(this.decay, (1 + n) / (10 + n)) : this.decay;
    for (const [p, average] of this.averages) {
      runKernel(lerp, "f32", { y: part(average, 0, [p.size]), x: part(p, 0, [p.size]), weight: 1 - decay });
    }
  }

  /** Puts the averages into the model. Its weights are kept for `restore`. */
  swap(): void {
    if (this.swapped)
      throw new ArgumentError("EMA.swap: the model has the averages already; call restore() first");
    this.exchange();
  }

  /** Puts the weights back into the model. */
  restore(): void {
    if (!this.swapped)
      throw new ArgumentError("EMA.restore: the model has its own weights; call swap() first");
    this.exchange();
  }

  private exchange(): void {
    this.swapped = !this.swapped;
    for (const [p, other] of this.averages) {
      scope(() => {
        const own = contiguousCopy(p);
        p.assign(other);
        other.assign(own);
      });
    }
  }

  /** The averages by the names of the parameters, sharing their memory. @throws ERR_ARGUMENT between `swap` and `restore` */
  stateDict(): OptimizerState {
    if (this.swapped)
      throw new ArgumentError("EMA.stateDict: the model has the averages; call restore() first");
    return {
      tensors: new Map([...this.model.namedParameters()].map(([name, p]) => [name, this.averages.get(p)!])),
      values: { updateCount: this.updateCount },
    };
  }

  /** @throws ERR_CHECKPOINT naming what does not fit */
  loadStateDict({
    tensors,
    values,
  }: {
    tensors: ReadonlyMap<string, Tensor>;
    values: Record<string, unknown>;
  }) {
    const own = this.stateDict().tensors;
    for (const name of tensors.keys())
      if (!own.has(name)) throw new CheckpointError(`EMA.loadStateDict: unexpected tensor ${name}`);
    for (const [name, average] of own) {
      const given = tensors.get(name);
      if (given !== undefined && showShape(given.shape) === showShape(average.shape)) continue;
      const got = given === undefined ? "none" : showShape(given.shape);
      throw new CheckpointError(`EMA.loadStateDict: ${name} must be ${showShape(average.shape)}; got ${got}`);
    }
    this.updateCount = checkInteger("EMA.loadStateDict: updateCount", values.updateCount, 0);
    for (const [name, average] of own) average.assign(tensors.get(name)!);
  }
}
