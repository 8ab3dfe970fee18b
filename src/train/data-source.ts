import { bucketedBatches } from "../data/bucketed-batches.ts";
import { type AnyIterable, Dataset, isIterable } from "../data/dataset.ts";
import { exampleRandom } from "../data/example-random.ts";
import { TokenDataset } from "../data/token-dataset.ts";
import { ArgumentError, checkInteger, DataError, show } from "../errors.ts";
import { tensor } from "../tensor.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";

/** What a model is called with: see `Trainer`. */
export type Batch = readonly unknown[] | Readonly<Record<string, unknown>>;

/** Makes a batch of tensors out of examples. */
export type Collate<E> = (examples: readonly E[]) => Batch | Promise<Batch>;

/**
 * Examples: an array, a Dataset or another iterable that is read as it comes, the windows of a TokenDataset, or a
 * function that makes the examples of a pass over the data, counted from 0.
 */
export type TrainerData<E> =
  | readonly E[]
  | AnyIterable<E>
  | TokenDataset
  | ((epoch: number) => readonly E[] | AnyIterable<E> | Promise<readonly E[] | AnyIterable<E>>);

/** The examples of one forward pass, not made into tensors yet. */
export interface PendingBatch {
  /** How many. */
  readonly examples: number;
  make(): Batch | Promise<Batch>;
}

/** One pass over the data. */
export interface Epoch {
  /** Batches of the whole pass, if that is known. */
  readonly batches: number | undefined;
  /** Those from the batch `start` on. */
  from(start: number): AsyncIterable<PendingBatch>;
}

export type DataSource = (epoch: number) => Promise<Epoch>;

/** How a source makes batches. */
export interface BatchRules
  extends Pick<
    FullTrainingArguments,
    "trainSamplingStrategy" | "lengthColumnName" | "dataSeed" | "maxTokens" | "dataloaderDropLast"
  > {
  batchSize: number;
  /** Of windows of a TokenDataset. */
  contextLength: number | undefined;
}

/** Batches of all examples in their order. */
export const inOrder = (
  batchSize: number,
  contextLength: number | undefined,
  all: FullTrainingArguments,
): BatchRules => ({
  ...all,
  batchSize,
  contextLength,
  trainSamplingStrategy: "sequential",
  maxTokens: undefined,
  dataloaderDropLast: false,
});

/** @throws ERR_ARGUMENT on data of another kind, on none, and without a `collate` where one is needed */
export function dataSource<E>(
  name: string,
  data: TrainerData<E>,
  collate: Collate<E>,
  rules: BatchRules,
): DataSource {
  if (data instanceof TokenDataset) {
    const epoch = windows(name, data, rules);
    return async (number) => epoch(number);
  }
  const open = async (epoch: number) => (typeof data === "function" ? await data(epoch) : data);
  return async (number) => {
    const examples = await open(number);
    if (Array.isArray(examples)) return listed(name, examples, number, collate, rules);
    if (isIterable(examples)) return streamed(examples as AnyIterable<E>, number, collate, rules);
    throw new ArgumentError(
      `Trainer: ${name} must be an array, an iterable, a TokenDataset or a function that makes one; got ${show(examples)}`,
    );
  };
}

/** Batches of examples that can be had in any order. */
function listed<E>(
  name: string,
  examples: readonly E[],
  epoch: number,
  collate: Collate<E>,
  rules: BatchRules,
): Epoch {
  const count = examples.length;
  if (count === 0) throw new ArgumentError(`Trainer: ${name} must have at least one example; got none`);
  const { batchSize, dataSeed: seed, dataloaderDropLast: dropLast, maxTokens } = rules;
  const pending = (indices: ArrayLike<number>): PendingBatch => ({
    examples: indices.length,
    make: () => collate(Array.from(indices, (i) => examples[i]!)),
  });
  if (rules.trainSamplingStrategy === "group_by_length") {
    const lengths = examples.map((example, i) => lengthOf(example, rules.lengthColumnName, `${name}[${i}]`));
    const size = maxTokens === undefined ? { batchSize } : { maxTokens };
    const options = { ...size, seed, epoch, dropLast };
    return {
      batches: bucketedBatches(lengths, options).steps,
      async *from(start) {
        for (const { indices } of bucketedBatches(lengths, { ...options, start })) yield pending(indices);
      },
    };
  }
  const order = Int32Array.from({ length: count }, (_, i) => i);
  if (rules.trainSamplingStrategy === "random") exampleRandom("order", seed, epoch, 0).shuffle(order);
  const batches = dropLast ? Math.floor(count / batchSize) : Math.ceil(count / batchSize);
  if (batches === 0) {
    throw new ArgumentError(
      `Trainer: ${name} must have a full batch of ${batchSize} where dataloaderDropLast leaves out others; got ${count} examples`,
    );
  }
  return {
    batches,
    async *from(start) {
      for (let i = start; i < batches; i++) yield pending(order.subarray(i * batchSize, (i + 1) * batchSize));
    },
  };
}

