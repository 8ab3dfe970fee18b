import { checkTexts, countNgrams, overlap, type References, sum, whiteSpace } from "./text-pairs.ts";

export interface ChrFScore {
  /** From 0 to 100. */
  score: number;
}

const maxOrder = 6;
const beta = 2;

/** n-grams of the hypothesis, of the reference and of both, of one order. */
type Counts = readonly [hypothesis: number, reference: number, matches: number];

/**
 * chrF of a whole corpus, to the digit that of sacrebleu 2.6 with its defaults: the F score with β = 2 of runs of one
 * to six characters, white space left out. It suits languages with many endings better than BLEU and needs no words.
 *
 * @param references of each hypothesis one, or an array of several, of which the best counts
 * @throws ArgumentError on arrays of different lengths, on none, and on what is no text
 * @see Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"
 */
export function chrF(hypotheses: readonly string[], references: readonly References[]): ChrFScore {
  const sums = Array.from({ length: maxOrder }, () => [0, 0, 0] as [number, number, number]);
  for (const pair of checkTexts("chrF", hypotheses, references)) {
    const hypothesis = countsOfOrders(pair.hypothesis);
    let best: { counts: Counts[]; score: number } | undefined;
    for (const text of pair.references) {
      const counts = compare(hypothesis, countsOfOrders(text));
      const score = scoreOf(counts);
      if (best === undefined || score > best.score) best = { counts, score };
    }
    best!.counts.forEach((counts, n) => {
      for (const i of [0, 1, 2] as const) sums[n]![i] += counts[i];
    });
  }
  return { score: scoreOf(sums) };
}

function countsOfOrders(text: string): Map<string, number>[] {
  const characters = Array.from(text.split(whiteSpace).join(""));
  return Array.from({ length: maxOrder }, (_, n) => countNgrams(characters, n + 1, ""));
}

/** A hypothesis longer than its reference has no n-grams of the orders that the reference lacks. */
function compare(hypothesis: readonly Map<string, number>[], reference: readonly Map<string, number>[]) {
  return hypothesis.map((counts, n): Counts => {
    const other = reference[n]!;
    return [other.size > 0 ? sum(counts) : 0, sum(other), overlap(counts, other)];
  });
}

/** Precision and recall are means over the orders of which both sides have n-grams. */
function scoreOf(orders: readonly Counts[]): number {
  const both = orders.filter(([hypothesis, reference]) => hypothesis > 0 && reference > 0);
  if (both.length === 0) return 0;
  const precision = both.reduce((total, [count, , matches]) => total + matches / count, 0) / both.length;
  const recall = both.reduce((total, [, count, matches]) => total + matches / count, 0) / both.length;
  if (precision + recall === 0) return 0;
  return (100 * (1 + beta ** 2) * precision * recall) / (beta ** 2 * precision + recall);
}
