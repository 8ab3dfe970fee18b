import type { Tensor } from "../tensor.ts";
import type { Glob, MessageName } from "./names.ts";

/** What turns text into tokens and back. */
export interface TraceTokenizer {
  encode(text: string): ArrayLike<number>;
  decode(ids: ArrayLike<number>): string;
  decodeStream?(): { push(id: number): string; end(): string };
}

/** Rows of token ids: typed arrays or lists, or `[B, T]` i32. Rows of unequal lengths are padded on the right. */
export type TokenRows = readonly ArrayLike<number>[] | Tensor;

/** Several rows, or what one row is made of. */
export interface TraceBatch {
  /** The rows of a decoder or an encoder alone. */
  ids?: TokenRows;
  /** What the encoder of an encoder–decoder model reads: a text or ids (one row), or rows of ids. */
  source?: string | readonly number[] | TokenRows;
  /**
   * What its decoder is to write: a text or ids (one row), or rows of ids. It is given them one place later, behind its
   * start token. Default: nothing but the start token.
   */
  target?: string | readonly number[] | TokenRows;
  /** `[B, T]`: the segment of each token, for BERT. */
  tokenTypeIds?: readonly ArrayLike<number>[];
  /** `[B, T]`: the token that each position is to give, −100 for none, in place of what the text says. */
  labels?: readonly ArrayLike<number>[];
}

/** A text (with `tokenizer`) or ids: one row, whose messages have no axis for the batch. A batch keeps that axis. */
export type TraceInput = string | readonly number[] | Int32Array | TraceBatch;

/**
 * "small": the streams between layers, what `lens` needs, and the logits; "attention" adds the weights of attention; "all"
 * is every message.
 */
export type Keep = "small" | "attention" | "all";

/** Positions `[start, end)`, counted from 0; negative from the end. */
export type Range = readonly [start: number, end: number];

export interface EditContext {
  readonly name: MessageName;
  /** From 1; 0 where the message is of no layer. */
  readonly layer: number;
  /** The same part of another message of that shape as the edit is given of its own. */
  partOf(whole: Tensor): Tensor;
}

/** Something else in the place of a message, or of a part of it. */
export interface Edit {
  readonly name: MessageName | Glob;
  /** The positions (of queries, in `scores` and `weights`) that are changed. Default all. */
  readonly at?: number | Range;
  /** The head that is changed, from 1. Default all. */
  readonly head?: number;
  /** Gets the message or the part of it, batch axis first, and gives what is sent instead; nothing: it stays. */
  apply(part: Tensor, context: EditContext): Tensor | undefined;
  /** @internal Called before the run, with a function that traces another text through the same model. */
  prepare?(traceOther: (input: TraceInput, keep: readonly string[]) => Promise<Trace>): Promise<void>;
}

/**
 * What a backward pass begins from. "loss": mean cross entropy of what comes next in the text; `{ at, token }`: the log-odds
 * of that token at that position (default: what comes next, or at the end the most probable); a function of the logits
 * `[B, T, V]` that gives a tensor of one number.
 */
export type GradOf = "loss" | { readonly at: number; readonly token?: number } | ((logits: Tensor) => Tensor);

export interface TraceOptions {
  /** Which messages stay. Default "small". */
  keep?: Keep | readonly (MessageName | Glob | Keep)[];
  /** Whose gradient by every kept message is computed. Default: none, no backward pass. */
  gradOf?: GradOf;
  /** They work in the order in which the model sends, whatever order they are given in. */
  edits?: readonly Edit[];
  /** The last message; nothing later is computed. */
  stopAfter?: MessageName;
  /** It is refused before anything runs. Default 256 MB, no limit of time. */
  budget?: { readonly bytes?: number; readonly seconds?: number };
  /** For texts, and for what tokens look like. */
  tokenizer?: TraceTokenizer;
}

export interface Token {
  readonly id: number;
  /** What it adds to the text; the id where there is no tokenizer. May be empty: a character can need several tokens. */
  readonly text: string;
}

/** What a trace will take, before it runs. */
export interface TraceCost {
  /** Of what is kept, gradients included. */
  readonly bytes: number;
  /** Of the matrix products, forward and backward. */
  readonly flops: number;
  /** What the products take on this machine at the speed of one that is timed: less than the whole. */
  readonly seconds: number;
  readonly parts: readonly {
    readonly name: MessageName;
    readonly shape: readonly number[];
    readonly bytes: number;
  }[];
  /** The arithmetic, in words. */
  toString(): string;
}

