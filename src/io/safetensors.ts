import { type FileHandle, open } from "node:fs/promises";
import { inspect } from "node:util";
import { arrayTypeOf, bytesPerElement, type Dtype, type DtypeArray } from "../dtype.ts";
import { ArgumentError, CheckpointError } from "../errors.ts";
import { writeAtomically } from "./files.ts";

// A safetensors file, little-endian:
//
//   u64        length of the header in bytes
//   header     JSON: { "__metadata__": { key: string }, name: { dtype, shape, data_offsets: [begin, end) } … }
//   data       the tensors, row-major, without holes or overlaps; offsets count from here
//
// https://github.com/huggingface/safetensors

const maxHeaderBytes = 100_000_000;

/** A tensor as it lies in a file: `data` holds the product of `shape` elements, row-major; bf16 as its 16 bits. */
export interface StoredTensor {
  dtype: Dtype;
  shape: number[];
  data: DtypeArray;
}

export interface Safetensors {
  tensors: Map<string, StoredTensor>;
  metadata: Record<string, string>;
}

type Fail = (problem: string) => never;

interface Format {
  readonly dtype: Dtype;
  readonly bytesPerElement: number;
  /** The elements of `bytes`, which is aligned: a view where the dtype is ours, else converted. */
  decode(bytes: Uint8Array, fail: Fail): DtypeArray;
}

interface Entry {
  name: string;
  format: Format;
  shape: number[];
  begin: number;
  end: number;
}

const show = (value: unknown): string =>
  inspect(value, { depth: 0, maxArrayLength: 8, maxStringLength: 80, compact: true, breakLength: Infinity });

function view<A>(
  type: { new (buffer: ArrayBufferLike, offset: number, length: number): A; BYTES_PER_ELEMENT: number },
  bytes: Uint8Array,
): A {
  return new type(bytes.buffer, bytes.byteOffset, bytes.byteLength / type.BYTES_PER_ELEMENT);
}

function fromHalfBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

let halves: Float32Array | undefined;

function decodeF16(bytes: Uint8Array): Float32Array {
  halves ??= Float32Array.from({ length: 0x10000 }, (_, bits) => fromHalfBits(bits));
  const table = halves;
  return Float32Array.from(view(Uint16Array, bytes), (bits) => table[bits]!);
}

function decodeF64(bytes: Uint8Array, fail: Fail): Float32Array {
  const doubles = view(Float64Array, bytes);
  const out = new Float32Array(doubles);
  const i = out.findIndex((x, i) => Math.abs(x) === Infinity && Math.abs(doubles[i]!) !== Infinity);
  if (i >= 0) fail(`values must be in the range of f32; got ${doubles[i]} at element ${i}`);
  return out;
}

function decodeI64(bytes: Uint8Array, fail: Fail): Int32Array {
  const halfWords = view(Int32Array, bytes);
  const out = new Int32Array(halfWords.length / 2);
  for (let i = 0; i < out.length; i++) {
    const low = halfWords[2 * i]!;
    const high = halfWords[2 * i + 1]!;
    if (high !== low >> 31) {
      const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
      fail(`values must be in the range of i32; got ${value} at element ${i}`);
    }
    out[i] = low;
  }
  return out;
}

const formats: ReadonlyMap<unknown, Format> = new Map<string, Format>([
  ["F32", { dtype: "f32", bytesPerElement: 4, decode: (bytes) => view(Float32Array, bytes) }],
  ["BF16", { dtype: "bf16", bytesPerElement: 2, decode: (bytes) => view(Uint16Array, bytes) }],
  ["I32", { dtype: "i32", bytesPerElement: 4, decode: (bytes) => view(Int32Array, bytes) }],
  ["F16", { dtype: "f32", bytesPerElement: 2, decode: decodeF16 }],
  ["F64", { dtype: "f32", bytesPerElement: 8, decode: decodeF64 }],
  ["I64", { dtype: "i32", bytesPerElement: 8, decode: decodeI64 }],
]);

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The number of elements of `shape`, or NaN where it is above 2⁵³ - 1. */
function countElements(shape: readonly number[]): number {
  return shape.reduce((count, size) => (isSize(count * size) ? count * size : NaN), 1);
}

/** A key that some object of this valid JSON text has twice; `JSON.parse` would keep the last one and say nothing. */
function findDuplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  let keys: Set<string> | undefined;
  let atKey = false;
  for (let i = 0; i < json.length; i++) {
    switch (json[i]) {
      case "{":
        open.push((keys = new Set()));
        atKey = true;
        break;
      case "[":
        open.push((keys = undefined));
        break;
      case "}":
      case "]":
        open.pop();
        keys = open.at(-1);
        break;
      case ",":
        atKey = keys !== undefined;
        break;
      case '"': {
        const start = i;
        while (json[++i] !== '"') if (json[i] === "\\") i++;
        if (!atKey) break;
        const key = JSON.parse(json.slice(start, i + 1)) as string;
        if (keys!.has(key)) return key;
        keys!.add(key);
        atKey = false;
      }
    }
  }
}

