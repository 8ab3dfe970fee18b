import { ArgumentError } from "../errors.ts";
import { type ClassCounts, countClasses, type Label, type LabelPairOptions, labelPairs } from "./labels.ts";

/**
 * How the scores of classes become one: that of `posLabel` alone ("binary"), of all examples together ("micro"), the
 * mean over the classes ("macro"), or the mean weighted by how many labels each has ("weighted").
 */
export type Average = "binary" | "micro" | "macro" | "weighted";

export interface FScoreOptions extends LabelPairOptions {
  /** Default "binary"; null gives the score of each class. */
  average?: Average | null;
  /** The class that "binary" scores. Default 1. */
  posLabel?: Label;
  /** The classes that count, in this order. Default: all that are predicted or labels, in order. Not with "binary". */
  labels?: readonly Label[];
  /** What 0/0 is: 0, 1, or NaN, which means leave out. Default 0. */
  zeroDivision?: number;
}

type PerClass = FScoreOptions & { average: null };
type Averaged = FScoreOptions & { average?: Average };

export interface PrecisionRecallFscore<T> {
  precision: T;
  recall: T;
  fscore: T;
  /** Labels; of all classes that count, where scores are averaged. */
  support: T;
}

/**
 * Of what was predicted to be a class, the share that is: `hits / predicted`; scikit-learn's `precision_score`.
 *
 * @param predictions `[N]` classes: integers or strings
 * @param labels      `[N]`; -100 counts for nothing
 * @returns one number, or with `average: null` one for each class
 * @throws ERR_ARGUMENT if predictions and labels differ in length, on none, on what is no class, on a bad option, and if
 *   the average is "binary" and there are other classes than `posLabel` and one more
 */
export function precisionScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options: PerClass,
): number[];
export function precisionScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options?: Averaged,
): number;
export function precisionScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options?: FScoreOptions,
): number | number[] {
  return scores("precisionScore", predictions, labels, options).precision;
}

/**
 * Of what is a class, the share that was predicted to be: `hits / labels`; scikit-learn's `recall_score`.
 *
 * @returns as {@link precisionScore}
 * @throws ERR_ARGUMENT as {@link precisionScore}
 */
export function recallScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options: PerClass,
): number[];
export function recallScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options?: Averaged,
): number;
export function recallScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options?: FScoreOptions,
): number | number[] {
  return scores("recallScore", predictions, labels, options).recall;
}

/**
 * The harmonic mean of precision and recall, `2 · hits / (labels + predicted)`; scikit-learn's `f1_score`.
 *
 * ```ts
 * f1Score([0, 2, 1, 0, 0, 1, 2], [0, 1, 2, 0, 1, 2, 2], { average: "macro" }); // 0.4
 * ```
 *
 * @returns as {@link precisionScore}
 * @throws ERR_ARGUMENT as {@link precisionScore}
 */
export function f1Score(predictions: ArrayLike<Label>, labels: ArrayLike<Label>, options: PerClass): number[];
export function f1Score(predictions: ArrayLike<Label>, labels: ArrayLike<Label>, options?: Averaged): number;
export function f1Score(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options?: FScoreOptions,
): number | number[] {
  return scores("f1Score", predictions, labels, options).fscore;
}

/**
 * The mean of precision and recall in which recall weighs β times as much:
 * `(1 + β²) · hits / (β² · labels + predicted)`; scikit-learn's `fbeta_score`.
 *
 * @param options.beta at least 0; infinity gives the recall
 * @returns as {@link precisionScore}
 * @throws ERR_ARGUMENT as {@link precisionScore}
 */
export function fbetaScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options: PerClass & { beta: number },
): number[];
export function fbetaScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options: Averaged & { beta: number },
): number;
export function fbetaScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  { beta, ...options }: FScoreOptions & { beta: number },
): number | number[] {
  return scores("fbetaScore", predictions, labels, options, beta).fscore;
}

/**
 * Precision, recall, F score and number of labels at once, by default of each class; scikit-learn's
 * `precision_recall_fscore_support`.
 *
 * @throws ERR_ARGUMENT as {@link precisionScore}
 */
