import { ArgumentError } from "../errors.ts";
import { decodeEntities, htmlToText } from "./clean-html.ts";
import { checkLocale } from "./locale.ts";
import { stopWords, withoutStopWords } from "./stop-words.ts";

export interface CleanTextOptions {
  /** The text is HTML: take what a reader sees of it, see `htmlToText`. Default false. */
  html?: boolean;
  /** Decode `&amp;`, `&#233;` and the like in text without tags. Default false. */
  entities?: boolean;
  /** Unicode normalization form (UAX #15); NFKC makes `ﬁ` fi and `１` 1. Default "NFKC". */
  unicode?: "NFC" | "NFD" | "NFKC" | "NFKD" | "keep";
  /**
   * "remove" drops control characters and invisible ones (soft hyphen, zero-width space, direction marks, byte order
   * mark), except tab and line breaks and the joiners that emoji and many scripts need, and makes lone surrogates
   * U+FFFD. Default "remove".
   */
  controls?: "remove" | "keep";
  /** Default false. */
  lowercase?: boolean;
  /**
   * Drop what Unicode calls nonspacing marks, so that `é` becomes e, as BERT's uncased vocabularies want. It also makes
   * another letter of й, and drops the vowel signs of Indic scripts. Default false.
   */
  stripAccents?: boolean;
  /** Drop these words: languages that `stopWords` knows, or a set of words in lower case. Default none. */
  stopWords?: string | readonly string[] | ReadonlySet<string> | undefined;
  /**
   * "lines": one space for each run of spaces and tabs, none at the borders of a line, `\n` for every kind of line
   * break, at most one empty line in a row. "spaces": one space for each run of white space, line breaks too. Default
   * "lines".
   */
  whitespace?: "lines" | "spaces" | "keep";
  /** BCP 47 tag: how letters change case and where words end. Default "en". */
  locale?: string;
}

const forms = ["NFC", "NFD", "NFKC", "NFKD", "keep"] as const;

/** Cc but for tab and line breaks; of Cf, what has no picture and joins nothing. */
const invisible =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
  /[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/**
 * Text made uniform, in this order: HTML or entities, Unicode form, control characters, case, accents, stop words, white
 * space. Every step is an option; cleaning clean text again changes nothing, but for entities, which may be nested.
 *
 * @throws ArgumentError on a text that is no string and on an unknown option value, locale or language
 */
export function cleanText(text: string, options: CleanTextOptions = {}): string {
  const { html = false, entities = false, unicode = "NFKC", controls = "remove" } = options;
  const { lowercase = false, stripAccents = false, whitespace = "lines", locale = "en" } = options;
  if (typeof text !== "string") throw new ArgumentError(`cleanText: text must be a string; got ${text}`);
  checkChoice("unicode", unicode, forms);
  checkChoice("controls", controls, ["remove", "keep"]);
  checkChoice("whitespace", whitespace, ["lines", "spaces", "keep"]);
  checkLocale("cleanText: locale", locale);

  let clean = html ? htmlToText(text) : entities ? decodeEntities(text) : text;
  const normal = (s: string) => (unicode === "keep" ? s : s.normalize(unicode));
  if (controls === "remove") clean = clean.replace(/\p{Surrogate}/gu, "\ufffd").replace(invisible, "");
  clean = normal(clean);
  if (lowercase) clean = normal(clean.toLocaleLowerCase(locale));
  if (stripAccents) {
    const bare = clean.normalize("NFD").replace(/\p{Mn}/gu, "");
    clean = unicode === "keep" ? bare.normalize("NFC") : normal(bare);
  }
  if (options.stopWords !== undefined) {
    clean = withoutStopWords(clean, wordsOf(options.stopWords, stripAccents), locale);
  }
  return whitespace === "keep" ? clean : collapse(clean, whitespace);
}

function collapse(text: string, whitespace: "lines" | "spaces"): string {
  if (whitespace === "spaces") return text.replace(/[\s\x85]+/g, " ").trim();
  return text
    .replace(/\r\n?|[\v\f\x85\u2028\u2029]/g, "\n")
    .replace(/[^\S\n]+/g, " ")
    .replace(/ ?\n ?/g, "\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

function wordsOf(
  words: string | readonly string[] | ReadonlySet<string>,
  stripAccents: boolean,
): ReadonlySet<string> {
  if (words instanceof Set) return words;
  const languages = typeof words === "string" ? [words] : words;
  if (!Array.isArray(languages)) {
    throw new ArgumentError(
      `cleanText: stopWords must be a language, several, or a Set of words; got ${words}`,
    );
  }
  const all = languages.flatMap((language) => [...stopWords(language)]);
  const bare = stripAccents ? all.map((word) => word.normalize("NFD").replace(/\p{Mn}/gu, "")) : [];
  return new Set([...all, ...bare]);
}

function checkChoice(option: string, value: unknown, choices: readonly string[]): void {
  if (!choices.includes(value as string)) {
    const expected = choices.map((choice) => JSON.stringify(choice)).join(", ");
    throw new ArgumentError(`cleanText: ${option} must be one of ${expected}; got ${String(value)}`);
  }
}
