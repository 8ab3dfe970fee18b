import { ArgumentError, checkInteger } from "../errors.ts";
import type {
  GenerationTokenizer,
  GenerativeModel,
  LogitsProcessor,
  RowContext,
  StoppingCriterion,
} from "./decoding.ts";
import {
  type GenerationConfig,
  generationFields,
  type ResolvedConfig,
  resolveConfig,
} from "./generation-config.ts";
import type { Prefix } from "./prefix.ts";

/** A prompt or several, as token ids or text. */
export type GenerateInputs = string | ArrayLike<number> | readonly string[] | readonly ArrayLike<number>[];

export interface GenerateOptions extends GenerationConfig {
  /** Encodes prompts, makes text of what is generated and finds `stopStrings`. */
  tokenizer?: GenerationTokenizer | undefined;
  /** Of the draws. The same seed draws the same for a prompt, alone or among others. Default 0. */
  seed?: number | undefined;
  /** Run after the processors of the options and before what only drawing asks for (`temperature`, `topK`, …). */
  logitsProcessors?: readonly LogitsProcessor[] | undefined;
  /** Each can end a row. */
  stoppingCriteria?: readonly StoppingCriterion[] | undefined;
  /** Keeps the scores of every step. Default false. */
  outputScores?: boolean | undefined;
  /** What processPrefix() made: the tokens that a prompt shares with it are not processed again. */
  prefix?: Prefix | undefined;
  /** Ends the generation, which rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

type OwnKey = Exclude<keyof GenerateOptions, keyof GenerationConfig>;
const ownKeys: Record<OwnKey, true> = {
  tokenizer: true,
  seed: true,
  logitsProcessors: true,
  stoppingCriteria: true,
  outputScores: true,
  prefix: true,
  signal: true,
};
const names = new Set<string>([...generationFields, ...Object.keys(ownKeys)]);

/** One prompt of a call. */
export interface Prompt extends RowContext {
  /** What a row begins with. */
  readonly ids: Int32Array;
}

/** A checked call. */
export interface Plan {
  readonly model: GenerativeModel;
  readonly options: GenerateOptions;
  readonly config: ResolvedConfig;
  readonly prompts: readonly Prompt[];
}

/**
 * Checks a call and lays out its rows.
 *
 * @throws ArgumentError on what is not an option, a value out of its range, options that don't go together, and prompts
 *   that are empty, too long or no token ids
 */
export function planGeneration(
  caller: string,
  model: GenerativeModel,
  inputs: GenerateInputs,
  options: GenerateOptions,
): Plan {
  checkOptions(caller, options);
  const config = resolveConfig(caller, options, model.generationConfig);
  if (config.stopStrings !== null && options.tokenizer === undefined) {
    throw new ArgumentError(`${caller}: stopStrings needs a tokenizer; got none`);
  }
  const rows = encodeInputs(caller, inputs, options.tokenizer);
  const prompts = rows.map((inputIds, prompt): Prompt => {
    const ids = model.isEncoderDecoder
      ? Int32Array.of(decoderStart(caller, config, prompt, rows.length))
      : inputIds.length > 0
        ? inputIds
        : beginning(caller, config, prompt);
    const maxLength = maxLengthOf(caller, config, ids.length, model.contextLength);
    return { prompt, ids, promptLength: ids.length, maxLength, inputIds };
  });
  return { model, options, config, prompts };
}

function checkOptions(caller: string, options: GenerateOptions): void {
  const unknown = Object.keys(options).find((name) => !names.has(name));
  if (unknown !== undefined) {
    throw new ArgumentError(`${caller}: options must be those of GenerateOptions; got ${unknown}`);
  }
  checkInteger(`${caller}: seed`, options.seed ?? 0, 0);
  for (const name of ["logitsProcessors", "stoppingCriteria"] as const) {
    const list = options[name] ?? [];
    if (!Array.isArray(list) || list.some((f) => typeof f !== "function")) {
      throw new ArgumentError(`${caller}: ${name} must be an array of functions; got ${String(list)}`);
    }
  }
}

/** Prompts as rows of token ids. */
export function encodeInputs(
  caller: string,
  inputs: GenerateInputs,
  tokenizer: GenerationTokenizer | undefined,
): Int32Array[] {
  const isOne = typeof inputs === "string" || typeof inputs?.[0] === "number" || ArrayBuffer.isView(inputs);
  const rows = (isOne ? [inputs] : inputs) as readonly (string | ArrayLike<number>)[];
  if (!(rows?.length > 0)) {
    throw new ArgumentError(`${caller}: inputs must hold a prompt; got ${inputs && "none"}`);
  }
  return Array.from(rows, (row, i) => {
    if (typeof row === "string") {
      if (tokenizer === undefined)
        throw new ArgumentError(`${caller}: text needs a tokenizer; got none for prompt ${i}`);
      return Int32Array.from(tokenizer.encode(row));
    }
    checkInteger(`${caller}: inputs[${i}].length`, row?.length, 0);
    for (let t = 0; t < row.length; t++)
      checkInteger(`${caller}: inputs[${i}][${t}]`, row[t], 0, 2 ** 31 - 1);
    return Int32Array.from(row);
  });
}

function decoderStart(caller: string, config: ResolvedConfig, prompt: number, prompts: number): number {
  const { decoderStartTokenId: given, bosTokenId } = config;
  const ids = given === null || typeof given === "number" ? new Array(prompts).fill(given) : given;
  if (ids.length !== prompts) {
    throw new ArgumentError(
      `${caller}: decoderStartTokenId must be one for each of ${prompts} inputs; got ${ids.length}`,
    );
  }
  const id: number | null = ids[prompt] ?? bosTokenId;
  if (id === null) {
    throw new ArgumentError(
      `${caller}: an encoder–decoder model needs decoderStartTokenId or bosTokenId; got neither`,
    );
  }
  return id;
}

function beginning(caller: string, { bosTokenId }: ResolvedConfig, prompt: number): Int32Array {
  if (bosTokenId === null) {
    throw new ArgumentError(`${caller}: an empty prompt needs a bosTokenId; got none for prompt ${prompt}`);
  }
  return Int32Array.of(bosTokenId);
}

/** Where nobody says how long, so many tokens follow the prompt. */
const defaultNewTokens = 20;

function maxLengthOf(
  caller: string,
  { maxNewTokens, maxLength }: ResolvedConfig,
  promptLength: number,
  contextLength = Infinity,
): number {
  const asked = maxNewTokens !== null ? promptLength + maxNewTokens : maxLength;
  const most = asked ?? Math.min(promptLength + defaultNewTokens, contextLength);
  if (most <= promptLength) {
    const limit = asked === null ? `contextLength ${most}` : `maxLength ${most}`;
    throw new ArgumentError(`${caller}: a prompt must be shorter than ${limit}; got ${promptLength} tokens`);
  }
  if (most > contextLength) {
    throw new ArgumentError(
      `${caller}: prompt and new tokens must fit into the model's contextLength ${contextLength}; got ${most}`,
    );
  }
  return most;
}