export function precisionRecallFscoreSupport(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options: FScoreOptions & { average: Average; beta?: number },
): PrecisionRecallFscore<number>;
export function precisionRecallFscoreSupport(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options?: FScoreOptions & { average?: null; beta?: number },
): PrecisionRecallFscore<number[]>;
export function precisionRecallFscoreSupport(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  { beta = 1, average = null, ...options }: FScoreOptions & { beta?: number } = {},
): PrecisionRecallFscore<number | number[]> {
  return scores("precisionRecallFscoreSupport", predictions, labels, { ...options, average }, beta);
}

function scores(
  name: string,
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  { average = "binary", posLabel = 1, labels: chosen, zeroDivision = 0, ...options }: FScoreOptions = {},
  beta = 1,
): PrecisionRecallFscore<number | number[]> {
  if (average !== null && !["binary", "micro", "macro", "weighted"].includes(average)) {
    throw new ArgumentError(
      `${name}: average must be binary, micro, macro, weighted or null; got ${String(average)}`,
    );
  }
  if (typeof beta !== "number" || !(beta >= 0)) {
    throw new ArgumentError(`${name}: beta must be a number of at least 0; got ${String(beta)}`);
  }
  if (zeroDivision !== 0 && zeroDivision !== 1 && !Number.isNaN(zeroDivision)) {
    throw new ArgumentError(`${name}: zeroDivision must be 0, 1 or NaN; got ${String(zeroDivision)}`);
  }
  const pairs = labelPairs(name, predictions, labels, options);
  if (average === "binary") checkBinary(name, pairs.classes, posLabel, chosen);
  const counts = countClasses(name, pairs, average === "binary" ? [posLabel] : chosen);
  return averagedScores(counts, average, zeroDivision, beta);
}

function checkBinary(
  name: string,
  classes: readonly Label[],
  posLabel: Label,
  chosen: readonly Label[] | undefined,
): void {
  if (chosen !== undefined) {
    throw new ArgumentError(
      `${name}: options.labels needs average micro, macro, weighted or null; got average binary`,
    );
  }
  const shown = classes.length > 8 ? `${classes.length} of them` : classes.join(", ");
  if (classes.length > 2) {
    throw new ArgumentError(
      `${name}: average must be micro, macro, weighted or null for more than two classes; got binary, and the classes ${shown}`,
    );
  }
  if (classes.length === 2 && !classes.includes(posLabel)) {
    throw new ArgumentError(`${name}: posLabel must be one of the classes, ${shown}; got ${posLabel}`);
  }
}

/** @internal The scores of counted classes. */
export function averagedScores(
  counts: ClassCounts,
  average: Average | null,
  zeroDivision: number,
  beta: number,
): PrecisionRecallFscore<number | number[]> {
  let { hits, predicted, support } = counts;
  const total = (values: Float64Array) => Float64Array.of(values.reduce((sum, value) => sum + value, 0));
  if (average === "micro") [hits, predicted, support] = [total(hits), total(predicted), total(support)];

  const ratio = (numerator: number, denominator: number) =>
    denominator === 0 ? zeroDivision : numerator / denominator;
  const precision = Array.from(hits, (hit, k) => ratio(hit, predicted[k]!));
  const recall = Array.from(hits, (hit, k) => ratio(hit, support[k]!));
  const fscore =
    beta === Infinity
      ? recall
      : beta === 0
        ? precision
        : Array.from(hits, (hit, k) => ratio((1 + beta ** 2) * hit, beta ** 2 * support[k]! + predicted[k]!));
  if (average === null) return { precision, recall, fscore, support: [...support] };
  const weights = average === "weighted" ? support : undefined;
  return {
    precision: meanOf(precision, weights),
    recall: meanOf(recall, weights),
    fscore: meanOf(fscore, weights),
    support: total(support)[0]!,
  };
}

/** Without what is NaN; NaN if nothing else is there. Weights of 0 throughout count as equal ones. */
function meanOf(values: readonly number[], weights?: Float64Array): number {
  const known = values.flatMap((value, k) =>
    Number.isNaN(value) ? [] : [[value, weights?.[k] ?? 1] as const],
  );
  const whole = known.reduce((sum, [, weight]) => sum + weight, 0);
  if (whole > 0) return known.reduce((sum, [value, weight]) => sum + value * weight, 0) / whole;
  return known.reduce((sum, [value]) => sum + value, 0) / known.length;
}
