import type { Fields } from "./fields.ts";
import { Vocabulary } from "./vocabulary.ts";
import { unknownId, type WordModel, type WordTokens } from "./word-model.ts";

/** The token of the whole word. */
export function wordLevelModel(config: Fields): WordModel {
  const vocabulary = Vocabulary.fromFields(config.object("vocab"));
  const unknown = config.string("unk_token", "<unk>");
  return {
    vocabulary,
    unknown,
    tokens: (word) => {
      const id = vocabulary.id(word) ?? unknownId(vocabulary, unknown, word);
      return { ids: [id], starts: [0], ends: [word.length] };
    },
  };
}

/**
 * The longest token that the word begins with, then of the rest, whose tokens have a prefix. A word of which some part
 * has no token is unknown as a whole.
 *
 * @see Devlin et al. 2019, "BERT"
 */
export function wordPieceModel(config: Fields): WordModel {
  const vocabulary = Vocabulary.fromFields(config.object("vocab"));
  const unknown = config.string("unk_token", "[UNK]");
  const prefix = config.string("continuing_subword_prefix", "##");
  const longest = config.integer("max_input_chars_per_word", { fallback: 100 });
  const tokens = (word: string): WordTokens | undefined => {
    const ends: number[] = [0];
    for (const character of word) ends.push(ends.at(-1)! + character.length);
    const count = ends.length - 1;
    if (count > longest) return undefined;
    const found: WordTokens = { ids: [], starts: [], ends: [] };
    for (let start = 0; start < count; ) {
      let end = count;
      let id: number | undefined;
      for (; end > start; end--) {
        const part = word.slice(ends[start], ends[end]);
        id = vocabulary.id(start > 0 ? prefix + part : part);
        if (id !== undefined) break;
      }
      if (id === undefined) return undefined;
      found.ids.push(id);
      found.starts.push(ends[start]!);
      found.ends.push(ends[end]!);
      start = end;
    }
    return found;
  };
  return {
    vocabulary,
    unknown,
    tokens: (word) =>
      tokens(word) ?? {
        ids: [unknownId(vocabulary, unknown, word)],
        starts: [0],
        ends: [word.length],
      },
  };
}
