import { bpeModel } from "./bpe-model.ts";
import { toByteCharacters } from "./byte-alphabet.ts";
import type { Fields } from "./fields.ts";
import { unigramModel } from "./unigram-model.ts";
import type { WordModel, WordTokens } from "./word-model.ts";
import { wordLevelModel, wordPieceModel } from "./wordpiece-model.ts";

const makers: Record<string, (config: Fields) => WordModel> = {
  BPE: bpeModel,
  Unigram: unigramModel,
  WordLevel: wordLevelModel,
  WordPiece: wordPieceModel,
};

/** Old files do not say which model they have. */
function typeOf(config: Fields): string {
  if (config.get("merges") !== undefined) return "BPE";
  if (Array.isArray(config.get("vocab"))) return "Unigram";
  return config.get("continuing_subword_prefix") === undefined ? "WordLevel" : "WordPiece";
}

/**
 * The model that a tokenizer.json describes.
 *
 * @throws CheckpointError on a type that is not known and on fields that do not fit it
 */
export function makeWordModel(config: Fields): WordModel {
  return config.choice("type", makers, typeOf(config))(config);
}

/** The tokens of words, of which the frequent ones are remembered. */
export class WordEncoder {
  readonly #model: WordModel;
  readonly #isByteLevel: boolean;
  readonly #known = new Map<string, WordTokens>();

  /** `isByteLevel`: the model sees the characters of a word's bytes. */
  constructor(model: WordModel, isByteLevel: boolean) {
    this.#model = model;
    this.#isByteLevel = isByteLevel;
  }

  tokens(word: string): WordTokens {
    const known = this.#known.get(word);
    if (known) return known;
    const tokens = this.#isByteLevel ? this.#ofBytes(word) : this.#model.tokens(word);
    if (word.length <= 64) {
      if (this.#known.size >= 32_768) this.#known.clear();
      this.#known.set(word, tokens);
    }
    return tokens;
  }

  /** A token of some of the bytes of a character stands for the whole character. */
  #ofBytes(word: string): WordTokens {
    const bytes = toByteCharacters(word);
    const { ids, starts, ends } = this.#model.tokens(bytes);
    if (bytes.length === word.length) return { ids, starts, ends }; // one byte a character
    const first: number[] = []; // of each byte, where its character begins and ends
    const last: number[] = [];
    let start = 0;
    for (const character of word) {
      for (let left = Buffer.byteLength(character); left > 0; left--) {
        first.push(start);
        last.push(start + character.length);
      }
      start += character.length;
    }
    return { ids, starts: starts.map((byte) => first[byte]!), ends: ends.map((byte) => last[byte - 1]!) };
  }
}
