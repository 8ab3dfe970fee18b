import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";

/** Token ids and the bias of the last of them where the others come right before it. */
export type SequenceBias = readonly (readonly [ids: readonly number[], bias: number])[];

/**
 * How to generate: the fields of Hugging Face's GenerationConfig (transformers 5), in camelCase. What is undefined is
 * taken from the model's `generationConfig`, then from the defaults named here; null switches a field off.
 */
export interface GenerationConfig {
  /** Most tokens of a row, prompt included (of an encoder–decoder model, the decoder's). Default: prompt + 20. */
  maxLength?: number | null;
  /** Most tokens after the prompt. Wins over `maxLength`. */
  maxNewTokens?: number | null;
  /** No end-of-sequence token before the row has so many tokens, prompt included. Default 0. */
  minLength?: number | null;
  /** No end-of-sequence token before so many tokens after the prompt. */
  minNewTokens?: number | null;
  /** Seconds after which each row ends with the token that is being computed. */
  maxTime?: number | null;
  /** A row ends with the token that completes one of these. The text is not cut. Needs a tokenizer. */
  stopStrings?: string | readonly string[] | null;

  /** Draws the next token instead of taking the likeliest. Default false. */
  doSample?: boolean | null;
  /** Beams of beam search (with `doSample`: drawn ones); 1, the default, is none. */
  numBeams?: number | null;
  /**
   * When beam search ends: true, as soon as `numBeams` rows are complete; false, the default, when the best running
   * beam, at its present length, scores no better than the worst of `numBeams` complete ones; "never", when it can't
   * become better.
   */
  earlyStopping?: boolean | "never" | null;
  /** A beam's score is its log-probability / length^lengthPenalty: above 0 favours long ones. Default 1. */
  lengthPenalty?: number | null;
  /**
   * Splits the beams into groups that choose one after the other. Default 1.
   *
   * @see Vijayakumar et al. 2018, "Diverse Beam Search"
   */
  numBeamGroups?: number | null;
  /** Taken off a token's score for each time that earlier groups chose it in this step. Default 0. */
  diversityPenalty?: number | null;
  /** Sequences for each prompt: drawn ones, or the best beams. Default 1. */
  numReturnSequences?: number | null;

  /** Divides the scores: below 1 sharpens, above 1 flattens. Default 1. This and the fields to `etaCutoff`: sampling. */
  temperature?: number | null;
  /** Of the 100 likeliest, those that hold this part of the entropy. See Potraghloo et al. 2025, "Top-H Decoding". */
  topH?: number | null;
  /** The k likeliest tokens and what equals the last of them; 0 or null: all. Default 50. */
  topK?: number | null;
  /** The likeliest that together have this probability. Default 1. See Holtzman et al. 2020. */
  topP?: number | null;
  /** Tokens with at least this part of the probability of the likeliest. See Nguyen et al. 2024, "Turning Up the Heat". */
  minP?: number | null;
  /** Tokens of the most typical surprise that together have this probability. Default 1. See Meister et al. 2022. */
  typicalP?: number | null;
  /** Tokens of at least this probability. Default 0. See Hewitt et al. 2022, "Truncation Sampling". */
  epsilonCutoff?: number | null;
  /** Tokens of at least min(η, √η · e^-entropy). Default 0. See Hewitt et al. 2022. */
  etaCutoff?: number | null;

  /** Divides positive scores, multiplies negative ones, of tokens in the row, the prompt's too. Default 1. See Keskar et al. 2019. */
  repetitionPenalty?: number | null;
  /** Favours the tokens of the input, by the same rule with 1 / penalty. Default 1. */
  encoderRepetitionPenalty?: number | null;
  /** Taken off the score of each token that has been generated, as OpenAI and vLLM define it (not Hugging Face). Default 0. */
  presencePenalty?: number | null;
  /** Taken off the score of each token for every time that it has been generated (as `presencePenalty`). Default 0. */
  frequencyPenalty?: number | null;
  /** No n tokens in a row come twice, the prompt's included; 0, the default: off. */
  noRepeatNgramSize?: number | null;
  /** No n tokens in a row that the input has; 0, the default: off. */
  encoderNoRepeatNgramSize?: number | null;
  /** Rows of token ids that must not come. */
  badWordsIds?: readonly (readonly number[])[] | null;
  /** What is added to the score of the last token of a row of ids. */
  sequenceBias?: SequenceBias | null;
  /** The token after a first one that stands alone: the target language of a translation model. */
  forcedBosTokenId?: number | null;
  /** The last token of a row that comes to its greatest length. */
  forcedEosTokenId?: number | readonly number[] | null;
  /** Tokens that never come. */
  suppressTokens?: readonly number[] | null;
  /** Tokens that don't come first. */
  beginSuppressTokens?: readonly number[] | null;
  /** `[start, factor]`: `start` tokens after the prompt, end-of-sequence gains |score| · (factor^steps - 1). */
  exponentialDecayLengthPenalty?: readonly [start: number, factor: number] | null;
  /** Makes NaN 0 and infinities the greatest numbers. Default false: they throw. */
  removeInvalidValues?: boolean | null;
  /** Makes the processed scores log-probabilities again. */
  renormalizeLogits?: boolean | null;

