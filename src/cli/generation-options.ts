import type { GenerationConfig } from "../index.ts";
import {
  defaultsTo,
  flag,
  integer,
  number,
  type Options,
  oneOf,
  text,
  texts,
  type Values,
} from "./options.ts";
import { flagOf } from "./parse-options.ts";
import { UsageError } from "./usage-error.ts";

/** The fields of GenerationConfig that are options; what is not given is the model's `generation_config.json`'s. */
export const generationOptions = {
  maxNewTokens: integer(1, "tokens at most (the model's, else 200 or what fits)"),
  minNewTokens: integer(0, "tokens at least"),
  maxTime: number(0, "seconds at most"),
  stopStrings: texts("TEXT", "ends with this text"),
  doSample: flag("draws (the default of decoder-only models, unless there are beams)"),
  greedy: flag("takes the likeliest (the default of encoder–decoder models); so does --temperature 0"),
  temperature: number(0, "below 1 sharpens, above 1 flattens (the model's, else 0.8)"),
  topK: integer(0, "draws among the k likeliest; 0: among all (the model's, else 40)"),
  topP: number(0, "draws among the likeliest that together have this probability", 1),
  minP: number(0, "draws among those with at least this part of the likeliest's probability", 1),
  typicalP: number(0, "draws among the most typical that together have this probability", 1),
  topH: number(0, "draws among the likeliest that hold this part of the entropy", 1),
  epsilonCutoff: number(0, "draws among those of at least this probability", 1),
  etaCutoff: number(0, "the same, lower where the distribution is flat", 1),
  repetitionPenalty: number(0, "above 1 makes what has been there less likely"),
  presencePenalty: number(-100, "taken off the score of what has been generated", 100),
  frequencyPenalty: number(-100, "the same, for every time", 100),
  noRepeatNgramSize: integer(0, "no so many tokens in a row come twice"),
  encoderRepetitionPenalty: number(0, "above 1 favours the tokens of the input"),
  encoderNoRepeatNgramSize: integer(0, "no so many tokens in a row that the input has"),
  numBeams: integer(1, "beams of beam search; 1 is none"),
  numBeamGroups: integer(1, "groups of beams that choose one after the other"),
  diversityPenalty: number(0, "for what earlier groups have chosen"),
  lengthPenalty: number(-100, "of beams; above 0 favours long ones", 100),
  earlyStopping: oneOf(["true", "false", "never"], "when beam search ends"),
  numReturnSequences: integer(1, "texts for a prompt"),
  forcedBosToken: text("TOKEN", "the first token, such as the target language of a translation model"),
  seed: defaultsTo(0, integer(0, "the same seed draws the same text")),
} satisfies Options;

export type GenerationValues = Values<typeof generationOptions>;

/** Where neither the command line nor the model says it. */
const defaults = { temperature: 0.8, topK: 40, maxNewTokens: 200 };

interface Model {
  readonly isEncoderDecoder: boolean;
  readonly generationConfig: GenerationConfig;
  readonly contextLength?: number | undefined;
}
interface Vocabulary {
  tokenToId(token: string): number | undefined;
}

/** As many tokens as the model's configuration says, else the default or what fits behind the prompt. */
export function lengthOf(
  { generationConfig, contextLength = Infinity }: Omit<Model, "isEncoderDecoder">,
  promptLength: number,
): GenerationConfig {
  const { maxNewTokens, maxLength } = generationConfig;
  if (maxNewTokens != null || maxLength != null) return {};
  return { maxNewTokens: Math.max(1, Math.min(defaults.maxNewTokens, contextLength - promptLength)) };
}

/** Whether and how tokens are drawn. */
function drawingOf(
  o: Partial<GenerationValues>,
  { isEncoderDecoder, generationConfig }: Model,
): GenerationConfig {
  const { greedy, doSample, temperature, topK } = o;
  const isGreedy = greedy || temperature === 0;
  if (isGreedy && doSample) {
    throw new UsageError(`--do-sample excludes ${greedy ? "--greedy" : "--temperature 0"}; got both`);
  }
  const hasBeams = (o.numBeams ?? generationConfig.numBeams ?? 1) > 1;
  const isDefault = generationConfig.doSample ?? !(isEncoderDecoder || hasBeams);
  if (isGreedy || !(doSample || isDefault)) {
    const given = { temperature: temperature === 0 ? undefined : temperature, topK };
    return { doSample: false, ...withoutUndefined(given) };
  }
  return {
    doSample: true,
    temperature: temperature ?? generationConfig.temperature ?? defaults.temperature,
    topK: topK ?? generationConfig.topK ?? defaults.topK,
  };
}

const withoutUndefined = <T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;

/** Those that become fields of GenerationConfig as they are. */
function plainFields(o: Partial<GenerationValues>): GenerationConfig {
  const { greedy, doSample, temperature, topK, stopStrings, earlyStopping, forcedBosToken, seed, ...rest } =
    o;
  const fields = Object.entries(rest).filter(([name]) => name in generationOptions);
  return withoutUndefined(Object.fromEntries(fields));
}

/**
 * What the command line says of generation, as options of generate().
 *
 * @param promptLength tokens that a row begins with
 * @throws UsageError on options that exclude each other and on a token that is none
 */
export function generationConfigOf(
  o: Partial<GenerationValues>,
  model: Model,
  tokenizer: Vocabulary,
  promptLength: number,
): GenerationConfig & { seed: number } {
  const { stopStrings = [], earlyStopping, forcedBosToken, seed = 0 } = o;
  const config: GenerationConfig & { seed: number } = {
    ...lengthOf(model, promptLength),
    ...plainFields(o),
    ...drawingOf(o, model),
    seed,
  };
  if (stopStrings.length > 0) config.stopStrings = stopStrings;
  if (earlyStopping !== undefined)
    config.earlyStopping = earlyStopping === "never" ? "never" : earlyStopping === "true";
  if (forcedBosToken !== undefined) {
    const id = tokenizer.tokenToId(forcedBosToken);
    if (id === undefined) {
      throw new UsageError(`--forced-bos-token must be a token; got ${JSON.stringify(forcedBosToken)}`);
    }
    config.forcedBosTokenId = id;
  }
  return config;
}

/** What generate() says of its arguments, in the words of the command line. */
export const inFlags = (message: string): string =>
  message
    .replace(/^(generate|stream): /, "")
    .replace(/doSample: true/g, "--do-sample")
    .replace(/\b[a-z]+[A-Z]\w*/g, (name) => (name in generationOptions ? flagOf(name) : name));
