import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { ArgumentError, CheckpointError, checkInteger, show, TrainformerError } from "../errors.ts";
import { writeAtomically } from "../io/files.ts";
import type { DecodeStream, TextTokenizer } from "./text-tokenizer.ts";

export interface CharTokenizerOptions {
  /** The token for characters outside the vocabulary; without one, they are an error. */
  unknown?: string;
}

/** A token that no vocabulary of characters has: what tokenizer.json names when there is no unknown token. */
const noUnknown = "<unk>";

function describe(codePoint: number): string {
  const hex = codePoint.toString(16).toUpperCase().padStart(4, "0");
  return `${JSON.stringify(String.fromCodePoint(codePoint))} (U+${hex})`;
}

/** A tokenizer with one token for each character, where a character is a Unicode code point. */
export class CharTokenizer implements TextTokenizer {
  /** The token of each id. */
  readonly vocabulary: readonly string[];
  /** The token for characters outside the vocabulary, if there is one. */
  readonly unknown: string | undefined;
  readonly #unknownId: number;
  readonly #asciiIds = new Int32Array(128).fill(-1);
  readonly #ids = new Map<number, number>();
  readonly #tokenIds: ReadonlyMap<string, number>;

  /**
   * @param vocabulary characters in the order of their ids; the unknown token may be among them, else its id is 0 and
   *   theirs begin at 1
   * @throws ArgumentError unless each is one well-formed character, no two are the same and there is at least one
   */
  constructor(vocabulary: Iterable<string>, { unknown }: CharTokenizerOptions = {}) {
    const tokens = [...vocabulary];
    if (unknown !== undefined && !tokens.includes(unknown)) tokens.unshift(unknown);
    if (tokens.length === 0)
      throw new ArgumentError("CharTokenizer: vocabulary must have a character; got none");
    const seen = new Set<string>();
    tokens.forEach((token, id) => {
      const isToken = typeof token === "string" && !/\p{Surrogate}/u.test(token);
      if (!isToken || ([...token].length !== 1 && (token !== unknown || token === ""))) {
        const expected = "must be one character each, without lone surrogates";
        throw new ArgumentError(`CharTokenizer: vocabulary ${expected}; got ${show(token)} for id ${id}`);
      }
      if (seen.has(token)) {
        throw new ArgumentError(
          `CharTokenizer: vocabulary must have each character once; got ${show(token)} twice`,
        );
      }
      seen.add(token);
      const codePoint = token.codePointAt(0)!;
      if (token.length > String.fromCodePoint(codePoint).length) return;
      if (codePoint < 128) this.#asciiIds[codePoint] = id;
      else this.#ids.set(codePoint, id);
    });
    this.vocabulary = Object.freeze(tokens);
    this.#tokenIds = new Map(tokens.map((token, id) => [token, id]));
    this.unknown = unknown;
    this.#unknownId = this.unkTokenId ?? -1;
  }

