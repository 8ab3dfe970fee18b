import { ArgumentError, checkInteger, show } from "../errors.ts";
import { type Encoding, type Truncation, truncate } from "./encoding.ts";
import type { Pipeline } from "./pipeline.ts";
import { concatenate } from "./post-processors.ts";

export type TextOrPair = string | readonly [first: string, second: string];

export interface BatchOptions {
  /** Puts the special tokens around the texts that the model was trained with. Default true. */
  addSpecialTokens?: boolean;
  /** `true` and "longest": to the longest row; "maxLength": to `maxLength`. Default false: rows must be of one length. */
  padding?: boolean | "longest" | "maxLength" | "doNotPad";
  /** The length of padded rows becomes a multiple of it. */
  padToMultipleOf?: number;
  /** Default: what the tokenizer's files say, else "right". */
  paddingSide?: "left" | "right";
  /** `true` is "longestFirst". Default "doNotTruncate". */
  truncation?: boolean | Truncation;
  /** Default: what the tokenizer's files say, else "right". */
  truncationSide?: "left" | "right";
  /** Of a row with its special tokens, for truncation and padding. Default: the tokenizer's `modelMaxLength`. */
  maxLength?: number;
  /** What is cut off becomes rows of its own. Default false. */
  returnOverflowingTokens?: boolean;
  /** How many tokens such a row shares with the one before. Default 0. */
  stride?: number;
}

/** Rows of tokens: B rows of T, one after the other in typed arrays. */
export interface BatchEncoding {
  readonly shape: readonly [B: number, T: number];
  /** `[B, T]` */
  readonly inputIds: Int32Array;
  /** `[B, T]`, 0 for padding */
  readonly attentionMask: Int32Array;
  /** `[B, T]`, what BERT calls segments */
  readonly tokenTypeIds: Int32Array;
  /** `[B, T]`, 1 for special tokens that were added, padding among them */
  readonly specialTokensMask: Int32Array;
  /** `[B, T]`, which text of a pair a token is of, −1 for special tokens */
  readonly sequenceIds: Int32Array;
  /** `[B]`, tokens of each row without padding */
  readonly lengths: Int32Array;
  /** Of each token where its text begins and ends in the original, in UTF-16 units; `null` for special tokens. */
  readonly offsets: readonly (readonly (readonly [start: number, end: number] | null)[])[];
  /** `[B]`, the index of the text that a row is of */
  readonly overflowToSampleMapping: Int32Array;
}

/** What the rows of a batch need to know of their tokenizer. */
export interface BatchDefaults {
  readonly padTokenId: number | undefined;
  readonly paddingSide: "left" | "right";
  readonly truncationSide: "left" | "right";
  readonly modelMaxLength: number | undefined;
}

const paddings = new Map<unknown, "longest" | "maxLength" | undefined>([
  [undefined, undefined],
  [false, undefined],
  ["doNotPad", undefined],
  [true, "longest"],
  ["longest", "longest"],
  ["maxLength", "maxLength"],
]);
const truncations = new Map<unknown, Truncation>([
  [undefined, "doNotTruncate"],
  [false, "doNotTruncate"],
  ["doNotTruncate", "doNotTruncate"],
  [true, "longestFirst"],
  ["longestFirst", "longestFirst"],
  ["onlyFirst", "onlyFirst"],
  ["onlySecond", "onlySecond"],
]);
const sides = new Map<unknown, "left" | "right">([
  ["left", "left"],
  ["right", "right"],
]);

function choose<T>(name: string, choices: Map<unknown, T>, value: unknown): T {
  if (!choices.has(value)) {
    const names = [...choices.keys()].filter((key) => key !== undefined).map(show);
    throw new ArgumentError(`${name} must be one of ${names.join(", ")}; got ${show(value)}`);
  }
  return choices.get(value)!;
}

const copyOf = (encoding: Encoding): Encoding => ({
  ids: encoding.ids,
  starts: [...encoding.starts],
  ends: [...encoding.ends],
  sequence: encoding.sequence,
  typeIds: [...encoding.typeIds],
});

/** The texts of an entry of `texts`. */
function textsOf(name: string, entry: unknown, i: number): readonly string[] {
  const texts = typeof entry === "string" ? [entry] : entry;
  if (Array.isArray(texts) && texts.every((text) => typeof text === "string")) {
    if (texts.length === 2 || typeof entry === "string") return texts;
  }
  throw new ArgumentError(
    `${name}: texts must be strings or pairs of strings; got ${show(entry)} at index ${i}`,
  );
}

