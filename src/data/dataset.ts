import { ArgumentError, checkInteger } from "../errors.ts";
import { exampleRandom } from "./example-random.ts";

/** What `for await` takes. */
export type AnyIterable<T> = Iterable<T> | AsyncIterable<T>;

export interface ShuffleOptions {
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
  /** Which pass over the data this is, from 0: each has an order of its own. Default 0. */
  epoch?: number;
  /** Records that are held at a time; the order is fully random if there are no more of them. Default 1000. */
  bufferSize?: number;
}

/**
 * Records that come one after the other, from a file or elsewhere, and what is done to them on the way. Nothing is read
 * before it is iterated; each iteration starts over, which makes an epoch; a consumer that stops early closes the file.
 */
export class Dataset<T> implements AsyncIterable<T> {
  readonly #open: () => AnyIterable<T>;

  private constructor(open: () => AnyIterable<T>) {
    this.#open = open;
  }

  /**
   * A data set of the records of `source`: an array or another iterable, an async iterable, or a function that makes
   * one. What can be iterated only once (a generator, a stream) throws when it is iterated again: give a function.
   *
   * @throws ArgumentError on anything else
   */
  static from<T>(source: AnyIterable<T> | (() => AnyIterable<T>)): Dataset<T> {
    if (typeof source === "function") return new Dataset(source);
    if (!isIterable(source)) {
      throw new ArgumentError(
        `Dataset.from: source must be iterable or a function that makes an iterable; got ${String(source)}`,
      );
    }
    let taken = false;
    return new Dataset(() => {
      if (taken) {
        const expected = "a source that can be iterated again, or a function that makes one";
        throw new ArgumentError(
          `Dataset: a second pass needs ${expected}; got a generator or stream, read before`,
        );
      }
      taken = isConsumed(source);
      return source;
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return iterate(this.#open);
  }

  /** `transform` of each record, in order. It may be async; the next record waits for it. */
  map<U>(transform: (record: T, index: number) => U | Promise<U>): Dataset<U> {
    const source = this;
    return new Dataset(async function* () {
      let index = 0;
      for await (const record of source) yield await transform(record, index++);
    });
  }

  /** The records that `keep` says true of. It may be async. */
  filter(keep: (record: T, index: number) => boolean | Promise<boolean>): Dataset<T> {
    const source = this;
    return new Dataset(async function* () {
      let index = 0;
      for await (const record of source) if (await keep(record, index++)) yield record;
    });
  }

  /** The first `count` records, or all if there are fewer. No more are read. */
  take(count: number): Dataset<T> {
    checkInteger("Dataset.take: count", count, 0);
    const source = this;
    return new Dataset(async function* () {
      let left = count;
      if (left > 0) {
        for await (const record of source) {
          yield record;
          if (--left === 0) return;
        }
      }
    });
  }

  /** All but the first `count` records. */
  skip(count: number): Dataset<T> {
    checkInteger("Dataset.skip: count", count, 0);
    return this.filter((_, index) => index >= count);
  }

  /**
   * The records in an order that the seed and the epoch decide: each is drawn from a buffer of the next `bufferSize`.
   * Data that is sorted should be shuffled as a whole: a record moves forward by less than `bufferSize` places.
   */
  shuffle({ seed, epoch = 0, bufferSize = 1000 }: ShuffleOptions): Dataset<T> {
    checkInteger("Dataset.shuffle: bufferSize", bufferSize, 1);
    exampleRandom("order", seed, epoch, 0);
    const source = this;
    return new Dataset(async function* () {
      const random = exampleRandom("order", seed, epoch, 0);
      const buffer: T[] = [];
      for await (const record of source) {
        if (buffer.length < bufferSize) {
          buffer.push(record);
          continue;
        }
        const place = random.integer(bufferSize);
        yield buffer[place]!;
        buffer[place] = record;
      }
      yield* random.shuffle(buffer);
    });
  }

  /** All records, in memory. */
  async toArray(): Promise<T[]> {
    const records: T[] = [];
    for await (const record of this) records.push(record);
    return records;
  }
}

async function* iterate<T>(open: () => AnyIterable<T>): AsyncGenerator<T, void, undefined> {
  yield* open();
}

/** Whether `source` is what `for await` takes. A string, of which it would take the characters, is not. */
export function isIterable(source: unknown): source is AnyIterable<unknown> {
  return (
    typeof source === "object" &&
    source !== null &&
    (Symbol.iterator in source || Symbol.asyncIterator in source)
  );
}

/** Whether iterating uses `source` up: it is an iterator itself, or a stream. */
function isConsumed(source: object): boolean {
  return "next" in source || "pipe" in source || source instanceof ReadableStream;
}
