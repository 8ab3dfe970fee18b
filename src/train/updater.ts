import { noGrad } from "../autograd.ts";
import { add, scale } from "../ops/elementwise.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { Tensor } from "../tensor.ts";
import type { ModelOutput } from "./compute-loss.ts";
import type { Batch } from "./data-source.ts";
import { firstNonFinite, type NamedParameters, NonFiniteError, squaresOf } from "./gradients.ts";
import type { PreparedBatch } from "./prepared-batch.ts";
import { step } from "./step.ts";

/** What an update reports, once it is computed. */
export interface UpdateResult {
  readonly loss: number;
  /** Of all gradients, before clipping. */
  readonly gradNorm: number;
  /** It was left out: something in it was not finite. */
  readonly isSkipped: boolean;
}

export interface UpdaterOptions {
  optimizer: Optimizer;
  parameters: NamedParameters;
  lossOf: (batch: Batch) => ModelOutput;
  maxGradNorm: number;
  maxGradValue: number;
  nonFinite: "stop" | "skip";
  /** Called inside of the step, when the gradients are complete. */
  onGradients: () => void;
  /** Called inside of the step, behind the optimizer. */
  onUpdated: () => void;
}

/** The event loop has its turn between parts of an update. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const advice =
  "A lower learningRate, a longer warmup or a smaller maxGradNorm may help; the weights in memory are spoilt, those of the last checkpoint are not";

/**
 * Enqueues updates: forward and backward passes of some batches, and a step of the optimizer.
 *
 * The loss of an update is the mean over the items of all its batches: each batch's own mean counts with the share that
 * its items (labels that are not -100) have of all. Where a batch does not say how many there are, each counts alike.
 */
export class Updater {
  readonly #options: UpdaterOptions;

  constructor(options: UpdaterOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the update is enqueued, to what resolves when it is computed. With `nonFinite: "skip"` it is enqueued
   * once its gradients are known.
   *
   * @param number of the update, from 1, for errors
   */
  async enqueue(
    number: number,
    batches: readonly PreparedBatch[],
    learningRate: number,
  ): Promise<{ result: Promise<UpdateResult> }> {
    const { nonFinite } = this.#options;
    const shares = sharesOf(batches);
    const losses: Tensor[] = [];
    for (const [i, batch] of batches.slice(0, -1).entries()) {
      losses.push(step(() => this.#backward(batch.batch, shares[i]!)));
      await turn();
    }
    const last = batches.length - 1;
    if (nonFinite === "skip")
      return this.#checked(number, batches[last]!, shares[last]!, losses, learningRate);
    const tensors = step(() => {
      losses.push(this.#backward(batches[last]!.batch, shares[last]!));
      return { loss: total(losses), ...this.#apply(learningRate) };
    });
    return { result: this.#read(number, tensors, losses) };
  }

  #backward(batch: Batch, share: number): Tensor {
    const { loss } = this.#options.lossOf(batch);
    const part = share === 1 ? loss : scale(loss, share);
    part.backward();
    return part.detach();
  }

  #apply(learningRate: number): { gradNorm: Tensor; squares: Tensor } {
    const { optimizer, parameters, maxGradNorm, maxGradValue, onGradients, onUpdated } = this.#options;
    onGradients();
    const squares = squaresOf(parameters);
    const { gradNorm } = optimizer.step({
      learningRate,
      maxGradNorm,
      ...(maxGradValue > 0 && { maxGradValue }),
    });
    onUpdated();
    return { gradNorm, squares };
  }

  async #read(
    number: number,
    { loss, gradNorm, squares }: { loss: Tensor; gradNorm: Tensor; squares: Tensor },
    losses: readonly Tensor[],
  ): Promise<UpdateResult> {
    try {
      const [lossValue, normValue] = await Promise.all([loss.item(), gradNorm.item()]);
      if (Number.isFinite(lossValue) && Number.isFinite(normValue)) {
        return { loss: lossValue, gradNorm: normValue, isSkipped: false };
      }
      const parameter = firstNonFinite(this.#options.parameters, await squares.toTypedArray());
      throw new NonFiniteError(number, lossValue, parameter, advice);
    } finally {
      for (const t of [loss, gradNorm, squares, ...losses]) t.dispose();
    }
  }

  /** Waits for the gradients, and updates only if they are finite. */
  async #checked(
    number: number,
    batch: PreparedBatch,
    share: number,
    losses: Tensor[],
    learningRate: number,
  ): Promise<{ result: Promise<UpdateResult> }> {
    const { optimizer, parameters } = this.#options;
    const { loss, squares } = step(() => {
      losses.push(this.#backward(batch.batch, share));
      return { loss: total(losses), squares: squaresOf(parameters) };
    });
    const [value, found] = await Promise.all([loss.item(), squares.toTypedArray()]);
    const parameter = firstNonFinite(parameters, found);
    if (Number.isFinite(value) && parameter === undefined) {
      squares.dispose();
      const applied = step(() => this.#apply(learningRate));
      return { result: this.#read(number, { loss, ...applied }, losses) };
    }
    for (const t of [loss, squares, ...losses]) t.dispose();
    optimizer.zeroGrad();
    const { message } = new NonFiniteError(number, value, parameter, "This update is left out");
    process.emitWarning(message, { type: "TrainformerWarning", code: "WARN_SKIPPED_UPDATE" });
    return { result: Promise.resolve({ loss: value, gradNorm: Number.NaN, isSkipped: true }) };
  }
}

/** The share of each batch in the loss of the update. */
function sharesOf(batches: readonly PreparedBatch[]): number[] {
  if (batches.length === 1) return [1];
  const items = batches.map((batch) => batch.items);
  const all = items.reduce<number>((sum, count) => sum + (count ?? Number.NaN), 0);
  return items.map((count) => (all > 0 ? count! / all : 1 / batches.length));
}

function total(losses: readonly Tensor[]): Tensor {
  return noGrad(() => losses.reduce((sum, loss) => add(sum, loss)));
}
