import type { AlignedText } from "./aligned-text.ts";
import { Rewriter } from "./aligned-text.ts";
import { toByteCharacters } from "./byte-alphabet.ts";
import type { Fields } from "./fields.ts";
import { compilePattern, matchesOf, type Pattern } from "./pattern.ts";
import { precompiledNormalizer } from "./precompiled.ts";
import {
  accents,
  type NormalizationForm,
  nonspacingMarks,
  normalizationChanges,
  removedByCleaning,
  whitespace,
} from "./unicode.ts";

export type Normalizer = (text: AlignedText) => AlignedText;

const inTurn =
  (steps: readonly Normalizer[]): Normalizer =>
  (text) =>
    steps.reduce((result, step) => step(result), text);

/** Writes `content` for every match. */
function replaceMatches(find: Pattern, content: string): Normalizer {
  return (source) => {
    const matches = find(source.text);
    if (matches.length === 0) return source;
    const rewriter = new Rewriter(source);
    let end = 0;
    for (let i = 0; i < matches.length; i += 2) {
      rewriter.keep(matches[i]! - end);
      end = matches[i + 1]!;
      rewriter.skip([...source.text.slice(matches[i]!, end)].length);
      rewriter.insert(content);
    }
    rewriter.keep(source.text.length - end);
    return rewriter.finish();
  };
}

const removing = (characters: string): Normalizer => {
  const expression = new RegExp(`[${characters}]+`, "gu");
  return replaceMatches((text) => matchesOf(expression, text), "");
};

const toSpaces = (characters: string): Normalizer => {
  const expression = new RegExp(`[${characters}]`, "gu"); // all of one UTF-16 unit
  return (source) => source.withText(source.text.replace(expression, " "));
};

const normalizing =
  (form: NormalizationForm): Normalizer =>
  (source) => {
    const changes = normalizationChanges(source.text, form);
    if (!changes) return source;
    const rewriter = new Rewriter(source);
    for (const [character, added] of changes) {
      if (added > 0) rewriter.insert(character);
      else rewriter.replace(character, -added);
    }
    return rewriter.finish();
  };

const ascii = /^[\0-\x7f]*$/;

/** Character by character: Σ becomes σ wherever it stands. */
const lowercase: Normalizer = (source) => {
  if (ascii.test(source.text)) return source.withText(source.text.toLowerCase());
  let isSame = true;
  const lower = Array.from(source.text, (character) => {
    const changed = character.toLowerCase();
    isSame &&= changed.length === character.length;
    return changed;
  });
  if (isSame) return source.withText(lower.join(""));
  const rewriter = new Rewriter(source);
  for (const character of lower) rewriter.replace(character);
  return rewriter.finish();
};

const chineseCharacters =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

/** A space on either side of each Chinese character. */
const separateChinese: Normalizer = (source) => {
  const matches = matchesOf(chineseCharacters, source.text);
  if (matches.length === 0) return source;
  const rewriter = new Rewriter(source);
  let end = 0;
  for (let i = 0; i < matches.length; i += 2) {
    rewriter.keep(matches[i]! - end);
    rewriter.prepend(" ");
    end = matches[i + 1]!;
    rewriter.keep(end - matches[i]!);
    rewriter.insert(" ");
  }
  rewriter.keep(source.text.length - end);
  return rewriter.finish();
};

function bertNormalizer(config: Fields): Normalizer {
  const isLower = config.boolean("lowercase", true);
  const steps: Normalizer[] = [];
  if (config.boolean("clean_text", true)) steps.push(removing(removedByCleaning), toSpaces(whitespace));
  if (config.boolean("handle_chinese_chars", true)) steps.push(separateChinese);
  if (config.boolean("strip_accents", isLower)) steps.push(normalizing("NFD"), removing(nonspacingMarks));
  if (isLower) steps.push(lowercase);
  return inTurn(steps);
}

function strip(config: Fields): Normalizer {
  const sides = [];
  if (config.boolean("strip_left", true)) sides.push(`^[${whitespace}]+`);
  if (config.boolean("strip_right", true)) sides.push(`(?<![${whitespace}])[${whitespace}]+$`);
  if (sides.length === 0) return (source) => source;
  const expression = new RegExp(sides.join("|"), "gu");
  return replaceMatches((text) => matchesOf(expression, text), "");
}

function prepend(config: Fields): Normalizer {
  const prefix = config.string("prepend");
  return (source) => prepended(source, prefix);
}

/** `prefix` before a text that is not empty. */
export function prepended(source: AlignedText, prefix: string): AlignedText {
  if (source.text === "") return source;
  const rewriter = new Rewriter(source);
  rewriter.prepend(prefix);
  rewriter.keep(source.text.length);
  return rewriter.finish();
}

/** Each character by the characters of its bytes. */
export const byteLevel: Normalizer = (source) => {
  const rewriter = new Rewriter(source);
  for (const character of source.text) rewriter.replace(toByteCharacters(character));
  return rewriter.finish();
};

const nmt = inTurn([
  removing("\\u0001-\\u0008\\u000b\\u000e-\\u001f\\u007f\\u008f\\u009f"),
  toSpaces("\\u0009\\u000a\\u000c\\u000d\\u1680\\u200b-\\u200f\\u2028\\u2029\\u2581\\ufeff\\ufffd"),
]);

const makers: Record<string, (config: Fields) => Normalizer> = {
  BertNormalizer: bertNormalizer,
  NFC: () => normalizing("NFC"),
  NFD: () => normalizing("NFD"),
  NFKC: () => normalizing("NFKC"),
  NFKD: () => normalizing("NFKD"),
  Lowercase: () => lowercase,
  Strip: strip,
  StripAccents: () => removing(accents),
  Nmt: () => nmt,
  Replace: (config) => replaceMatches(compilePattern(config), config.string("content")),
  Prepend: prepend,
  ByteLevel: () => byteLevel,
  Precompiled: precompiledNormalizer,
  Sequence: (config) => inTurn(config.objects("normalizers").map(makeNormalizer)),
};

/**
 * The normalizer that a tokenizer.json describes.
 *
 * @throws CheckpointError on a type that is not known and on fields that do not fit it
 */
export function makeNormalizer(config: Fields): Normalizer {
  return config.choice("type", makers)(config);
}