/** The length of an example: what the field says, or the number of its input ids. */
function lengthOf(example: unknown, field: string, name: string): number {
  const fields = example as Readonly<Record<string, unknown>>;
  const given = fields?.[field] ?? (fields?.inputIds as ArrayLike<number> | undefined)?.length;
  return checkInteger(`Trainer: ${name}.${field} (or the length of inputIds)`, given, 1);
}

/** Batches of examples that come one after the other. */
function streamed<E>(source: AnyIterable<E>, epoch: number, collate: Collate<E>, rules: BatchRules): Epoch {
  const { batchSize, trainSamplingStrategy, dataSeed: seed, dataloaderDropLast } = rules;
  if (trainSamplingStrategy === "group_by_length") {
    throw new ArgumentError(
      'Trainer: trainSamplingStrategy "group_by_length" needs an array, of which all lengths are known; got data that is read as it comes',
    );
  }
  const shuffles = trainSamplingStrategy === "random" && source instanceof Dataset;
  const records = shuffles ? source.shuffle({ seed, epoch }) : source;
  return {
    batches: undefined,
    async *from(start) {
      let skipped = 0;
      let examples: E[] = [];
      for await (const example of records) {
        if (skipped < start * batchSize) {
          skipped++;
          continue;
        }
        if (examples.push(example) < batchSize) continue;
        const full = examples;
        examples = [];
        yield { examples: batchSize, make: () => collate(full) };
      }
      if (examples.length > 0 && !dataloaderDropLast)
        yield { examples: examples.length, make: () => collate(examples) };
    },
  };
}

/**
 * Windows of tokens: anywhere in the data in random order, as many to a pass as fit without overlap; or one after the
 * other.
 */
function windows(name: string, data: TokenDataset, rules: BatchRules): (epoch: number) => Epoch {
  const { batchSize, contextLength, dataSeed: seed, trainSamplingStrategy } = rules;
  if (contextLength === undefined) {
    throw new ArgumentError(
      `Trainer: ${name} is a TokenDataset, which needs contextLength, the tokens of a window; the model has none`,
    );
  }
  if (trainSamplingStrategy === "group_by_length") {
    throw new ArgumentError(
      `Trainer: trainSamplingStrategy "group_by_length" needs examples of different lengths; got ${name}, a TokenDataset`,
    );
  }
  const size = { batchSize, contextLength };
  const batches = Math.ceil(Math.floor((data.length - 1) / contextLength) / batchSize);
  const asBatch = ({ inputs, targets }: { inputs: Int32Array; targets: Int32Array }): PendingBatch => {
    const shape = [inputs.length / contextLength, contextLength];
    return {
      examples: shape[0]!,
      make: () => ({ inputIds: tensor(inputs, shape), targets: tensor(targets, shape) }),
    };
  };
  return (epoch) => ({
    batches,
    async *from(start) {
      if (trainSamplingStrategy === "random") {
        const first = epoch * batches;
        const range = { start: first + start, steps: first + batches };
        for (const window of data.windows({ ...size, ...range, seed })) yield asBatch(window);
        return;
      }
      for (const window of data.sequentialWindows(size)) if (window.step >= start) yield asBatch(window);
    },
  });
}

/** @throws ERR_DATA: a pass over data that gives nothing would never end */
export function checkNotEmpty(batches: number, epoch: number): void {
  if (batches === 0) throw new DataError(`Trainer: trainData gave no example in pass ${epoch + 1}`);
}
