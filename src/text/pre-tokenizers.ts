import type { AlignedText } from "./aligned-text.ts";
import type { Fields } from "./fields.ts";
import { byteLevel, prepended } from "./normalizers.ts";
import { compilePattern, type Matches, matchesOf, type Pattern } from "./pattern.ts";
import { asPatternsSee, punctuation, whitespace, wordCharacters } from "./unicode.ts";

/** Cuts a text that is not empty into pieces that are not empty. */
export type PreTokenizer = (text: AlignedText) => AlignedText[];

/** What becomes of the separators that a pattern found. */
type Behavior = "removed" | "isolated" | "mergedWithPrevious" | "mergedWithNext" | "contiguous";

const behaviors: Record<string, Behavior> = {
  Removed: "removed",
  Isolated: "isolated",
  MergedWithPrevious: "mergedWithPrevious",
  MergedWithNext: "mergedWithNext",
  Contiguous: "contiguous",
};

interface Span {
  start: number;
  end: number;
  readonly isMatch: boolean;
}

/** Matches and what stands between them. */
function spansOf(length: number, matches: Matches, isInverted: boolean): Span[] {
  const spans: Span[] = [];
  let end = 0;
  for (let i = 0; i < matches.length; i += 2) {
    const start = matches[i]!;
    if (end < start) spans.push({ start: end, end: start, isMatch: isInverted });
    end = matches[i + 1]!;
    spans.push({ start, end, isMatch: !isInverted });
  }
  if (end < length) spans.push({ start: end, end: length, isMatch: isInverted });
  return spans;
}

/** Joins each span to the one before it where `joins` says so. */
function joined(spans: Span[], joins: (span: Span, isPreviousMatch: boolean) => boolean): Span[] {
  const result: Span[] = [];
  let isPreviousMatch = false;
  for (const span of spans) {
    const last = result.at(-1);
    if (last && joins(span, isPreviousMatch)) {
      last.start = Math.min(last.start, span.start);
      last.end = Math.max(last.end, span.end);
    } else {
      result.push({ ...span });
    }
    isPreviousMatch = span.isMatch;
  }
  return result;
}

const isLoneMatch = (span: Span, isPreviousMatch: boolean) => span.isMatch && !isPreviousMatch;

function arrange(spans: Span[], behavior: Behavior): Span[] {
  switch (behavior) {
    case "isolated":
      return spans;
    case "removed":
      return spans.filter((span) => !span.isMatch);
    case "contiguous":
      return joined(spans, (span, isPreviousMatch) => span.isMatch === isPreviousMatch);
    case "mergedWithPrevious":
      return joined(spans, isLoneMatch);
    case "mergedWithNext":
      return joined(spans.reverse(), isLoneMatch).reverse();
  }
}

const splitting =
  (find: Pattern, behavior: Behavior, isInverted = false): PreTokenizer =>
  (text) => {
    const matches = find(text.text);
    if (matches.length === 0 && behavior !== "removed") return [text];
    const pieces: AlignedText[] = [];
    for (const { start, end } of arrange(spansOf(text.text.length, matches, isInverted), behavior)) {
      if (start < end) pieces.push(text.slice(start, end));
    }
    return pieces;
  };

const finding =
  (expression: RegExp): Pattern =>
  (text) =>
    matchesOf(expression, asPatternsSee(text));

const finds = (characters: string): Pattern => {
  const expression = new RegExp(`[${characters}]`, "gu");
  return (text) => matchesOf(expression, text);
};

const inTurn =
  (steps: readonly PreTokenizer[]): PreTokenizer =>
  (text) =>
    steps.reduce((pieces, step) => pieces.flatMap(step), [text]);

/** The pieces of GPT-2: contractions, words and numbers with the space before them, other signs, space. */
export const gpt2Pattern = new RegExp(
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+" +
    `| ?[^${whitespace}\\p{L}\\p{N}]+|${whitespace}+(?!\\P{White_Space})|${whitespace}+`,
  "gu",
);

/** A byte-level pre-tokenizer without its last step, in which pieces become characters of bytes. */
export function byteLevelPieces(config: Fields): PreTokenizer {
  const hasPrefix = config.boolean("add_prefix_space", true);
  const split = splitting(finding(gpt2Pattern), "isolated");
  const pieces = config.boolean("use_regex", true) ? split : (text: AlignedText) => [text];
  return (text) => pieces(hasPrefix && !text.text.startsWith(" ") ? prepended(text, " ") : text);
}

