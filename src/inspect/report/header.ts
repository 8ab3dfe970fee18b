/**
 * What a page knows before it decodes anything: the JSON in its head. The numbers lie in sections beside it, each
 * `base64(deflate-raw(bytes))`, little-endian, decoded when first needed.
 */
export interface Header {
  readonly format: "trainformer-report/1";
  readonly title: string;
  /** What is said of the model beside its name: sizes, steps, loss. */
  readonly facts: readonly string[];
  /** How the numbers came about, what was not measured and what was left out; paragraphs. */
  readonly notes: readonly string[];
  /** What every token that occurs anywhere looks like, once; other places hold indices of it. */
  readonly strings: readonly string[];
  /** Texts as indices of `strings`: the one whose tokens are predicted, T of them, and what an encoder reads beside it. */
  readonly tokens: readonly number[];
  readonly source: readonly number[] | undefined;
  /** Whether the prediction made at a token is of the one after it or of that token itself. */
  readonly reads: "next" | "same";
  /** What the model was to predict at each token; undefined for models without a vocabulary. */
  readonly targets: readonly number[] | undefined;
  /** Whether the text says what comes after its last token; else that target is the model's own best guess. */
  readonly isEndKnown: boolean;
  /** Of the body that predicts. */
  readonly layers: number;
  readonly vocabSize: number;
  readonly attention: readonly Attention[];
  /** Rows of "wrote" and "gradient", bottom to top. */
  readonly writes: readonly Write[];
  /** Per token: how many messages section "graph" has for its prediction; -1: there was no time for any. */
  readonly messages: readonly number[];
  readonly sections: Readonly<Record<string, Section>>;
}

/** A part of a body that adds to the stream. */
export interface Write {
  readonly label: string;
  readonly of: Text;
}

export type Text = "tokens" | "source";

/** The heads of one attention. Its section is `attention.N`, N its place in the list, then `.dense`, `.pooled`, `.top`. */
export interface Attention {
  /** "", "encoder", "decoder", "cross" */
  readonly stack: string;
  /** From 1. */
  readonly layer: number;
  readonly heads: number;
  /** Whose tokens read, and whose are read. */
  readonly of: Text;
  readonly from: Text;
  readonly causal: boolean;
  /** By head: what it mostly reads, and the share of its attention that goes there. */
  readonly kinds: readonly (readonly [kind: string, share: number])[];
  /** Heads (from 0) kept whole, [H, triangle or rectangle]. */
  readonly dense: readonly number[];
  /** Heads whose weights are the largest of each cell of a grid, [H, triangle or rectangle]. */
  readonly pooled: readonly number[];
  /** Rows and columns of that grid. */
  readonly grid: readonly [number, number];
  /** Pooled heads of which the largest weights of each row are kept exactly: [H, rows, topCount] columns and weights. */
  readonly top: readonly number[];
}

export const topCount = 4;

export type SectionKind = "f16" | "u16" | "u32" | "sqrt8" | "graph";

export interface Section {
  readonly kind: SectionKind;
  readonly shape: readonly number[];
  /** What stands for it: in "f16" 1024, in "sqrt8" 255, in "graph" 32767 under its root, with a sign. */
  readonly max?: number;
}

/** Numbers of a "graph": head (from 1; negative: an estimate), attention, reading token, read token, root of the effect. */
export const numbersPerMessage = 5;

/** A message of section "graph". */
export interface Message {
  /** Its place in the header's list. */
  readonly attention: number;
  /** From 1. */
  readonly head: number;
  /** Positions in the texts that its attention reads with and reads. */
  readonly to: number;
  readonly from: number;
  /** On the log-odds of the prediction: positive where it helped. */
  readonly effect: number;
  /** Else gradients estimate it. */
  readonly isMeasured: boolean;
}
