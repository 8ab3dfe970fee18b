import { ArgumentError, show } from "../errors.ts";
import { type AddedToken, addedTokenToJSON } from "./added-tokens.ts";
import type { NewToken } from "./special-tokens.ts";

/** The parsed content of a tokenizer.json. */
export interface TokenizerJSON {
  version: "1.0";
  truncation: null;
  padding: null;
  added_tokens: ReturnType<typeof addedTokenToJSON>[];
  normalizer: object | null;
  pre_tokenizer: object;
  post_processor: object | null;
  decoder: object;
  model: object;
}

const contentOf = (token: NewToken): string => (typeof token === "string" ? token : token.content);

/** @throws ArgumentError unless each is a well-formed string that is not empty, and no two are the same */
export function contentsOf(caller: string, tokens: readonly NewToken[]): string[] {
  const contents = tokens.map(contentOf);
  contents.forEach((content, i) => {
    if (typeof content === "string" && content !== "" && !/\p{Surrogate}/u.test(content)) {
      if (contents.indexOf(content) === i) return;
    }
    const expected = "must be well-formed strings that are not empty, each once";
    throw new ArgumentError(`${caller}: specialTokens ${expected}; got ${show(content)} at index ${i}`);
  });
  return contents;
}

/** `added_tokens` for special tokens with the ids that a vocabulary gave them. */
export const addedTokensOf = (tokens: readonly NewToken[], idOf: (content: string) => number) =>
  tokens.map((token) => {
    const given: Partial<AddedToken> = typeof token === "string" ? {} : token;
    const defaults = { singleWord: false, lstrip: false, rstrip: false, normalized: false };
    const content = contentOf(token);
    return addedTokenToJSON({ ...defaults, ...given, content, id: idOf(content), special: true });
  });

/** The code points of an alphabet, a string or several of which the first characters count. */
export function alphabetOf(caller: string, alphabet: Iterable<string>): Uint32Array {
  return Uint32Array.from(alphabet, (character) => {
    if (typeof character !== "string" || !/^\P{Surrogate}/u.test(character)) {
      throw new ArgumentError(`${caller}: initialAlphabet must be of characters; got ${show(character)}`);
    }
    return character.codePointAt(0)!;
  });
}
