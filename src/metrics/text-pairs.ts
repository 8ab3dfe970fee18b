import { ArgumentError } from "../errors.ts";

/** What a text is compared with: one reference, or several of which each is as good. */
export type References = string | readonly string[];

/** The white space at which Python's `str.split` cuts. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: U+001C to U+001F are separators to Python
export const whiteSpace = /[\p{White_Space}\x1c-\x1f]+/u;

/** Each hypothesis with its references, checked. `first` is what errors call the hypotheses. */
export function checkTexts(
  name: string,
  hypotheses: readonly string[],
  references: readonly References[],
  first = "hypotheses",
): { hypothesis: string; references: readonly string[] }[] {
  for (const [argument, texts] of Object.entries({ [first]: hypotheses, references })) {
    if (!Array.isArray(texts) || texts.length === 0) {
      throw new ArgumentError(
        `${name}: ${argument} must be an array of texts; got ${Array.isArray(texts) ? "none" : typeof texts}`,
      );
    }
  }
  if (hypotheses.length !== references.length) {
    throw new ArgumentError(
      `${name}: ${first} and references must be of one length; got ${hypotheses.length} and ${references.length}`,
    );
  }
  return hypotheses.map((hypothesis, i) => {
    const given = references[i]!;
    const own: readonly string[] = Array.isArray(given) ? given : [given];
    if (typeof hypothesis !== "string") {
      throw new ArgumentError(`${name}: ${first}[${i}] must be a string; got ${String(hypothesis)}`);
    }
    if (own.length === 0 || own.some((text) => typeof text !== "string")) {
      throw new ArgumentError(
        `${name}: references[${i}] must be a string or an array of at least one; got ${String(given) || "none"}`,
      );
    }
    return { hypothesis, references: own };
  });
}

/** How often each stretch of `order` items occurs. Items are joined by `separator`, which none of them holds. */
export function countNgrams(
  items: readonly string[],
  order: number,
  separator: string,
  counts = new Map<string, number>(),
): Map<string, number> {
  for (let i = 0; i + order <= items.length; i++) {
    const ngram = items.slice(i, i + order).join(separator);
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

/** Occurrences in `counts` that `reference` has too: Σ min. */
export function overlap(counts: ReadonlyMap<string, number>, reference: ReadonlyMap<string, number>): number {
  let matches = 0;
  for (const [ngram, count] of counts) matches += Math.min(count, reference.get(ngram) ?? 0);
  return matches;
}

/** Of all n-grams together. */
export const sum = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((total, count) => total + count, 0);
