import { byteCharacters, bytePairModel } from "./byte-alphabet.ts";
import { Tokenizer, type TokenizerOptions } from "./tokenizer.ts";

/**
 * A tokenizer with one token for each byte of the text in UTF-8: ids 0 to 255 are the bytes, special tokens come after.
 *
 *     new ByteTokenizer({ bosToken: "<s>", eosToken: "</s>", padToken: "<pad>" }).size; // 259
 *
 * It puts no special tokens around a text. What it saves is read back as a {@link Tokenizer}, and by Hugging Face.
 */
export class ByteTokenizer extends Tokenizer {
  constructor(options: TokenizerOptions = {}) {
    const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
    const json = {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model: bytePairModel(
        Object.fromEntries(byteCharacters.map((character, byte) => [character, byte])),
        [],
      ),
    };
    super(json, options, "ByteTokenizer");
  }
}
