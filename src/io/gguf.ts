import { CheckpointError, show } from "../errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { elementTypes } from "./element-types.ts";
import { FileBytes, type ReadOptions } from "./file-bytes.ts";
import { Cursor, MoreBytesNeeded } from "./gguf-cursor.ts";
import { decoders } from "./gguf-quantization.ts";
import {
  arrayId,
  type GGUFNumbers,
  type GGUFTensorType,
  type GGUFValue,
  numberTypeById,
  numberTypes,
  stringId,
  tensorTypeById,
} from "./gguf-types.ts";
import { countElements, type Fail, lazyTensor } from "./stored-tensor.ts";

// A GGUF file, little-endian, versions 2 and 3:
//
//   "GGUF", u32 version, u64 number of tensors, u64 number of pairs
//   pairs      key, u32 type, value; a list: u32 type of the items, u64 count, items
//   tensors    name, u32 axes, u64 size of each axis, the last one first, u32 type, u64 offset
//   zeros      up to a multiple of general.alignment (32); offsets count from here
//   data       each tensor at a multiple of the alignment
//
// Strings are u64 length and UTF-8.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

/** A GGUF file: tensors by their names there, decoded when they are asked for. */
export interface GGUF extends Omit<Checkpoint, "metadata"> {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GGUFValue>;
  /** How a tensor is stored, such as "Q4_K". @throws ERR_CHECKPOINT if there is none of that name */
  typeOf(name: string): string;
  /** The bytes of a tensor as they are stored. @throws ERR_CHECKPOINT if there is none of that name */
  bytesOf(name: string): Uint8Array;
}

interface Entry {
  readonly name: string;
  readonly type: GGUFTensorType;
  readonly shape: number[];
  readonly elements: number;
  /** Counted from the beginning of the data. */
  readonly begin: number;
  readonly end: number;
}

interface Header {
  readonly version: number;
  readonly metadata: Map<string, GGUFValue>;
  readonly entries: Map<string, Entry>;
  readonly dataBegin: number;
}

function readValue(cursor: Cursor, key: string, fail: Fail): GGUFValue {
  const id = cursor.u32(`the type of ${key}`);
  if (id === stringId) return { type: "string", value: cursor.string(key) };
  if (id === arrayId) return readList(cursor, key, fail);
  const type = numberTypeById.get(id);
  if (type === undefined) return fail(`the type of ${key} must be one of 0 … 12; got ${id}`);
  const numbers = readNumbers(cursor, 1, type, key, fail);
  const value = numbers[0]!;
  return (type === "bool" ? { type, value: value === 1 } : { type, value }) as GGUFValue;
}

function readNumbers(
  cursor: Cursor,
  count: number,
  type: keyof typeof numberTypes,
  key: string,
  fail: Fail,
): GGUFNumbers {
  const { array } = numberTypes[type];
  const numbers = new array(cursor.copy(count, array.BYTES_PER_ELEMENT, key));
  if (type !== "bool") return numbers;
  const odd = (numbers as Uint8Array).find((bit) => bit > 1);
  return odd === undefined ? numbers : fail(`${key} must be 0 or 1, as bool is; got ${odd}`);
}

function readList(cursor: Cursor, key: string, fail: Fail): GGUFValue {
  const id = cursor.u32(`the type of the items of ${key}`);
  const count = cursor.size(`the number of items of ${key}`);
  const of = numberTypeById.get(id);
  if (of !== undefined) return { type: "array", of, value: readNumbers(cursor, count, of, key, fail) };
  if (id !== stringId) return fail(`the items of ${key} must be numbers or strings; got type ${id}`);
  cursor.expect(count, 8, key);
  const value: string[] = [];
  for (let i = 0; i < count; i++) value.push(cursor.string(key));
  return { type: "array", of: "string", value };
}

function readEntry(cursor: Cursor, source: string): Entry {
  const name = cursor.string("the name of a tensor");
  const what = `tensor ${show(name)}`;
  const fail: Fail = (problem) => {
    throw new CheckpointError(`${source}: ${what}: ${problem}`);
  };
  const axes = cursor.u32(`the number of axes of ${what}`);
  if (axes > 4) fail(`must have at most 4 axes; got ${axes}`);
  const shape = Array.from({ length: axes }, () => cursor.size(`the shape of ${what}`)).reverse();
  const id = cursor.u32(`the type of ${what}`);
  const type = tensorTypeById.get(id) ?? fail(`its type must be one that GGUF has; got ${id}`);
  const begin = cursor.size(`the offset of ${what}`);
  const elements = countElements(shape);
  if (Number.isNaN(elements)) fail(`must have less than 2^53 elements; got ${show(shape)}`);
  const { blockElements, blockBytes } = type;
  if ((shape.at(-1) ?? 1) % blockElements !== 0)
    fail(`rows of ${type.name} must be multiples of ${blockElements} long; got ${show(shape)}`);
  return { name, type, shape, elements, begin, end: begin + (elements / blockElements) * blockBytes };
}

