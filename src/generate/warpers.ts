import type { LogitsProcessor } from "./decoding.ts";
import { type Distribution, distributionOf, entropyOf, surprisalsOf } from "./probabilities.ts";
import { kthLargest, selectByMass } from "./selection.ts";

/*
 * What cuts the tail of a distribution before a token is drawn: a removed token has the score -Infinity.
 * `minKeep` likeliest tokens always stay.
 */

/** Divides all scores. */
export const temperature =
  (temperature: number): LogitsProcessor =>
  (_, scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! / temperature;
  };

/** Removes what is below the k-th largest score; what equals it stays. */
export const topK =
  (k: number, minKeep: number): LogitsProcessor =>
  (_, scores) => {
    const count = Math.max(k, minKeep);
    if (count >= scores.length) return;
    const threshold = kthLargest(scores, count);
    for (let i = 0; i < scores.length; i++) if (scores[i]! < threshold) scores[i] = -Infinity;
  };

/** The `k`-th largest probability, or 0 if there are fewer. */
const kthProbability = (p: Float64Array, k: number) => (k > p.length ? 0 : kthLargest(p, k));

/** The `k`-th smallest distance, or the largest if there are fewer. */
const kthSmallest = (distances: Float64Array, k: number) => {
  const negative = distances.map((d) => -d);
  return -kthLargest(negative, Math.min(k, negative.length));
};

/** Removes the tokens of the distribution for which `isKept` is false. */
function keep(scores: Float32Array, { tokens }: Distribution, isKept: (i: number) => boolean): void {
  for (let i = 0; i < tokens.length; i++) if (!isKept(i)) scores[tokens[i]!] = -Infinity;
}

/**
 * From the least likely token up, removes while the probability of all so far is at most 1 - p. Among equals the first
 * stay.
 */
export const topP =
  (p: number, minKeep: number): LogitsProcessor =>
  (_, scores) => {
    const distribution = distributionOf(scores);
    const { probabilities } = distribution;
    const removable = 1 - p;
    const exceeds = (mass: number) => mass > removable;
    // So unlikely that all such tokens together can be removed, most of a vocabulary as a rule: not worth sorting out.
    const unlikely = removable / probabilities.length;
    const others = new Float64Array(probabilities.length);
    let count = 0;
    let rest = 0;
    for (let i = 0; i < probabilities.length; i++) {
      const q = probabilities[i]!;
      if (q >= unlikely) others[count++] = q;
      else rest += q;
    }
    const keys = others.subarray(0, count);
    const threshold = selectByMass(keys, keys.slice(), (mass) => exceeds(rest + mass));
    let below = 0;
    let [above, equal] = [0, 0];
    for (let i = 0; i < probabilities.length; i++) {
      const q = probabilities[i]!;
      if (q < threshold) below += q;
      else if (q === threshold) equal++;
      else above++;
    }
    let kept = equal; // of those that equal the threshold
    while (kept > 0 && !exceeds(below + (equal - kept + 1) * threshold)) kept--;
    kept = Math.max(kept, Math.min(equal, minKeep - above));
    const always = kthProbability(probabilities, minKeep);
    keep(scores, distribution, (i) => {
      const q = probabilities[i]!;
      return q > threshold || q > always || (q === threshold ? kept-- > 0 : q >= always);
    });
  };

/**
 * Keeps tokens in the order of |-ln p - H|, H the entropy, until together they have the probability `mass`.
 *
 * @see Meister et al. 2022, "Locally Typical Sampling"
 */
export const typicalP =
  (mass: number, minKeep: number): LogitsProcessor =>
  (_, scores) => {
    const distribution = distributionOf(scores);
    const { probabilities } = distribution;
    const distances = surprisalsOf(scores, distribution);
    const entropy = entropyOf(probabilities, distances);
    for (let i = 0; i < distances.length; i++) distances[i] = Math.abs(distances[i]! - entropy);
    const cut = selectByMass(distances.slice(), probabilities.slice(), (sum) => sum >= mass);
    const nearest = minKeep > 1 ? kthSmallest(distances, minKeep) : 0;
    const threshold = Math.max(cut, nearest);
    keep(scores, distribution, (i) => distances[i]! <= threshold);
  };

/** Removes what is less likely than a threshold and not among the likeliest `minKeep`. */
const cutoff =
  (
    thresholdOf: (scores: Float32Array, distribution: Distribution) => number,
    minKeep: number,
  ): LogitsProcessor =>
  (_, scores) => {
    const distribution = distributionOf(scores);
    const { probabilities } = distribution;
    const threshold = Math.min(thresholdOf(scores, distribution), kthProbability(probabilities, minKeep));
    keep(scores, distribution, (i) => probabilities[i]! >= threshold);
  };

/** Removes probabilities below p times the greatest. */
export const minP = (p: number, minKeep: number) =>
  cutoff((_, { probabilities }) => p * kthLargest(probabilities, 1), minKeep);

/** Removes probabilities below epsilon. */
export const epsilonCutoff = (epsilon: number, minKeep: number) => cutoff(() => epsilon, minKeep);

/** Removes probabilities below min(ε, √ε · e^-entropy). */
export const etaCutoff = (epsilon: number, minKeep: number) =>
  cutoff((scores, distribution) => {
    const entropy = entropyOf(distribution.probabilities, surprisalsOf(scores, distribution));
    return Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-entropy));
  }, minKeep);

const topHCandidates = 100;

/** Of the 100 likeliest: keeps the likeliest while their terms -p ln p sum to at most h times the entropy. */
export const topH =
  (h: number): LogitsProcessor =>
  (ids, scores, row) => {
    topK(topHCandidates, 1)(ids, scores, row);
    const distribution = distributionOf(scores);
    const { probabilities } = distribution;
    const order = Array.from(probabilities.keys())
      .sort((a, b) => probabilities[b]! - probabilities[a]! || a - b)
      .slice(0, topHCandidates);
    const top = Float64Array.from(order, (i) => probabilities[i]!);
    const total = top.reduce((sum, p) => sum + p, 0);
    const shares = top.map((p) => p / total);
    const surprisals = shares.map((p) => -Math.log(p));
    const budget = h * entropyOf(shares, surprisals);
    const kept = new Set<number>(order.slice(0, 1));
    let spent = 0;
    for (const [n, i] of order.entries()) {
      spent += shares[n]! * surprisals[n]!;
      if (spent > budget) break;
      kept.add(i);
    }
    keep(scores, distribution, (i) => kept.has(i));
  };