  /**
   * A tokenizer for the characters of `text`, with ids in the order of their code points.
   *
   * @throws ArgumentError on an empty text and on a lone surrogate, which no file can hold
   */
  static fromText(text: string, options: CharTokenizerOptions = {}): CharTokenizer {
    if (typeof text !== "string" || text === "") {
      throw new ArgumentError(
        `CharTokenizer.fromText: text must be a string with a character; got ${show(text)}`,
      );
    }
    const lone = text.search(/\p{Surrogate}/u);
    if (lone >= 0) {
      const came = `a lone surrogate ${describe(text.charCodeAt(lone))} at index ${lone}`;
      throw new ArgumentError(`CharTokenizer.fromText: text must be well-formed Unicode; got ${came}`);
    }
    const characters = [...new Set(text)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
    return new CharTokenizer(characters, options);
  }

  /** Number of tokens. */
  get size(): number {
    return this.vocabulary.length;
  }

  /** The id of the unknown token. */
  get unkTokenId(): number | undefined {
    return this.unknown === undefined ? undefined : this.tokenToId(this.unknown);
  }

  tokenToId(token: string): number | undefined {
    return this.#tokenIds.get(token);
  }

  idToToken(id: number): string | undefined {
    return this.vocabulary[id];
  }

  /**
   * The ids of the characters of `text`.
   *
   * @throws ArgumentError on a character that is not in the vocabulary, with its index in UTF-16 units, unless there is
   *   an unknown token
   */
  encode(text: string): Int32Array {
    if (typeof text !== "string") {
      throw new ArgumentError(`CharTokenizer.encode: text must be a string; got ${show(text)}`);
    }
    const ids = new Int32Array(text.length);
    let length = 0;
    for (let i = 0; i < text.length; i++) {
      const start = i;
      let codePoint = text.charCodeAt(i);
      let id = -1;
      if (codePoint < 128) {
        id = this.#asciiIds[codePoint]!;
      } else {
        codePoint = text.codePointAt(i)!;
        if (codePoint > 0xffff) i++;
        id = this.#ids.get(codePoint) ?? -1;
      }
      if (id < 0) id = this.#unknownId;
      if (id < 0) {
        const came = `${describe(codePoint)} at index ${start}`;
        throw new ArgumentError(
          `CharTokenizer.encode: text must have characters of the vocabulary only; got ${came}`,
        );
      }
      ids[length++] = id;
    }
    return length === ids.length ? ids : ids.slice(0, length);
  }

  /**
   * The text of `ids`: their tokens, one after the other.
   *
   * @throws TrainformerError with ERR_INDEX on an id outside [0, size)
   */
  decode(ids: ArrayLike<number>): string {
    checkInteger("CharTokenizer.decode: ids.length", ids?.length, 0);
    return Array.from(ids, (id, i) => this.#token(id, `at index ${i}`)).join("");
  }

  /** The text of ids that come one after the other; each is a character. Throws as {@link CharTokenizer.decode}. */
  decodeStream(): DecodeStream {
    return { push: (id) => this.#token(id, "in a stream"), end: () => "" };
  }

  #token(id: number, where: string): string {
    const token = this.vocabulary[id];
    if (token !== undefined) return token;
    const expected = `integers from 0 to ${this.size - 1}`;
    throw new TrainformerError(
      "ERR_INDEX",
      `CharTokenizer.decode: ids must be ${expected}; got ${show(id)} ${where}`,
    );
  }

  /** The content of a Hugging Face tokenizer.json that splits at each character and looks it up. */
  toJSON() {
    return {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "Split", pattern: { Regex: "[\\s\\S]" }, behavior: "Isolated", invert: false },
      post_processor: null,
      decoder: { type: "Fuse" },
      model: {
        type: "WordLevel",
        vocab: Object.fromEntries(this.vocabulary.map((token, id) => [token, id])),
        unk_token: this.unknown ?? noUnknown,
      },
    };
  }

  /**
   * The tokenizer that {@link CharTokenizer.toJSON} describes.
   *
   * @param json   the parsed tokenizer.json
   * @param source what errors call it
   * @throws CheckpointError on a tokenizer.json that does anything else than look up each character
   */
  static fromJSON(json: unknown, source = "tokenizer.json"): CharTokenizer {
    const file = (json ?? {}) as Partial<ReturnType<CharTokenizer["toJSON"]>>;
    const { vocab, unk_token: unknown } = file.model ?? {};
    const tokens = Object.entries(vocab ?? {})
      .sort(([, a], [, b]) => a - b)
      .map(([token]) => token);
    let tokenizer: CharTokenizer;
    try {
      const isInVocabulary = unknown !== undefined && tokens.includes(unknown);
      tokenizer = new CharTokenizer(tokens, isInVocabulary ? { unknown } : {});
    } catch (cause) {
      throw new CheckpointError(
        `${source}: model.vocab must be one of characters: ${(cause as Error).message}`,
        { cause },
      );
    }
    for (const [key, expected] of Object.entries(tokenizer.toJSON())) {
      const came = file[key as keyof typeof file];
      if (!isDeepStrictEqual(came, expected)) {
        throw new CheckpointError(`${source}: ${key} must be ${show(expected)}; got ${show(came)}`);
      }
    }
    return tokenizer;
  }

  /**
   * Writes `tokenizer.json` into the folder `directory`, which is made if it is not there, and beside it the
   * `tokenizer_config.json` that Hugging Face's libraries ask for.
   *
   * @throws CheckpointError with the cause when they cannot be written
   */
  async save(directory: string): Promise<void> {
    try {
      await mkdir(directory, { recursive: true });
    } catch (cause) {
      throw new CheckpointError(`${directory}: cannot be made: ${(cause as Error).message}`, { cause });
    }
    const config = {
      tokenizer_class: "PreTrainedTokenizerFast",
      clean_up_tokenization_spaces: false,
      unk_token: this.unknown,
    };
    for (const [name, json] of Object.entries({ "tokenizer.json": this, "tokenizer_config.json": config })) {
      await writeAtomically(join(directory, name), [Buffer.from(`${JSON.stringify(json, null, 2)}\n`)]);
    }
  }

  /**
   * Reads the `tokenizer.json` of a folder.
   *
   * @throws CheckpointError with the cause when it cannot be read, and as {@link CharTokenizer.fromJSON}
   */
  static async load(directory: string): Promise<CharTokenizer> {
    const path = join(directory, "tokenizer.json");
    let json: unknown;
    try {
      json = JSON.parse(await readFile(path, "utf8"));
    } catch (cause) {
      throw new CheckpointError(`${path}: cannot be read: ${(cause as Error).message}`, { cause });
    }
    return CharTokenizer.fromJSON(json, path);
  }
}
