import { ArgumentError, checkInteger } from "../errors.ts";
import { checkLength, type LabelPairOptions } from "./labels.ts";

/**
 * Of N examples the probabilities of K classes, the classes 0 to K - 1: rows `[N, K]`, or one array of N · K numbers,
 * row by row. N numbers for N labels are the probabilities of class 1 of two.
 */
export type Probabilities = ArrayLike<number> | ArrayLike<ArrayLike<number>>;

/** The probabilities of the examples whose labels count. */
interface Rows {
  /** Rows are checked: numbers from 0 to 1 that add up to 1. */
  readonly rows: readonly ArrayLike<number>[];
  readonly labels: readonly number[];
  /** Of the type in which the probabilities came: the smallest number that changes 1. */
  readonly epsilon: number;
}

function labelledRows(
  name: string,
  probabilities: Probabilities,
  labels: ArrayLike<number>,
  ignoreIndex = -100,
): Rows {
  const N = checkLength(name, "labels", labels);
  const length = checkLength(name, "probabilities", probabilities);
  const isNested = length > 0 && typeof probabilities[0] === "object";
  const K = isNested
    ? checkLength(name, "probabilities[0]", probabilities[0] as ArrayLike<number>)
    : length / N;
  if (N === 0 || !Number.isInteger(K) || K < 1 || (isNested && length !== N)) {
    const expected = "[N, K] for N labels, as N rows or as N · K numbers";
    throw new ArgumentError(
      `${name}: probabilities must be ${expected}; got ${length} ${isNested ? "rows" : "numbers"} for ${N} labels`,
    );
  }
  const first = isNested ? probabilities[0] : probabilities;
  const epsilon = first instanceof Float32Array ? 2 ** -23 : Number.EPSILON;
  const rows: ArrayLike<number>[] = [];
  const counted: number[] = [];
  for (let i = 0; i < N; i++) {
    if (labels[i] === ignoreIndex) continue;
    const row = rowOf(name, probabilities, i, K, isNested);
    counted.push(checkInteger(`${name}: labels[${i}]`, labels[i], 0, row.length - 1));
    let sum = 0;
    for (let k = 0; k < row.length; k++) {
      const p = row[k]!;
      if (!(p >= 0 && p <= 1)) {
        throw new ArgumentError(
          `${name}: probabilities must be from 0 to 1 (softmax of logits is); got ${String(p)} in row ${i}`,
        );
      }
      sum += p;
    }
    if (Math.abs(sum - 1) > Math.sqrt(epsilon)) {
      throw new ArgumentError(`${name}: probabilities must add up to 1 in each row; got ${sum} in row ${i}`);
    }
    rows.push(row);
  }
  if (rows.length === 0) {
    throw new ArgumentError(
      `${name}: labels must have at least one that counts; got ${N}, all of them ${ignoreIndex}`,
    );
  }
  return { rows, labels: counted, epsilon };
}

function rowOf(
  name: string,
  probabilities: Probabilities,
  i: number,
  K: number,
  isNested: boolean,
): ArrayLike<number> {
  if (!isNested && K > 1) {
    if (probabilities instanceof Float32Array || probabilities instanceof Float64Array) {
      return probabilities.subarray(i * K, (i + 1) * K);
    }
    return Array.from({ length: K }, (_, k) => (probabilities as ArrayLike<number>)[i * K + k]!);
  }
  if (!isNested) {
    const p = (probabilities as ArrayLike<number>)[i]!;
    return [1 - p, p];
  }
  const row = (probabilities as ArrayLike<ArrayLike<number>>)[i]!;
  if (checkLength(name, `probabilities[${i}]`, row) !== K) {
    throw new ArgumentError(
      `${name}: probabilities must have ${K} in each row; got ${row.length} in row ${i}`,
    );
  }
  return row;
}

/**
 * The mean negative logarithm of the probability that the right class was given, in nats; scikit-learn's `log_loss`.
 * Probabilities of 0 count as the smallest number that changes 1.
 *
 * @param labels `[N]` classes from 0 to K - 1; -100 counts for nothing
 * @throws ERR_ARGUMENT on probabilities that are none, or do not add up to 1, and on labels that do not fit them
 */
export function logLoss(
  probabilities: Probabilities,
  labels: ArrayLike<number>,
  { ignoreIndex }: LabelPairOptions = {},
): number {
  const { rows, labels: counted, epsilon } = labelledRows("logLoss", probabilities, labels, ignoreIndex);
  const loss = rows.reduce((sum, row, i) => {
    const p = row[counted[i]!]!;
    return sum - Math.log(Math.min(Math.max(p, epsilon), 1 - epsilon));
  }, 0);
  return loss / rows.length;
}

export interface CalibrationOptions extends LabelPairOptions {
  /** Bins of equal width from 0 to 1. Default 15. */
  numBins?: number;
}

/**
 * How far the probabilities of predictions are from how often they are right: over bins of examples whose largest
 * probability is in (b/M, (b+1)/M], `Σ share of the examples · |accuracy − mean probability|`.
 *
 * @param labels `[N]` classes from 0 to K - 1; -100 counts for nothing
 * @throws ERR_ARGUMENT as {@link logLoss}
 * @see Guo et al. 2017, "On Calibration of Modern Neural Networks"
 */
export function expectedCalibrationError(
  probabilities: Probabilities,
  labels: ArrayLike<number>,
  { numBins = 15, ignoreIndex }: CalibrationOptions = {},
): number {
  const name = "expectedCalibrationError";
  checkInteger(`${name}: numBins`, numBins, 1, 2 ** 20);
  const { rows, labels: counted } = labelledRows(name, probabilities, labels, ignoreIndex);
  const differences = new Float64Array(numBins); // Σ right − probability, in each bin
  rows.forEach((row, i) => {
    let best = 0;
    for (let k = 1; k < row.length; k++) if (row[k]! > row[best]!) best = k;
    const confidence = row[best]!;
    const bin = Math.min(Math.max(Math.ceil(confidence * numBins) - 1, 0), numBins - 1);
    differences[bin]! += Number(best === counted[i]) - confidence;
  });
  return differences.reduce((sum, difference) => sum + Math.abs(difference), 0) / rows.length;
}
