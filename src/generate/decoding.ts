import type { GenerationConfig } from "./generation-config.ts";

/** Rows of token ids, each of its own length. */
export type Rows = readonly ArrayLike<number>[];

/** The state of a batch of sequences that is being generated: what the model keeps of the tokens so far. */
export interface Decoding {
  readonly vocabSize: number;
  /**
   * Appends tokens to each row: at first all of its prompt, of any length from 1 on, later one token.
   *
   * @returns f32 `[B, V]`, row-major: the logits of the next token of each row. The caller may write into them, and
   *   they hold until the next call
   */
  next(rows: Rows): Promise<Float32Array>;
  /** Row i goes on as row `rows[i]` was. The number of rows may change. */
  reorder(rows: readonly number[]): void;
  /**
   * A state of its own with `batchSize` rows that hold the first `length` tokens of row 0 of this one, which stays as
   * it is. Without this method a model can't reuse a prefix.
   */
  fork?(options: { batchSize: number; capacity: number; length: number }): Decoding;
  dispose(): void;
}

/** What generate() asks of a model. */
export interface GenerativeModel {
  readonly isEncoderDecoder: boolean;
  /** What the checkpoint says; a call's options win over it. */
  readonly generationConfig: GenerationConfig;
  /** The most tokens that a row can hold, if that is bounded. */
  readonly contextLength?: number | undefined;
  /**
   * @param options.capacity the most tokens that a row will come to
   * @param options.inputs   the encoder's rows, of an encoder–decoder model
   */
  startDecoding(options: { batchSize: number; capacity: number; inputs?: Rows }): Decoding;
}

/** What turns text into tokens and back. */
export interface GenerationTokenizer {
  encode(text: string): ArrayLike<number>;
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  /** Takes one token after the other and gives the text that is certain by then. */
  decodeStream?(options?: { skipSpecialTokens?: boolean }): { push(id: number): string; end(): string };
}

/** What is known of a row beside its tokens. */
export interface RowContext {
  /** Which of the prompts it goes on from. */
  readonly prompt: number;
  /** Tokens before the first generated one; of an encoder–decoder model, those of the decoder. */
  readonly promptLength: number;
  /** The most tokens that the row can come to. */
  readonly maxLength: number;
  /** What the model was given: the encoder's ids, or the prompt. */
  readonly inputIds: Int32Array;
  /** With beam groups: the tokens that earlier groups of this prompt have chosen in this step. */
  readonly chosen?: readonly number[];
}

/**
 * Changes the scores `[V]` of the next token of one row in place: logits, or log-probabilities in beam search.
 *
 * @param ids all tokens of the row so far, the prompt's included; not to be kept
 */
export type LogitsProcessor = (ids: Int32Array, scores: Float32Array, row: RowContext) => void;

/** Whether the row is complete with its last token. */
export type StoppingCriterion = (ids: Int32Array, row: RowContext) => boolean;