function metaspace(config: Fields): PreTokenizer {
  const replacement = config.character("replacement", "▁");
  const hadPrefix = config.boolean("add_prefix_space", true);
  const schemes = { always: "always", first: "first", never: "never" } as const;
  const scheme = config.choice("prepend_scheme", schemes, hadPrefix ? "always" : "never");
  const escaped = `\\u{${replacement.codePointAt(0)!.toString(16)}}`;
  const split = splitting(finds(escaped), "mergedWithNext");
  const isSplit = config.boolean("split", true);
  if (replacement.length > 1) throw config.error("replacement", "a character of the basic plane");
  return (text) => {
    let piece = text.withText(text.text.replaceAll(" ", replacement));
    const isPrefixed = scheme === "always" || (scheme === "first" && text.origin === 0);
    if (isPrefixed && !piece.text.startsWith(replacement)) piece = prepended(piece, replacement);
    return isSplit ? split(piece) : [piece];
  };
}

function fixedLength(config: Fields): PreTokenizer {
  const length = config.integer("length", { min: 1, fallback: 5 });
  return (text) => {
    const pieces: AlignedText[] = [];
    let [start, end, count] = [0, 0, 0];
    for (const character of text.text) {
      end += character.length;
      if (++count % length > 0 && end < text.text.length) continue;
      pieces.push(text.slice(start, end));
      start = end;
    }
    return pieces;
  };
}

const splitWhitespace = splitting(finds(whitespace), "removed");
const splitPunctuation = (behavior: Behavior) => splitting(finds(punctuation), behavior);
const wordsAndSigns = new RegExp(`[${wordCharacters}]+|[^${wordCharacters}${whitespace}]+`, "gu");

const makers: Record<string, (config: Fields) => PreTokenizer> = {
  BertPreTokenizer: () => inTurn([splitWhitespace, splitPunctuation("isolated")]),
  ByteLevel: (config) => {
    const pieces = byteLevelPieces(config);
    return (text) => pieces(text).map(byteLevel);
  },
  CharDelimiterSplit: (config) =>
    splitting(finds(`\\u{${config.character("delimiter").codePointAt(0)!.toString(16)}}`), "removed"),
  Digits: (config) =>
    splitting(finds("\\p{N}"), config.boolean("individual_digits", false) ? "isolated" : "contiguous"),
  FixedLength: fixedLength,
  Metaspace: metaspace,
  Punctuation: (config) => splitPunctuation(config.choice("behavior", behaviors, "Isolated")),
  Sequence: (config) => inTurn(config.objects("pretokenizers").map(makePreTokenizer)),
  Split: (config) =>
    splitting(compilePattern(config), config.choice("behavior", behaviors), config.boolean("invert", false)),
  Whitespace: () => splitting(finding(wordsAndSigns), "removed", true),
  WhitespaceSplit: () => splitWhitespace,
};

/**
 * The pre-tokenizer that a tokenizer.json describes.
 *
 * @throws CheckpointError on a type that is not known (of those of Hugging Face, `UnicodeScripts` is not) and on fields
 *   that do not fit it
 */
export function makePreTokenizer(config: Fields): PreTokenizer {
  return config.choice("type", makers)(config);
}

/** A pre-tokenizer, and whether the characters of its pieces still have to become characters of their bytes. */
export interface Splitter {
  readonly split: PreTokenizer;
  readonly isByteLevel: boolean;
}

/**
 * The same, but a byte-level step at the end is left to whoever looks words up: it sees each word once and the text's
 * own offsets.
 */
export function makeSplitter(config: Fields | undefined): Splitter {
  if (!config) return { split: (text) => [text], isByteLevel: false };
  const steps = config.get("type") === "Sequence" ? config.objects("pretokenizers") : [config];
  const last = steps.at(-1);
  if (last?.get("type") !== "ByteLevel") return { split: makePreTokenizer(config), isByteLevel: false };
  const split = [...steps.slice(0, -1).map(makePreTokenizer), byteLevelPieces(last)];
  return { split: split.length === 1 ? split[0]! : inTurn(split), isByteLevel: true };
}
