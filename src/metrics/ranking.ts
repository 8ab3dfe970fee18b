import { ArgumentError, checkNumber } from "../errors.ts";
import { checkLength, type Label, type LabelPairOptions } from "./labels.ts";

export interface RankingOptions extends LabelPairOptions {
  /** The class that scores are of. Default 1. */
  posLabel?: Label;
}

/** How many of both classes have at least the score, for each score from the largest on. */
type Thresholds = readonly (readonly [truePositives: number, falsePositives: number])[];

function thresholds(
  name: string,
  scores: ArrayLike<number>,
  labels: ArrayLike<Label>,
  { posLabel = 1, ignoreIndex = -100 }: RankingOptions,
): Thresholds {
  const N = checkLength(name, "scores", scores);
  if (checkLength(name, "labels", labels) !== N) {
    throw new ArgumentError(
      `${name}: scores and labels must be of one length; got ${N} and ${labels.length}`,
    );
  }
  const order: number[] = [];
  const classes = new Set<Label>();
  for (let i = 0; i < N; i++) {
    if (labels[i] === ignoreIndex) continue;
    checkNumber(`${name}: scores[${i}]`, scores[i]);
    order.push(i);
    classes.add(labels[i]!);
  }
  if (order.length === 0)
    throw new ArgumentError(`${name}: labels must have at least one that counts; got none`);
  if (classes.size > 2 || (classes.size === 2 && !classes.has(posLabel))) {
    throw new ArgumentError(
      `${name}: labels must be of two classes, one of them posLabel, ${posLabel}; got ${[...classes].slice(0, 8).join(", ")}`,
    );
  }
  order.sort((a, b) => scores[b]! - scores[a]!);
  const result: (readonly [number, number])[] = [];
  let [truePositives, falsePositives] = [0, 0];
  order.forEach((i, place) => {
    if (labels[i] === posLabel) truePositives++;
    else falsePositives++;
    const next = order[place + 1];
    if (next === undefined || scores[next] !== scores[i]) result.push([truePositives, falsePositives]);
  });
  return result;
}

/**
 * The probability that an example of the class has a larger score than one of the other, a tie counting half: the area
 * under the curve of the true against the false positive rate. NaN if there is one class only. scikit-learn's
 * `roc_auc_score` for two classes.
 *
 * @param scores `[N]` of `posLabel`: probabilities, or any numbers that are larger the more likely it is
 * @param labels `[N]` of two classes; -100 counts for nothing
 * @throws ERR_ARGUMENT if they differ in length, on none, on scores that are not finite and on more classes
 */
export function rocAucScore(
  scores: ArrayLike<number>,
  labels: ArrayLike<Label>,
  options: RankingOptions = {},
): number {
  const points = thresholds("rocAucScore", scores, labels, options);
  const [positives, negatives] = points.at(-1)!;
  let area = 0;
  let [before, right] = [0, 0];
  for (const [truePositives, falsePositives] of points) {
    area += ((truePositives + before) / 2) * (falsePositives - right);
    [before, right] = [truePositives, falsePositives];
  }
  return area / (positives * negatives);
}

/**
 * The mean of the precisions at each score of an example of the class: `Σ (recall_i − recall_{i−1}) · precision_i` from
 * the largest score on. 0 if the class does not occur. scikit-learn's `average_precision_score` for two classes.
 *
 * @param scores `[N]` of `posLabel`
 * @param labels `[N]` of two classes; -100 counts for nothing
 * @throws ERR_ARGUMENT as {@link rocAucScore}
 */
export function averagePrecisionScore(
  scores: ArrayLike<number>,
  labels: ArrayLike<Label>,
  options: RankingOptions = {},
): number {
  const points = thresholds("averagePrecisionScore", scores, labels, options);
  const [positives] = points.at(-1)!;
  if (positives === 0) return 0;
  let sum = 0;
  let before = 0;
  for (const [truePositives, falsePositives] of points) {
    sum += ((truePositives - before) * truePositives) / (truePositives + falsePositives);
    before = truePositives;
  }
  return sum / positives;
}
