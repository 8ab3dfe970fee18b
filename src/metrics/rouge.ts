import { checkTexts, countNgrams, overlap, sum } from "./text-pairs.ts";

/** Means over the texts, from 0 to 1. */
export interface RougeScore {
  /** Of the prediction, how much is in the reference. */
  precision: number;
  /** Of the reference, how much is in the prediction. */
  recall: number;
  /** Mean of the texts' harmonic means of both. */
  f1: number;
}

/**
 * ROUGE: what predictions and references have in common of words (`rouge1`), of pairs of words (`rouge2`), and the
 * longest sequence of words that both have in this order, with gaps (`rougeL`).
 *
 * Words are runs of a–z and 0–9 in lower case without stemming, as in the package rouge-score: it is for English and
 * its like only.
 *
 * @throws ArgumentError on arrays of different lengths, on none, and on what is no text
 * @see Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"
 */
export function rouge(
  predictions: readonly string[],
  references: readonly string[],
): Record<"rouge1" | "rouge2" | "rougeL", RougeScore> {
  const pairs = checkTexts("rouge", predictions, references, "predictions").map(
    ({ hypothesis, references: [text] }) => [wordsOf(hypothesis), wordsOf(text!)] as const,
  );
  const ofOrder = (order: number) =>
    mean(pairs, (prediction, reference) => {
      const [a, b] = [countNgrams(prediction, order, " "), countNgrams(reference, order, " ")];
      return { common: overlap(a, b), predicted: sum(a), expected: sum(b) };
    });
  return {
    rouge1: ofOrder(1),
    rouge2: ofOrder(2),
    rougeL: mean(pairs, (prediction, reference) => ({
      common: longestCommonSubsequence(prediction, reference),
      predicted: prediction.length,
      expected: reference.length,
    })),
  };
}

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[a-z0-9]+/g) ?? [];

type Words = readonly string[];

function mean(
  pairs: readonly (readonly [prediction: Words, reference: Words])[],
  compare: (prediction: Words, reference: Words) => { common: number; predicted: number; expected: number },
): RougeScore {
  const total = { precision: 0, recall: 0, f1: 0 };
  for (const [prediction, reference] of pairs) {
    const { common, predicted, expected } = compare(prediction, reference);
    if (common === 0) continue;
    total.precision += common / predicted / pairs.length;
    total.recall += common / expected / pairs.length;
    total.f1 += (2 * common) / (predicted + expected) / pairs.length;
  }
  return total;
}

/** Its length: L[i, j] = L[i−1, j−1] + 1 where the words agree, else the larger of L[i−1, j] and L[i, j−1]. */
function longestCommonSubsequence(a: Words, b: Words): number {
  let row = new Int32Array(b.length + 1);
  for (const word of a) {
    const next = new Int32Array(b.length + 1);
    b.forEach((other, j) => {
      next[j + 1] = word === other ? row[j]! + 1 : Math.max(row[j + 1]!, next[j]!);
    });
    row = next;
  }
  return row[b.length]!;
}
