import { ArgumentError, checkInteger, checkNumber, DataError } from "../errors.ts";
import { type AnyIterable, isIterable } from "./dataset.ts";
import { exampleRandom } from "./example-random.ts";

/** The data of one task. */
export interface TaskData<B> {
  /** How many examples it has, which decides how often its turn comes. */
  size: number;
  /** The batches of a pass over the data, from pass 0 on; asked for again when they are used up. */
  batches: (epoch: number) => AnyIterable<B>;
}

export interface TaskSamplingOptions {
  /**
   * Tasks come in proportion to their size to the power of 1 / temperature: 1 (default) is proportional, larger ones favour
   * small tasks, and with Infinity all are equal.
   */
  temperature?: number;
  /** What counts of a size at the most, so that a huge task leaves something to the others. Default: all. */
  maxSize?: number;
}

export interface MultiTaskOptions extends TaskSamplingOptions {
  /** Batches in all. */
  steps: number;
  /** The first step: a run that did `start` steps goes on with the batches it would have seen. Default 0. */
  start?: number;
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
}

/** A batch and the task whose it is. */
export type TaskBatch<D> = {
  [K in keyof D & string]: {
    step: number;
    task: K;
    /** Which pass over the data of the task this is. */
    epoch: number;
    batch: D[K] extends TaskData<infer B> ? B : never;
  };
}[keyof D & string];

/**
 * How likely each task is to come next: `min(size, maxSize)^(1 / temperature)`, divided by their sum.
 *
 * @throws ERR_ARGUMENT on no tasks, and on what is no size
 * @see Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", 3.5.2
 */
export function taskProbabilities<K extends string>(
  sizes: Readonly<Record<K, number>>,
  { temperature = 1, maxSize = Number.MAX_SAFE_INTEGER }: TaskSamplingOptions = {},
): Record<K, number> {
  const name = "taskProbabilities";
  const tasks = Object.keys(sizes ?? {}) as K[];
  if (tasks.length === 0) throw new ArgumentError(`${name}: sizes must name at least one task; got none`);
  if (temperature !== Infinity) checkNumber(`${name}: temperature`, temperature, 1e-3, 1e9);
  checkInteger(`${name}: maxSize`, maxSize, 1);
  // Of the largest task 1, so that a low temperature does not overflow.
  const counts = tasks.map((task) =>
    Math.min(checkInteger(`${name}: size of ${task}`, sizes[task], 1), maxSize),
  );
  const largest = counts.reduce((a, b) => Math.max(a, b));
  const rates = counts.map((count) => (count / largest) ** (1 / temperature));
  const sum = rates.reduce((a, b) => a + b);
  return Object.fromEntries(tasks.map((task, k) => [task, rates[k]! / sum])) as Record<K, number>;
}

/**
 * Batches of several tasks in random order, each batch of one task.
 *
 * ```ts
 * const tasks = {
 *   topic: { size: topics.length, batches: (epoch) => topicBatches(epoch) },
 *   mood: { size: moods.length, batches: (epoch) => moodBatches(epoch) },
 * };
 * for await (const { task, batch } of multiTaskBatches(tasks, { steps: 1000, temperature: 2, seed: 1 })) {
 *   const { loss } = model(batch.ids, { tasks: [task], labels: { [task]: batch.labels } });
 * ```
 *
 * Which task comes at a step is a pure function of the seed and the step. A task that comes to its end begins anew.
 *
 * @throws ERR_ARGUMENT on a bad option; ERR_DATA if a task has no batches
 */
export async function* multiTaskBatches<const D extends Readonly<Record<string, TaskData<unknown>>>>(
  tasks: D,
  { steps, start = 0, seed, ...sampling }: MultiTaskOptions,
): AsyncGenerator<TaskBatch<D>, void, undefined> {
  const name = "multiTaskBatches";
  checkInteger(`${name}: steps`, steps, 0, 2 ** 32 - 1);
  checkInteger(`${name}: start`, start, 0, steps);
  checkInteger(`${name}: seed`, seed, 0);
  const entries = Object.entries<TaskData<unknown>>(tasks ?? {});
  for (const [task, data] of entries) {
    if (typeof data?.batches !== "function") {
      throw new ArgumentError(`${name}: batches of ${task} must be a function; got ${String(data?.batches)}`);
    }
  }
  const chances = taskProbabilities(
    Object.fromEntries(entries.map(([task, { size }]) => [task, size])),
    sampling,
  );
  const passes = new Map(entries.map(([task, { batches }]) => [task, new Passes(task, batches)]));
  try {
    for (let step = 0; step < steps; step++) {
      const task = drawTask(chances, exampleRandom("tasks", seed, 0, step).uniform());
      const next = await passes.get(task)!.next();
      if (step >= start) yield { step, task, ...next } as TaskBatch<D>;
    }
  } finally {
    for (const pass of passes.values()) await pass.close();
  }
}

function drawTask(chances: Readonly<Record<string, number>>, u: number): string {
  let last = "";
  for (const [task, chance] of Object.entries(chances)) {
    last = task;
    u -= chance;
    if (u < 0) break;
  }
  return last;
}

/** The batches of a task, over and over. */
class Passes {
  readonly #task: string;
  readonly #batches: (epoch: number) => AnyIterable<unknown>;
  #epoch = -1;
  #iterator: Iterator<unknown> | AsyncIterator<unknown> | undefined;

  constructor(task: string, batches: (epoch: number) => AnyIterable<unknown>) {
    this.#task = task;
    this.#batches = batches;
  }

  async next(): Promise<{ epoch: number; batch: unknown }> {
    let next = await this.#iterator?.next();
    if (next === undefined || next.done) {
      this.#iterator = this.#begin(++this.#epoch);
      next = await this.#iterator.next();
      if (next.done) {
        throw new DataError(
          `multiTaskBatches: batches of ${this.#task} must give at least one; got none in pass ${this.#epoch}`,
        );
      }
    }
    return { epoch: this.#epoch, batch: next.value };
  }

  #begin(epoch: number): Iterator<unknown> | AsyncIterator<unknown> {
    const source = this.#batches(epoch);
    if (isIterable(source)) {
      return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    }
    throw new DataError(
      `multiTaskBatches: batches of ${this.#task} must give what can be iterated; got ${String(source)}`,
    );
  }

  /** Ends a pass that is under way, which closes its file. */
  async close(): Promise<void> {
    await this.#iterator?.return?.();
  }
}
