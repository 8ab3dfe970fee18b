import { checkTokenIds } from "../data/token-ids.ts";
import { ArgumentError, checkInteger, show } from "../errors.ts";
import { showShape } from "../shape.ts";
import { Tensor, tensor } from "../tensor.ts";
import type { Anatomy, ModelInputs } from "./anatomy.ts";
import type { Token, TokenRows, TraceBatch, TraceInput, TraceTokenizer } from "./types.ts";

/** Rows of token ids of one length: what is behind the length of a row is padding. */
export interface PaddedRows {
  /** `[B, T]` */
  readonly ids: Int32Array;
  readonly length: number;
  readonly lengths: readonly number[];
}

/** The input of a trace, in numbers. */
export interface Inputs {
  /** Whether it is one text: its messages have no axis for the batch. */
  readonly isSingle: boolean;
  readonly batchSize: number;
  readonly tokens: PaddedRows;
  readonly source: PaddedRows | undefined;
  readonly tokenTypeIds: Int32Array | undefined;
  /** `[B, T]`: the token that comes at each position, −1 where the text does not say. */
  readonly targets: Int32Array;
}

/** What the options say, by words: `ids`, `source`, `target`. */
interface Given {
  readonly rows: readonly ArrayLike<number>[];
  readonly isSingle: boolean;
}

function rowsIn(
  name: string,
  value: string | readonly number[] | TokenRows,
  vocabSize: number,
  tokenizer: TraceTokenizer | undefined,
): Given {
  const fail = (came: string): never => {
    throw new ArgumentError(
      `trace: ${name} must be a text, token ids, or rows of token ids, with at least one each; got ${came}`,
    );
  };
  const given = ((): Given => {
    if (typeof value === "string") {
      if (!tokenizer)
        throw new ArgumentError(`trace: tokenizer must be given for a text; got none with ${name}`);
      return { rows: [tokenizer.encode(value)], isSingle: true };
    }
    if (value instanceof Tensor) {
      const [B, T] = value.shape as [number, number];
      if (value.rank !== 2 || value.dtype !== "i32")
        fail(`a tensor ${showShape(value.shape)} of ${value.dtype}, not [B, T] of i32`);
      const ids = value.toTypedArraySync();
      return { rows: Array.from({ length: B }, (_, b) => ids.subarray(b * T, (b + 1) * T)), isSingle: false };
    }
    if (typeof value !== "object" || value === null || !("length" in value)) return fail(String(value));
    const isSingle = value.length === 0 || typeof value[0] === "number";
    return { rows: isSingle ? [value as ArrayLike<number>] : (value as ArrayLike<number>[]), isSingle };
  })();
  if (given.rows.length === 0) fail("no rows");
  given.rows.forEach((row, b) => {
    checkTokenIds(`trace: ${name}${given.isSingle ? "" : `[${b}]`}`, row, vocabSize);
    if (row.length === 0) fail("a row without tokens");
  });
  return given;
}

function padded(rows: readonly ArrayLike<number>[], filler = 0): PaddedRows {
  const lengths = rows.map((row) => row.length);
  const length = Math.max(...lengths);
  const ids = new Int32Array(rows.length * length).fill(filler);
  rows.forEach((row, b) => ids.set(row, b * length));
  return { ids, length, lengths };
}

const isBatch = (input: TraceInput): input is TraceBatch =>
  typeof input === "object" && input !== null && !("length" in input);

/** @throws ERR_ARGUMENT, ERR_INDEX on what is no input of this model */
export function inputsOf(anatomy: Anatomy, input: TraceInput, tokenizer?: TraceTokenizer): Inputs {
  const isPair = anatomy.kind === "encoder-decoder";
  const batch: TraceBatch = isBatch(input) ? input : { [isPair ? "source" : "ids"]: input };
  const allowed = isPair ? ["source", "target", "labels"] : ["ids", "labels", "tokenTypeIds"];
  for (const key of Object.keys(batch)) {
    if (allowed.includes(key)) continue;
    throw new ArgumentError(`trace: input of this model may have ${allowed.join(", ")}; got ${key}`);
  }
  const vocabSizes = Object.fromEntries(anatomy.bodies.map((body) => [body.reads, body.vocabSize]));
  const given = isPair ? pairOf(anatomy, batch, vocabSizes, tokenizer) : oneOf(batch, vocabSizes, tokenizer);
  const { tokens } = given;
  const batchSize = tokens.lengths.length;
  const most = Math.max(...Object.values(vocabSizes)) - 1;
  const same = (name: "labels" | "tokenTypeIds", filler: number): Int32Array | undefined => {
    const rows = batch[name];
    if (rows === undefined) return undefined;
    const isLike = Array.isArray(rows) && rows.length === batchSize;
    if (!isLike || rows.some((row, b) => row?.length !== tokens.lengths[b])) {
      throw new ArgumentError(
        `trace: ${name} must have rows of ${tokens.lengths.join(", ")}, as the tokens have; got ${show(rows)}`,
      );
    }
    for (const row of rows)
      for (let t = 0; t < row.length; t++)
        checkInteger(`trace: ${name}`, row[t], name === "labels" ? -100 : 0, most);
    return padded(rows, filler).ids;
  };
  const labels = same("labels", -1)?.map((id) => Math.max(id, -1));
  return {
    ...given,
    batchSize,
    tokenTypeIds: same("tokenTypeIds", 0),
    targets: labels ?? given.targets ?? naturalTargets(anatomy, tokens),
  };
}