/** What the model would say if it ended after each layer. Rows: what enters layer 1, then what every layer sends. */
export interface Lens {
  /** R names of messages. */
  readonly names: readonly MessageName[];
  /** T positions, K guesses. */
  readonly length: number;
  readonly top: number;
  /** `[R, T, K]`: the most probable tokens, the best first. */
  readonly ids: Int32Array;
  /** `[R, T, K]` */
  readonly probabilities: Float32Array;
  /** `[T]`: the token that comes, −1 where that is unknown. */
  readonly targets: Int32Array;
  /** `[R, T]`: its probability, NaN where it is unknown. */
  readonly targetProbabilities: Float32Array;
  /** `[R, T]`: how many tokens are more probable, −1 where it is unknown. */
  readonly targetRanks: Int32Array;
}

/** Weight times value of one head, from one token to another. */
export interface Message {
  /** `layer.2.attn`, `decoder.layer.1.cross` */
  readonly part: string;
  /** From 1. */
  readonly layer: number;
  readonly head: number;
  /** Positions from 0: of the encoder's text in `cross`. */
  readonly from: number;
  readonly to: number;
  readonly weight: number;
  /** Length of the vector that is added to the stream. */
  readonly size: number;
  /** By how much the log-odds fall if it alone is withheld: positive where it helped. */
  readonly effect: number;
  /** The same to first order: gradient · message. */
  readonly estimate: number;
  /** Whether `effect` was measured; else it is the estimate. */
  readonly isMeasured: boolean;
}

/** By how much the log-odds of what comes fall without a part. */
export interface Effects {
  readonly of: "heads" | "mlps" | "layers";
  /** T positions at which they are measured. */
  readonly length: number;
  readonly parts: readonly {
    /** `layer.2.attn`, `layer.2.mlp`, `layer.2` */
    readonly part: string;
    /** 1 but for heads. */
    readonly heads: number;
    /** `[heads, T]` */
    readonly values: Float32Array;
  }[];
}

/** What was heard of a run. Reads are copies: the model may go on training meanwhile. */
export interface Trace extends AsyncDisposable {
  /** Of the text, or of what the decoder is given; of the first row of a batch. */
  readonly tokens: readonly Token[];
  /** Of the text that an encoder reads beside them. */
  readonly sourceTokens: readonly Token[] | undefined;
  /** Names of the messages that were kept, in the order in which the model sent them. */
  readonly names: readonly MessageName[];
  /** Value of what `gradOf` says. */
  readonly objective: number | undefined;
  /** A kept message, on the processor. Its memory is the trace's. */
  get(name: MessageName): Tensor;
  /** The gradient by a kept message, with `gradOf`. */
  grad(name: MessageName): Tensor;
  /** Last normalization and output matrix on what every layer sends: what the model would say if it ended there. */
  lens(options?: { top?: number }): Promise<Lens>;
  /**
   * The messages that decided what the model says at position `to`: those with the largest first-order estimate are
   * measured, by withholding each alone. The largest effect first.
   */
  messages(to: number, options?: MessagesOptions): Promise<Message[]>;
  /** What every part alone is worth, at all positions: one pass for each with the part taken out. */
  effects(options?: EffectsOptions): Promise<Effects>;
  /** All messages and gradients (`grad.` before the name) as safetensors, tokens and configuration in its metadata. */
  save(path: string): Promise<void>;
  /** Frees what is kept. */
  dispose(): void;
}

export interface MessagesOptions {
  /** How many to give. Default 48. */
  top?: number;
  /** Whose log-odds. Default: what comes next in the text, or at its end the most probable token. */
  token?: number;
  /** Default true; false keeps the estimates. */
  measure?: boolean;
  /** How many are measured. Default 96. */
  candidates?: number;
  signal?: AbortSignal;
}

export interface EffectsOptions {
  /** Default "heads". */
  of?: "heads" | "mlps" | "layers";
  /** `[T]`: tokens whose log-odds are measured. Default: what comes next in the text. */
  tokens?: ArrayLike<number>;
  /** Only parts whose names are among these, such as `layer.2.attn`. */
  parts?: readonly string[];
  signal?: AbortSignal;
}
