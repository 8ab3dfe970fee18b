import { ArgumentError, show } from "../errors.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** The tokens of a word, and the UTF-16 units [start, end) of it that each stands for. */
export interface WordTokens {
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
}

/** What makes tokens of a word, which is a piece of the pre-tokenizer. */
export interface WordModel {
  readonly vocabulary: Vocabulary;
  readonly unknown?: string;
  /** @throws ArgumentError on a character that is not in the vocabulary, where it has no unknown token either */
  tokens(word: string): WordTokens;
}

/** The id of the unknown token, which may be missing as long as nobody needs it. */
export function unknownId(vocabulary: Vocabulary, unknown: string | undefined, word: string): number {
  const id = unknown === undefined ? undefined : vocabulary.id(unknown);
  if (id !== undefined) return id;
  const missing = unknown === undefined ? "and there is no unknown token" : `nor is ${show(unknown)}`;
  throw new ArgumentError(
    `Tokenizer.encode: text must be of the vocabulary: ${show(word)} is not in it, ${missing}`,
  );
}
