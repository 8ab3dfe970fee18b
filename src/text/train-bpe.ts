import { checkInteger } from "../errors.ts";
import { nativeText } from "../native.ts";
import { byteCharacters, bytePairModel } from "./byte-alphabet.ts";
import type { NewToken } from "./special-tokens.ts";
import { addedTokensOf, alphabetOf, contentsOf, type TokenizerJSON } from "./tokenizer-json.ts";
import { runJob, type TokenizerTrainingOptions } from "./training-job.ts";
import type { TrainingTexts } from "./training-texts.ts";
import { countByteLevelWords } from "./word-counts.ts";

export interface TrainBPEOptions extends TokenizerTrainingOptions {
  /** Tokens at most, special ones and the 256 bytes among them. Default 30000. */
  vocabSize?: number;
  /** How often a pair must occur to become a token. Default 2. */
  minFrequency?: number;
  /** They get the first ids. Default none. */
  specialTokens?: readonly NewToken[];
  /** The longest token in bytes; of two bytes there are any. Default: no limit. */
  maxTokenLength?: number;
  /** Puts a space before a text that begins without one, so that its first word is like others. Default false. */
  addPrefixSpace?: boolean;
}

/**
 * Trains a byte-level BPE tokenizer as GPT-2's: the most frequent pair of neighbours within words becomes a token, again
 * and again. Vocabulary and merges are those of Hugging Face's `ByteLevelBPETokenizer`, for any number of threads.
 *
 * @returns the parsed tokenizer.json, for `Tokenizer.fromJSON`
 * @throws ArgumentError on a bad argument and on texts without a word, DataError on a file; the reason of `signal`
 * @see Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"
 * @see Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"
 */
export async function trainBPE(texts: TrainingTexts, options: TrainBPEOptions = {}): Promise<TokenizerJSON> {
  const caller = "trainBPE";
  const { vocabSize = 30_000, minFrequency = 2, specialTokens = [], addPrefixSpace = false } = options;
  const { maxTokenLength = Number.MAX_SAFE_INTEGER, signal, onProgress } = options;
  const special = contentsOf(caller, specialTokens);
  const native = {
    vocabSize: checkInteger(`${caller}: vocabSize`, vocabSize, special.length + byteCharacters.length),
    minFrequency: checkInteger(`${caller}: minFrequency`, minFrequency, 0),
    maxTokenLength: checkInteger(`${caller}: maxTokenLength`, maxTokenLength, 1),
    limitAlphabet: byteCharacters.length,
    initialAlphabet: alphabetOf(caller, byteCharacters),
    specialTokens: special,
    prefix: "",
    bytes: true,
  };
  const words = await countByteLevelWords(caller, texts, addPrefixSpace, options);
  const { tokens, merges } = await runJob(
    caller,
    (control) => nativeText.trainPairs(words, native, control),
    signal,
    (done, total) => onProgress?.({ stage: "vocabulary", done, total }),
  );
  onProgress?.({ stage: "vocabulary", done: tokens.length, total: tokens.length });
  const byteLevel = { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokensOf(specialTokens, (content) => special.indexOf(content)),
    normalizer: null,
    pre_tokenizer: { ...byteLevel, add_prefix_space: addPrefixSpace },
    post_processor: { ...byteLevel, trim_offsets: false },
    decoder: byteLevel,
    model: bytePairModel(
      Object.fromEntries(tokens.map((token, id) => [token, id])),
      Array.from({ length: merges.length / 2 }, (_, i) => [
        tokens[merges[2 * i]!]!,
        tokens[merges[2 * i + 1]!]!,
      ]),
    ),
  };
}
