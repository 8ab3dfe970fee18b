import { ArgumentError, checkInteger, checkNumber, show } from "../errors.ts";
import { nativeText } from "../native.ts";
import type { NewToken } from "./special-tokens.ts";
import { addedTokensOf, alphabetOf, contentsOf, type TokenizerJSON } from "./tokenizer-json.ts";
import { runJob, type TokenizerTrainingOptions } from "./training-job.ts";
import type { TrainingTexts } from "./training-texts.ts";
import { countNormalizedWords } from "./word-counts.ts";

export interface TrainUnigramOptions extends TokenizerTrainingOptions {
  /** Tokens at most, special ones and characters among them. Default 8000. */
  vocabSize?: number;
  /** They get the first ids. Default none. */
  specialTokens?: readonly NewToken[];
  /**
   * The token of characters that did not occur, such as "<unk>"; it gets id 0 unless it is one of `specialTokens`. Default
   * none: such characters cannot be encoded.
   */
  unkToken?: string | null;
  /** Characters that become tokens even if they do not occur. Default none. */
  initialAlphabet?: Iterable<string>;
  /** Which part of the pieces a pruning leaves, in (0, 1). Default 0.75. */
  shrinkingFactor?: number;
  /** Steps of expectation and maximization before each pruning. Default 2. */
  numSubIterations?: number;
  /** The longest piece in characters. Default 16. */
  maxPieceLength?: number;
  /** With how many pieces training begins. Default 1000000. */
  seedSize?: number;
  /** Whether a text begins with a space for the model. Default true. */
  addPrefixSpace?: boolean;
}

/**
 * Trains a unigram tokenizer as SentencePiece's: from many pieces, those are kept without which the texts would be least
 * likely. Seeds, steps and losses are those of Hugging Face's `SentencePieceUnigramTokenizer`; the result is the same for
 * any number of threads.
 *
 * @returns the parsed tokenizer.json, for `Tokenizer.fromJSON`
 * @throws ArgumentError on a bad argument, on texts without a word and on a vocabulary too small for their characters;
 *   DataError on a file; the reason of `signal`
 * @see Kudo 2018, "Subword Regularization: Improving Neural Network Translation Models with Multiple Subword Candidates"
 */
export async function trainUnigram(
  texts: TrainingTexts,
  options: TrainUnigramOptions = {},
): Promise<TokenizerJSON> {
  const caller = "trainUnigram";
  const { vocabSize = 8000, specialTokens = [], unkToken = null, initialAlphabet = [] } = options;
  const { shrinkingFactor = 0.75, numSubIterations = 2, maxPieceLength = 16, seedSize = 1_000_000 } = options;
  const { addPrefixSpace = true, signal, onProgress } = options;
  const special = contentsOf(caller, specialTokens);
  if (unkToken !== null && !special.includes(unkToken)) special.unshift(...contentsOf(caller, [unkToken]));
  checkInteger(`${caller}: vocabSize`, vocabSize, special.length + 1);
  checkNumber(`${caller}: shrinkingFactor`, shrinkingFactor, 0, 1);
  if (shrinkingFactor === 0 || shrinkingFactor === 1) {
    throw new ArgumentError(
      `${caller}: shrinkingFactor must be between 0 and 1; got ${show(shrinkingFactor)}`,
    );
  }
  const native = {
    vocabSize: vocabSize - special.length,
    maxPieceLength: checkInteger(`${caller}: maxPieceLength`, maxPieceLength, 1, 1000),
    seedSize: checkInteger(`${caller}: seedSize`, seedSize, 1, 2 ** 31 - 1),
    numSubIterations: checkInteger(`${caller}: numSubIterations`, numSubIterations, 1, 1000),
    shrinkingFactor,
    initialAlphabet: alphabetOf(caller, initialAlphabet),
  };
  const metaspace = {
    type: "Metaspace",
    replacement: "▁",
    prepend_scheme: addPrefixSpace ? "always" : "never",
    split: true,
  };
  const pipeline = {
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Nmt" },
        { type: "NFKC" },
        { type: "Replace", pattern: { Regex: " {2,}" }, content: " " },
      ],
    },
    pre_tokenizer: metaspace,
  };
  const words = await countNormalizedWords(caller, texts, pipeline, options);
  const { pieces, scores } = await runJob(
    caller,
    (control) => nativeText.trainUnigram(words, native, control),
    signal,
    (done, total) => onProgress?.({ stage: "vocabulary", done, total }),
  );
  onProgress?.({ stage: "vocabulary", done: pieces.length, total: pieces.length });
  const learned = pieces.map((piece, i): [string, number] => [piece, scores[i]!]);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokensOf(specialTokens, (content) => special.indexOf(content)),
    ...pipeline,
    post_processor: null,
    decoder: metaspace,
    model: {
      type: "Unigram",
      unk_id: unkToken === null ? null : special.indexOf(unkToken),
      vocab: [
        ...special.map((token): [string, number] => [token, 0]),
        ...learned.filter(([piece]) => !special.includes(piece)),
      ],
      byte_fallback: false,
    },
  };
}
