import { ArgumentError } from "../errors.ts";
import { type BLEUTokenizer, bleuTokenizers, bleuTokens } from "./bleu-tokenizers.ts";
import { checkTexts, countNgrams, overlap, type References } from "./text-pairs.ts";

export interface BLEUOptions {
  /** Default "13a"; "zh" for Chinese, "char" for other languages without spaces. */
  tokenizer?: BLEUTokenizer;
  /** Leaves out the orders that texts are too short for, as the score of a single sentence should. Default false. */
  effectiveOrder?: boolean;
}

export interface BLEUScore {
  /** From 0 to 100. */
  score: number;
  /** In percent, of one to four words. The k-th order of which none matches has 100 / (2ᵏ · total). */
  precisions: number[];
  /** Matches of each order; no n-gram counts more often than in the reference that has it most often. */
  counts: number[];
  /** n-grams of each order in the hypotheses. */
  totals: number[];
  /** 1, or e^(1 − reference / hypothesis length) for hypotheses that are shorter. */
  brevityPenalty: number;
  /** Words. */
  hypothesisLength: number;
  /** Words of those references that are closest in length. */
  referenceLength: number;
}

const maxOrder = 4;

/**
 * BLEU of a whole corpus, to the digit that of sacrebleu 2.6 with its defaults (smoothing "exp", case kept): the
 * geometric mean of the precisions of up to four words, times a penalty for brevity.
 *
 * ```ts
 * bleu(["the cat sat on mat"], ["the cat sat on the mat"]).score; // 57.893
 * ```
 *
 * @param references of each hypothesis one, or an array of several
 * @throws ArgumentError on arrays of different lengths, on none, and on what is no text
 * @see Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation"; Post 2018, "A Call for
 *   Clarity in Reporting BLEU Scores"
 */
export function bleu(
  hypotheses: readonly string[],
  references: readonly References[],
  { tokenizer = "13a", effectiveOrder = false }: BLEUOptions = {},
): BLEUScore {
  if (!bleuTokenizers.includes(tokenizer)) {
    throw new ArgumentError(
      `bleu: tokenizer must be one of ${bleuTokenizers.join(", ")}; got ${String(tokenizer)}`,
    );
  }
  const pairs = checkTexts("bleu", hypotheses, references);
  const counts = new Array<number>(maxOrder).fill(0);
  const totals = new Array<number>(maxOrder).fill(0);
  let hypothesisLength = 0;
  let referenceLength = 0;
  for (const pair of pairs) {
    const words = bleuTokens(pair.hypothesis, tokenizer);
    const others = pair.references.map((text) => bleuTokens(text, tokenizer));
    hypothesisLength += words.length;
    referenceLength += closest(
      words.length,
      others.map((other) => other.length),
    );
    for (let n = 1; n <= maxOrder; n++) {
      counts[n - 1]! += overlap(countNgrams(words, n, " "), mostOfEach(others, n));
      totals[n - 1]! += Math.max(0, words.length - n + 1);
    }
  }
  const brevityPenalty =
    hypothesisLength >= referenceLength
      ? 1
      : hypothesisLength === 0
        ? 0
        : Math.exp(1 - referenceLength / hypothesisLength);
  const { precisions, score } = withPrecisions(counts, totals, brevityPenalty, effectiveOrder);
  return { score, precisions, counts, totals, brevityPenalty, hypothesisLength, referenceLength };
}

function closest(length: number, others: readonly number[]): number {
  return others.reduce((best, other) => {
    const [before, now] = [Math.abs(best - length), Math.abs(other - length)];
    return now < before || (now === before && other < best) ? other : best;
  });
}

/** Of each n-gram the occurrences in the text that has it most often. */
function mostOfEach(texts: readonly (readonly string[])[], order: number): Map<string, number> {
  const most = new Map<string, number>();
  for (const text of texts) {
    for (const [ngram, count] of countNgrams(text, order, " ")) {
      most.set(ngram, Math.max(count, most.get(ngram) ?? 0));
    }
  }
  return most;
}

function withPrecisions(
  counts: readonly number[],
  totals: readonly number[],
  brevityPenalty: number,
  effectiveOrder: boolean,
): Pick<BLEUScore, "precisions" | "score"> {
  const precisions = new Array<number>(maxOrder).fill(0);
  if (counts.every((count) => count === 0)) return { precisions, score: 0 };
  const orders = totals.filter((total) => total > 0).length; // an order without n-grams has none above it either
  let smoothing = 1;
  for (let n = 0; n < orders; n++) {
    if (counts[n] === 0) smoothing *= 2;
    precisions[n] = counts[n] === 0 ? 100 / (smoothing * totals[n]!) : (100 * counts[n]!) / totals[n]!;
  }
  const used = effectiveOrder ? orders : maxOrder;
  const meanLog = precisions.slice(0, used).reduce((sum, p) => sum + Math.log(p), 0) / used;
  return { precisions, score: brevityPenalty * Math.exp(meanLog) };
}
