import type { AlignedText } from "./aligned-text.ts";
import type { Fields } from "./fields.ts";
import { asPatternsSee, whitespace, wordCharacters } from "./unicode.ts";

/** A token that is found in a text before anything else happens to it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Only where no word goes on at either side. */
  readonly singleWord: boolean;
  /** Takes the white space before it. */
  readonly lstrip: boolean;
  /** Takes the white space after it. */
  readonly rstrip: boolean;
  /** Found in the normalized text instead of the original. */
  readonly normalized: boolean;
  /** Left out by `decode` with `skipSpecialTokens`. */
  readonly special: boolean;
}

/** An entry of `added_tokens` of a tokenizer.json, or of `added_tokens_decoder` of a tokenizer_config.json. */
export function addedTokenOf(fields: Fields, id = fields.integer("id")): AddedToken {
  const special = fields.boolean("special", false);
  return {
    id,
    content: fields.string("content"),
    singleWord: fields.boolean("single_word", false),
    lstrip: fields.boolean("lstrip", false),
    rstrip: fields.boolean("rstrip", false),
    normalized: fields.boolean("normalized", !special),
    special,
  };
}

/** An entry of `added_tokens`. */
export const addedTokenToJSON = ({
  id,
  content,
  singleWord,
  lstrip,
  rstrip,
  normalized,
  special,
}: AddedToken) => ({
  id,
  content,
  single_word: singleWord,
  lstrip,
  rstrip,
  normalized,
  special,
});

/** A part of a text: an added token, or what is between. */
export interface Section {
  readonly text: AlignedText;
  readonly token?: AddedToken;
}

const endsWithWord = new RegExp(`[${wordCharacters}]$`, "u");
const startsWithWord = new RegExp(`^[${wordCharacters}]`, "u");
const isSpace = new RegExp(`[${whitespace}]`, "u");

/** Finds the leftmost and there the longest of some tokens. */
export class AddedTokenFinder {
  readonly #beginnings: RegExp | undefined;
  /** Of each first UTF-16 unit the tokens, the longest first. */
  readonly #tokens = new Map<number, [text: string, token: AddedToken][]>();

  /** `tokens`: each with its text as it stands in what is searched. */
  constructor(tokens: readonly [text: string, token: AddedToken][]) {
    for (const [text, token] of tokens) {
      if (text === "") continue;
      const unit = text.charCodeAt(0);
      const same = this.#tokens.get(unit);
      if (same) same.push([text, token]);
      else this.#tokens.set(unit, [[text, token]]);
    }
    for (const same of this.#tokens.values()) same.sort(([a], [b]) => b.length - a.length);
    const units = [...this.#tokens.keys()].map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`);
    if (units.length > 0) this.#beginnings = new RegExp(`[${units.join("")}]`, "g");
  }

  /** The parts of `text`, which together are all of it. */
  split(text: AlignedText): Section[] {
    const whole = text.text;
    if (whole === "") return [];
    const sections: Section[] = [];
    let written = 0; // up to here the sections go
    const beginnings = this.#beginnings;
    if (!beginnings?.test(whole)) return [{ text: text.slice(0, whole.length) }];
    beginnings.lastIndex = 0;
    for (let found = beginnings.exec(whole); found; found = beginnings.exec(whole)) {
      const at = found.index;
      const match = this.#tokens
        .get(whole.charCodeAt(at))!
        .find(([content]) => whole.startsWith(content, at));
      if (!match) continue;
      const [content, token] = match;
      beginnings.lastIndex = at + content.length;
      let [start, end] = [at, at + content.length];
      if (start < written) continue;
      if (token.singleWord) {
        if (startsWithWord.test(asPatternsSee(whole.slice(end, end + 2)))) continue;
        if (endsWithWord.test(asPatternsSee(whole.slice(Math.max(0, start - 2), start)))) continue;
      }
      if (token.lstrip) while (start > written && isSpace.test(whole[start - 1]!)) start--;
      if (token.rstrip) while (end < whole.length && isSpace.test(whole[end]!)) end++;
      if (written < start) sections.push({ text: text.slice(written, start) });
      sections.push({ text: text.slice(start, end), token });
      written = end;
    }
    if (written < whole.length) sections.push({ text: text.slice(written, whole.length) });
    return sections;
  }
}
