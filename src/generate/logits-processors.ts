import type { LogitsProcessor, RowContext } from "./decoding.ts";
import type { SequenceBias } from "./generation-config.ts";
import { logSoftmax } from "./probabilities.ts";

/*
 * What changes scores before a token is chosen, in drawing as in beam search.
 */

function forbid(scores: Float32Array, tokens: Iterable<number>): void {
  for (const token of tokens) scores[token] = -Infinity;
}

function penalize(scores: Float32Array, tokens: Iterable<number>, penalty: number): void {
  for (const token of new Set(tokens)) {
    const x = scores[token]!;
    scores[token] = x < 0 ? x * penalty : x / penalty;
  }
}

/** Whether `ids` ends with the first `count` of `sequence`. */
function endsWith(ids: Int32Array, sequence: ArrayLike<number>, count: number): boolean {
  const start = ids.length - count;
  for (let i = 0; i < count; i++) if (ids[start + i] !== sequence[i]) return false;
  return start >= 0;
}

/** Adds a bias to the last token of a sequence where its other tokens come right before. */
export function sequenceBias(biases: SequenceBias): LogitsProcessor {
  const merged = [...new Map(biases.map((entry) => [entry[0].join(), entry])).values()];
  return (ids, scores) => {
    const sums = new Map<number, number>();
    for (const [sequence, bias] of merged) {
      const last = sequence.length - 1;
      if (last > 0 && (sequence.length > ids.length || !endsWith(ids, sequence, last))) continue;
      const token = sequence[last]!;
      sums.set(token, (sums.get(token) ?? 0) + bias);
    }
    for (const [token, bias] of sums) scores[token] = scores[token]! + bias;
  };
}

/** Forbids the last token of each of these where its other tokens come right before; a lone end-of-sequence stays. */
export function badWords(
  words: readonly (readonly number[])[],
  eosTokenIds: readonly number[],
): LogitsProcessor {
  const banned = words.filter((word) => word.length > 1 || !eosTokenIds.includes(word[0]!));
  return sequenceBias(banned.map((word) => [word, -Infinity]));
}

/** Takes `penalty` off each token for each time that earlier groups of beams have chosen it in this step. */
export const diversity =
  (penalty: number): LogitsProcessor =>
  (_, scores, { chosen = [] }) => {
    for (const token of chosen) scores[token] = scores[token]! - penalty;
  };

/**
 * Makes tokens of the input likelier: the rule of {@link repetition} with 1 / penalty.
 */
export const encoderRepetition =
  (penalty: number): LogitsProcessor =>
  (_, scores, { inputIds }) =>
    penalize(scores, inputIds, 1 / penalty);

/**
 * x < 0 ? x · penalty : x / penalty for every token of the row, once each.
 *
 * @see Keskar et al. 2019, "CTRL"
 */
export const repetition =
  (penalty: number): LogitsProcessor =>
  (ids, scores) =>
    penalize(scores, ids, penalty);

/** x - frequency · n - presence for a token that has been generated n > 0 times; the prompt's don't count. */
export const occurrence =
  (presence: number, frequency: number): LogitsProcessor =>
  (ids, scores, { promptLength }) => {
    const generated = ids.subarray(promptLength);
    for (const token of generated) scores[token] = scores[token]! - frequency;
    for (const token of new Set(generated)) scores[token] = scores[token]! - presence;
  };

/** Forbids what would complete n tokens of `source` in their order. */
function forbidNgrams(scores: Float32Array, ids: Int32Array, source: Int32Array, n: number): void {
  if (ids.length < n - 1) return;
  const tail = ids.subarray(ids.length - (n - 1));
  for (let end = n; end <= source.length; end++) {
    if (endsWith(source.subarray(end - n, end - 1), tail, n - 1)) scores[source[end - 1]!] = -Infinity;
  }
}

/** Forbids n tokens that the row already has in that order. */
export const noRepeatNgram =
  (n: number): LogitsProcessor =>
  (ids, scores) =>
    forbidNgrams(scores, ids, ids, n);

/** Forbids n tokens that the input has in that order. */
export const encoderNoRepeatNgram =
  (n: number): LogitsProcessor =>
  (ids, scores, { inputIds }) =>
    forbidNgrams(scores, ids, inputIds, n);

/** Forbids tokens while a row is shorter than `lengthOf` says. */
const forbidUntil =
  (tokens: readonly number[], lengthOf: (row: RowContext) => number): LogitsProcessor =>
  (ids, scores, row) => {
    if (ids.length < lengthOf(row)) forbid(scores, tokens);
  };

/** Forbids the end while the row, prompt included, is shorter than this. */
export const minLength = (length: number, eosTokenIds: readonly number[]) =>
  forbidUntil(eosTokenIds, () => length);

/** Forbids the end before so many tokens after the prompt. */
export const minNewTokens = (count: number, eosTokenIds: readonly number[]) =>
  forbidUntil(eosTokenIds, (row) => row.promptLength + count);

/** Leaves only `tokens`, with score 0, where the row has the length that `lengthOf` says. */
const forceAt =
  (tokens: readonly number[], lengthOf: (row: RowContext) => number): LogitsProcessor =>
  (ids, scores, row) => {
    if (ids.length !== lengthOf(row)) return;
    scores.fill(-Infinity);
    for (const token of tokens) scores[token] = 0;
  };

/** Forces the second token of a row. */
export const forcedBos = (token: number) => forceAt([token], () => 1);

/** Forces the last token of a row that comes to its greatest length. */
export const forcedEos = (tokens: readonly number[]) => forceAt(tokens, (row) => row.maxLength - 1);

const maxFloat32 = (2 - 2 ** -23) * 2 ** 127;

/** NaN becomes 0, infinities the greatest numbers of f32. */
export const removeInvalid: LogitsProcessor = (_, scores) => {
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i]!;
    if (Number.isNaN(x)) scores[i] = 0;
    else if (x === Infinity) scores[i] = maxFloat32;
    else if (x === -Infinity) scores[i] = -maxFloat32;
  }
};

/** From `start` tokens after the prompt on, the end gains |x| · (factor^steps - 1). */
export const exponentialDecay =
  (start: number, factor: number, eosTokenIds: readonly number[]): LogitsProcessor =>
  (ids, scores, { promptLength }) => {
    const steps = ids.length - promptLength - start;
    if (steps <= 0) return;
    for (const token of eosTokenIds) {
      const x = scores[token]!;
      scores[token] = x + Math.abs(x) * (factor ** steps - 1);
    }
  };

export const suppress =
  (tokens: readonly number[]): LogitsProcessor =>
  (_, scores) =>
    forbid(scores, tokens);

/** Forbids tokens as the first after the prompt, or after the token that is forced behind a prompt of one. */
export const suppressAtBegin =
  (tokens: readonly number[], forcesBos: boolean): LogitsProcessor =>
  (ids, scores, { promptLength }) => {
    const begin = promptLength > 1 || !forcesBos ? promptLength : promptLength + 1;
    if (ids.length === begin) forbid(scores, tokens);
  };

/** Makes scores log-probabilities. */
export const renormalize: LogitsProcessor = (_, scores) => logSoftmax(scores);
