import * as tables from "./unicode-tables.ts";

/** The content of a character class with the ranges of one of the tables. */
function classOf(table: string): string {
  const escaped = (codePoint: number) => `\\u{${codePoint.toString(16)}}`;
  let last = 0;
  return table
    .split(" ")
    .map((range) => {
      const [gap, more = "0"] = range.split("-");
      const first = last + Number.parseInt(gap!, 36);
      last = first + Number.parseInt(more, 36);
      return first === last ? escaped(first) : `${escaped(first)}-${escaped(last)}`;
    })
    .join("");
}

/** Content of character classes. */
export const punctuation = classOf(tables.punctuation);
export const removedByCleaning = `\\0\\ufffd${classOf(tables.removedByCleaning)}`;
export const nonspacingMarks = classOf(tables.nonspacingMarks);
export const accents = classOf(tables.accents);
/** `\w` of Rust's regular expressions. */
export const wordCharacters = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
/** `\s` there: unlike JavaScript's with U+0085 and without U+FEFF. */
export const whitespace = "\\p{White_Space}";

const laterThanPatterns = new RegExp(`[${classOf(tables.laterThanPatterns)}]`, "gu");
const mayBeLater = /[\u088f-\uffff]/;
const laterThanNormalizer = new RegExp(`[${classOf(tables.laterThanNormalizer)}]`, "u");

/**
 * `text` as a regular expression is to see it: characters that are younger than the Unicode of the native library's
 * patterns are replaced by others that are unassigned for good, of the same length.
 */
export const asPatternsSee = (text: string): string =>
  mayBeLater.test(text)
    ? text.replace(laterThanPatterns, (later) => (later.length === 1 ? "\uffff" : "\u{10ffff}"))
    : text;

export type NormalizationForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/** A character of the normalized text, and how many characters it adds: 1, 0 where it replaces one, −n where n + 1. */
type Change = [character: string, added: number];

/** U+0345 has the highest combining class, U+0334 the lowest: a combining mark changes places with one of them. */
const isNonStarter = (c: string): boolean =>
  `\u0345${c}`.normalize("NFD") !== `\u0345${c}` || `${c}\u0334`.normalize("NFD") !== `${c}\u0334`;

const haveSameClass = (a: string, b: string): boolean =>
  a === b || ((a + b).normalize("NFD") === a + b && (b + a).normalize("NFD") === b + a);

interface Properties {
  readonly canonical: readonly string[];
  readonly compatible: readonly string[];
  readonly isNonStarter: boolean;
}
const properties = new Map<string, Properties>();

function propertiesOf(c: string): Properties {
  let found = properties.get(c);
  if (!found) {
    found = laterThanNormalizer.test(c)
      ? { canonical: [c], compatible: [c], isNonStarter: false }
      : {
          canonical: [...c.normalize("NFD")],
          compatible: [...c.normalize("NFKD")],
          isNonStarter: isNonStarter(c),
        };
    if (properties.size >= 20_000) properties.clear();
    properties.set(c, found);
  }
  return found;
}

/** Decomposed characters in canonical order. */
function decompose(text: string, isCompatible: boolean): Change[] {
  const changes: Change[] = [];
  let runStart = 0;
  const sortRun = () => {
    if (changes.length - runStart < 2) return;
    const waiting = new Map<string, Change[]>();
    const run = changes.splice(runStart);
    for (const change of run.toReversed()) {
      const same = waiting.get(change[0]);
      if (same) same.push(change);
      else waiting.set(change[0], [change]);
    }
    const sorted = run
      .map(([c]) => c)
      .join("")
      .normalize("NFD");
    for (const c of sorted) changes.push(waiting.get(c)!.pop()!);
  };
  for (const c of text) {
    const { canonical, compatible } = propertiesOf(c);
    const parts = isCompatible ? compatible : canonical;
    for (let i = 0; i < parts.length; i++) {
      if (!propertiesOf(parts[i]!).isNonStarter) {
        sortRun();
        runStart = changes.length + 1;
      }
      changes.push([parts[i]!, i > 0 ? 1 : 0]);
    }
  }
  sortRun();
  return changes;
}

/** The character that two make together, if there is one. */
function composed(a: string, b: string): string | undefined {
  const both = (a + b).normalize("NFC");
  const isOne = both.length === (both.codePointAt(0)! > 0xffff ? 2 : 1);
  return isOne && !laterThanNormalizer.test(a + b + both) ? both : undefined;
}

/** Canonical composition: a mark joins the starter before it unless one of its own class stands between. */
function compose(changes: Change[]): Change[] {
  const result: Change[] = [];
  let starter: Change | undefined;
  let marks: Change[] = [];
  for (const change of changes) {
    const [c, added] = change;
    const isMark = propertiesOf(c).isNonStarter;
    const last = marks.at(-1);
    const isBlocked = last !== undefined && (!isMark || haveSameClass(last[0], c));
    const both = starter && !isBlocked ? composed(starter[0], c) : undefined;
    if (starter && both !== undefined) {
      starter = [both, starter[1] + added - 1];
    } else if (isMark && starter) {
      marks.push(change);
    } else {
      if (starter) result.push(starter);
      result.push(...marks);
      marks = [];
      starter = isMark ? undefined : change;
      if (isMark) result.push(change);
    }
  }
  if (starter) result.push(starter);
  result.push(...marks);
  return result;
}

/**
 * The characters of `text` in the given normalization form with what each adds or takes away, or `undefined` where
 * the text already has that form.
 *
 * @see Unicode Standard Annex 15; the counts are those of the crate `unicode-normalization-alignments`
 */
export function normalizationChanges(text: string, form: NormalizationForm): Change[] | undefined {
  if (text.normalize(form) === text) return undefined;
  const decomposed = decompose(text, form === "NFKC" || form === "NFKD");
  return form === "NFC" || form === "NFKC" ? compose(decomposed) : decomposed;
}
