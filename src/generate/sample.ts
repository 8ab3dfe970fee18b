import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import type { Random } from "../random.ts";

export interface SampleOptions {
  /** Divides the logits: below 1 sharpens, above 1 flattens, 0 is greedy. 1 by default. */
  temperature?: number;
  /** Keeps the k largest logits and what equals the smallest of them. 0, the default, keeps all. */
  topK?: number;
  /** Keeps the likeliest tokens that together have at least this probability. 1, the default, keeps all. */
  topP?: number;
  /** Takes the largest logit. */
  greedy?: boolean;
}

function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** Quickselect: see Hoare 1961, "Algorithm 65: Find". */
function kthLargest(values: Float32Array, k: number): number {
  const a = values.slice();
  const target = a.length - k;
  let low = 0;
  let high = a.length - 1;
  while (low < high) {
    const pivot = a[(low + high) >>> 1]!;
    let i = low;
    let j = high;
    while (i <= j) {
      while (a[i]! < pivot) i++;
      while (a[j]! > pivot) j--;
      if (i > j) break;
      [a[i], a[j]] = [a[j]!, a[i]!];
      i++;
      j--;
    }
    if (target <= j) high = j;
    else if (target >= i) low = i;
    else break;
  }
  return a[target]!;
}

function checkLogits(logits: Float32Array): void {
  if (!(logits instanceof Float32Array) || logits.length === 0) {
    const came = logits instanceof Float32Array ? "an empty one" : Object.prototype.toString.call(logits);
    throw new ArgumentError(`sampleToken: logits must be a Float32Array [V]; got ${came}`);
  }
  const i = logits.findIndex((x) => !(x < Infinity));
  if (i >= 0)
    throw new ArgumentError(`sampleToken: logits must be below Infinity; got ${logits[i]} for token ${i}`);
  if (!logits.some((x) => x > -Infinity)) {
    throw new ArgumentError("sampleToken: logits must leave a token; got -Infinity for all");
  }
}

/**
 * Draws the next token from `softmax(logits / temperature)`, cut to topK and then topP, in Hugging Face's order and sense:
 *
 * - topK removes what is below the k-th largest logit
 * - topP goes from the least likely up and removes while the cumulative probability, of what topK left, is at most
 *   1 - topP; the likeliest always stays, and among equals the first
 *
 * Greedy takes the largest logit, the first of equals, and draws nothing from `random`.
 *
 * @param logits `[V]`, where -Infinity forbids a token
 * @param random is drawn from once
 * @returns a token id in [0, V)
 * @throws ArgumentError on an option out of its range, on a logit that is NaN or Infinity and where all are -Infinity
 * @see Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (topP)
 */
export function sampleToken(logits: Float32Array, options: SampleOptions, random: Random): number {
  const { temperature = 1, topK = 0, topP = 1, greedy = false } = options;
  checkNumber("sampleToken: temperature", temperature, 0);
  checkInteger("sampleToken: topK", topK, 0);
  checkNumber("sampleToken: topP", topP, 0, 1);
  checkLogits(logits);

  const best = argmax(logits);
  if (greedy || temperature === 0) return best;

  const weight = (logit: number): number => Math.exp((logit - logits[best]!) / temperature);
  let threshold = -Infinity;
  let atThreshold = Infinity;
  if (topK > 0 && topK < logits.length) threshold = kthLargest(logits, topK);
  if (topP < 1) {
    const kept = logits.filter((x) => x >= threshold).sort();
    const removable = (1 - topP) * kept.reduce((sum, x) => sum + weight(x), 0);
    let first = 0;
    let mass = weight(kept[first]!);
    while (mass <= removable && first < kept.length - 1) mass += weight(kept[++first]!);
    threshold = kept[first]!;
    atThreshold = kept.lastIndexOf(threshold) - first + 1;
  }

  const cumulative = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!;
    if (logit > threshold || (logit === threshold && atThreshold-- > 0)) total += weight(logit);
    cumulative[i] = total;
  }
  const point = random.uniform() * total;
  return cumulative.findIndex((mass) => mass > point);
}