function headerLength(prefix: Uint8Array, fileBytes: number, source: string): number {
  if (fileBytes < 8) throw new CheckpointError(`${source}: must have at least 8 bytes; got ${fileBytes}`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  const max = Math.min(maxHeaderBytes, fileBytes - 8);
  if (length > max) {
    throw new CheckpointError(
      `${source}: header must have at most ${max} bytes (file of ${fileBytes}, limit ${maxHeaderBytes}); got ${length}`,
    );
  }
  return Number(length);
}

function parseJson(header: Uint8Array, source: string): Record<string, unknown> {
  const fail: Fail = (problem) => {
    throw new CheckpointError(`${source}: ${problem}`);
  };
  if (header[0] !== 0x7b)
    fail(`header must be a JSON object; got ${header.length} bytes that do not begin with {`);
  let text: string;
  let json: Record<string, unknown>;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(header);
    json = JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new CheckpointError(`${source}: header must be JSON in UTF-8; got ${(cause as Error).message}`, {
      cause,
    });
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) fail(`header must have each key once; got ${show(duplicate)} twice`);
  return json;
}

function parseEntry(name: string, info: unknown, fail: Fail): Entry {
  if (!isRecord(info)) return fail(`must be { dtype, shape, data_offsets }; got ${show(info)}`);
  const { dtype, shape, data_offsets: offsets } = info;
  const format = formats.get(dtype);
  if (!format) return fail(`dtype must be one of ${[...formats.keys()].join(", ")}; got ${show(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isSize))
    return fail(`shape must be a list of sizes; got ${show(shape)}`);
  const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? (offsets as unknown[]) : [];
  if (!isSize(begin) || !isSize(end) || begin > end) {
    return fail(`data_offsets must be [begin, end] with begin <= end; got ${show(offsets)}`);
  }
  const size = countElements(shape) * format.bytesPerElement;
  if (size !== end - begin) {
    fail(`data_offsets must span the ${size} bytes of ${dtype} ${show(shape)}; got ${end - begin} bytes`);
  }
  return { name, format, shape, begin, end };
}

/** Checks all that the format promises and returns the tensors in the order of their data. */
function parseHeader(header: Uint8Array, dataBytes: number, source: string) {
  const { __metadata__: metadata = {}, ...infos } = parseJson(header, source);
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === "string")) {
    throw new CheckpointError(`${source}: __metadata__ must map strings to strings; got ${show(metadata)}`);
  }
  const entries = Object.entries(infos).map(([name, info]) => parseEntry(name, info, failAt(source, name)));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      failAt(
        source,
        entry.name,
      )(`data must begin at byte ${end}, where the one before it ends; got ${entry.begin}`);
    }
    end = entry.end;
  }
  if (end !== dataBytes) {
    throw new CheckpointError(
      `${source}: data must have the ${end} bytes that the header lists; got ${dataBytes}`,
    );
  }
  return { entries, metadata: metadata as Record<string, string> };
}

function failAt(source: string, name: string): Fail {
  return (problem) => {
    throw new CheckpointError(`${source}: tensor ${show(name)}: ${problem}`);
  };
}

function decode({ name, format, shape }: Entry, bytes: Uint8Array, source: string): StoredTensor {
  const aligned = bytes.byteOffset % format.bytesPerElement === 0 ? bytes : new Uint8Array(bytes);
  return { dtype: format.dtype, shape, data: format.decode(aligned, failAt(source, name)) };
}

/**
 * The tensors and metadata of a safetensors file in memory, in the order of the data.
 *
 * F32, BF16 and I32 are views on `bytes` (copies only where misaligned). F16 and F64 become f32, I64 becomes i32.
 *
 * @param source what errors call the file
 * @throws CheckpointError on anything but a valid file of these dtypes and a value that its new dtype cannot hold
 */
export function parseSafetensors(bytes: Uint8Array, source = "safetensors"): Safetensors {
  const length = headerLength(bytes, bytes.length, source);
  const data = bytes.subarray(8 + length);
  const { entries, metadata } = parseHeader(bytes.subarray(8, 8 + length), data.length, source);
  const tensors = new Map<string, StoredTensor>();
  for (const entry of entries)
    tensors.set(entry.name, decode(entry, data.subarray(entry.begin, entry.end), source));
  return { tensors, metadata };
}

/** `size` bytes of the file from `position` on. */
async function readExactly(file: FileHandle, position: number, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(size - done, 2 ** 30), position + done);
    if (bytesRead === 0) throw new Error(`it ends at byte ${position + done} while it is read`);
    done += bytesRead;
  }
  return bytes;
}

/**
 * The tensors and metadata of the safetensors file `path`, converted as by {@link parseSafetensors}.
 *
 * The header is read and checked first; then each tensor gets memory of its own, so a file may be larger than the
 * largest ArrayBuffer.
 *
 * @throws CheckpointError as {@link parseSafetensors}, and with the cause when the file cannot be read
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { size } = await file.stat();
    const length = headerLength(await readExactly(file, 0, Math.min(8, size)), size, path);
    const { entries, metadata } = parseHeader(await readExactly(file, 8, length), size - 8 - length, path);
    const tensors = new Map<string, StoredTensor>();
    for (const entry of entries) {
      const bytes = await readExactly(file, 8 + length + entry.begin, entry.end - entry.begin);
      tensors.set(entry.name, decode(entry, bytes, path));
    }
    return { tensors, metadata };
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path}: cannot be read: ${(cause as Error).message}`, { cause });
  } finally {
    await file?.close();
  }
}

