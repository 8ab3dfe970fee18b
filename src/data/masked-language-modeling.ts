import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { exampleRandom } from "./example-random.ts";
import { checkTokenIds } from "./token-ids.ts";

export interface MaskingOptions {
  /** The id of [MASK]. */
  maskTokenId: number;
  /** Random tokens are drawn from all ids below this, special ones included. */
  vocabSize: number;
  /** Ids that are never masked: [CLS], [SEP], [PAD] and the like. */
  specialTokenIds: Iterable<number>;
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
  /** The probability of a token to be predicted. Default 0.15. */
  mlmProbability?: number;
  /** Of the tokens to be predicted, the share that becomes [MASK]. Default 0.8, or 1 with `wholeWordMask`. */
  maskReplaceProb?: number;
  /** The share that becomes a random token; the rest stays as it is. Default 0.1, or 0 with `wholeWordMask`. */
  randomReplaceProb?: number;
  /** Choose words instead of tokens: all tokens of a word are predicted, or none. Default false. */
  wholeWordMask?: boolean;
  /** Whether a token goes on with the word before it, by its id (`##ing`): one way to say what a word is. */
  isContinuation?: (id: number) => boolean;
}

export interface MaskedExample {
  /** Which example of the data this is, from 0. */
  index: number;
  /** Which pass over the data this is, from 0: each has masks of its own. */
  epoch: number;
  /** The word of each token, equal for tokens of one word that stand together; the other way to say what a word is. */
  wordIds?: ArrayLike<number | null>;
  /** 1 for tokens that are never masked, beside `specialTokenIds`. */
  specialTokensMask?: ArrayLike<number | boolean>;
}

/** One masked example: `T` tokens and what is to be predicted at each place, -100 for nothing. */
export interface MaskedTokens {
  inputIds: Int32Array;
  labels: Int32Array;
}

/**
 * Masks for masked language modelling: each token that is not special is to be predicted with a probability of 15 %, and
 * then is [MASK] in 80 % of the cases, a random token in 10 % and itself in 10 %.
 *
 * The mask of an example is a pure function of the seed, the epoch and its index; a new epoch has a new mask (RoBERTa's
 * dynamic masking). With `wholeWordMask` each word is chosen with that probability, and its tokens are [MASK], as
 * Transformers' collator does; the shares can be set otherwise.
 *
 * @throws ArgumentError on a bad option
 * @see Devlin et al. 2019, "BERT", 3.1; Liu et al. 2019, "RoBERTa", 4.1; Transformers' `DataCollatorForLanguageModeling`
 */
export function maskedLanguageModeling(
  options: MaskingOptions,
): (ids: ArrayLike<number>, example: MaskedExample) => MaskedTokens {
  const { maskTokenId, vocabSize, seed, wholeWordMask = false, isContinuation } = options;
  const name = "maskedLanguageModeling";
  checkInteger(`${name}: vocabSize`, vocabSize, 1, 2 ** 31 - 1);
  checkInteger(`${name}: maskTokenId`, maskTokenId, 0, vocabSize - 1);
  checkInteger(`${name}: seed`, seed, 0);
  const mlmProbability = checkNumber(`${name}: mlmProbability`, options.mlmProbability ?? 0.15, 0, 1);
  const [masked, random] = wholeWordMask ? [1, 0] : [0.8, 0.1];
  const maskReplaceProb = checkNumber(`${name}: maskReplaceProb`, options.maskReplaceProb ?? masked, 0, 1);
  const randomReplaceProb = checkNumber(
    `${name}: randomReplaceProb`,
    options.randomReplaceProb ?? random,
    0,
    1,
  );
  if (maskReplaceProb + randomReplaceProb > 1 + 1e-12) {
    throw new ArgumentError(
      `${name}: maskReplaceProb and randomReplaceProb must add up to at most 1; got ${maskReplaceProb} and ${randomReplaceProb}`,
    );
  }
  const special = new Set(options.specialTokenIds);

  return (ids, { index, epoch, wordIds, specialTokensMask }) => {
    checkTokenIds(`${name}: ids`, ids, vocabSize);
    const T = ids.length;
    for (const [label, array] of [
      ["wordIds", wordIds] as const,
      ["specialTokensMask", specialTokensMask] as const,
    ]) {
      if (array && array.length !== T) {
        throw new ArgumentError(`${name}: ${label} must be as long as ids, ${T}; got ${array.length}`);
      }
    }
    if (wholeWordMask && !wordIds && !isContinuation) {
      throw new ArgumentError(
        `${name}: wholeWordMask needs wordIds or isContinuation, to know what a word is`,
      );
    }
    const draw = exampleRandom("mask", seed, epoch, index);
    const inputIds = Int32Array.from(ids);
    const labels = new Int32Array(T).fill(-100);
    const isSpecial = (t: number) => special.has(ids[t]!) || Boolean(specialTokensMask?.[t]);
    const continues = (t: number) => {
      if (!wholeWordMask || t === 0 || isSpecial(t - 1)) return false;
      if (wordIds) return wordIds[t] !== null && wordIds[t] === wordIds[t - 1];
      return isContinuation!(ids[t]!);
    };
    let isChosen = false;
    for (let t = 0; t < T; t++) {
      if (isSpecial(t)) continue;
      if (!continues(t)) isChosen = draw.uniform() < mlmProbability;
      if (!isChosen) continue;
      labels[t] = ids[t]!;
      const fate = draw.uniform();
      if (fate < maskReplaceProb) inputIds[t] = maskTokenId;
      else if (fate < maskReplaceProb + randomReplaceProb) inputIds[t] = draw.integer(vocabSize);
    }
    return { inputIds, labels };
  };
}

/**
 * The word of each token, from where it stands in the text: a token begins a word unless it begins where the token
 * before it ends. Empty ranges, which special tokens have, are words of their own.
 *
 * @param offsets begin and end of each token in the text
 * @see Transformers' `DataCollatorForLanguageModeling`, which finds words so
 */
export function wordIdsFromOffsets(offsets: readonly (readonly [begin: number, end: number])[]): Int32Array {
  let word = -1;
  return Int32Array.from(offsets, ([begin, end], t) => {
    const before = offsets[t - 1];
    const isInside = before !== undefined && begin === before[1] && begin < end && before[0] < before[1];
    return isInside ? word : ++word;
  });
}
