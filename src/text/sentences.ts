import { ArgumentError } from "../errors.ts";
import { checkLocale } from "./locale.ts";
import { sentenceSegments, wordSegments } from "./segments.ts";

/** Abbreviations after which a sentence goes on, in lower case and without the last period. */
const abbreviations: Readonly<Record<string, string>> = {
  en: "u.s u.n mr mrs ms messrs dr prof st mt ft rev fr hon gen brig col maj capt cmdr adm lt sgt cpl pvt gov sen rep pres supt vs v cf viz e.g i.e fig figs no nos vol vols p pp ch sec ed eds approx",
  de: "z d u s o dr prof hr fr st str nr bzw vgl bspw evtl ggf inkl exkl art abs abb bd bde kap ca dipl ing mag z.b d.h u.a o.ä s.o s.u i.d.r sog",
  fr: "m mm mme mmes mlle mlles dr pr st ste cf p.ex env éd vol art chap fig av apr réf tél",
  es: "sr sra srta sres dr dra d dña prof ud uds ej p.ej núm pág págs vol art cap fig lic ing gral av avda",
  it: "sig sigg sig.ra sig.na dott dott.ssa prof prof.ssa ing avv arch on rev pag pagg vol art cap fig es cfr",
  pt: "sr sra sres dr dra prof profa eng av p.ex núm pág vol art cap fig exmo exma",
  nl: "dhr mevr mw dr drs prof ir ing mr bijv bv d.w.z o.a nr blz vgl art fig",
};

export interface SentenceOptions {
  /**
   * Abbreviations after which a sentence goes on, without their last period; `mr` also stands for `Mr`. Default: some
   * of the language, for en, de, fr, es, it, pt and nl.
   */
  abbreviations?: Iterable<string>;
}

/**
 * The sentences of `text`, without the white space around them.
 *
 * Borders are those of Unicode (UAX #29, by Intl.Segmenter), except behind an abbreviation or an initial, as in `Dr. J.
 * Doe`, and between a quoted question and small letters. A line break always ends a sentence: join wrapped lines first, as `cleanText(text, { whitespace: "spaces" })`
 * does.
 *
 * @param locale BCP 47 tag
 */
export function splitSentences(text: string, locale = "en", options: SentenceOptions = {}): string[] {
  if (typeof text !== "string") throw new ArgumentError(`splitSentences: text must be a string; got ${text}`);
  const { language } = checkLocale("splitSentences: locale", locale);
  const known = new Set(options.abbreviations ?? abbreviations[language]?.split(" "));
  const sentences: string[] = [];
  let sentence = "";
  for (const segment of sentenceSegments(text, locale)) {
    if (!goesOn(sentence, segment, known, language)) {
      sentences.push(sentence.trim());
      sentence = "";
    }
    sentence += segment;
  }
  sentences.push(sentence.trim());
  return sentences.filter((each) => each !== "");
}

/** Whether `next` is of the same sentence as `text`: no line ends between them, and one of two signs is there. */
function goesOn(text: string, next: string, known: ReadonlySet<string>, language: string): boolean {
  const end = text.slice(-32);
  if (/[\n\r\x85\u2028\u2029]\s*$/.test(end)) return false;
  if (/[?!…]["”’»)]\s+$/.test(end) && /^\p{Ll}/u.test(next)) return true; // "Really?" she asked.
  const word = /(?:^|[^\p{L}.])([\p{L}.]+)\.\s+$/u.exec(end)?.[1];
  if (word === undefined || known.size === 0) return false;
  const isInitial = /^\p{Lu}$/u.test(word) && !(language === "en" && word === "I");
  return isInitial || known.has(word) || known.has(word.toLowerCase());
}

/**
 * The words of `text`, without spaces and punctuation, as Unicode separates them (UAX #29, by Intl.Segmenter, which
 * knows words of Chinese, Japanese and Thai).
 *
 * @param locale BCP 47 tag
 */
export function splitWords(text: string, locale = "en"): string[] {
  if (typeof text !== "string") throw new ArgumentError(`splitWords: text must be a string; got ${text}`);
  checkLocale("splitWords: locale", locale);
  const words: string[] = [];
  for (const { segment, isWordLike } of wordSegments(text, locale)) {
    if (isWordLike) words.push(segment);
  }
  return words;
}