  /** What fills rows up to one length. Generation returns every row at its own length and does not need it. */
  padTokenId?: number | null;
  /** What an empty prompt begins with, and a decoder without `decoderStartTokenId`. */
  bosTokenId?: number | null;
  /** A row ends with any of these. */
  eosTokenId?: number | readonly number[] | null;
  /** What the decoder of an encoder–decoder model begins with: one for all, or one for each input. */
  decoderStartTokenId?: number | readonly number[] | null;
}

type Key = keyof GenerationConfig;

interface Field {
  check(name: string, value: unknown): void;
  default?: unknown;
  /** The way of generating that it belongs to. */
  of?: "sampling" | "beams" | "groups";
}

const fail = (name: string, expected: string, value: unknown): never => {
  const came = typeof value === "string" ? JSON.stringify(value) : String(value);
  throw new ArgumentError(`${name} must be ${expected}; got ${came}`);
};

const integer = (min: number) => (name: string, value: unknown) => void checkInteger(name, value, min);
const number = (min?: number, max?: number) => (name: string, value: unknown) =>
  void checkNumber(name, value, min, max);
const above0 = (name: string, value: unknown) => {
  if (!(checkNumber(name, value) > 0)) fail(name, "above 0", value);
};
const temperature = (name: string, value: unknown) => {
  if (value === 0) fail(name, "above 0 (for the likeliest token leave doSample out)", value);
  above0(name, value);
};
const boolean = (name: string, value: unknown) => {
  if (typeof value !== "boolean") fail(name, "true or false", value);
};
const listOf =
  (check: Field["check"], what: string, min = 1): Field["check"] =>
  (name, value) => {
    if (!Array.isArray(value) || value.length < min) fail(name, `an array of ${what}`, value);
    (value as unknown[]).forEach((item, i) => void check(`${name}[${i}]`, item));
  };
const token = integer(0);
const tokens = listOf(token, "token ids");
const tokenOrTokens: Field["check"] = (name, value) => (Array.isArray(value) ? tokens : token)(name, value);

const stopStrings: Field["check"] = (name, value) => {
  const strings = Array.isArray(value) ? value : [value];
  const areStrings = strings.length > 0 && strings.every((s) => typeof s === "string" && s !== "");
  if (!areStrings) fail(name, "a string or strings, not empty", value);
};
const earlyStopping: Field["check"] = (name, value) => {
  if (value !== "never" && typeof value !== "boolean") fail(name, 'true, false or "never"', value);
};
const biases = listOf((name, value) => {
  if (!Array.isArray(value) || value.length !== 2) fail(name, "[token ids, bias]", value);
  const [ids, bias] = value as [unknown, unknown];
  tokens(`${name}[0]`, ids);
  if (bias !== -Infinity) checkNumber(`${name}[1]`, bias);
}, "[token ids, bias]");
const decay: Field["check"] = (name, value) => {
  if (!Array.isArray(value) || value.length !== 2) fail(name, "[start, factor]", value);
  const [start, factor] = value as [unknown, unknown];
  checkInteger(`${name}[0]`, start, 0);
  above0(`${name}[1]`, factor);
};

const fields: Record<Key, Field> = {
  maxLength: { check: integer(1) },
  maxNewTokens: { check: integer(1) },
  minLength: { check: integer(0), default: 0 },
  minNewTokens: { check: integer(0) },
  maxTime: { check: number(0) },
  stopStrings: { check: stopStrings },
  doSample: { check: boolean, default: false },
  numBeams: { check: integer(1), default: 1 },
  earlyStopping: { check: earlyStopping, default: false, of: "beams" },
  lengthPenalty: { check: number(), default: 1, of: "beams" },
  numBeamGroups: { check: integer(1), default: 1, of: "beams" },
  diversityPenalty: { check: number(0), default: 0, of: "groups" },
  numReturnSequences: { check: integer(1), default: 1 },
  temperature: { check: temperature, default: 1, of: "sampling" },
  topH: { check: number(0, 1), of: "sampling" },
  topK: { check: integer(0), default: 50, of: "sampling" },
  topP: { check: number(0, 1), default: 1, of: "sampling" },
  minP: { check: number(0, 1), of: "sampling" },
  typicalP: { check: number(0, 1), default: 1, of: "sampling" },
  epsilonCutoff: { check: number(0, 1), default: 0, of: "sampling" },
  etaCutoff: { check: number(0, 1), default: 0, of: "sampling" },
  repetitionPenalty: { check: above0, default: 1 },
  encoderRepetitionPenalty: { check: above0, default: 1 },
  presencePenalty: { check: number(), default: 0 },
  frequencyPenalty: { check: number(), default: 0 },
  noRepeatNgramSize: { check: integer(0), default: 0 },
  encoderNoRepeatNgramSize: { check: integer(0), default: 0 },
  badWordsIds: { check: listOf(tokens, "rows of token ids") },
  sequenceBias: { check: biases },
  forcedBosTokenId: { check: token },
  forcedEosTokenId: { check: tokenOrTokens },
  suppressTokens: { check: listOf(token, "token ids", 0) },
  beginSuppressTokens: { check: listOf(token, "token ids", 0) },
  exponentialDecayLengthPenalty: { check: decay },
  removeInvalidValues: { check: boolean, default: false },
  renormalizeLogits: { check: boolean, default: false },
  padTokenId: { check: token },
  bosTokenId: { check: token },
  eosTokenId: { check: tokenOrTokens },
  decoderStartTokenId: { check: tokenOrTokens },
};

