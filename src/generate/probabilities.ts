import { ArgumentError } from "../errors.ts";

/** What is thrown for scores that nothing can be chosen by. */
export const notAScore = (value: number, token: number) =>
  new ArgumentError(
    `generate: scores must be below Infinity (removeInvalidValues replaces others); got ${value} for token ${token}`,
  );

/** What is thrown where options forbid every token. */
export const noTokenLeft = () =>
  new ArgumentError("generate: the options must leave a token; got -Infinity for all");

/** The largest score; NaN if one is NaN. */
function largest(scores: Float32Array): number {
  let max = -Infinity;
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i]!;
    if (x > max) max = x;
    else if (Number.isNaN(x)) return Number.NaN;
  }
  return max;
}

const steps = 64;
/** e^-x at x = 0, 1/64, … 40. */
const table = Float64Array.from({ length: 40 * steps + 1 }, (_, i) => Math.exp(-i / steps));
/** Below this, e^x of 10⁶ tokens is nothing beside e⁰: 10⁶ · e⁻⁴⁰ < 2⁻³⁷. */
const negligible = -40;

/** e^x for x in (-40, 0], to 10⁻¹²: a table's value times a Taylor series of |r| ≤ 1/128. Twice as fast as Math.exp. */
function exp(x: number): number {
  const i = (0.5 - x * steps) | 0;
  const r = x + i / steps;
  return table[i]! * (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24)))));
}

/** Logits to log-probabilities, in place; all NaN unless the largest is finite. */
export function logSoftmax(scores: Float32Array): void {
  const max = largest(scores);
  if (!Number.isFinite(max)) return void scores.fill(Number.NaN);
  let sum = 0;
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i]! - max;
    if (x > negligible) sum += exp(x);
  }
  const logTotal = max + Math.log(sum);
  for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! - logTotal;
}

/** The tokens that are not forbidden. */
export interface Distribution {
  readonly tokens: Int32Array;
  readonly probabilities: Float64Array;
  /** log Σ exp(scores): a token of score x has the probability exp(x - logTotal). */
  readonly logTotal: number;
}

/**
 * softmax of the scores that are above -Infinity.
 *
 * @throws ArgumentError on NaN and Infinity, and where all are -Infinity
 */
export function distributionOf(scores: Float32Array): Distribution {
  let max = -Infinity;
  let count = 0;
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i]!;
    if (x === -Infinity) continue;
    if (!(x < Infinity)) throw notAScore(x, i);
    if (x > max) max = x;
    count++;
  }
  if (count === 0) throw noTokenLeft();
  const tokens = new Int32Array(count);
  const probabilities = new Float64Array(count);
  let total = 0;
  let n = 0;
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i]! - max;
    if (x === -Infinity) continue;
    tokens[n] = i;
    total += probabilities[n++] = x > negligible ? exp(x) : Math.exp(x);
  }
  for (let i = 0; i < count; i++) probabilities[i] = probabilities[i]! / total;
  return { tokens, probabilities, logTotal: max + Math.log(total) };
}

/** -ln p of each token of the distribution, in nats. */
export function surprisalsOf(scores: Float32Array, { tokens, logTotal }: Distribution): Float64Array {
  const surprisals = new Float64Array(tokens.length);
  for (let i = 0; i < tokens.length; i++) surprisals[i] = logTotal - scores[tokens[i]!]!;
  return surprisals;
}

/** Σ p · -ln p, in nats. */
export function entropyOf(probabilities: Float64Array, surprisals: Float64Array): number {
  let entropy = 0;
  for (let i = 0; i < probabilities.length; i++) entropy += probabilities[i]! * surprisals[i]!;
  return entropy;
}
