import { ArgumentError, checkInteger } from "../errors.ts";
import { embedding } from "../ops/embedding.ts";
import { contiguous, reshape, transpose } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { Embedding } from "./layers.ts";
import { Module } from "./module.ts";

export interface RelativeBiasOptions {
  numHeads: number;
  /** Groups of distances that share a value. Default 32. */
  numBuckets?: number;
  /** From this distance on all share the last one. Default 128. */
  maxDistance?: number;
  /** Whether queries see keys behind them too: half of the buckets are theirs then. Default true. */
  bidirectional?: boolean;
  /** Standard deviation of the initial values. Default 1. */
  std?: number;
}

/** What a query and a key contribute to a score by their distance alone. */
type Buckets = Required<Pick<RelativeBiasOptions, "numBuckets" | "maxDistance" | "bidirectional">>;

/**
 * The bucket of a key `distance` places behind its query (before it, where negative). Short distances have one each;
 * longer ones share, in logarithmic steps up to `maxDistance`.
 *
 * With n buckets for a direction, e = n/2 and M = maxDistance: r < e ⇒ r, else min(n − 1, e + ⌊ln(r/e) / ln(M/e) · (n − e)⌋),
 * where r = |distance|. The logarithm is taken in f32, as the models were trained with it.
 *
 * @see Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer"
 */
export function relativeBucket(
  distance: number,
  { numBuckets, maxDistance, bidirectional }: Buckets,
): number {
  const n = bidirectional ? numBuckets >> 1 : numBuckets;
  const base = bidirectional && distance > 0 ? n : 0;
  const r = bidirectional ? Math.abs(distance) : Math.max(-distance, 0);
  const exact = n >> 1;
  if (r < exact) return base + r;
  const f = Math.fround;
  const logarithm = f(f(Math.log(f(r / exact))) / f(Math.log(maxDistance / exact)));
  return base + Math.min(n - 1, exact + Math.trunc(f(logarithm * (n - exact))));
}

/**
 * Relative position bias: a learned value for each head and each bucket of distances between query and key, added to
 * the scores of attention. One serves all layers of a stack.
 *
 * @see Raffel et al. 2020, section 2.1; relativeBucket
 */
export class RelativePositionBias extends Module<
  [queries: number, keys: number, start?: number | readonly number[]],
  Tensor
> {
  table: Embedding;
  readonly buckets: Buckets;

  constructor(options: RelativeBiasOptions) {
    super();
    const { numHeads, numBuckets = 32, maxDistance = 128, bidirectional = true, std = 1 } = options;
    checkInteger("RelativePositionBias: numHeads", numHeads, 1);
    checkInteger("RelativePositionBias: numBuckets", numBuckets, bidirectional ? 4 : 2);
    checkInteger("RelativePositionBias: maxDistance", maxDistance, 1);
    if (bidirectional && numBuckets % 2 !== 0) {
      throw new ArgumentError(
        `RelativePositionBias: numBuckets must be even for both directions; got ${numBuckets}`,
      );
    }
    const exact = numBuckets >> (bidirectional ? 2 : 1);
    if (maxDistance <= exact) {
      throw new ArgumentError(
        `RelativePositionBias: maxDistance must be above the ${exact} distances that have a bucket each; got ${maxDistance}`,
      );
    }
    this.buckets = { numBuckets, maxDistance, bidirectional };
    this.table = new Embedding(numBuckets, numHeads, { std });
  }

  /**
   * @param queries T, of a sequence of which the first one has position `start`
   * @param keys    S, from position 0 on
   * @param start   default 0; an array where each row of the batch has its own
   * @returns `[H, T, S]`, or `[B, H, T, S]` for an array, f32
   */
  forward(queries: number, keys: number, start: number | readonly number[] = 0): Tensor {
    const [T, S] = [queries, keys];
    const starts = typeof start === "number" ? [start] : start;
    const last = Math.max(...starts) + T - 1;
    /** Of the distances from −last to S − 1. */
    const buckets = Int32Array.from({ length: last + S }, (_, d) => relativeBucket(d - last, this.buckets));
    const ids = new Int32Array(starts.length * T * S);
    starts.forEach((first, b) => {
      for (let t = 0; t < T; t++) {
        const from = last - first - t;
        ids.set(buckets.subarray(from, from + S), (b * T + t) * S);
      }
    });
    const { weight } = this.table;
    const places = tensor(ids, [starts.length, T * S], { device: weight.device });
    const values = transpose(embedding(places, weight), 1, 2); // [B, H, T·S]
    const H = weight.shape[1]!;
    return reshape(contiguous(values), typeof start === "number" ? [H, T, S] : [starts.length, H, T, S]);
  }
}
