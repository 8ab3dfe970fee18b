import type { Fields } from "./fields.ts";

/** Tokens and their ids. */
export class Vocabulary {
  readonly #ids = new Map<string, number>();
  readonly #tokens = new Map<number, string>();
  #size = 0;
  #longest = 0;

  /** One more than the largest id. */
  get size(): number {
    return this.#size;
  }

  id(token: string): number | undefined {
    return token.length > this.#longest ? undefined : this.#ids.get(token); // long prefixes are not even joined
  }

  token(id: number): string | undefined {
    return this.#tokens.get(id);
  }

  set(token: string, id: number): void {
    this.#ids.set(token, id);
    this.#tokens.set(id, token);
    this.#size = Math.max(this.#size, id + 1);
    this.#longest = Math.max(this.#longest, token.length);
  }

  /**
   * The object `{ token: id }` of a file.
   *
   * @throws CheckpointError on what is not such an object and on an id of two tokens
   */
  static fromFields(fields: Fields): Vocabulary {
    const vocabulary = new Vocabulary();
    for (const [token] of fields.entries()) {
      const id = fields.integer(token, { max: 0x7fff_fffe });
      const other = vocabulary.token(id);
      if (other !== undefined) throw fields.error(token, `an id that ${JSON.stringify(other)} does not have`);
      if (/\p{Surrogate}/u.test(token)) throw fields.error(token, "the id of a well-formed token");
      vocabulary.set(token, id);
    }
    return vocabulary;
  }
}
