import type { GenerationTokenizer } from "./decoding.ts";

/** Takes tokens one by one and gives the text that is certain by then. */
export interface IncrementalText {
  push(id: number): string;
  end(): string;
}

const options = { skipSpecialTokens: true };

/**
 * The text that follows `context`, piece by piece and never half a character, without special tokens.
 *
 * The context counts because text depends on what is before it: a word that follows another brings its space along.
 */
export function incrementalText(tokenizer: GenerationTokenizer, context: ArrayLike<number>): IncrementalText {
  const text = tokenizer.decodeStream?.(options) ?? new Redecoding(tokenizer);
  if (context.length === 0) return text;
  const whole = tokenizer.decode(context, options).replace(/\ufffd+$/, ""); // what it ends within is new
  let held = whole.length; // characters of the context that are still to come
  for (let i = 0; i < context.length; i++) held -= text.push(context[i]!).length;
  const fresh = (piece: string) => {
    const old = Math.max(0, Math.min(held, piece.length));
    held -= old;
    return piece.slice(old);
  };
  return { push: (id) => fresh(text.push(id)), end: () => fresh(text.end()) };
}

/**
 * For tokenizers that decode whole rows only: decodes the tokens since the last but one certain piece again, and gives
 * what the last one adds, unless it ends within a character.
 */
class Redecoding implements IncrementalText {
  readonly #tokenizer: GenerationTokenizer;
  readonly #ids: number[] = [];
  /** The tokens from `#from` to `#to` give text that has been given, as the context of what follows. */
  #from = 0;
  #to = 0;

  constructor(tokenizer: GenerationTokenizer) {
    this.#tokenizer = tokenizer;
  }

  push(id: number): string {
    this.#ids.push(id);
    const [given, all] = this.#decode();
    if (all.endsWith("\ufffd")) return "";
    this.#from = this.#to;
    this.#to = this.#ids.length;
    return all.slice(given.length);
  }

  end(): string {
    const [given, all] = this.#decode();
    return all.slice(given.length);
  }

  #decode(): [given: string, all: string] {
    const from = (to?: number) => this.#tokenizer.decode(this.#ids.slice(this.#from, to), options);
    return [from(this.#to), from()];
  }
}

/** The text of `ids` where they follow `context`. */
export function textAfter(
  tokenizer: GenerationTokenizer,
  context: ArrayLike<number>,
  ids: ArrayLike<number>,
): string {
  const text = incrementalText(tokenizer, context);
  let all = "";
  for (let i = 0; i < ids.length; i++) all += text.push(ids[i]!);
  return all + text.end();
}
