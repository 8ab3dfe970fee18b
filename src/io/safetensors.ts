import { arrayTypeOf, bytesPerElement, type Dtype } from "../dtype.ts";
import { ArgumentError, CheckpointError, show } from "../errors.ts";
import { type ElementType, elementTypes } from "./element-types.ts";
import { FileBytes, type ReadOptions } from "./file-bytes.ts";
import { writeAtomically } from "./files.ts";
import { parseObject } from "./json-text.ts";
import {
  countElements,
  type Fail,
  isRecord,
  isSize,
  lazyTensor,
  type StoredTensor,
} from "./stored-tensor.ts";

export type { StoredTensor } from "./stored-tensor.ts";

// A safetensors file, little-endian:
//
//   u64        length of the header in bytes
//   header     JSON: { "__metadata__": { key: string }, name: { dtype, shape, data_offsets: [begin, end) } … }
//   data       the tensors, row-major, without holes or overlaps; offsets count from here
//
// https://github.com/huggingface/safetensors

const maxHeaderBytes = 100_000_000;

export interface Safetensors {
  /** In the order of the data. What is no view of the file is decoded when its `data` is first asked for. */
  tensors: Map<string, StoredTensor>;
  metadata: Record<string, string>;
}

interface Entry {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: number[];
  readonly begin: number;
  readonly end: number;
}

/** The bytes in [begin, end) of a file. */
type Bytes = (begin: number, end: number) => Uint8Array;

const failAt =
  (source: string, name: string): Fail =>
  (problem) => {
    throw new CheckpointError(`${source}: tensor ${show(name)}: ${problem}`);
  };

function readHeader(bytes: Bytes, fileBytes: number, source: string): Uint8Array {
  if (fileBytes < 8) throw new CheckpointError(`${source}: must have at least 8 bytes; got ${fileBytes}`);
  const prefix = bytes(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  const max = Math.min(maxHeaderBytes, fileBytes - 8);
  if (length > max) {
    throw new CheckpointError(
      `${source}: header must have at most ${max} bytes (file of ${fileBytes}, limit ${maxHeaderBytes}); got ${length}`,
    );
  }
  return bytes(8, 8 + Number(length));
}

function parseEntry(name: string, info: unknown, fail: Fail): Entry {
  if (!isRecord(info)) return fail(`must be { dtype, shape, data_offsets }; got ${show(info)}`);
  const { dtype, shape, data_offsets: offsets } = info;
  const type = elementTypes.get(dtype);
  if (!type) return fail(`dtype must be one of ${[...elementTypes.keys()].join(", ")}; got ${show(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isSize))
    return fail(`shape must be a list of sizes; got ${show(shape)}`);
  const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? (offsets as unknown[]) : [];
  if (!isSize(begin) || !isSize(end) || begin > end) {
    return fail(`data_offsets must be [begin, end] with begin <= end; got ${show(offsets)}`);
  }
  const size = (countElements(shape) * type.bits) / 8;
  if (size !== end - begin) {
    fail(`data_offsets must span the ${size} bytes of ${type.name} ${show(shape)}; got ${end - begin} bytes`);
  }
  return { name, type, shape, begin, end };
}

/** Checks all that the format promises and returns the tensors in the order of their data. */
function parseHeader(header: Uint8Array, dataBytes: number, source: string) {
  const fail: Fail = (problem) => {
    throw new CheckpointError(`${source}: header ${problem}`);
  };
  if (header[0] !== 0x7b) fail(`must be a JSON object; got ${header.length} bytes that do not begin with {`);
  const { __metadata__: metadata = {}, ...infos } = parseObject(header, fail);
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === "string")) {
    throw new CheckpointError(`${source}: __metadata__ must map strings to strings; got ${show(metadata)}`);
  }
  const entries = Object.entries(infos).map(([name, info]) => parseEntry(name, info, failAt(source, name)));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      const problem = `data must begin at byte ${end}, where the one before it ends; got ${entry.begin}`;
      failAt(source, entry.name)(problem);
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

function parse(bytes: Bytes, fileBytes: number, source: string): Safetensors {
  const header = readHeader(bytes, fileBytes, source);
  const start = 8 + header.length;
  const { entries, metadata } = parseHeader(header, fileBytes - start, source);
  const tensors = new Map<string, StoredTensor>();
  for (const { name, type, shape, begin, end } of entries) {
    const decode = () => type.decode(bytes(start + begin, start + end), failAt(source, name));
    tensors.set(name, lazyTensor(type.dtype, shape, decode));
  }
  return { tensors, metadata };
}

/**
 * The tensors and metadata of a safetensors file in memory, in the order of the data.
 *
 * F32, BF16 and I32 are views on `bytes` (copies only where misaligned). F16 and F64 become f32, other integers and
 * booleans i32, when their data is asked for; that throws for a value which the new dtype cannot hold, and for types
 * that this library does not read (F8 and smaller, C64).
 *
 * @param source what errors call the file
 * @throws CheckpointError on anything but a valid file
 */
export const parseSafetensors = (bytes: Uint8Array, source = "safetensors"): Safetensors =>
  parse((begin, end) => bytes.subarray(begin, end), bytes.length, source);

/**
 * The tensors and metadata of the safetensors file `path`, converted as by {@link parseSafetensors}. Only the header is
 * read; tensors are views of the file, or made from them when they are asked for (see {@link ReadOptions}).
 *
 * @throws CheckpointError as {@link parseSafetensors}, and with the cause when the file cannot be read
 */
export async function readSafetensors(path: string, options: ReadOptions = {}): Promise<Safetensors> {
  const file = await FileBytes.open(path, options);
  return parse((begin, end) => file.bytes(begin, end), file.size, path);
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
