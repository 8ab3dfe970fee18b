import { Random } from "../random.ts";
import type { Prompt } from "./plan.ts";
import { distributionOf } from "./probabilities.ts";
import { argmax } from "./selection.ts";
import type { Run } from "./start.ts";

/** A row that is being generated. */
export class Sequence {
  readonly prompt: Prompt;
  readonly random: Random;
  isComplete = false;
  /** The processed scores `[V]` of each step, if they are kept. */
  readonly scores: Float32Array[] = [];
  readonly #tokens: Int32Array;
  #length: number;

  constructor(prompt: Prompt, random: Random) {
    this.prompt = prompt;
    this.random = random;
    this.#tokens = new Int32Array(prompt.maxLength);
    this.#tokens.set(prompt.ids);
    this.#length = prompt.promptLength;
  }

  /** All tokens so far: a view. */
  get ids(): Int32Array {
    return this.#tokens.subarray(0, this.#length);
  }

  get last(): number {
    return this.#tokens[this.#length - 1]!;
  }

  push(token: number): void {
    this.#tokens[this.#length++] = token;
  }
}

/** A token drawn from softmax(scores). Draws one number. */
export function draw(scores: Float32Array, random: Random): number {
  const { tokens, probabilities } = distributionOf(scores);
  let point = random.uniform();
  let last = 0; // what rounding leaves at the end belongs to the last token that can be drawn
  for (let i = 0; i < tokens.length; i++) {
    const p = probabilities[i]!;
    if (p === 0) continue;
    last = i;
    point -= p;
    if (point < 0) break;
  }
  return tokens[last]!;
}

/** FNV-1a over the words of a prompt, so that prompts draw independently of each other and of their company. */
function hash(ids: Int32Array): number {
  let h = 0x811c9dc5;
  for (const id of ids) h = Math.imul(h ^ id, 0x01000193);
  return h >>> 0;
}

const maxSame = 2 ** 20;

/**
 * One source of random numbers for each sequence of each prompt: a function of the seed, the prompt and which of its
 * sequences, equal prompts of a batch counted through.
 */
export function randomOf(prompts: readonly Prompt[], seed: number, perPrompt: number): Random[] {
  const seen = new Map<number, number>();
  return prompts.flatMap(({ ids, inputIds }) => {
    const key = hash(inputIds.length > 0 ? inputIds : ids);
    const first = seen.get(key) ?? 0;
    seen.set(key, first + perPrompt);
    return Array.from({ length: perPrompt }, (_, i) => {
      return new Random(seed, 0, key * maxSame + ((first + i) % maxSame));
    });
  });
}

/**
 * Greedy decoding and sampling: gives each sequence whenever it has got a token. Complete ones leave the batch.
 *
 * @param sequences `numReturnSequences` for each prompt of the run, in order
 */
export async function* sample(run: Run, sequences: readonly Sequence[]): AsyncGenerator<Sequence> {
  const { decoding, config, options, processors, isComplete } = run;
  const V = decoding.vocabSize;
  const perPrompt = config.numReturnSequences;
  let { logits } = run;
  try {
    if (perPrompt > 1) {
      const parents = sequences.map(({ prompt }) => prompt.prompt);
      const own = new Float32Array(sequences.length * V);
      parents.forEach((p, i) => void own.set(logits.subarray(p * V, (p + 1) * V), i * V));
      logits = own;
      decoding.reorder(parents);
    }
    let running = sequences;
    while (true) {
      for (const [i, sequence] of running.entries()) {
        const scores = logits.subarray(i * V, (i + 1) * V);
        for (const process of processors) process(sequence.ids, scores, sequence.prompt);
        if (options.outputScores) sequence.scores.push(scores.slice());
        sequence.push(config.doSample ? draw(scores, sequence.random) : argmax(scores));
        sequence.isComplete = isComplete(sequence.ids, sequence.prompt);
        yield sequence;
      }
      const left = [...running.keys()].filter((i) => !running[i]!.isComplete);
      if (left.length === 0) return;
      options.signal?.throwIfAborted();
      if (left.length < running.length) decoding.reorder(left);
      running = left.map((i) => running[i]!);
      logits = await decoding.next(running.map(({ last }) => [last]));
      options.signal?.throwIfAborted();
    }
  } finally {
    decoding.dispose();
  }
}
