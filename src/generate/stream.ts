import { ArgumentError } from "../errors.ts";
import type { GenerationTokenizer, GenerativeModel } from "./decoding.ts";
import { incrementalText } from "./incremental-text.ts";
import { type GenerateOptions, type Plan, planGeneration } from "./plan.ts";
import { randomOf, Sequence, sample } from "./sampling.ts";
import { start } from "./start.ts";

/** The options of generate() for one row: no beams, one sequence. */
export type StreamOptions = Omit<GenerateOptions, "outputScores">;

/**
 * Goes on from one prompt as generate() does, and gives what is new as soon as it is certain: pieces of text with a
 * tokenizer, never half a character, or token ids without one. Leaving the loop ends the generation.
 *
 * Pieces together are the text that generate() returns.
 *
 * @throws as generate(), at once; ArgumentError on several prompts, beams or sequences
 */
export function stream(
  model: GenerativeModel,
  prompt: string | ArrayLike<number>,
  options: StreamOptions & { tokenizer: GenerationTokenizer },
): AsyncGenerator<string, void>;
export function stream(
  model: GenerativeModel,
  prompt: ArrayLike<number>,
  options?: StreamOptions & { tokenizer?: undefined },
): AsyncGenerator<number, void>;
export function stream(
  model: GenerativeModel,
  prompt: string | ArrayLike<number>,
  options: StreamOptions = {},
): AsyncGenerator<string | number, void> {
  const plan = planGeneration("stream", model, prompt, options);
  const refuse = (expected: string, came: unknown) => {
    throw new ArgumentError(`stream: ${expected}; got ${came}`);
  };
  const { numBeams, numReturnSequences } = plan.config;
  if (plan.prompts.length > 1) refuse("prompt must be one", `${plan.prompts.length}`);
  if (numBeams > 1) refuse("numBeams must be 1, also where the checkpoint says more", numBeams);
  if (numReturnSequences > 1) refuse("numReturnSequences must be 1", numReturnSequences);
  if ("outputScores" in options) refuse("outputScores must be left out, generate() has it", "it given");
  const { tokenizer } = options;
  return tokenizer ? pieces(plan, tokenizer) : tokens(plan);
}

async function* tokens(plan: Plan): AsyncGenerator<number, void> {
  const prompt = plan.prompts[0]!;
  const [random] = randomOf(plan.prompts, plan.options.seed ?? 0, 1);
  for await (const { last } of sample(await start(plan), [new Sequence(prompt, random!)])) yield last;
}

async function* pieces(plan: Plan, tokenizer: GenerationTokenizer): AsyncGenerator<string, void> {
  const context = plan.model.isEncoderDecoder ? [] : plan.prompts[0]!.ids;
  const text = incrementalText(tokenizer, context);
  for await (const token of tokens(plan)) {
    const piece = text.push(token);
    if (piece !== "") yield piece;
  }
  const rest = text.end();
  if (rest !== "") yield rest;
}
