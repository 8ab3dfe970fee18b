import { searchBeams } from "./beam-decoding.ts";
import type { History, Hypothesis } from "./beam-search.ts";
import type { GenerationTokenizer, GenerativeModel } from "./decoding.ts";
import { textAfter } from "./incremental-text.ts";
import { type GenerateInputs, type GenerateOptions, type Plan, planGeneration } from "./plan.ts";
import { randomOf, Sequence, sample } from "./sampling.ts";
import { start } from "./start.ts";

export interface GenerateResult {
  /**
   * `numReturnSequences` rows for each prompt, in order: prompt and new tokens, or of an encoder–decoder model the
   * decoder's tokens. Each has its own length: nothing follows the token that ended it.
   */
  sequences: Int32Array[];
  /** The new text of each row, with a tokenizer. */
  texts?: string[];
  /** Of beam search: log-probability / length^lengthPenalty of each row. */
  sequencesScores?: number[];
  /** With `outputScores`: for each row and each of its new tokens the processed scores `[V]`. */
  scores?: Float32Array[][];
}

/**
 * Goes on from one prompt or many: greedily, by drawing (`doSample`), by beam search (`numBeams` above 1) or by beam
 * search with drawn beams (both).
 *
 * Each prompt gets what it would get alone, whatever else is in the batch.
 *
 * @param inputs  token ids, or text with `options.tokenizer`: one prompt or several, of any lengths. For an
 *   encoder–decoder model they go to the encoder
 * @param options a GenerationConfig and more; what is left out comes from the model's `generationConfig`
 * @throws ArgumentError on options that don't exist, are out of range, or that the asked-for way of generating does not
 *   read; ERR_INDEX on a token outside the vocabulary; the signal's reason when it is aborted
 */
export function generate(
  model: GenerativeModel,
  inputs: GenerateInputs,
  options: GenerateOptions & { tokenizer: GenerationTokenizer },
): Promise<GenerateResult & { texts: string[] }>;
export function generate(
  model: GenerativeModel,
  inputs: GenerateInputs,
  options?: GenerateOptions,
): Promise<GenerateResult>;
export async function generate(
  model: GenerativeModel,
  inputs: GenerateInputs,
  options: GenerateOptions = {},
): Promise<GenerateResult> {
  const plan = planGeneration("generate", model, inputs, options);
  return plan.config.numBeams > 1 ? withBeams(plan) : oneByOne(plan);
}

async function oneByOne(plan: Plan): Promise<GenerateResult> {
  const { prompts, options, config } = plan;
  const perPrompt = config.numReturnSequences;
  const randoms = randomOf(prompts, options.seed ?? 0, perPrompt);
  const sequences = randoms.map((random, i) => new Sequence(prompts[Math.floor(i / perPrompt)]!, random));
  for await (const _ of sample(await start(plan), sequences));
  const ids = sequences.map((sequence) => sequence.ids.slice());
  const scores = sequences.map((sequence) => sequence.scores);
  return result(plan, ids, options.outputScores ? { scores } : {});
}

async function withBeams(plan: Plan): Promise<GenerateResult> {
  const best = await searchBeams(await start(plan));
  const sequencesScores = best.map(({ score }) => score);
  const scores = plan.options.outputScores ? { scores: best.map(scoresOf) } : {};
  return result(
    plan,
    best.map(({ ids }) => ids),
    { sequencesScores, ...scores },
  );
}

function scoresOf({ history }: Hypothesis): Float32Array[] {
  const scores: Float32Array[] = [];
  for (let step: History | undefined = history; step; step = step.before) scores.push(step.scores);
  return scores.reverse();
}

function result(plan: Plan, sequences: Int32Array[], more: Partial<GenerateResult>): GenerateResult {
  const { model, prompts, config, options } = plan;
  const { tokenizer } = options;
  if (tokenizer === undefined) return { sequences, ...more };
  const texts = sequences.map((ids, i) => {
    const { promptLength } = prompts[Math.floor(i / config.numReturnSequences)]!;
    const context = model.isEncoderDecoder ? [] : ids.subarray(0, promptLength);
    return textAfter(tokenizer, context, ids.subarray(promptLength));
  });
  return { sequences, texts, ...more };
}
