import { cleanUp, type Decoder, type DecodingStep } from "./decoders.ts";
import type { DecodeStream } from "./text-tokenizer.ts";

/** What is cleaned up begins with a space and has no more characters than this. */
const longestCleaned = 4;
/** Nothing that is cleaned up goes on over a space after a letter or a digit. */
const settled = /^.*[\p{L}\p{N}](?= )/su;

/** Text from ids: their tokens, through the steps of a decoder, perhaps without spaces before punctuation. */
export class Decoding implements DecodeStream {
  readonly #step: DecodingStep;
  readonly #tokenOf: (id: number) => string | undefined;
  readonly #cleansUp: boolean;
  #waiting = "";

  /** `tokenOf` gives no token for ids that are to be left out. */
  constructor(decoder: Decoder, tokenOf: (id: number) => string | undefined, cleansUp: boolean) {
    this.#step = decoder(false).step;
    this.#tokenOf = tokenOf;
    this.#cleansUp = cleansUp;
  }

  push(id: number): string {
    const token = this.#tokenOf(id);
    return token === undefined ? "" : this.#give(this.#step.push(token).join(""));
  }

  end(): string {
    const text = this.#waiting + this.#step.end().join("");
    this.#waiting = "";
    return this.#cleansUp ? cleanUp(text) : text;
  }

  #give(text: string): string {
    if (!this.#cleansUp || text === "") return text;
    this.#waiting += text;
    const isOver = this.#waiting.length - this.#waiting.lastIndexOf(" ") > longestCleaned;
    const isReady = isOver || !this.#waiting.includes(" ");
    const ready = isReady ? this.#waiting : (settled.exec(this.#waiting)?.[0] ?? "");
    this.#waiting = this.#waiting.slice(ready.length);
    return cleanUp(ready);
  }
}
