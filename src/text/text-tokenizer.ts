/** Text from ids that come one after the other. */
export interface DecodeStream {
  /** The text that is settled now that `id` has come, perhaps none: never a part of a character. */
  push(id: number): string;
  /** What is left. All pieces together are what `decode` makes of all ids. */
  end(): string;
}

export interface DecodeOptions {
  /** Leaves special tokens out. Default false. */
  skipSpecialTokens?: boolean;
}

export interface EncodeOptions {
  /** Puts the special tokens around the text that the model was trained with. Default true. */
  addSpecialTokens?: boolean;
}

/** What turns text into tokens and back. */
export interface TextTokenizer {
  /** One more than the largest id: the rows that an embedding needs. */
  readonly size: number;
  readonly bosTokenId?: number | undefined;
  readonly eosTokenId?: number | undefined;
  readonly padTokenId?: number | undefined;
  readonly unkTokenId?: number | undefined;
  encode(text: string, options?: EncodeOptions): Int32Array;
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  decodeStream(options?: DecodeOptions): DecodeStream;
  tokenToId(token: string): number | undefined;
  idToToken(id: number): string | undefined;
  /** Writes the files that a folder of a model holds for its tokenizer. */
  save(directory: string): Promise<void>;
}
