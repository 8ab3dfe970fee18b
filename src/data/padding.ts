import { ArgumentError, checkInteger, TrainformerError } from "../errors.ts";

export interface PaddingOptions {
  /** T is a multiple of this. Default 1. */
  padToMultipleOf?: number;
  /** T, if it is to be the same for every batch; no row may be longer. Default: the longest row. */
  length?: number | undefined;
}

/** B rows of unequal lengths, filled up on the right. */
export interface PaddedRows {
  /** `[B, T]` row-major */
  ids: Int32Array;
  /** `[B]`: tokens of each row before its padding, as `attention` takes them */
  lengths: Int32Array;
  shape: [B: number, T: number];
}

/**
 * Token ids of unequal lengths as one array, with `padId` behind the shorter ones.
 *
 * @throws ArgumentError without rows, or on a row longer than `length`; ERR_INDEX on what is no 32-bit integer
 */
export function padRows(
  rows: readonly ArrayLike<number>[],
  padId: number,
  options: PaddingOptions = {},
): PaddedRows {
  return pad("padRows", rows, padId, options);
}

/**
 * Examples of several fields, such as `inputIds`, `tokenTypeIds` and `labels`, one value a token in each: every field
 * named in `padIds` becomes `[B, T]`.
 *
 * ```ts
 * padExamples(examples, { inputIds: tokenizer.padTokenId, labels: -100 }, { padToMultipleOf: 8 });
 * // { inputIds, labels: Int32Array [B, T], lengths: Int32Array [B], shape: [B, T] }
 * ```
 *
 * @throws ArgumentError if the fields of an example differ in length, and as `padRows` does
 */
export function padExamples<Field extends string>(
  examples: readonly Readonly<Record<NoInfer<Field>, ArrayLike<number>>>[],
  padIds: Readonly<Record<Field, number>>,
  options: PaddingOptions = {},
): Record<Field, Int32Array> & Pick<PaddedRows, "lengths" | "shape"> {
  const fields = Object.keys(padIds) as Field[];
  if (fields.length === 0 || fields.some((field) => field === "lengths" || field === "shape")) {
    throw new ArgumentError(
      `padExamples: padIds must name fields, other than lengths and shape; got ${fields.join(", ") || "none"}`,
    );
  }
  const padded = fields.map((field) => {
    const rows = examples.map((example) => example[field]);
    return pad(`padExamples: ${field}`, rows, padIds[field], options);
  });
  const [{ lengths, shape }] = padded as [PaddedRows];
  padded.forEach((other, f) => {
    const b = other.lengths.findIndex((length, row) => length !== lengths[row]);
    if (b >= 0) {
      throw new ArgumentError(
        `padExamples: ${fields[f]} must be as long as ${fields[0]}; got ${other.lengths[b]} and ${lengths[b]} in example ${b}`,
      );
    }
  });
  const entries = fields.map((field, f) => [field, padded[f]!.ids]);
  return { ...(Object.fromEntries(entries) as Record<Field, Int32Array>), lengths, shape };
}

function pad(
  name: string,
  rows: readonly ArrayLike<number>[],
  padId: number,
  { padToMultipleOf = 1, length }: PaddingOptions,
): PaddedRows {
  checkInteger(`${name}: padId`, padId, -(2 ** 31), 2 ** 31 - 1);
  checkInteger(`${name}: padToMultipleOf`, padToMultipleOf, 1);
  if (length !== undefined) checkInteger(`${name}: length`, length, 1);
  if (!Array.isArray(rows) || rows.length === 0) {
    throw new ArgumentError(
      `${name}: rows must be an array of at least one row; got ${String(rows) || "none"}`,
    );
  }
  const lengths = Int32Array.from(rows, (row, b) =>
    checkInteger(`${name}: length of row ${b}`, row?.length, 0),
  );
  const longest = lengths.reduce((a, b) => Math.max(a, b));
  if (length !== undefined && longest > length) {
    throw new ArgumentError(
      `${name}: rows must have at most ${length} tokens; got ${longest} in row ${lengths.indexOf(longest)}`,
    );
  }
  const T = Math.ceil((length ?? longest) / padToMultipleOf) * padToMultipleOf;
  const ids = new Int32Array(rows.length * T).fill(padId);
  rows.forEach((row, b) => {
    ids.set(row, b * T);
    if (row instanceof Int32Array) return;
    for (let t = 0; t < row.length; t++) {
      if (ids[b * T + t] !== row[t]) {
        throw new TrainformerError(
          "ERR_INDEX",
          `${name}: ids must be 32-bit integers; got ${String(row[t])} at index ${t} of row ${b}`,
        );
      }
    }
  });
  return { ids, lengths, shape: [rows.length, T] };
}
