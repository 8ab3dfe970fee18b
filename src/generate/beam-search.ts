import type { Random } from "../random.ts";
import { noTokenLeft } from "./probabilities.ts";
import { bestContinuations, type Candidate } from "./selection.ts";

/** A beam. */
export interface Hypothesis {
  readonly ids: Int32Array;
  /** Of a running beam the sum of its log-probabilities, of a complete one that over length^lengthPenalty; f32. */
  readonly score: number;
  /** The row of the model's state that it goes on from. */
  readonly slot: number;
  /** The processed scores of its steps, the last first, if they are kept. */
  readonly history?: History | undefined;
}

export interface History {
  readonly scores: Float32Array;
  readonly before: History | undefined;
}

export interface BeamSearchOptions {
  numBeams: number;
  numEos: number;
  lengthPenalty: number;
  earlyStopping: boolean | "never";
  promptLength: number;
  maxLength: number;
  /** Draws continuations instead of taking the best. */
  random?: Random | undefined;
  keepsScores?: boolean | undefined;
}

/**
 * Beam search for one prompt, or for one group of its beams, as transformers 5 does it.
 *
 * Each step takes the max(2, 1 + numEos) · numBeams best continuations, so that numBeams of them can go on. Those that
 * are complete count only from among the first numBeams.
 */
export class BeamSearch {
  /** Best first. */
  running: readonly Hypothesis[];
  /** At most numBeams, best first. */
  complete: readonly Hypothesis[] = [];
  isDone = false;
  readonly #options: BeamSearchOptions;

  constructor(ids: Int32Array, slot: number, options: BeamSearchOptions) {
    this.running = [{ ids, score: 0, slot }];
    this.#options = options;
  }

  /**
   * @param rows       `[V]` for each running beam: processed log-probabilities of the next token
   * @param isComplete tells of a beam with its new token
   */
  advance(rows: readonly Float32Array[], isComplete: (ids: Int32Array) => boolean): void {
    const { numBeams, numEos, random, keepsScores } = this.#options;
    const count = Math.max(2, 1 + numEos) * numBeams;
    const sums = this.running.map(({ score }) => score);
    const candidates = random
      ? drawContinuations(rows, sums, count, random)
      : bestContinuations(rows, sums, count);
    if (candidates.length === 0) throw noTokenLeft();
    const kept = keepsScores ? rows.map((row) => row.slice()) : [];
    const hypotheses = candidates.map(({ beam, token, score }): Hypothesis => {
      const parent = this.running[beam]!;
      const ids = new Int32Array(parent.ids.length + 1);
      ids.set(parent.ids);
      ids[parent.ids.length] = token;
      const scores = kept[beam];
      return { ids, score, slot: parent.slot, history: scores && { scores, before: parent.history } };
    });
    const areComplete = hypotheses.map(({ ids }) => isComplete(ids));
    const byScore = (a: Hypothesis, b: Hypothesis) => b.score - a.score;
    const length = hypotheses[0]!.ids.length - this.#options.promptLength;
    const ended = hypotheses
      .filter((_, i) => i < numBeams && areComplete[i])
      .map((h) => ({ ...h, score: this.#normalized(h.score, length) }));
    this.complete = [...this.complete, ...ended].sort(byScore).slice(0, numBeams);
    this.running = hypotheses
      .filter((_, i) => !areComplete[i])
      .sort(byScore)
      .slice(0, numBeams);
    this.isDone = this.running.length === 0 || !this.#canImprove(length);
  }

  #normalized(score: number, length: number): number {
    return Math.fround(score / length ** this.#options.lengthPenalty);
  }

  #canImprove(length: number): boolean {
    const { numBeams, earlyStopping, lengthPenalty, maxLength, promptLength } = this.#options;
    if (this.complete.length < numBeams) return true;
    if (earlyStopping === true) return false;
    const isOpen = earlyStopping === "never" && lengthPenalty > 0;
    const best = this.#normalized(this.running[0]!.score, isOpen ? maxLength - promptLength : length);
    return best > this.complete[numBeams - 1]!.score;
  }
}

/**
 * Continuations of all beams, drawn one after the other without putting back from softmax(row + offset); in the order
 * in which they were drawn. Fewer than `k` where fewer are possible.
 */
function drawContinuations(
  rows: readonly Float32Array[],
  offsets: readonly number[],
  k: number,
  random: Random,
): Candidate[] {
  const [best] = bestContinuations(rows, offsets, 1);
  const pool: Candidate[] = [];
  const weights: number[] = [];
  let total = 0;
  for (let beam = 0; beam < rows.length; beam++) {
    const row = rows[beam]!;
    const offset = offsets[beam]!;
    for (let token = 0; token < row.length; token++) {
      const score = Math.fround(row[token]! + offset);
      if (score === -Infinity) continue;
      const weight = Math.exp(score - best!.score);
      if (weight === 0) continue;
      pool.push({ beam, token, score });
      total += weights[weights.length] = weight;
    }
  }
  const drawn: Candidate[] = [];
  while (drawn.length < k && drawn.length < pool.length) {
    const point = random.uniform() * total;
    let mass = 0;
    let at = -1;
    for (let i = 0; i < weights.length; i++) {
      if (weights[i] === 0) continue;
      at = i; // what rounding leaves at the end belongs to the last that is there
      mass += weights[i]!;
      if (mass > point) break;
    }
    drawn.push(pool[at]!);
    total -= weights[at]!;
    weights[at] = 0;
  }
  return drawn;
}
