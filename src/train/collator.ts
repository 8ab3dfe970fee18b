import { padRows } from "../data/padding.ts";
import { type Seq2SeqOptions, seq2seqBatch, type TokenPair } from "../data/seq2seq.ts";
import { ArgumentError, show } from "../errors.ts";
import { type Tensor, tensor } from "../tensor.ts";

export interface CollatorOptions {
  /** Behind the shorter ones of `inputIds`. Without it, all examples must have one length. */
  padTokenId?: number;
  /** T is a multiple of this. Default 1. */
  padToMultipleOf?: number;
}

type Example = Readonly<Record<string, unknown>>;

const isRow = (value: unknown): value is ArrayLike<number> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && "length" in value);

/** What stands behind the end of a field: nothing counts there. */
const paddings: Readonly<Record<string, number>> = { labels: -100, targets: -100 };

/**
 * Makes batches of examples with fields such as `inputIds`, `tokenTypeIds` and `labels`: arrays of numbers become
 * `[B, T]` i32, padded on the right (labels and targets with -100, other fields with 0), numbers `[B]` i32, or f32 if
 * one of them is no integer, and `lengths [B]` says how many tokens of each row count. `label` is another name for
 * `labels`. Fields of text are left out. A Float32Array becomes `[B, L]` f32: labels of which several may hold.
 *
 * ```ts
 * new Trainer(model, { trainData, collate: collator({ padTokenId: tokenizer.padTokenId }) });
 * ```
 *
 * @throws ERR_ARGUMENT on examples that differ in their fields, and on rows of unequal lengths without a padTokenId
 * @see Transformers' `DataCollatorWithPadding` and `default_data_collator`
 */
export function collator(
  options: CollatorOptions = {},
): (examples: readonly Example[]) => Record<string, Tensor> {
  return (examples) => {
    const [first] = examples;
    if (typeof first !== "object" || first === null) {
      throw new ArgumentError(
        `collator: examples must be objects such as { inputIds, labels }; got ${show(first)}. Give a collate of your own`,
      );
    }
    const batch: Record<string, Tensor> = {};
    for (const [name, value] of Object.entries(first)) {
      const field = name === "label" ? "labels" : name;
      const values = examples.map((example) => example[name]);
      if (typeof value === "string") continue;
      if (typeof value === "number" || typeof value === "boolean") batch[field] = scalars(name, values);
      else if (value instanceof Float32Array) batch[field] = vectors(name, values);
      else if (isRow(value)) Object.assign(batch, rows(field, values, options));
      else
        throw new ArgumentError(
          `collator: ${name} must be a number or an array of numbers; got ${show(value)}`,
        );
    }
    return batch;
  };
}

function scalars(name: string, values: readonly unknown[]): Tensor {
  const numbers = values.map((value, b) => {
    if (typeof value === "number" || typeof value === "boolean") return Number(value);
    throw new ArgumentError(
      `collator: ${name} must be a number in every example; got ${show(value)} in ${b}`,
    );
  });
  const isInteger = numbers.every(Number.isInteger);
  return tensor(isInteger ? Int32Array.from(numbers) : Float32Array.from(numbers), [numbers.length]);
}

function vectors(name: string, values: readonly unknown[]): Tensor {
  const [first] = values as Float32Array[];
  const all = new Float32Array(values.length * first!.length);
  values.forEach((value, b) => {
    if (!(value instanceof Float32Array) || value.length !== first!.length) {
      const expected = `a Float32Array of ${first!.length} numbers in every example`;
      throw new ArgumentError(`collator: ${name} must be ${expected}; got ${show(value)} in ${b}`);
    }
    all.set(value, b * first!.length);
  });
  return tensor(all, [values.length, first!.length]);
}

function rows(
  field: string,
  values: readonly unknown[],
  { padTokenId, padToMultipleOf = 1 }: CollatorOptions,
): Record<string, Tensor> {
  values.forEach((value, b) => {
    if (isRow(value)) return;
    throw new ArgumentError(
      `collator: ${field} must be an array in every example; got ${show(value)} in ${b}`,
    );
  });
  const arrays = values as ArrayLike<number>[];
  const isRagged = arrays.some((row) => row.length !== arrays[0]!.length);
  if (isRagged && padTokenId === undefined) {
    const lengths = arrays.map((row) => row.length).join(", ");
    throw new ArgumentError(
      `collator: padTokenId must be given for rows of unequal lengths; got ${field} of ${lengths}`,
    );
  }
  const padding = field === "inputIds" ? (padTokenId ?? 0) : (paddings[field] ?? 0);
  const padded = padRows(arrays, padding, padTokenId === undefined ? {} : { padToMultipleOf });
  const batch: Record<string, Tensor> = { [field]: tensor(padded.ids, padded.shape) };
  if (field === "inputIds" && padTokenId !== undefined) {
    batch.lengths = tensor(padded.lengths, [arrays.length]);
  }
  return batch;
}

/**
 * Makes batches of pairs of token ids `{ source, target }` for an encoder–decoder model: see `seq2seqBatch`.
 *
 * ```ts
 * new Trainer(model, { trainData: pairs, collate: seq2seqCollator(model.config) });
 * ```
 */
export function seq2seqCollator(
  options: Seq2SeqOptions,
): (pairs: readonly TokenPair[]) => Record<string, Tensor> {
  return (pairs) => {
    const { inputIds, inputLengths, inputShape, decoderInputIds, labels, labelShape } = seq2seqBatch(
      pairs,
      options,
    );
    return {
      inputIds: tensor(inputIds, inputShape),
      lengths: tensor(inputLengths, [pairs.length]),
      decoderInputIds: tensor(decoderInputIds, labelShape),
      labels: tensor(labels, labelShape),
    };
  };
}
