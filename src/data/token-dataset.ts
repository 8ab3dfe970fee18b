import { type Device, defaultDevice } from "../device.ts";
import { ArgumentError, checkInteger, checkNumber, TrainformerError } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { Random } from "../random.ts";
import { type Tensor, tensor } from "../tensor.ts";

/** B windows of T tokens and, for each token, the one that follows it. */
export interface TokenBatch {
  /** Which batch this is, from 0. */
  step: number;
  /** `[B, T]` row-major */
  inputs: Int32Array;
  /** `[B, T]`: `inputs` moved on by one token */
  targets: Int32Array;
}

/** The same as tensors on those arrays, not copies. They are freed when the next batch is taken. */
export interface TensorBatch {
  step: number;
  /** `[B, T]` i32 */
  inputs: Tensor;
  /** `[B, T]` i32 */
  targets: Tensor;
}

export interface WindowOptions {
  /** B: windows a batch. */
  batchSize: number;
  /** T: tokens a window. */
  contextLength: number;
}

interface OnDevice {
  /** Where the tensors are made. Default `defaultDevice()`. */
  device?: Device;
}

export interface RandomWindowOptions extends WindowOptions {
  /** The step to stop before. */
  steps: number;
  /** Integer from 0 to 2⁵³ - 1: the same seed gives the same batches. */
  seed: number;
  /** The first step, 0 by default: a run that did `start` steps goes on with the batches it would have seen. */
  start?: number;
}

/** Token ids in a row, and the windows of it that a language model learns from. */
export class TokenDataset {
  readonly #tokens: Int32Array;

  private constructor(tokens: Int32Array) {
    this.#tokens = tokens;
  }

  /**
   * A data set of these token ids. An Int32Array is adopted, not copied.
   *
   * @throws ArgumentError on anything but an Int32Array or an array; ERR_INDEX on an id that is no integer from 0 to 2³¹ - 1
   */
  static fromTokens(tokens: Int32Array | readonly number[]): TokenDataset {
    if (!(tokens instanceof Int32Array) && !Array.isArray(tokens)) {
      const came = typeof tokens === "object" ? Object.prototype.toString.call(tokens) : String(tokens);
      throw new ArgumentError(
        `TokenDataset.fromTokens: tokens must be an Int32Array or an array; got ${came}`,
      );
    }
    const ids = tokens instanceof Int32Array ? tokens : Int32Array.from(tokens);
    for (let i = 0; i < ids.length; i++) {
      if (ids[i]! < 0 || ids[i] !== tokens[i]) {
        throw new TrainformerError(
          "ERR_INDEX",
          `TokenDataset.fromTokens: tokens must be integers from 0 to ${2 ** 31 - 1}; got ${tokens[i]} at index ${i}`,
        );
      }
    }
    return new TokenDataset(ids);
  }

  /** Number of tokens. */
  get length(): number {
    return this.#tokens.length;
  }

  /**
   * The first `⌊fraction · length⌋` tokens and the rest: no token is in both.
   *
   * @param fraction between 0 and 1, such that neither part is empty
   */
  split(fraction: number): [train: TokenDataset, heldOut: TokenDataset] {
    checkNumber("TokenDataset.split: fraction", fraction, 0, 1);
    const cut = Math.floor(fraction * this.length);
    if (cut === 0 || cut === this.length) {
      throw new ArgumentError(
        `TokenDataset.split: fraction must leave tokens on both sides; got ${fraction} of ${this.length} tokens`,
      );
    }
    return [new TokenDataset(this.#tokens.subarray(0, cut)), new TokenDataset(this.#tokens.subarray(cut))];
  }

  /**
   * Batches of windows that begin anywhere, each place as likely as any other.
   *
   * The batch of step i depends on nothing but the seed, i and the sizes: its windows begin where
   * `new Random(seed, 0, i)` says. The iterable can be iterated more than once.
   *
   * @throws ArgumentError on a bad option, or if there are fewer than contextLength + 1 tokens
   */
  windows({ batchSize, contextLength, steps, seed, start = 0 }: RandomWindowOptions): Iterable<TokenBatch> {
    this.#checkWindows("TokenDataset.windows", batchSize, contextLength);
    checkInteger("TokenDataset.windows: steps", steps, 0);
    checkInteger("TokenDataset.windows: seed", seed, 0);
    checkInteger("TokenDataset.windows: start", start, 0, steps);
    const places = this.length - contextLength;
    const batch = (step: number): TokenBatch => {
      const random = new Random(seed, 0, step);
      const begins = Array.from({ length: batchSize }, () => random.integer(places));
      return this.#batch(step, begins, contextLength);
    };
    return {
      *[Symbol.iterator]() {
        for (let step = start; step < steps; step++) yield batch(step);
      },
    };
  }

  /**
   * All windows one after the other, without overlap, for evaluation. The last batch may have fewer windows; tokens that
   * do not fill a window are left out. The iterable can be iterated more than once.
   *
   * @throws ArgumentError on a bad option, or if there are fewer than contextLength + 1 tokens
   */
  sequentialWindows({ batchSize, contextLength }: WindowOptions): Iterable<TokenBatch> {
    this.#checkWindows("TokenDataset.sequentialWindows", batchSize, contextLength);
    const count = Math.floor((this.length - 1) / contextLength);
    const batch = (step: number): TokenBatch => {
      const first = step * batchSize;
      const length = Math.min(batchSize, count - first);
      return this.#batch(
        step,
        Array.from({ length }, (_, b) => (first + b) * contextLength),
        contextLength,
      );
    };
    return {
      *[Symbol.iterator]() {
        for (let step = 0; step * batchSize < count; step++) yield batch(step);
      },
    };
  }

  /** `windows` as tensors, for a training loop. */
  batches(options: RandomWindowOptions & OnDevice): Iterable<TensorBatch> {
    return asTensors(this.windows(options), options);
  }

  /** `sequentialWindows` as tensors, for evaluation. */
  sequentialBatches(options: WindowOptions & OnDevice): Iterable<TensorBatch> {
    return asTensors(this.sequentialWindows(options), options);
  }

  #checkWindows(name: string, batchSize: number, contextLength: number): void {
    checkInteger(`${name}: batchSize`, batchSize, 1);
    checkInteger(`${name}: contextLength`, contextLength, 1);
    if (this.length <= contextLength) {
      const needed = `at most ${this.length - 1}, for a window and its last target, with ${this.length} tokens`;
      throw new ArgumentError(`${name}: contextLength must be ${needed}; got ${contextLength}`);
    }
  }

  #batch(step: number, begins: readonly number[], contextLength: number): TokenBatch {
    const inputs = new Int32Array(begins.length * contextLength);
    const targets = new Int32Array(begins.length * contextLength);
    begins.forEach((begin, b) => {
      inputs.set(this.#tokens.subarray(begin, begin + contextLength), b * contextLength);
      targets.set(this.#tokens.subarray(begin + 1, begin + 1 + contextLength), b * contextLength);
    });
    return { step, inputs, targets };
  }
}

function asTensors(
  windows: Iterable<TokenBatch>,
  { contextLength, device = defaultDevice() }: WindowOptions & OnDevice,
): Iterable<TensorBatch> {
  return {
    *[Symbol.iterator]() {
      for (const { step, inputs, targets } of windows) {
        const as = (ids: Int32Array) =>
          unscoped(() => tensor(ids, [ids.length / contextLength, contextLength], { device }));
        const batch = { step, inputs: as(inputs), targets: as(targets) };
        try {
          yield batch;
        } finally {
          batch.inputs.dispose();
          batch.targets.dispose();
        }
      }
    },
  };
}
