import { ArgumentError, checkInteger } from "../errors.ts";
import { type PaddingOptions, padRows } from "./padding.ts";
import { checkTokenIds } from "./token-ids.ts";

/** Token ids of what is read and what is to be written. */
export interface TokenPair {
  source: ArrayLike<number>;
  target: ArrayLike<number>;
}

export interface Seq2SeqOptions extends Pick<PaddingOptions, "padToMultipleOf"> {
  padTokenId: number;
  /** Ends every source and every target: it is put behind those that do not end with it. */
  eosTokenId: number;
  /** What the decoder reads first: the padding token for T5 and Marian, the end token for BART. */
  decoderStartTokenId: number;
  /** The most tokens of a source, its end included; what is longer loses its last tokens. Default: no limit. */
  maxSourceLength?: number;
  /** The same for a target. */
  maxTargetLength?: number;
}

/** B pairs, padded on the right. */
export interface Seq2SeqBatch {
  /** `[B, S]` */
  inputIds: Int32Array;
  /** `[B]`: tokens of each source before its padding. */
  inputLengths: Int32Array;
  inputShape: [B: number, S: number];
  /** `[B, T]`: `labels` moved on by one behind the start token, with padding for -100. */
  decoderInputIds: Int32Array;
  /** `[B, T]`: the targets, -100 on their padding. */
  labels: Int32Array;
  /** `[B]`: tokens of each target before its padding. */
  labelLengths: Int32Array;
  labelShape: [B: number, T: number];
}

/**
 * A batch of sources and targets for an encoder–decoder model trained by teacher forcing.
 *
 * @throws ArgumentError on a bad option or no pairs; ERR_INDEX on ids that are no integers from 0 to 2³¹ - 1
 * @see Vaswani et al. 2017, 3.1 (targets moved on by one); Transformers' `DataCollatorForSeq2Seq` and `shift_tokens_right`
 */
export function seq2seqBatch(pairs: readonly TokenPair[], options: Seq2SeqOptions): Seq2SeqBatch {
  const { padTokenId, eosTokenId, decoderStartTokenId, padToMultipleOf = 1 } = options;
  const name = "seq2seqBatch";
  if (!Array.isArray(pairs) || pairs.length === 0) {
    throw new ArgumentError(
      `${name}: pairs must be an array of at least one; got ${String(pairs) || "none"}`,
    );
  }
  for (const [option, id] of Object.entries({ padTokenId, eosTokenId, decoderStartTokenId })) {
    checkInteger(`${name}: ${option}`, id, 0, 2 ** 31 - 1);
  }
  const ended = (side: "source" | "target", limit = Number.MAX_SAFE_INTEGER): number[][] => {
    checkInteger(`${name}: max${side === "source" ? "Source" : "Target"}Length`, limit, 1);
    return pairs.map((pair, b) => {
      checkTokenIds(`${name}: pairs[${b}].${side}`, pair?.[side]);
      const ids = Array.from<number>(pair[side]);
      if (ids.at(-1) !== eosTokenId) ids.push(eosTokenId);
      return ids.length <= limit ? ids : [...ids.slice(0, limit - 1), eosTokenId];
    });
  };
  const inputs = padRows(ended("source", options.maxSourceLength), padTokenId, { padToMultipleOf });
  const labels = padRows(ended("target", options.maxTargetLength), -100, { padToMultipleOf });
  return {
    inputIds: inputs.ids,
    inputLengths: inputs.lengths,
    inputShape: inputs.shape,
    decoderInputIds: shiftRight(labels.ids, labels.shape, { padTokenId, decoderStartTokenId }),
    labels: labels.ids,
    labelLengths: labels.lengths,
    labelShape: labels.shape,
  };
}

/**
 * What the decoder reads so that it writes `labels`: each row moved on by one behind the start token, with the padding
 * token for -100.
 *
 * @param labels `[B, T]` row-major
 */
export function shiftRight(
  labels: Int32Array,
  [B, T]: readonly [number, number],
  { padTokenId, decoderStartTokenId }: Pick<Seq2SeqOptions, "padTokenId" | "decoderStartTokenId">,
): Int32Array {
  if (labels.length !== B * T) {
    throw new ArgumentError(
      `shiftRight: labels must be [B, T] with B = ${B}, T = ${T}; got ${labels.length} ids`,
    );
  }
  const shifted = new Int32Array(labels.length);
  for (let i = 0; i < labels.length; i++) {
    const before = i % T === 0 ? decoderStartTokenId : labels[i - 1]!;
    shifted[i] = before === -100 ? padTokenId : before;
  }
  return shifted;
}
