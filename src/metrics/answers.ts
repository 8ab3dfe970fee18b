import { checkTexts, countNgrams, overlap, type References, whiteSpace } from "./text-pairs.ts";

const asciiPunctuation = /[!-/:-@[-`{-~]/g;
const articles = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

/** What SQuAD compares: the words in lower case without ASCII punctuation and without a, an and the. */
function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .replace(asciiPunctuation, "")
    .replace(articles, " ")
    .split(whiteSpace)
    .filter((word) => word !== "");
}

/** The mean of each answer's best score; an answer of no words is right where no reference has any. */
function meanOfBest(
  name: string,
  predictions: readonly string[],
  references: readonly References[],
  score: (prediction: readonly string[], reference: readonly string[]) => number,
): number {
  const pairs = checkTexts(name, predictions, references, "predictions");
  const total = pairs.reduce((sum, { hypothesis, references }) => {
    const prediction = wordsOf(hypothesis);
    const all = references.map(wordsOf);
    const answers = all.filter((words) => words.length > 0);
    return sum + Math.max(...(answers.length > 0 ? answers : [[]]).map((words) => score(prediction, words)));
  }, 0);
  return total / pairs.length;
}

/**
 * The share of answers that are one of theirs, from 0 to 1, as SQuAD compares them: in lower case, without ASCII
 * punctuation, without a, an and the.
 *
 * @param references of each prediction one, or an array of several
 * @throws ERR_ARGUMENT on arrays of different lengths, on none, and on what is no text
 * @see Rajpurkar et al. 2016, "SQuAD"
 */
export function exactMatch(predictions: readonly string[], references: readonly References[]): number {
  return meanOfBest("exactMatch", predictions, references, (prediction, reference) =>
    Number(prediction.join(" ") === reference.join(" ")),
  );
}

/**
 * The mean of the answers' F1 of words, from 0 to 1, as in SQuAD: what an answer and the best of its references have in
 * common, however ordered. Compared as {@link exactMatch} does.
 *
 * @throws ERR_ARGUMENT as {@link exactMatch}
 */
export function tokenF1(predictions: readonly string[], references: readonly References[]): number {
  return meanOfBest("tokenF1", predictions, references, (prediction, reference) => {
    if (prediction.length === 0 || reference.length === 0)
      return Number(prediction.length === reference.length);
    const common = overlap(countNgrams(prediction, 1, " "), countNgrams(reference, 1, " "));
    return (2 * common) / (prediction.length + reference.length);
  });
}