/** Encodes texts and text pairs as the rows of one batch. */
export function encodeRows(
  name: string,
  pipeline: Pipeline,
  texts: readonly TextOrPair[],
  options: BatchOptions,
  defaults: BatchDefaults,
): BatchEncoding {
  if (!Array.isArray(texts)) throw new ArgumentError(`${name}: texts must be a list; got ${show(texts)}`);
  const { addSpecialTokens = true, returnOverflowingTokens = false, stride = 0 } = options;
  const truncation = choose(`${name}: truncation`, truncations, options.truncation);
  const padding = choose(`${name}: padding`, paddings, options.padding);
  const side = choose(`${name}: paddingSide`, sides, options.paddingSide ?? defaults.paddingSide);
  const cutSide = choose(`${name}: truncationSide`, sides, options.truncationSide ?? defaults.truncationSide);
  checkInteger(`${name}: stride`, stride, 0);
  const multiple = checkInteger(`${name}: padToMultipleOf`, options.padToMultipleOf ?? 1, 1);
  const maxLength = options.maxLength ?? defaults.modelMaxLength;
  if (maxLength !== undefined) checkInteger(`${name}: maxLength`, maxLength, 1, 0x7fff_ffff);
  if (maxLength === undefined && (truncation !== "doNotTruncate" || padding === "maxLength")) {
    throw new ArgumentError(`${name}: maxLength must be given, for the tokenizer has no modelMaxLength`);
  }

  const rows: Encoding[] = [];
  const mapping: number[] = [];
  for (const [i, entry] of texts.entries()) {
    const encodings = textsOf(name, entry, i).map((text, sequence) => pipeline.encode(text, sequence));
    const added = addSpecialTokens ? (pipeline.postProcessor?.added(encodings.length > 1) ?? 0) : 0;
    const max = truncation === "doNotTruncate" ? Number.MAX_SAFE_INTEGER : maxLength! - added;
    if (max < 0) {
      throw new ArgumentError(
        `${name}: maxLength must be at least the ${added} special tokens; got ${maxLength}`,
      );
    }
    const parts = truncate(encodings, { truncation, max, stride, isLeft: cutSide === "left" }, name);
    for (const part of returnOverflowingTokens ? parts : parts.slice(0, 1)) {
      rows.push(finishRow(pipeline, part.map(copyOf), addSpecialTokens));
      mapping.push(i);
    }
  }

  const longest = rows.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const length = padding === "maxLength" ? Math.max(longest, maxLength!) : longest;
  const T = padding ? Math.ceil(length / multiple) * multiple : length;
  const isRagged = rows.some(({ ids }) => ids.length < T);
  if (!padding && isRagged) {
    const shortest = rows.reduce((least, { ids }) => Math.min(least, ids.length), longest);
    throw new ArgumentError(
      `${name}: padding must be given for rows of ${shortest} to ${longest} tokens; got ${show(options.padding)}`,
    );
  }
  if (isRagged && defaults.padTokenId === undefined) {
    throw new ArgumentError(`${name}: padding needs a padToken, and the tokenizer has none`);
  }
  return layOut(rows, T, side, defaults.padTokenId ?? 0, Int32Array.from(mapping));
}

/** A row of one or two texts with its special tokens. */
export function finishRow(pipeline: Pipeline, texts: Encoding[], addSpecialTokens: boolean): Encoding {
  const processor = pipeline.postProcessor;
  return concatenate(
    processor ? processor.process(texts, addSpecialTokens, (id) => pipeline.token(id)) : texts,
  );
}

function layOut(
  rows: readonly Encoding[],
  T: number,
  side: "left" | "right",
  padTokenId: number,
  overflowToSampleMapping: Int32Array,
): BatchEncoding {
  const B = rows.length;
  const batch = {
    shape: [B, T] as const,
    inputIds: new Int32Array(B * T).fill(padTokenId),
    attentionMask: new Int32Array(B * T),
    tokenTypeIds: new Int32Array(B * T),
    specialTokensMask: new Int32Array(B * T).fill(1),
    sequenceIds: new Int32Array(B * T).fill(-1),
    lengths: Int32Array.from(rows, ({ ids }) => ids.length),
    offsets: rows.map(({ ids, starts, ends, sequence }) => {
      const offsets = ids.map((_, i) => (sequence[i]! < 0 ? null : ([starts[i]!, ends[i]!] as const)));
      const filling = new Array<null>(T - ids.length).fill(null);
      return side === "left" ? [...filling, ...offsets] : [...offsets, ...filling];
    }),
    overflowToSampleMapping,
  };
  rows.forEach(({ ids, sequence, typeIds }, b) => {
    const at = b * T + (side === "left" ? T - ids.length : 0);
    batch.inputIds.set(ids, at);
    batch.attentionMask.fill(1, at, at + ids.length);
    batch.tokenTypeIds.set(typeIds, at);
    batch.specialTokensMask.set(
      sequence.map((s) => (s < 0 ? 1 : 0)),
      at,
    );
    batch.sequenceIds.set(sequence, at);
  });
  return batch;
}
