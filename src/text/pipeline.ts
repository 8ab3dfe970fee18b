import { type AddedToken, AddedTokenFinder, addedTokenOf, addedTokenToJSON } from "./added-tokens.ts";
import { AlignedText } from "./aligned-text.ts";
import { type Decoder, makeDecoder, wordsWithSpaces } from "./decoders.ts";
import type { Encoding } from "./encoding.ts";
import { Fields } from "./fields.ts";
import { makeNormalizer, type Normalizer } from "./normalizers.ts";
import { makePostProcessor, type PostProcessor } from "./post-processors.ts";
import { makeSplitter, type Splitter } from "./pre-tokenizers.ts";
import type { Vocabulary } from "./vocabulary.ts";
import { makeWordModel, WordEncoder } from "./word-encoder.ts";

const optional = <T>(fields: Fields, key: string, make: (config: Fields) => T): T | undefined => {
  const config = fields.optionalObject(key);
  return config && make(config);
};

/** The steps of a tokenizer.json: added tokens, normalizer, pre-tokenizer, model; post-processor and decoder. */
export class Pipeline {
  readonly vocabulary: Vocabulary;
  /** What the model calls words that it does not know. */
  readonly unknown: string | undefined;
  readonly postProcessor: PostProcessor | undefined;
  readonly decoder: Decoder;
  readonly #normalizer: Normalizer | undefined;
  readonly #splitter: Splitter;
  readonly #words: WordEncoder;
  readonly #added = new Map<string, AddedToken>();
  readonly #addedById = new Map<number, AddedToken>();
  readonly #normalizedById = new Map<number, string>();
  #inOriginal = new AddedTokenFinder([]);
  #inNormalized = new AddedTokenFinder([]);

  /** @throws CheckpointError on what is not a tokenizer.json, with the path of what is wrong in it */
  constructor(json: unknown, source: string) {
    const fields = new Fields(json, source.endsWith(".json") ? source : `${source}: tokenizer.json`);
    this.#normalizer = optional(fields, "normalizer", makeNormalizer);
    this.#splitter = makeSplitter(fields.optionalObject("pre_tokenizer"));
    const model = makeWordModel(fields.object("model"));
    this.vocabulary = model.vocabulary;
    this.unknown = model.unknown;
    this.#words = new WordEncoder(model, this.#splitter.isByteLevel);
    this.postProcessor = optional(fields, "post_processor", makePostProcessor);
    this.decoder = optional(fields, "decoder", makeDecoder) ?? wordsWithSpaces;
    const added = fields.get("added_tokens") === undefined ? [] : fields.objects("added_tokens");
    this.add(added.map((token) => addedTokenOf(token)));
  }

  /** One more than the largest id. */
  get size(): number {
    return [...this.#addedById.keys()].reduce((size, id) => Math.max(size, id + 1), this.vocabulary.size);
  }

  get addedTokens(): readonly AddedToken[] {
    return [...this.#addedById.values()].sort((a, b) => a.id - b.id);
  }

  /** Adds tokens, or changes how they are found where they are there. */
  add(tokens: readonly AddedToken[]): void {
    for (const token of tokens) {
      const before = this.#added.get(token.content);
      if (before) this.#addedById.delete(before.id);
      this.#added.set(token.content, token);
      this.#addedById.set(token.id, token);
    }
    const all = this.addedTokens;
    const normalized = (text: string) => this.#normalizer?.(new AlignedText(text)).text ?? text;
    for (const { id, content, normalized: isNormalized } of all) {
      if (isNormalized) this.#normalizedById.set(id, normalized(content));
      else this.#normalizedById.delete(id);
    }
    this.#inOriginal = new AddedTokenFinder(all.filter((t) => !t.normalized).map((t) => [t.content, t]));
    this.#inNormalized = new AddedTokenFinder(
      all.filter((t) => t.normalized).map((t) => [this.#normalizedById.get(t.id)!, t]),
    );
  }

  /** The added token of a content or an id. */
  added(key: string | number): AddedToken | undefined {
    return typeof key === "string" ? this.#added.get(key) : this.#addedById.get(key);
  }

  id(token: string): number | undefined {
    return this.#added.get(token)?.id ?? this.vocabulary.id(token);
  }

  token(id: number): string | undefined {
    return this.#addedById.get(id)?.content ?? this.vocabulary.token(id);
  }

  /** What decoding makes text of: an added token that is found in the normalized text is there as it is there. */
  decodedToken(id: number): string | undefined {
    return this.#normalizedById.get(id) ?? this.token(id);
  }

  /** The tokens of `text` without those that the post-processor adds; a lone surrogate counts as U+FFFD. */
  encode(text: string, sequence: number): Encoding {
    const encoding: Encoding = { ids: [], starts: [], ends: [], sequence: [], typeIds: [] };
    const add = (id: number, start: number, end: number) => {
      encoding.ids.push(id);
      encoding.starts.push(start);
      encoding.ends.push(end);
      encoding.sequence.push(sequence);
      encoding.typeIds.push(sequence);
    };
    for (const section of this.#inOriginal.split(
      new AlignedText(text.replace(/\p{Surrogate}/gu, "\ufffd")),
    )) {
      if (section.token) {
        add(section.token.id, section.text.start(0), section.text.end(section.text.text.length - 1));
        continue;
      }
      const normalized = this.#normalizer ? this.#normalizer(section.text) : section.text;
      for (const { text, token } of this.#inNormalized.split(normalized)) {
        if (token) {
          add(token.id, text.start(0), text.end(text.text.length - 1));
          continue;
        }
        for (const piece of this.#splitter.split(text)) {
          const { ids, starts, ends } = this.#words.tokens(piece.text);
          for (let i = 0; i < ids.length; i++) {
            add(ids[i]!, piece.start(starts[i]!), piece.end(ends[i]! - 1));
          }
        }
      }
    }
    return encoding;
  }

  /** `added_tokens` of a tokenizer.json. */
  addedTokensToJSON(): unknown[] {
    return this.addedTokens.map(addedTokenToJSON);
  }
}