/** The names of GenerationConfig. */
export const generationFields = Object.keys(fields) as readonly Key[];

/** GenerationConfig with its defaults: what is on has a value, what is off is null. */
export type ResolvedConfig = { readonly [K in Key]-?: Exclude<GenerationConfig[K], undefined> } & {
  readonly [K in
    | "minLength"
    | "numBeams"
    | "lengthPenalty"
    | "numBeamGroups"
    | "diversityPenalty"
    | "numReturnSequences"
    | "temperature"
    | "topK"
    | "topP"
    | "typicalP"
    | "epsilonCutoff"
    | "etaCutoff"
    | "repetitionPenalty"
    | "encoderRepetitionPenalty"
    | "presencePenalty"
    | "frequencyPenalty"
    | "noRepeatNgramSize"
    | "encoderNoRepeatNgramSize"]: number;
} & { readonly earlyStopping: boolean | "never"; readonly eosTokenIds: readonly number[] };

/**
 * The options of a call, over those of the checkpoint, over the defaults.
 *
 * @param caller what errors begin with
 * @throws ArgumentError on a value out of its range, on fields that exclude each other and on fields of the call that
 *   its way of generating does not read (`topP` without `doSample`, `lengthPenalty` without beams)
 */
export function resolveConfig(
  caller: string,
  given: GenerationConfig,
  checkpoint: GenerationConfig = {},
): ResolvedConfig {
  const resolved: Partial<Record<Key, unknown>> = {};
  for (const [key, field] of Object.entries(fields) as [Key, Field][]) {
    const chosen = given[key] === undefined ? checkpoint[key] : given[key];
    if (chosen !== undefined && chosen !== null) field.check(`${caller}: ${key}`, chosen);
    const isOff = given[key] === null;
    resolved[key] = chosen ?? (isOff && key === "topK" ? 0 : field.default) ?? null;
  }
  const eos = resolved.eosTokenId as number | readonly number[] | null;
  const eosTokenIds = eos === null ? [] : typeof eos === "number" ? [eos] : eos;
  const config = { ...resolved, eosTokenIds } as ResolvedConfig;
  checkUnread(caller, given, config);
  checkTogether(caller, config);
  return config;
}

function checkUnread(caller: string, given: GenerationConfig, config: ResolvedConfig): void {
  const unread = {
    sampling: config.doSample ? undefined : "doSample: true",
    beams: config.numBeams > 1 ? undefined : "numBeams above 1",
    groups: config.numBeamGroups > 1 ? undefined : "numBeamGroups above 1",
  };
  for (const [key, field] of Object.entries(fields) as [Key, Field][]) {
    const value = given[key];
    const missing = field.of && unread[field.of];
    if (missing && value !== undefined && value !== null && value !== field.default) {
      throw new ArgumentError(`${caller}: ${key} needs ${missing}; got ${key} ${value} without it`);
    }
  }
}

function checkTogether(caller: string, config: ResolvedConfig): void {
  const { numBeams, numBeamGroups, numReturnSequences, diversityPenalty, doSample } = config;
  const refuse = (expected: string, came: string) => {
    throw new ArgumentError(`${caller}: ${expected}; got ${came}`);
  };
  if (numBeams === 1 && !doSample && numReturnSequences > 1) {
    refuse("numReturnSequences above 1 needs doSample or numBeams", `${numReturnSequences}`);
  }
  if (numBeams > 1 && numReturnSequences > numBeams) {
    refuse("numReturnSequences must be at most numBeams", `${numReturnSequences} of ${numBeams}`);
  }
  if (numBeamGroups > 1) {
    if (numBeams % numBeamGroups !== 0) {
      refuse("numBeams must be a multiple of numBeamGroups", `${numBeams} and ${numBeamGroups}`);
    }
    if (doSample) refuse("numBeamGroups above 1 can't go with doSample", `${numBeamGroups}`);
    if (diversityPenalty === 0) refuse("numBeamGroups above 1 needs a diversityPenalty above 0", "0");
  }
  if (config.exponentialDecayLengthPenalty !== null && config.eosTokenIds.length === 0) {
    refuse("exponentialDecayLengthPenalty needs an eosTokenId", "none");
  }
}
