import { createRequire } from "node:module";
import { ArgumentError } from "../errors.ts";
import { checkLocale } from "./locale.ts";
import { wordSegments } from "./segments.ts";

/** Loaded when first asked for. */
const load = createRequire(import.meta.url);

let lists: ReadonlyMap<string, readonly string[]> | undefined;
const sets = new Map<string, ReadonlySet<string>>();

/** The lists of the package `stopword` by language, whose keys are codes of ISO 639-3. */
function allLists(): ReadonlyMap<string, readonly string[]> {
  lists ??= new Map(
    Object.entries(load("stopword") as Record<string, readonly string[]>)
      .filter(([code, words]) => /^[a-z]{3}$/.test(code) && Array.isArray(words))
      .map(([code, words]) => [languageOf(code), words]),
  );
  return lists;
}

/** The language of a BCP 47 tag, in its shortest code: `en` for `eng` and `en-GB`. Norwegian is Bokmål. */
function languageOf(tag: string): string {
  const { language } = checkLocale("stopWords: language", tag);
  return language === "no" ? "nb" : language;
}

/** The languages that `stopWords` has a list of, in alphabetical order. */
export function stopWordLanguages(): string[] {
  return [...allLists().keys()].sort();
}

/**
 * Words of `language` that say little by themselves (articles, prepositions, auxiliaries), in lower case.
 *
 * @param language a BCP 47 tag: `en`, `pt-BR`, `zho`
 * @returns the list of the package `stopword`, which has about 60 languages
 * @throws ArgumentError on what is no tag, and on a language without a list
 */
export function stopWords(language: string): ReadonlySet<string> {
  const code = languageOf(language);
  const known = sets.get(code);
  if (known) return known;
  const list = allLists().get(code);
  if (list === undefined) {
    throw new ArgumentError(
      `stopWords: language must be one of ${stopWordLanguages().join(", ")}; got ${JSON.stringify(language)}`,
    );
  }
  const words = new Set(list.map((word) => word.trim().toLowerCase()).filter(Boolean));
  sets.set(code, words);
  return words;
}

/** Whether an apostrophe ends a word of its own: `l'homme`, `dell'arte`. */
const elides = /^(fr|it|ca)\b/;

/**
 * `text` without the words of `words`; what stood between words stays.
 *
 * @param words  in lower case; they are compared with the words of the text in lower case
 * @param locale a BCP 47 tag that says where words begin and end (Intl.Segmenter) and how to put them in lower case
 */
export function withoutStopWords(text: string, words: ReadonlySet<string>, locale: string): string {
  let kept = "";
  for (const { segment, isWordLike } of wordSegments(text, locale)) {
    const word = isWordLike ? segment.toLocaleLowerCase(locale).replaceAll("’", "'") : "";
    if (word === "" || !words.has(word)) {
      const apostrophe = elides.test(locale) ? word.indexOf("'") : -1;
      const article = word.slice(0, apostrophe);
      const isElided = apostrophe > 0 && (words.has(article) || words.has(`${article}'`));
      if (isElided && words.has(word.slice(apostrophe + 1))) continue;
      kept += isElided ? segment.slice(apostrophe + 1) : segment;
    }
  }
  return kept;
}
