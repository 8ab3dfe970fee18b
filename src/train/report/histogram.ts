import { ArgumentError } from "../../errors.ts";

/** Values counted into buckets; bucket i holds those from `limits[i - 1]` to below `limits[i]`. */
export interface Histogram {
  readonly min: number;
  readonly max: number;
  readonly count: number;
  readonly sum: number;
  readonly sumOfSquares: number;
  /** Right edges, the last one closed. */
  readonly limits: Float64Array;
  readonly counts: Float64Array;
}

/** Edges that are powers of 1.1 apart, from 10⁻¹² to 10²⁰ on both sides of 0: TensorFlow's, and so TensorBoard's. */
const positive: number[] = [];
for (let edge = 1e-12; edge < 1e20; edge *= 1.1) positive.push(edge);
const edges = Float64Array.from([...positive.toReversed().map((edge) => -edge), 0, ...positive]);
const zero = positive.length;
const logBase = Math.log(1.1);
const logOfFirst = Math.log(1e-12);

/** The greatest i with edges[i] ≤ value, such that bucket [edges[i], edges[i + 1]) exists: beyond the ends, that there. */
function indexOf(value: number): number {
  const last = edges.length - 2;
  const power = (Math.log(Math.abs(value)) - logOfFirst) / logBase;
  const near = value > 0 ? zero + 1 + Math.floor(power) : zero - 1 - Math.ceil(power);
  let i = Math.abs(value) < 1e-12 ? zero - Number(value < 0) : Math.max(0, Math.min(last, near));
  while (i > 0 && value < edges[i]!) i--;
  while (i < last && value >= edges[i + 1]!) i++;
  return i;
}

/**
 * Counts values into TensorBoard's default buckets. As torch's writer does it, empty ones at both ends are left out,
 * save one before the first that is not empty: its limit is where that one begins.
 *
 * @throws ArgumentError if there are no values, or one is not finite
 */
export function histogram(values: ArrayLike<number>): Histogram {
  if (values.length === 0) throw new ArgumentError("histogram: values must not be empty; got none");
  const counts = new Float64Array(edges.length - 1);
  let [min, max, sum, sumOfSquares] = [Infinity, -Infinity, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value))
      throw new ArgumentError(`histogram: values must be finite; got ${value} at index ${i}`);
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    sumOfSquares += value * value;
    counts[indexOf(value)]!++;
  }
  const [first, end] = [indexOf(min), indexOf(max) + 1];
  return {
    ...{ min, max, count: values.length, sum, sumOfSquares },
    limits: edges.slice(first, end + 1),
    counts: Float64Array.of(0, ...counts.subarray(first, end)),
  };
}
