import { ArgumentError, checkInteger } from "../errors.ts";
import { exampleRandom } from "./example-random.ts";

export interface BucketOptions {
  /** Examples a batch; the last may have fewer. Give this or `maxTokens`. */
  batchSize?: number;
  /** The most tokens a batch may have, padding included: short examples come in larger batches. */
  maxTokens?: number;
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
  /** Which pass over the data this is, from 0: each has batches of its own. Default 0. */
  epoch?: number;
  /** The first step: a run that did `start` steps of this epoch goes on with the batches it would have seen. Default 0. */
  start?: number;
  /** Leave out a last batch of fewer than `batchSize` examples. Default false. */
  dropLast?: boolean;
  /** As `padRows` will be told, so that padding is measured as it will be. Default 1. */
  padToMultipleOf?: number;
  /**
   * Batches whose examples are sorted together: more of them pad less, fewer mix more. At most a quarter of the data is
   * sorted together. Default 50.
   */
  bucketSize?: number;
}

/** The examples of one step. */
export interface ExampleBatch {
  /** Which batch of the epoch this is, from 0. */
  step: number;
  /** B indices of examples, the longest first. */
  indices: Int32Array;
  /** T: the length of the longest, rounded up to `padToMultipleOf`. */
  length: number;
}

/** The batches of one epoch. It can be iterated more than once. */
export interface BucketedBatches extends Iterable<ExampleBatch> {
  /** Batches in the epoch, those before `start` included. */
  readonly steps: number;
  /** The share of the epoch's B · T places that hold padding, from 0 to 1. */
  readonly padding: number;
}

/**
 * Batches of examples of similar length, in random order.
 *
 * The examples are shuffled and cut into buckets of `bucketSize` batches; each bucket is sorted by length and cut into
 * batches, which are then shuffled. The batch with the longest example comes first: what does not fit into memory fails
 * at once. Everything is decided by the lengths, the seed and the epoch.
 *
 * @param lengths tokens of each example
 * @throws ArgumentError on a bad option or length, and on an example longer than `maxTokens`
 * @see Transformers' `group_by_length`, whose buckets these are
 */
export function bucketedBatches(lengths: ArrayLike<number>, options: BucketOptions): BucketedBatches {
  const { batchSize, maxTokens, seed, epoch = 0, start = 0 } = options;
  const { dropLast = false, padToMultipleOf = 1, bucketSize = 50 } = options;
  const name = "bucketedBatches";
  if ((batchSize === undefined) === (maxTokens === undefined)) {
    const came = batchSize === undefined ? "neither" : "both";
    throw new ArgumentError(`${name}: give either batchSize or maxTokens; got ${came}`);
  }
  if (dropLast && batchSize === undefined) throw new ArgumentError(`${name}: dropLast needs batchSize`);
  checkInteger(`${name}: batchSize`, batchSize ?? 1, 1);
  checkInteger(`${name}: maxTokens`, maxTokens ?? 1, 1);
  checkInteger(`${name}: padToMultipleOf`, padToMultipleOf, 1);
  checkInteger(`${name}: bucketSize`, bucketSize, 1);
  const count = checkInteger(`${name}: lengths.length`, lengths?.length, 1, 2 ** 31 - 1);
  const paddedLengths = Int32Array.from(lengths, (length, i) => {
    checkInteger(`${name}: lengths[${i}]`, length, 1, 2 ** 31 - padToMultipleOf);
    return Math.ceil(length / padToMultipleOf) * padToMultipleOf;
  });
  const longest = paddedLengths.reduce((a, b) => Math.max(a, b));
  if (maxTokens !== undefined && longest > maxTokens) {
    const index = paddedLengths.indexOf(longest);
    throw new ArgumentError(
      `${name}: maxTokens must be at least the longest example, ${longest} with its padding (index ${index}); got ${maxTokens}`,
    );
  }

  let tokens = 0;
  for (let i = 0; i < count; i++) tokens += lengths[i]!;
  const typicalBatch = batchSize ?? Math.max(1, Math.floor((maxTokens! * count) / tokens));
  const bucket = typicalBatch * Math.max(1, Math.min(bucketSize, Math.floor(count / (4 * typicalBatch))));

  const random = exampleRandom("order", seed, epoch, 0);
  const order = random.shuffle(Int32Array.from({ length: count }, (_, i) => i));
  const batches: Int32Array[] = [];
  for (let first = 0; first < count; first += bucket) {
    const sorted = order.slice(first, first + bucket).sort((a, b) => lengths[b]! - lengths[a]!);
    for (let i = 0; i < sorted.length; ) {
      const size = batchSize ?? Math.floor(maxTokens! / paddedLengths[sorted[i]!]!);
      const batch = sorted.slice(i, i + size);
      if (!dropLast || batch.length === batchSize) batches.push(batch);
      i += size;
    }
  }
  random.shuffle(batches);
  const lengthOf = (batch: Int32Array) => paddedLengths[batch[0]!]!;
  const first = batches.reduce(
    (best, batch, i) => (lengthOf(batch) > lengthOf(batches[best]!) ? i : best),
    0,
  );
  if (batches.length > 0) [batches[0], batches[first]] = [batches[first]!, batches[0]!];

  checkInteger(`${name}: start`, start, 0, batches.length);
  let places = 0;
  let filled = 0;
  for (const batch of batches) {
    places += batch.length * lengthOf(batch);
    for (const i of batch) filled += lengths[i]!;
  }
  return {
    steps: batches.length,
    padding: places === 0 ? 0 : 1 - filled / places,
    *[Symbol.iterator]() {
      for (let step = start; step < batches.length; step++) {
        const indices = batches[step]!;
        yield { step, indices: indices.slice(), length: lengthOf(indices) };
      }
    },
  };
}