const nameOnDisk: Readonly<Record<Dtype, string>> = { f32: "F32", i32: "I32", bf16: "BF16" };
const orderOnDisk: readonly Dtype[] = ["f32", "i32", "bf16"];

function checkStored(name: string, { dtype, shape, data }: StoredTensor): void {
  const fail: Fail = (problem) => {
    throw new ArgumentError(`writeSafetensors: tensor ${show(name)}: ${problem}`);
  };
  if (name === "__metadata__" || /\p{Surrogate}/u.test(name)) {
    fail("name must be well-formed Unicode other than __metadata__");
  }
  if (!orderOnDisk.includes(dtype))
    fail(`dtype must be one of ${orderOnDisk.join(", ")}; got ${show(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isSize))
    fail(`shape must be a list of sizes; got ${show(shape)}`);
  const arrayType = arrayTypeOf[dtype];
  if (!(data instanceof arrayType))
    fail(`data must be a ${arrayType.name}, as ${dtype} is; got ${show(data)}`);
  const count = countElements(shape);
  if (data.length !== count) {
    fail(`data must have the ${count} elements of ${show(shape)}; got ${data.length}`);
  }
}

/**
 * Writes a safetensors file that holds `tensors` and `metadata`, which gets `format: "pt"` unless it has a format:
 * older readers ask for it. The file appears whole or not at all, laid out as the format's own writer does.
 *
 * The data must not change until the promise settles.
 *
 * @param tensors pairs of name and tensor, such as a `Map`
 * @throws ArgumentError on a tensor that is not what {@link StoredTensor} says, a name given twice, metadata other than
 *   strings; CheckpointError when the file cannot be written
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, StoredTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const entries = [...tensors].map(([name, tensor]) => {
    checkStored(name, tensor);
    return { name, key: Buffer.from(name), ...tensor };
  });
  entries.sort(
    (a, b) => orderOnDisk.indexOf(a.dtype) - orderOnDisk.indexOf(b.dtype) || Buffer.compare(a.key, b.key),
  );
  const allMetadata = { format: "pt", ...metadata };
  for (const [key, value] of Object.entries(allMetadata)) {
    if (typeof value !== "string" || /\p{Surrogate}/u.test(key + value)) {
      const expected = `metadata: ${show(key)} must be a well-formed string`;
      throw new ArgumentError(`writeSafetensors: ${expected}; got ${show(value)}`);
    }
  }
  const fields = [`"__metadata__":${JSON.stringify(allMetadata)}`];
  const names = new Set<string>();
  let end = 0;
  for (const { name, dtype, shape, data } of entries) {
    if (names.has(name)) {
      throw new ArgumentError(`writeSafetensors: tensors must have each name once; got ${show(name)} twice`);
    }
    names.add(name);
    const info = {
      dtype: nameOnDisk[dtype],
      shape,
      data_offsets: [end, (end += data.length * bytesPerElement[dtype])],
    };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
  }
  const json = Buffer.from(`{${fields.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > maxHeaderBytes) {
    throw new ArgumentError(
      `writeSafetensors: header must have at most ${maxHeaderBytes} bytes; got ${length}`,
    );
  }
  const header = Buffer.alloc(8 + length, " ");
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, 8);
  const chunks = entries.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  await writeAtomically(path, [header, ...chunks]);
}
