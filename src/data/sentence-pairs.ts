import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import type { Random } from "../random.ts";
import { exampleRandom } from "./example-random.ts";
import { checkTokenIds } from "./token-ids.ts";

export interface SentencePairOptions {
  clsTokenId: number;
  sepTokenId: number;
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
  /** Which pass over the documents this is, from 0: each has pairs of its own. Default 0. */
  epoch?: number;
  /** The most tokens of an example, [CLS] and both [SEP] included. Default 128. */
  maxLength?: number;
  /** The probability of a document to be cut into shorter examples, of random length. Default 0.1. */
  shortSeqProb?: number;
  /** The probability of B to be from elsewhere, where A has a sentence behind it in its document. Default 0.5. */
  randomNextProb?: number;
}

/** `[CLS] A [SEP] B [SEP]` */
export interface SentencePair {
  /** `[T]` */
  inputIds: Int32Array;
  /** `[T]`: 0 for [CLS], A and the first [SEP], 1 for B and the last. */
  tokenTypeIds: Int32Array;
  /** 0 if B follows A in the document, 1 if it is from another. */
  nextSentenceLabel: 0 | 1;
  /** The indices of the documents that A and B are from. */
  documents: [a: number, b: number];
}

/**
 * Examples for next-sentence prediction, from documents of sentences.
 *
 * A document is cut into chunks of sentences that fill an example; the first sentences of a chunk, a random number of
 * them, are A. B is the rest of the chunk or, in half of the cases, sentences from a random place of another document;
 * then the rest of the chunk is put back for the next one. A chunk of one sentence always has a random B, so that more
 * than half of the labels are 1 where sentences are long or documents short. What is too long loses tokens of the longer
 * side, at either end.
 *
 * The pairs of a document are a pure function of the documents, the seed, the epoch and its index. They come in the order
 * of the documents: shuffle them.
 *
 * @param documents token ids of sentences, without special tokens
 * @throws ArgumentError on a bad option, on fewer than two documents, and on an empty document or sentence
 * @see Devlin et al. 2019, "BERT", 3.1 and A.2, and its `create_pretraining_data.py`. Here B is from another document for sure;
 *      there, ten draws that all hit the document itself leave it there.
 */
export function nextSentencePairs(
  documents: readonly (readonly ArrayLike<number>[])[],
  options: SentencePairOptions,
): Iterable<SentencePair> {
  const { clsTokenId, sepTokenId, seed, epoch = 0 } = options;
  const { maxLength = 128, shortSeqProb = 0.1, randomNextProb = 0.5 } = options;
  const name = "nextSentencePairs";
  checkInteger(`${name}: clsTokenId`, clsTokenId, 0, 2 ** 31 - 1);
  checkInteger(`${name}: sepTokenId`, sepTokenId, 0, 2 ** 31 - 1);
  checkInteger(`${name}: maxLength`, maxLength, 5);
  checkNumber(`${name}: shortSeqProb`, shortSeqProb, 0, 1);
  checkNumber(`${name}: randomNextProb`, randomNextProb, 0, 1);
  exampleRandom("sentence pairs", seed, epoch, 0);
  if (!Array.isArray(documents) || documents.length < 2) {
    throw new ArgumentError(
      `${name}: documents must be an array of at least two; got ${documents?.length ?? documents}`,
    );
  }
  documents.forEach((sentences, d) => {
    if (!Array.isArray(sentences) || sentences.length === 0) {
      throw new ArgumentError(
        `${name}: documents must be arrays of sentences; got ${String(sentences) || "none"} for documents[${d}]`,
      );
    }
    sentences.forEach((sentence, s) => {
      checkTokenIds(`${name}: documents[${d}][${s}]`, sentence);
      if (sentence.length === 0)
        throw new ArgumentError(`${name}: sentences must have tokens; got none in documents[${d}][${s}]`);
    });
  });
  const maxTokens = maxLength - 3;

  function* pairsOf(index: number): Generator<SentencePair> {
    const random = exampleRandom("sentence pairs", seed, epoch, index);
    const sentences = documents[index]!;
    const isShort = random.uniform() < shortSeqProb;
    const target = isShort ? 2 + random.integer(maxTokens - 1) : maxTokens;
    let first = 0;
    while (first < sentences.length) {
      let length = 0;
      let end = first;
      while (end < sentences.length && length < target) length += sentences[end++]!.length;
      const count = end - first;
      const aCount = count === 1 ? 1 : 1 + random.integer(count - 1);
      const start = joined(sentences, first, first + aCount);
      let from = index;
      let whole: number[];
      if (count === 1 || random.uniform() < randomNextProb) {
        from = random.integer(documents.length - 1);
        if (from >= index) from++;
        const other = documents[from]!;
        const begin = random.integer(other.length);
        let bEnd = begin;
        for (let n = 0; bEnd === begin || (bEnd < other.length && n < target - start.length); ) {
          n += other[bEnd++]!.length;
        }
        whole = joined(other, begin, bEnd);
        first += aCount;
      } else {
        whole = joined(sentences, first + aCount, end);
        first = end;
      }
      const [a, b] = truncated(start, whole, maxTokens, random);
      yield {
        inputIds: Int32Array.from([clsTokenId, ...a, sepTokenId, ...b, sepTokenId]),
        tokenTypeIds: new Int32Array(a.length + b.length + 3).fill(1, a.length + 2),
        nextSentenceLabel: from === index ? 0 : 1,
        documents: [index, from],
      };
    }
  }
  return {
    *[Symbol.iterator]() {
      for (let d = 0; d < documents.length; d++) yield* pairsOf(d);
    },
  };
}

function joined(sentences: readonly ArrayLike<number>[], begin: number, end: number): number[] {
  return sentences.slice(begin, end).flatMap((sentence) => Array.from(sentence));
}

/** Takes tokens from the longer of both, B if they are equal, each from the front or the back with equal chance. */
function truncated(a: number[], b: number[], maxTokens: number, random: Random): [a: number[], b: number[]] {
  const ends: [number, number][] = [
    [0, a.length],
    [0, b.length],
  ];
  const lengthOf = ([begin, end]: [number, number]) => end - begin;
  while (lengthOf(ends[0]!) + lengthOf(ends[1]!) > maxTokens) {
    const longer = lengthOf(ends[0]!) > lengthOf(ends[1]!) ? ends[0]! : ends[1]!;
    if (random.uniform() < 0.5) longer[0]++;
    else longer[1]--;
  }
  return [a.slice(...ends[0]!), b.slice(...ends[1]!)];
}
