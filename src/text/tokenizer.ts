import { ArgumentError, checkInteger, show, TrainformerError } from "../errors.ts";
import { type Tensor, tensor } from "../tensor.ts";
import type { AddedToken } from "./added-tokens.ts";
import { type BatchEncoding, type BatchOptions, encodeRows, finishRow, type TextOrPair } from "./batch.ts";
import { type ChatMessage, type ChatTemplateOptions, renderChat } from "./chat-template.ts";
import { Decoding } from "./decoding.ts";
import { Pipeline } from "./pipeline.ts";
import {
  type NewToken,
  SpecialTokenHolder,
  type SpecialTokenName,
  specialTokenNames,
} from "./special-tokens.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, TextTokenizer } from "./text-tokenizer.ts";
import { readTokenizerFolder, writeTokenizerFolder } from "./tokenizer-files.ts";

export interface TokenizerOptions extends Partial<Record<SpecialTokenName, NewToken>> {
  /** More tokens that `decode` leaves out with `skipSpecialTokens`. */
  extraSpecialTokens?: readonly NewToken[];
  /** The most tokens that the model takes. */
  modelMaxLength?: number;
  /** Default "right". */
  paddingSide?: "left" | "right";
  /** Default "right". */
  truncationSide?: "left" | "right";
  /** Takes the spaces before punctuation out of decoded English. Default false. */
  cleanUpTokenizationSpaces?: boolean;
  /** A Jinja template for conversations. */
  chatTemplate?: string;
}

export interface TokenizerDecodeOptions extends DecodeOptions {
  /** Default: the tokenizer's. */
  cleanUpTokenizationSpaces?: boolean;
}

/**
 * The tokenizers of Hugging Face: byte-level BPE, WordPiece, Unigram, word level, and what their `tokenizer.json` puts
 * around them. Ids and offsets are those of its native library, which is where the tests take them from.
 *
 * A lone surrogate, which is not text, counts as U+FFFD. Offsets count UTF-16 units, as strings of JavaScript do.
 */
export class Tokenizer extends SpecialTokenHolder implements TextTokenizer {
  readonly paddingSide: "left" | "right";
  readonly truncationSide: "left" | "right";
  readonly cleanUpTokenizationSpaces: boolean;
  readonly modelMaxLength: number | undefined;
  readonly chatTemplate: string | undefined;
  readonly #json: object;
  readonly #pipeline: Pipeline;
  #size: number;
  /** Of a single text with special tokens: their ids, and −1 where the text is. */
  #frame: readonly number[] | undefined;