type Body = Pick<Inputs, "isSingle" | "tokens" | "source"> & { targets: Int32Array | undefined };

function oneOf(
  { ids }: TraceBatch,
  vocabSizes: Record<string, number>,
  tokenizer: TraceTokenizer | undefined,
): Body {
  const { rows, isSingle } = rowsIn("ids", ids!, vocabSizes.tokens!, tokenizer);
  return { isSingle, tokens: padded(rows), source: undefined, targets: undefined };
}

function pairOf(
  { decoderStartTokenId: start }: Anatomy,
  batch: TraceBatch,
  vocabSizes: Record<string, number>,
  tokenizer: TraceTokenizer | undefined,
): Body {
  const source = rowsIn("source", batch.source!, vocabSizes.source!, tokenizer);
  const { target } = batch;
  const targets = target === undefined ? undefined : rowsIn("target", target, vocabSizes.tokens!, tokenizer);
  if (targets !== undefined && targets.rows.length !== source.rows.length) {
    throw new ArgumentError(
      `trace: target must have a row for each of the ${source.rows.length} of source; got ${targets.rows.length}`,
    );
  }
  // The decoder is given its target one place later.
  const rows = targets?.rows ?? source.rows.map(() => [-1]);
  return {
    isSingle: source.isSingle,
    source: padded(source.rows),
    tokens: padded(rows.map((row) => [start!, ...Array.from(row).slice(0, -1)])),
    targets: padded(rows, -1).ids,
  };
}

/** What the text says that comes: the next token, or in an encoder the token itself. */
function naturalTargets(anatomy: Anatomy, { ids, length: T, lengths }: PaddedRows): Int32Array {
  const shift = anatomy.kind === "encoder" ? 0 : 1;
  return ids.map((_, n) => ((n % T) + shift < lengths[Math.floor(n / T)]! ? ids[n + shift]! : -1));
}

/** They as tensors of the model's device, in the scope of the caller. */
export function tensorsOf({ model, kind }: Anatomy, inputs: Inputs): ModelInputs {
  const { device } = model;
  const { batchSize: B, tokens, source, tokenTypeIds } = inputs;
  const rows = ({ ids, length }: PaddedRows) => tensor(ids.slice(), [B, length], { device });
  const encoded = kind === "decoder" ? undefined : (source ?? tokens);
  const isRagged = encoded?.lengths.some((length) => length !== encoded.length);
  return {
    tokens: rows(tokens),
    source: source && rows(source),
    lengths: isRagged ? tensor(Int32Array.from(encoded!.lengths), [B], { device }) : undefined,
    tokenTypeIds: tokenTypeIds && tensor(tokenTypeIds.slice(), [B, tokens.length], { device }),
  };
}

/** Tokens with what each adds to the text. */
export function tokensOf(ids: ArrayLike<number>, tokenizer: TraceTokenizer | undefined): Token[] {
  const list = Array.from(ids);
  if (tokenizer === undefined) return list.map((id) => ({ id, text: String(id) }));
  const stream = tokenizer.decodeStream?.();
  if (stream === undefined) return list.map((id) => ({ id, text: tokenizer.decode([id]) }));
  const tokens = list.map((id) => ({ id, text: stream.push(id) }));
  const last = tokens.at(-1);
  if (last) last.text += stream.end();
  return tokens;
}

/** The tokens of the first row. */
export const firstRow = ({ ids, lengths }: PaddedRows): Int32Array => ids.subarray(0, lengths[0]);
