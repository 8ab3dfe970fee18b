import type { HeadKind } from "./head-kinds.ts";
import type { MessageName } from "./names.ts";
import type { Effects, Lens, Message, Token } from "./types.ts";

/** One attention of one layer: all of its heads. */
export interface AttentionMap {
  /** `layer.2.attn`, `encoder.layer.1.attn`, `decoder.layer.1.cross` */
  readonly part: string;
  readonly kind: "self" | "cross";
  /** Which tokens the queries and the keys are. */
  readonly of: "tokens" | "source";
  readonly from: "tokens" | "source";
  /** From 1, within its body. */
  readonly layer: number;
  readonly heads: number;
  /** T, of queries. */
  readonly length: number;
  /** S, of keys. */
  readonly keys: number;
  /** Whether a position sees none behind it. */
  readonly causal: boolean;
  /** `[H, T, S]`, exact; 0 where masked. */
  readonly weights: Float32Array;
  /** `[H, S]`: length of what each head writes for each key at weight 1, |v·W_o|. Times weight: size of the message. */
  readonly sizes: Float32Array;
  /** Of each head. */
  readonly kinds: readonly HeadKind[];
}

/** Length of the vector of each token, and of its gradient. */
export interface Loudness {
  readonly name: MessageName;
  readonly of: "tokens" | "source";
  /** "stream": what layers pass on; "write": what a part adds to it. */
  readonly role: "stream" | "write";
  /** `[T]` */
  readonly norms: Float32Array;
  /** `[T]`, of the gradient of the loss; undefined where the text has no loss. */
  readonly gradients: Float32Array | undefined;
}

/** The message graph of one prediction. */
export interface Route {
  /** The position at which the model predicts. */
  readonly to: number;
  readonly token: number;
  readonly isMeasured: boolean;
  /** The largest effect first. */
  readonly messages: readonly Message[];
}

/** All that a page about a model and a text shows, as plain data. Layers and heads count from 1, positions from 0. */
export interface Survey {
  readonly format: "trainformer-survey/1";
  readonly model: string;
  readonly architecture: "decoder" | "encoder" | "encoder-decoder";
  readonly parameters: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  /** Layers of the decoder, or of the only body. */
  readonly layers: number;
  readonly tokens: readonly Token[];
  /** What an encoder reads beside them. */
  readonly source: readonly Token[] | undefined;
  /** `[T]`: the token that comes at each position; at an end without one, what is most probable. Undefined without a vocabulary. */
  readonly targets: Int32Array | undefined;
  /** `[T]` natural logarithm of its probability. */
  readonly targetLogProbabilities: Float32Array | undefined;
  /** Mean cross entropy in nats where the text says what comes. */
  readonly loss: number | undefined;
  readonly lens: Lens | undefined;
  readonly attentions: readonly AttentionMap[];
  readonly loudness: readonly Loudness[];
  /** By target position; undefined where there was no time. */
  readonly routes: readonly (Route | undefined)[];
  /** `[T, layers]`: gradient · what each MLP wrote at the position itself, by the log-odds there; NaN where there was no time. */
  readonly mlpEstimates: Float32Array | undefined;
  /** Undefined where there was no time for any; NaN for heads that it did not come to. */
  readonly headEffects: Effects | undefined;
  /** What the text of every token that `lens`, `targets` or `routes` name looks like. */
  readonly strings: Readonly<Record<number, string>>;
  /** What the budget left out, in words. Empty: everything was measured. */
  readonly notMeasured: readonly string[];
  readonly seconds: number;
  readonly budget: number;
}
