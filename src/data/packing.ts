import { ArgumentError, checkInteger } from "../errors.ts";
import { checkTokenIds } from "./token-ids.ts";

export interface PackingOptions {
  /** T: tokens a window. */
  contextLength: number;
  /** The token behind each document. Default: none. */
  eosTokenId?: number;
  /** Leave out the last window if it is not full; otherwise it is filled up with `padTokenId`. Default true. */
  dropLast?: boolean;
  /** What fills up the last window. Default `eosTokenId`. */
  padTokenId?: number;
}

/** T tokens of one or more documents. */
export interface PackedWindow {
  /** `[T]` */
  inputs: Int32Array;
  /** `[T]`: the token that follows each in its document, and -100 behind the last of a document and for padding. */
  targets: Int32Array;
  /** `[T]`: where the document of each token begins in this window, the first place that `attention(…, { starts })` sees. */
  starts: Int32Array;
  /** `[T]`: the place of each token behind `starts`: 0, 1, 2, … anew for each document. */
  positionIds: Int32Array;
}

/**
 * Documents joined into full windows of T tokens, for a causal language model that does not look over the border of a
 * document. The windows of all documents hold every token once; each is to predict the next of its document, also where
 * that is in the next window.
 *
 * What a window cuts off a document goes on in the next one at position 0, as it does not see the window before. A
 * document without tokens adds nothing.
 *
 * @param documents token ids; an iterable gives an iterable, an async one an async one. Nothing is held but one window
 * @throws ArgumentError on a bad option; ERR_INDEX, while it is iterated, on an id that is no integer from 0 to 2³¹ - 1
 * @see Brown et al. 2020, "Language Models are Few-Shot Learners", B (packing); Zhao et al. 2024, "Analysing the Impact of
 *      Sequence Composition on Language Model Pre-Training" (why not to look over the border)
 */
export function packTokens(
  documents: Iterable<ArrayLike<number>>,
  options: PackingOptions,
): Iterable<PackedWindow>;
export function packTokens(
  documents: AsyncIterable<ArrayLike<number>>,
  options: PackingOptions,
): AsyncIterable<PackedWindow>;
export function packTokens(
  documents: Iterable<ArrayLike<number>> | AsyncIterable<ArrayLike<number>>,
  options: PackingOptions,
): Iterable<PackedWindow> | AsyncIterable<PackedWindow> {
  new Packer(options);
  if (typeof documents !== "object" || documents === null) {
    throw new ArgumentError(`packTokens: documents must be iterable; got ${String(documents)}`);
  }
  if (Symbol.iterator in documents) {
    return {
      *[Symbol.iterator]() {
        const packer = new Packer(options);
        for (const document of documents) yield* packer.add(document);
        yield* packer.end();
      },
    };
  }
  if (Symbol.asyncIterator in documents) {
    return {
      async *[Symbol.asyncIterator]() {
        const packer = new Packer(options);
        for await (const document of documents) yield* packer.add(document);
        yield* packer.end();
      },
    };
  }
  throw new ArgumentError(`packTokens: documents must be iterable; got ${String(documents)}`);
}

/** Documents in, windows out. */
class Packer {
  readonly #length: number;
  readonly #eos: number | undefined;
  readonly #pad: number | undefined;
  #window: PackedWindow;
  #filled = 0;
  #documents = 0;

  constructor({ contextLength, eosTokenId, dropLast = true, padTokenId = eosTokenId }: PackingOptions) {
    this.#length = checkInteger("packTokens: contextLength", contextLength, 1, 2 ** 31 - 1);
    if (eosTokenId !== undefined) checkInteger("packTokens: eosTokenId", eosTokenId, 0, 2 ** 31 - 1);
    if (padTokenId !== undefined) checkInteger("packTokens: padTokenId", padTokenId, 0, 2 ** 31 - 1);
    else if (!dropLast) throw new ArgumentError("packTokens: dropLast: false needs padTokenId or eosTokenId");
    this.#eos = eosTokenId;
    this.#pad = dropLast ? undefined : padTokenId;
    this.#window = this.#empty();
  }

  *add(document: ArrayLike<number>): Generator<PackedWindow> {
    const index = this.#documents++;
    checkTokenIds(`packTokens: documents[${index}]`, document);
    const count = document.length;
    if (count === 0) return;
    const total = this.#eos === undefined ? count : count + 1;
    const at = (i: number): number => (i < count ? document[i]! : i < total ? this.#eos! : -100);
    for (let i = 0; i < total; i++) {
      const window = this.#put(at(i), at(i + 1), Math.max(0, this.#filled - i));
      if (window) yield window;
    }
  }

  *end(): Generator<PackedWindow> {
    if (this.#pad === undefined || this.#filled === 0) return;
    let window: PackedWindow | undefined;
    while (!window) window = this.#put(this.#pad, -100, this.#filled);
    yield window;
  }

  /** Adds a token, and gives the window that it fills. */
  #put(id: number, target: number, start: number): PackedWindow | undefined {
    const window = this.#window;
    const t = this.#filled++;
    window.inputs[t] = id;
    window.targets[t] = target;
    window.starts[t] = start;
    window.positionIds[t] = t - start;
    if (this.#filled < this.#length) return undefined;
    this.#window = this.#empty();
    this.#filled = 0;
    return window;
  }

  #empty(): PackedWindow {
    const array = () => new Int32Array(this.#length);
    return { inputs: array(), targets: array(), starts: array(), positionIds: array() };
  }
}
