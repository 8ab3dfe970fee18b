import { noTokenLeft, notAScore } from "./probabilities.ts";

/**
 * The largest score, the first of equals.
 *
 * @throws ArgumentError on NaN and where all are -Infinity
 */
export function argmax(scores: Float32Array): number {
  let best = -1;
  let max = -Infinity;
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i]!;
    if (x <= max) continue;
    if (Number.isNaN(x)) throw notAScore(x, i);
    max = x;
    best = i;
  }
  if (best < 0) throw noTokenLeft();
  return best;
}

/** Up to here one pass with a sorted list is quicker than a quickselect. */
const fewEnoughToInsert = 128;

/** The k-th largest of `values`, 1 ≤ k ≤ their number. */
export function kthLargest(values: Float32Array | Float64Array, k: number): number {
  return k <= fewEnoughToInsert ? insertLargest(values, k) : quickselect(values.slice(), values.length - k);
}

function insertLargest(values: Float32Array | Float64Array, k: number): number {
  const largest = new Float64Array(k).fill(-Infinity); // descending
  let smallest = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (x <= smallest) continue;
    let at = k - 1;
    for (; at > 0 && largest[at - 1]! < x; at--) largest[at] = largest[at - 1]!;
    largest[at] = x;
    smallest = largest[k - 1]!;
  }
  return smallest;
}

/** The value that sorting would put at `target`. See Hoare 1961, "Algorithm 65: Find". */
function quickselect(a: Float32Array | Float64Array, target: number): number {
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
      const swapped = a[i]!;
      a[i++] = a[j]!;
      a[j--] = swapped;
    }
    if (target <= j) high = j;
    else if (target >= i) low = i;
    else break;
  }
  return a[target]!;
}

/**
 * The smallest key at which `isEnough` of the mass of all keys up to it, itself included; the largest key where that
 * never is. A quickselect by weight: expected time is linear.
 *
 * @param keys    reordered, with the weights
 * @param weights at least 0
 */
export function selectByMass(
  keys: Float64Array,
  weights: Float64Array,
  isEnough: (mass: number) => boolean,
): number {
  let low = 0;
  let high = keys.length - 1;
  let below = 0; // mass of what is left of low
  while (low < high) {
    const pivot = keys[(low + high) >>> 1]!;
    let i = low;
    let j = high;
    let left = 0; // mass of [low, i)
    while (i <= j) {
      while (keys[i]! < pivot) left += weights[i++]!;
      while (keys[j]! > pivot) j--;
      if (i > j) break;
      const key = keys[i]!;
      const weight = weights[i]!;
      keys[i] = keys[j]!;
      weights[i] = weights[j]!;
      left += weights[i++]!;
      keys[j] = key;
      weights[j--] = weight;
    }
    // [low, j] is at most the pivot, [i, high] at least; one that equals it may lie between, and left counts it
    const between = i - j === 2 ? weights[j + 1]! : 0;
    if (j >= low && isEnough(below + left - between)) high = j;
    else if (between > 0 && isEnough(below + left)) return pivot;
    else {
      below += left;
      if (i > high) return pivot;
      low = i;
    }
  }
  return keys[low]!;
}

/** One continuation of a beam. */
export interface Candidate {
  beam: number;
  token: number;
  score: number;
}

/**
 * The k best continuations of all beams, best first, the first of equals; fewer where fewer are above -Infinity.
 *
 * @param rows    `[V]` each: log-probabilities of the next token
 * @param offsets of each beam, added to its row in f32
 */
export function bestContinuations(
  rows: readonly Float32Array[],
  offsets: readonly number[],
  k: number,
): Candidate[] {
  const best: Candidate[] = [];
  let smallest = -Infinity;
  for (let beam = 0; beam < rows.length; beam++) {
    const row = rows[beam]!;
    const offset = offsets[beam]!;
    for (let token = 0; token < row.length; token++) {
      const score = Math.fround(row[token]! + offset);
      if (score <= smallest) continue;
      if (Number.isNaN(score)) throw notAScore(score, token);
      let at = best.length < k ? best.length : k - 1;
      for (; at > 0 && best[at - 1]!.score < score; at--) best[at] = best[at - 1]!;
      best[at] = { beam, token, score };
      if (best.length === k) smallest = best[k - 1]!.score;
    }
  }
  return best;
}