/** Tensors lie in the data, each at a multiple of the alignment, and none in another. */
function checkPlaces(entries: Iterable<Entry>, alignment: number, dataBytes: number, source: string): void {
  let last: Entry | undefined;
  for (const entry of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    const { name, begin, end } = entry;
    const fail: Fail = (problem) => {
      throw new CheckpointError(`${source}: tensor ${show(name)}: ${problem}`);
    };
    if (begin % alignment !== 0) fail(`must begin at a multiple of ${alignment}; got ${begin}`);
    if (end > dataBytes) fail(`must end by byte ${dataBytes} of the data; got ${begin} … ${end}`);
    if (last && begin < last.end)
      fail(`must begin at or after byte ${last.end}, where ${show(last.name)} ends; got ${begin}`);
    last = entry;
  }
}

function readHeader(bytes: Uint8Array, fileBytes: number, source: string): Header {
  const fail: Fail = (problem) => {
    throw new CheckpointError(`${source}: ${problem}`);
  };
  const cursor = new Cursor(bytes, fileBytes, fail);
  if (cursor.u32("the file") !== 0x46554747) fail('must begin with "GGUF"');
  const version = cursor.u32("the version");
  if (version !== 2 && version !== 3)
    fail(`must be GGUF of version 2 or 3, little-endian; got version ${version}`);
  const tensors = cursor.size("the number of tensors");
  const pairs = cursor.size("the number of pairs");
  cursor.expect(pairs, 8 + 4 + 1, "the metadata");
  const metadata = new Map<string, GGUFValue>();
  for (let i = 0; i < pairs; i++) {
    const key = cursor.string("a key of the metadata");
    if (metadata.has(key)) fail(`must have each key once; got ${show(key)} twice`);
    metadata.set(key, readValue(cursor, key, fail));
  }
  cursor.expect(tensors, 8 + 4 + 4 + 8, "the list of tensors");
  const entries = new Map<string, Entry>();
  for (let i = 0; i < tensors; i++) {
    const entry = readEntry(cursor, source);
    if (entries.has(entry.name)) fail(`must have each tensor once; got ${show(entry.name)} twice`);
    entries.set(entry.name, entry);
  }
  const alignment = metadata.get("general.alignment") ?? { type: "u32", value: 32 };
  if (alignment.type !== "u32" || alignment.value === 0 || alignment.value & (alignment.value - 1))
    return fail(`general.alignment must be a power of two, of type u32; got ${show(alignment)}`);
  const dataBegin = Math.ceil(cursor.position / alignment.value) * alignment.value;
  checkPlaces(entries.values(), alignment.value, Math.max(0, fileBytes - dataBegin), source);
  return { version, metadata, entries, dataBegin };
}

const readable = ["F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64", ...decoders.keys()];

/**
 * Opens a GGUF file, version 2 or 3. F32, I32 and BF16 tensors are views of the mapped file; F16, F64, Q4_0, Q4_1, Q8_0,
 * Q4_K and Q6_K become f32, other integers i32, each time that `get` returns one and its data is asked for. Other types
 * can be listed, not decoded.
 *
 * @throws ERR_CHECKPOINT on anything but a valid file
 */
export async function openGGUF(path: string, options: ReadOptions = {}): Promise<GGUF> {
  const file = await FileBytes.open(path, options);
  const { version, metadata, entries, dataBegin } = headerOf(file);
  const parts = metadata.get("split.count");
  if (parts !== undefined && Number(parts.value) > 1)
    throw new CheckpointError(
      `${path}: is one of ${show(parts.value)} parts; join them with llama-gguf-split --merge`,
    );
  const find = (name: string): Entry => {
    const entry = entries.get(name);
    if (entry === undefined) throw new CheckpointError(`${path}: tensor ${name} is missing`);
    return entry;
  };
  const bytesOf = ({ begin, end }: Entry) => file.bytes(dataBegin + begin, dataBegin + end);
  return {
    source: path,
    version,
    metadata,
    names: () => entries.keys(),
    has: (name) => entries.has(name),
    typeOf: (name) => find(name).type.name,
    bytesOf: (name) => bytesOf(find(name)),
    get(name) {
      const entry = find(name);
      const { type, shape, elements } = entry;
      const fail: Fail = (problem) => {
        throw new CheckpointError(`${path}: tensor ${show(name)}: ${problem}`);
      };
      const plain = elementTypes.get(type.name);
      if (plain) return lazyTensor(plain.dtype, shape, () => plain.decode(bytesOf(entry), fail));
      const decode = decoders.get(type.name);
      if (!decode) return fail(`it is stored as ${type.name}; readable are ${readable.join(", ")}`);
      return lazyTensor("f32", shape, () => {
        const out = new Float32Array(elements);
        decode(bytesOf(entry), out);
        return out;
      });
    },
  };
}

/** The header does not say how long it is: more is read until it is there. */
function headerOf(file: FileBytes): Header {
  for (let length = 1 << 24; ; length *= 4) {
    try {
      return readHeader(file.bytes(0, Math.min(length, file.size)), file.size, file.path);
    } catch (error) {
      if (!(error instanceof MoreBytesNeeded)) throw error;
    }
  }
}