  /**
   * @param json    a parsed tokenizer.json
   * @param options what tokenizer_config.json says beside it. Special tokens that the vocabulary does not have are added.
   * @param source  what errors call the file
   * @throws CheckpointError on a tokenizer.json that is malformed or asks for what is not there
   */
  constructor(json: object, options: TokenizerOptions = {}, source = "tokenizer.json") {
    super();
    this.#pipeline = new Pipeline(json, source);
    this.#json = json;
    this.paddingSide = options.paddingSide ?? "right";
    this.truncationSide = options.truncationSide ?? "right";
    this.cleanUpTokenizationSpaces = options.cleanUpTokenizationSpaces ?? false;
    this.modelMaxLength = options.modelMaxLength;
    this.chatTemplate = options.chatTemplate;
    this.#size = this.#pipeline.size;
    const { unknown } = this.#pipeline;
    if (unknown !== undefined && this.#pipeline.id(unknown) !== undefined)
      this.specialTokens.unkToken = unknown;
    const { extraSpecialTokens = [] } = options;
    const named = Object.keys(specialTokenNames).filter((name) => name in options) as SpecialTokenName[];
    const special = Object.fromEntries(named.map((name) => [name, options[name]]));
    this.addSpecialTokens({ ...special, extraSpecialTokens });
  }

  /** A tokenizer of a parsed tokenizer.json, such as the trainers return. Throws as the constructor does. */
  static fromJSON(json: object, options: TokenizerOptions = {}): Tokenizer {
    return new Tokenizer(json, options);
  }

  /**
   * The tokenizer in a folder: `tokenizer.json`, or of GPT-2 and RoBERTa `vocab.json` and `merges.txt`, or of BERT
   * `vocab.txt`; and beside it `tokenizer_config.json`, `special_tokens_map.json` and `chat_template.jinja`.
   *
   * @throws CheckpointError where there is none of them, and on one that is malformed
   */
  static async fromPretrained(directory: string): Promise<Tokenizer> {
    const { json, options, source } = await readTokenizerFolder(directory);
    return new Tokenizer(json, options, source);
  }

  /** One more than the largest id: the rows that an embedding needs. */
  get size(): number {
    return this.#size;
  }

  /** The ids of all tokens that `decode` leaves out with `skipSpecialTokens`. */
  get allSpecialIds(): readonly number[] {
    return this.#pipeline.addedTokens.filter(({ special }) => special).map(({ id }) => id);
  }

  tokenToId(token: string): number | undefined {
    return this.#pipeline.id(token);
  }

  idToToken(id: number): string | undefined {
    return this.#pipeline.token(id);
  }

  /**
   * The ids of `text`.
   *
   * @throws ArgumentError on what the vocabulary has no token for, where it has no unknown token either
   */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): Int32Array {
    const { ids } = this.#pipeline.encode(this.#checkText("encode", text), 0);
    if (!addSpecialTokens || !this.#pipeline.postProcessor) return Int32Array.from(ids);
    const mark = { ids: [-1], starts: [-1], ends: [-1], sequence: [-1], typeIds: [0] };
    this.#frame ??= finishRow(this.#pipeline, [mark], true).ids;
    return Int32Array.from(this.#frame.flatMap((id) => (id < 0 ? ids : [id])));
  }

  /** The tokens of `text` as strings, without special ones. */
  tokenize(text: string): string[] {
    const { ids } = this.#pipeline.encode(this.#checkText("tokenize", text), 0);
    return ids.map((id) => this.#pipeline.token(id)!);
  }

  /**
   * The rows of a batch: texts, or pairs of texts, with special tokens, cut and padded.
   *
   * @throws ArgumentError where rows of unequal length have no padding, and on options that do not go together
   */
  encodeBatch(texts: readonly TextOrPair[], options: BatchOptions = {}): BatchEncoding {
    return encodeRows("Tokenizer.encodeBatch", this.#pipeline, texts, options, this);
  }

  /**
   * A batch as models take it: `ids` and `tokenTypeIds` [B, T] and `lengths` [B], i32, padded on the right.
   *
   * @throws ArgumentError as {@link Tokenizer.encodeBatch}, and on padding on the left
   */
  tensors(
    texts: readonly TextOrPair[],
    options: Omit<BatchOptions, "paddingSide"> = {},
  ): { ids: Tensor; lengths: Tensor; tokenTypeIds: Tensor } {
    const name = "Tokenizer.tensors";
    const right = { padding: true, ...options, paddingSide: "right" } as const;
    const { shape, inputIds, lengths, tokenTypeIds } = encodeRows(name, this.#pipeline, texts, right, this);
    if (inputIds.length === 0) throw new ArgumentError(`${name}: texts must have a token; got none`);
    return {
      ids: tensor(inputIds, shape),
      lengths: tensor(lengths, [shape[0]]),
      tokenTypeIds: tensor(tokenTypeIds, shape),
    };
  }

  /**
   * The text of `ids`. An id that no token has, as a model's padded embedding gives it, is no text.
   *
   * @throws TrainformerError with ERR_INDEX on what is no id
   */
  decode(ids: ArrayLike<number>, options: TokenizerDecodeOptions = {}): string {
    checkInteger("Tokenizer.decode: ids.length", ids?.length, 0);
    const stream = this.#decoding("decode", options);
    let text = "";
    for (let i = 0; i < ids.length; i++) text += stream.push(ids[i]!);
    return text + stream.end();
  }

  /** The text of ids that come one after the other. The pieces are together what `decode` makes of all of them. */
  decodeStream(options: TokenizerDecodeOptions = {}): DecodeStream {
    return this.#decoding("decodeStream", options);
  }

  /**
   * The conversation as the model was trained to see it: ids, or text with `tokenize: false`.
   *
   * @throws ArgumentError where there is no template or it refuses the messages
   * @throws CheckpointError where the template is malformed
   */
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: ChatTemplateOptions & { tokenize?: true },
  ): Int32Array;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions & { tokenize: false },
  ): string;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    { tokenize = true, ...options }: ChatTemplateOptions & { tokenize?: boolean } = {},
  ): Int32Array | string {
    const template = options.chatTemplate ?? this.chatTemplate;
    if (template === undefined) {
      throw new ArgumentError("applyChatTemplate: chatTemplate must be given, for the tokenizer has none");
    }
    if (!Array.isArray(messages)) {
      throw new ArgumentError(`applyChatTemplate: messages must be a list; got ${show(messages)}`);
    }
    const tokens = Object.entries(this.specialTokens).map(([name, token]) => [
      specialTokenNames[name as SpecialTokenName],
      token,
    ]);
    const text = renderChat(template, messages, options, Object.fromEntries(tokens));
    return tokenize ? this.encode(text, { addSpecialTokens: false }) : text;
  }

  /**
   * Adds tokens that are found in a text as they are; returns how many are new. A model needs as many more embeddings.
   *
   * @throws ArgumentError on a token that is empty or not well-formed
   */
  addTokens(tokens: readonly NewToken[]): number {
    return this.#add("addTokens", tokens, false);
  }

  /** Adds special tokens and gives them their purpose; returns how many are new. Throws as {@link Tokenizer.addTokens}. */
  addSpecialTokens({
    extraSpecialTokens = [],
    ...named
  }: Pick<TokenizerOptions, SpecialTokenName | "extraSpecialTokens">): number {
    const given = Object.entries(named).filter(([, token]) => token !== undefined);
    const added = this.#add("addSpecialTokens", [...given.map(([, t]) => t!), ...extraSpecialTokens], true);
    for (const [name, token] of given) {
      if (!Object.hasOwn(specialTokenNames, name)) {
        const names = Object.keys(specialTokenNames).join(", ");
        throw new ArgumentError(`Tokenizer.addSpecialTokens: names must be of ${names}; got ${show(name)}`);
      }
      this.specialTokens[name as SpecialTokenName] = typeof token === "string" ? token : token!.content;
    }
    return added;
  }

  /** The parsed tokenizer.json, with the tokens that were added. */
  toJSON(): object {
    return { ...this.#json, added_tokens: this.#pipeline.addedTokensToJSON() };
  }

  /**
   * Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into a folder, which is made if it is
   * not there, as Hugging Face's libraries read them.
   *
   * @throws CheckpointError with the cause when they cannot be written
   */
  async save(directory: string): Promise<void> {
    const special = Object.entries(this.specialTokens).map(([name, token]) => [
      specialTokenNames[name as SpecialTokenName],
      token,
    ]);
    await writeTokenizerFolder(directory, this.toJSON(), Object.fromEntries(special), this);
  }

  #checkText(method: string, text: unknown): string {
    if (typeof text === "string") return text;
    throw new ArgumentError(`Tokenizer.${method}: text must be a string; got ${show(text)}`);
  }

  #decoding(method: string, options: TokenizerDecodeOptions): Decoding {
    const { skipSpecialTokens = false, cleanUpTokenizationSpaces = this.cleanUpTokenizationSpaces } = options;
    const tokenOf = (id: number): string | undefined => {
      if (!Number.isInteger(id) || id < 0 || id > 0x7fff_ffff) {
        const message = `Tokenizer.${method}: ids must be integers of at least 0; got ${show(id)}`;
        throw new TrainformerError("ERR_INDEX", message);
      }
      if (skipSpecialTokens && this.#pipeline.added(id)?.special) return undefined;
      return this.#pipeline.decodedToken(id);
    };
    return new Decoding(this.#pipeline.decoder, tokenOf, cleanUpTokenizationSpaces);
  }

  #add(method: string, tokens: readonly NewToken[], isSpecial: boolean): number {
    let count = 0;
    const added: AddedToken[] = [];
    for (const given of tokens) {
      const token = typeof given === "string" ? { content: given } : given;
      const { content } = token;
      if (typeof content !== "string" || content === "" || /\p{Surrogate}/u.test(content)) {
        throw new ArgumentError(
          `Tokenizer.${method}: tokens must be well-formed and not empty; got ${show(content)}`,
        );
      }
      const before = this.#pipeline.added(content);
      if (before && (before.special || !isSpecial) && typeof given === "string") continue;
      const isNew = this.#pipeline.id(content) === undefined && !added.some((t) => t.content === content);
      const defaults = { singleWord: false, lstrip: false, rstrip: false, normalized: !isSpecial };
      const id = this.#pipeline.id(content) ?? added.find((t) => t.content === content)?.id ?? this.#size;
      if (isNew) this.#size++;
      count += isNew ? 1 : 0;
      added.push({ ...defaults, ...before, ...token, id, special: isSpecial || (before?.special ?? false) });
    }
    if (added.length > 0) this.#pipeline.add(added);
    return count;
  }
}
