import { ArgumentError, checkInteger, show } from "../errors.ts";
import { nativeText } from "../native.ts";
import type { NewToken } from "./special-tokens.ts";
import { addedTokensOf, alphabetOf, contentsOf, type TokenizerJSON } from "./tokenizer-json.ts";
import { runJob, type TokenizerTrainingOptions } from "./training-job.ts";
import type { TrainingTexts } from "./training-texts.ts";
import { countNormalizedWords } from "./word-counts.ts";

export interface TrainWordPieceOptions extends TokenizerTrainingOptions {
  /** Tokens at most, special ones and characters among them. Default 30000. */
  vocabSize?: number;
  /** How often a pair must occur to become a token. Default 2. */
  minFrequency?: number;
  /** They get the first ids. Default [PAD], [UNK], [CLS], [SEP], [MASK]. */
  specialTokens?: readonly NewToken[];
  /** How many different characters are kept, the most frequent. Default 1000. */
  limitAlphabet?: number;
  /** Characters that are kept even if they do not occur. Default none. */
  initialAlphabet?: Iterable<string>;
  /** What a token that does not begin a word begins with. Default "##". */
  continuingSubwordPrefix?: string;
  /** The longest token in characters; of two there are any. Default: no limit. */
  maxTokenLength?: number;
  /** The special token of words that cannot be made of tokens. Default "[UNK]". */
  unkToken?: string;
  /** Removes control characters and makes every white space a space. Default true. */
  cleanText?: boolean;
  /** Makes every Chinese character a word. Default true. */
  handleChineseChars?: boolean;
  /** Default: as `lowercase`. */
  stripAccents?: boolean | null;
  /** Default true. */
  lowercase?: boolean;
}

/**
 * Trains a WordPiece tokenizer as BERT's. The vocabulary is found like that of BPE, as Hugging Face's
 * `BertWordPieceTokenizer` does, and is the same for any number of threads; where special tokens are named [CLS] and
 * [SEP], they are put around texts.
 *
 * @returns the parsed tokenizer.json, for `Tokenizer.fromJSON`
 * @throws ArgumentError on a bad argument, on texts without a word and on a vocabulary too small for their characters;
 *   DataError on a file; the reason of `signal`
 * @see Wu et al. 2016, "Google's Neural Machine Translation System"
 * @see Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding"
 */
export async function trainWordPiece(
  texts: TrainingTexts,
  options: TrainWordPieceOptions = {},
): Promise<TokenizerJSON> {
  const caller = "trainWordPiece";
  const { vocabSize = 30_000, minFrequency = 2, limitAlphabet = 1000, initialAlphabet = [] } = options;
  const { specialTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], unkToken = "[UNK]" } = options;
  const { maxTokenLength = Number.MAX_SAFE_INTEGER, continuingSubwordPrefix: prefix = "##" } = options;
  const { cleanText = true, handleChineseChars = true, stripAccents = null, lowercase = true } = options;
  const { signal, onProgress } = options;
  const special = contentsOf(caller, specialTokens);
  if (!special.includes(unkToken)) {
    throw new ArgumentError(`${caller}: unkToken must be one of specialTokens; got ${show(unkToken)}`);
  }
  if (typeof prefix !== "string" || prefix === "" || /\p{Surrogate}/u.test(prefix)) {
    const expected = "must be a well-formed string that is not empty";
    throw new ArgumentError(`${caller}: continuingSubwordPrefix ${expected}; got ${show(prefix)}`);
  }
  const native = {
    vocabSize: checkInteger(`${caller}: vocabSize`, vocabSize, special.length + 1),
    minFrequency: checkInteger(`${caller}: minFrequency`, minFrequency, 0),
    maxTokenLength: checkInteger(`${caller}: maxTokenLength`, maxTokenLength, 1),
    limitAlphabet: checkInteger(`${caller}: limitAlphabet`, limitAlphabet, 1),
    initialAlphabet: alphabetOf(caller, initialAlphabet),
    specialTokens: special,
    prefix,
    bytes: false,
  };
  const pipeline = {
    normalizer: {
      type: "BertNormalizer",
      clean_text: cleanText,
      handle_chinese_chars: handleChineseChars,
      strip_accents: stripAccents,
      lowercase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
  };
  const words = await countNormalizedWords(caller, texts, pipeline, options);
  const { tokens } = await runJob(
    caller,
    (control) => nativeText.trainPairs(words, native, control),
    signal,
    (done, total) => onProgress?.({ stage: "vocabulary", done, total }),
  );
  if (tokens.length > vocabSize) {
    const needed = `${tokens.length} special tokens and characters, at the beginning of words and within`;
    throw new ArgumentError(`${caller}: vocabSize must have room for the ${needed}; got ${vocabSize}`);
  }
  onProgress?.({ stage: "vocabulary", done: tokens.length, total: tokens.length });
  const bordering = (token: string) => [token, special.indexOf(token)];
  const hasBorders = special.includes("[CLS]") && special.includes("[SEP]");
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokensOf(specialTokens, (content) => special.indexOf(content)),
    ...pipeline,
    post_processor: hasBorders
      ? { type: "BertProcessing", sep: bordering("[SEP]"), cls: bordering("[CLS]") }
      : null,
    decoder: { type: "WordPiece", prefix, cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: unkToken,
      continuing_subword_prefix: prefix,
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    },
  };
}
