import { ArgumentError } from "../errors.ts";
import type { Decoding, GenerationTokenizer, GenerativeModel } from "./decoding.ts";
import { encodeInputs } from "./plan.ts";

/** The beginning that prompts have in common, processed once. See {@link processPrefix}. */
export class Prefix {
  readonly model: GenerativeModel;
  readonly ids: Int32Array;
  readonly #state: Decoding;

  /** @internal */
  constructor(model: GenerativeModel, ids: Int32Array, state: Decoding) {
    this.model = model;
    this.ids = ids;
    this.#state = state;
  }

  /** @internal How many tokens all prompts share with this one; each keeps a token to go on with. */
  sharedLength(prompts: readonly { readonly ids: Int32Array }[]): number {
    let shared = this.ids.length;
    for (const [i, { ids }] of prompts.entries()) {
      let same = 0;
      while (same < shared && ids[same] === this.ids[same]) same++;
      if (same === 0) {
        throw new ArgumentError(
          `generate: a prompt must begin as its prefix does, with token ${this.ids[0]}; got ${ids[0]} in prompt ${i}`,
        );
      }
      shared = Math.min(same, ids.length - 1);
    }
    return shared;
  }

  /** @internal */
  fork(options: { batchSize: number; capacity: number; length: number }): Decoding {
    return this.#state.fork!(options);
  }

  /** Frees what the model keeps of it. */
  dispose(): void {
    this.#state.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Processes the beginning of prompts, to be given to generate() or stream() as `prefix`: any number of times, and for
 * any number of prompts at once. Results are those without it; what a prompt shares with the prefix costs no time.
 *
 *     const prefix = await processPrefix(model, instructions, { tokenizer });
 *     const answers = await generate(model, questions.map((q) => instructions + q), { tokenizer, prefix });
 *
 * @param start token ids, or text with a tokenizer
 * @param options.prefix of the same model, to go on from: what `start` shares with it is not processed again. It stays
 *   as it is
 * @throws ArgumentError on a model that can't: an encoder–decoder, or one whose state can't be forked
 */
export async function processPrefix(
  model: GenerativeModel,
  start: string | ArrayLike<number>,
  options: { tokenizer?: GenerationTokenizer; signal?: AbortSignal; prefix?: Prefix } = {},
): Promise<Prefix> {
  if (model.isEncoderDecoder) {
    throw new ArgumentError("processPrefix: model must be decoder-only; got an encoder–decoder");
  }
  options.signal?.throwIfAborted();
  const [ids] = encodeInputs("processPrefix", start, options.tokenizer) as [Int32Array];
  const { contextLength = Infinity } = model;
  if (ids.length === 0 || ids.length > contextLength) {
    throw new ArgumentError(`processPrefix: start must have 1 to ${contextLength} tokens; got ${ids.length}`);
  }
  const { prefix } = options;
  if (prefix !== undefined && prefix.model !== model) {
    throw new ArgumentError("processPrefix: prefix must be of this model; got one of another");
  }
  const shared = prefix?.sharedLength([{ ids }]) ?? 0;
  const rows = { batchSize: 1, capacity: ids.length };
  const state = shared > 0 ? prefix!.fork({ ...rows, length: shared }) : model.startDecoding(rows);
  try {
    if (state.fork === undefined) {
      throw new ArgumentError("processPrefix: model must have a state with fork(); got one without");
    }
    await state.next([ids.subarray(shared)]);
    options.signal?.throwIfAborted();
  } catch (error) {
    state.dispose();
    throw error;
  }
  return new Prefix(model, ids, state);
}
