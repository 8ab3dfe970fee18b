import { ArgumentError } from "../errors.ts";
import {
  type ClassCounts,
  classPlaces,
  countClasses,
  type Label,
  type LabelPairOptions,
  labelPairs,
} from "./labels.ts";

/**
 * The share of predictions that are right, from 0 to 1; scikit-learn's `accuracy_score`.
 *
 * As everywhere in this library predictions come first. Labels of -100 count for nothing.
 *
 * @param predictions `[N]` classes: integers or strings
 * @param labels      `[N]`
 * @throws ERR_ARGUMENT if they differ in length, on none, and on what is no class
 */
export function accuracyScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options?: LabelPairOptions,
): number {
  const { predicted, expected } = labelPairs("accuracyScore", predictions, labels, options);
  let hits = 0;
  for (let i = 0; i < expected.length; i++) if (predicted[i] === expected[i]) hits++;
  return hits / expected.length;
}

export interface BalancedAccuracyOptions extends LabelPairOptions {
  /** Scale it so that chance is 0; NaN if the labels are of one class. Default false. */
  adjusted?: boolean;
}

/**
 * The mean of the recalls of all classes that are among the labels; scikit-learn's `balanced_accuracy_score`.
 *
 * @throws ERR_ARGUMENT as {@link accuracyScore}
 */
export function balancedAccuracyScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  { adjusted = false, ...options }: BalancedAccuracyOptions = {},
): number {
  const name = "balancedAccuracyScore";
  const { hits, support } = countClasses(name, labelPairs(name, predictions, labels, options));
  let [sum, present] = [0, 0];
  support.forEach((count, k) => {
    if (count === 0) return;
    sum += hits[k]! / count;
    present++;
  });
  const score = sum / present;
  if (!adjusted) return score;
  return present === 1 ? NaN : (score - 1 / present) / (1 - 1 / present);
}

/** Σ over the classes of predicted · labels, Σ predicted², Σ labels². */
function crossings({ predicted, support }: ClassCounts) {
  let [both, ofPredicted, ofLabels] = [0, 0, 0];
  support.forEach((t, k) => {
    const p = predicted[k]!;
    both += p * t;
    ofPredicted += p * p;
    ofLabels += t * t;
  });
  return { both, ofPredicted, ofLabels };
}

const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);

/**
 * Matthews' correlation of predictions and labels, from -1 to 1, for any number of classes: with n examples, c of them
 * right, p_k predictions and t_k labels of class k, `(c·n − Σ p_k·t_k) / √((n² − Σ p_k²)·(n² − Σ t_k²))`, and 0 where
 * that is 0/0; scikit-learn's `matthews_corrcoef`.
 *
 * @throws ERR_ARGUMENT as {@link accuracyScore}
 * @see Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient"
 */
export function matthewsCorrcoef(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options?: LabelPairOptions,
): number {
  const name = "matthewsCorrcoef";
  const counts = countClasses(name, labelPairs(name, predictions, labels, options));
  const { both, ofPredicted, ofLabels } = crossings(counts);
  const n = counts.total;
  const square = (n ** 2 - ofPredicted) * (n ** 2 - ofLabels);
  return square === 0 ? 0 : (sum(counts.hits) * n - both) / Math.sqrt(square);
}

export interface CohenKappaOptions extends LabelPairOptions {
  /** How much worse a prediction is that is further away, for classes that have an order. Default: all alike. */
  weights?: "linear" | "quadratic";
}

/**
 * Cohen's kappa: agreement beyond what chance gives, 1 at the most; NaN where both have one class only. scikit-learn's
 * `cohen_kappa_score`.
 *
 * @throws ERR_ARGUMENT as {@link accuracyScore}
 * @see Cohen 1960, "A Coefficient of Agreement for Nominal Scales"
 */
export function cohenKappaScore(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  { weights, ...options }: CohenKappaOptions = {},
): number {
  const name = "cohenKappaScore";
  if (weights !== undefined && weights !== "linear" && weights !== "quadratic") {
    throw new ArgumentError(`${name}: weights must be linear or quadratic; got ${String(weights)}`);
  }
  const pairs = labelPairs(name, predictions, labels, options);
  const counts = countClasses(name, pairs);
  const n = counts.total;
  if (weights === undefined) {
    const expected = crossings(counts).both / n;
    return n === expected ? NaN : 1 - (n - sum(counts.hits)) / (n - expected);
  }
  const cost = (a: number, b: number) => Math.abs(a - b) ** (weights === "linear" ? 1 : 2);
  let [observed, byChance] = [0, 0];
  for (let i = 0; i < n; i++) observed += cost(pairs.predicted[i]!, pairs.expected[i]!);
  counts.support.forEach((t, i) => {
    counts.predicted.forEach((p, j) => {
      byChance += (cost(i, j) * t * p) / n;
    });
  });
  return byChance === 0 ? NaN : 1 - observed / byChance;
}

export interface ConfusionMatrixOptions extends LabelPairOptions {
  /** The classes of rows and columns; others are left out. Default: all that are predicted or labels, in order. */
  labels?: readonly Label[];
  /** Divide by the sum of the row ("true"), of the column ("pred") or of all; a sum of 0 gives 0. Default: counts. */
  normalize?: "true" | "pred" | "all";
}

const maxCells = 2 ** 24;

/**
 * How often class j was predicted where class i is right: `matrix[i][j]`; scikit-learn's `confusion_matrix`.
 *
 * @throws ERR_ARGUMENT as {@link accuracyScore}, and on more than 4,096 classes
 */
export function confusionMatrix(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  { labels: chosen, normalize, ...options }: ConfusionMatrixOptions = {},
): number[][] {
  const name = "confusionMatrix";
  if (normalize !== undefined && !["true", "pred", "all"].includes(normalize)) {
    throw new ArgumentError(`${name}: normalize must be true, pred or all; got ${String(normalize)}`);
  }
  const { classes, predicted, expected } = labelPairs(name, predictions, labels, options);
  const places = classPlaces(name, classes, chosen);
  const K = chosen?.length ?? classes.length;
  if (K * K > maxCells) {
    throw new ArgumentError(`${name}: classes must be at most ${Math.sqrt(maxCells)}; got ${K}`);
  }
  const matrix = Array.from({ length: K }, () => new Array<number>(K).fill(0));
  for (let i = 0; i < expected.length; i++) {
    const [p, e] = [places[predicted[i]!]!, places[expected[i]!]!];
    if (p >= 0 && e >= 0) matrix[e]![p]!++;
  }
  if (normalize === undefined) return matrix;
  const rows = matrix.map((row) => row.reduce((total, count) => total + count, 0));
  const columns = matrix.map((_, j) => matrix.reduce((total, row) => total + row[j]!, 0));
  const all = rows.reduce((total, count) => total + count, 0);
  return matrix.map((row, i) =>
    row.map((count, j) => {
      const whole = { true: rows[i]!, pred: columns[j]!, all }[normalize];
      return whole === 0 ? 0 : count / whole;
    }),
  );
}
