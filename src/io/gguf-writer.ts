import { fromBf16, toBf16Bits } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { writeAtomically } from "./files.ts";
import { encoders } from "./gguf-quantization.ts";
import { arrayId, type GGUFValue, numberTypes, stringId, tensorTypeByName } from "./gguf-types.ts";
import { halfLimit, toHalfBits } from "./half.ts";
import { countElements, isSize, type StoredTensor } from "./stored-tensor.ts";

/** How tensors can be written. Q8_0 has 8.5 bits an element, Q4_0 has 4.5. */
export type GGUFWriteType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0";

export interface GGUFTensor {
  readonly tensor: StoredTensor;
  /** Default "F32". */
  readonly type?: GGUFWriteType;
}

const alignment = 32;

/** The largest magnitude that each type can hold: the scale of a block is a half, too. */
const limits: Readonly<Record<GGUFWriteType, number>> = {
  F32: Infinity,
  BF16: Infinity,
  F16: halfLimit,
  Q8_0: 127 * halfLimit,
  Q4_0: 8 * halfLimit,
};

function uint(size: 4 | 8, value: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  if (size === 4) view.setUint32(0, value, true);
  else view.setBigUint64(0, BigInt(value), true);
  return bytes;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

function string(text: string): Uint8Array[] {
  const bytes = new TextEncoder().encode(text);
  return [uint(8, bytes.length), bytes];
}

function encodeValue(key: string, given: GGUFValue): Uint8Array[] {
  const fail = (expected: string): never => {
    throw new ArgumentError(`writeGGUF: metadata ${show(key)} must be ${expected}; got ${show(given)}`);
  };
  const { type, value } = given;
  if (type === "string") {
    if (typeof value !== "string" || /\p{Surrogate}/u.test(value)) fail("a well-formed string");
    return [uint(4, stringId), ...string(value)];
  }
  if (type === "array") {
    if (given.of === "string") {
      if (!given.value.every((item) => typeof item === "string" && !/\p{Surrogate}/u.test(item)))
        fail("a list of well-formed strings");
      return [uint(4, arrayId), uint(4, stringId), uint(8, value.length), ...given.value.flatMap(string)];
    }
    const { id, array } = numberTypes[given.of] ?? fail("a list of a type of GGUF");
    if (!(value instanceof array)) fail(`a ${array.name}, as ${given.of} is`);
    return [uint(4, arrayId), uint(4, id), uint(8, value.length), bytesOf(given.value)];
  }
  const { id, array } = numberTypes[type] ?? fail("of a type of GGUF");
  const isBig = type === "u64" || type === "i64";
  const expected = type === "bool" ? "boolean" : isBig ? "bigint" : "number";
  if (typeof value !== expected) fail(`a ${expected}, as ${type} is`);
  const one = (array as { of(value: never): InstanceType<typeof array> }).of(
    (type === "bool" ? Number(value) : value) as never,
  );
  if (type !== "bool" && !type.startsWith("f") && one[0] !== value) fail(`in the range of ${type}`);
  return [uint(4, id), bytesOf(one)];
}

function checkTensor(name: string, { tensor, type = "F32" }: GGUFTensor): void {
  const fail = (problem: string): never => {
    throw new ArgumentError(`writeGGUF: tensor ${show(name)}: ${problem}`);
  };
  const { dtype, shape } = tensor;
  if (/\p{Surrogate}/u.test(name) || Buffer.byteLength(name) > 63)
    fail("name must be well-formed Unicode of at most 63 bytes");
  if (!Object.hasOwn(limits, type))
    fail(`type must be one of ${Object.keys(limits).join(", ")}; got ${show(type)}`);
  if (dtype !== "f32" && dtype !== "bf16") fail(`dtype must be f32 or bf16; got ${show(dtype)}`);
  if (!Array.isArray(shape) || shape.length > 4 || !shape.every(isSize))
    fail(`shape must be a list of at most 4 sizes; got ${show(shape)}`);
  const { blockElements } = tensorTypeByName.get(type)!;
  if ((shape.at(-1) ?? 1) % blockElements !== 0)
    fail(`rows of ${type} must be multiples of ${blockElements} long; got ${show(shape)}`);
}

function encodeTensor(name: string, { tensor, type = "F32" }: GGUFTensor): Uint8Array {
  const fail = (problem: string): never => {
    throw new ArgumentError(`writeGGUF: tensor ${show(name)}: ${problem}`);
  };
  const { dtype, shape, data } = tensor;
  const count = countElements(shape);
  if (data.length !== count)
    fail(`data must have the ${count} elements of ${show(shape)}; got ${data.length}`);
  if (dtype === "bf16" && type === "BF16") return bytesOf(data);
  const numbers = dtype === "bf16" ? fromBf16(data as Uint16Array) : (data as Float32Array);
  if (type === "F32") return bytesOf(numbers);
  const limit = limits[type];
  const i = numbers.findIndex((x) => !(Math.abs(x) < limit));
  if (i >= 0) fail(`${type} must hold finite numbers below ${limit}; got ${numbers[i]} at element ${i}`);
  if (type === "BF16") return bytesOf(mapped(new Uint16Array(count), numbers, toBf16Bits));
  return type === "F16"
    ? bytesOf(mapped(new Uint16Array(count), numbers, toHalfBits))
    : encoders.get(type)!(numbers);
}

/** Like `from` of typed arrays, without an iterator. */
function mapped<A extends Float32Array | Uint16Array>(
  out: A,
  from: ArrayLike<number>,
  f: (x: number) => number,
): A {
  for (let i = 0; i < out.length; i++) out[i] = f(from[i]!);
  return out;
}

const padding = (bytes: number): Uint8Array => new Uint8Array((alignment - (bytes % alignment)) % alignment);

/**
 * Writes a GGUF file, version 3, for llama.cpp and others. It appears whole or not at all. Tensors are encoded one at a
 * time, when their turn comes.
 *
 * @param metadata pairs of key and value, such as a `Map`; `general.alignment` is not among them
 * @param tensors pairs of name and tensor
 * @throws ERR_ARGUMENT on what the format does not hold; ERR_CHECKPOINT when the file cannot be written, which includes a
 *   number that a tensor's type cannot hold
 */
export async function writeGGUF(
  path: string,
  metadata: Iterable<readonly [string, GGUFValue]>,
  tensors: Iterable<readonly [string, GGUFTensor]>,
): Promise<void> {
  const pairs = new Map<string, GGUFValue>();
  for (const [key, value] of metadata) {
    if (pairs.has(key))
      throw new ArgumentError(`writeGGUF: metadata must have each key once; got ${show(key)} twice`);
    if (key === "general.alignment" || !/^[\x21-\x7e]+$/.test(key))
      throw new ArgumentError(
        `writeGGUF: a key must be ASCII other than general.alignment; got ${show(key)}`,
      );
    pairs.set(key, value);
  }
  const named = new Map<string, GGUFTensor>();
  for (const [name, tensor] of tensors) {
    if (named.has(name))
      throw new ArgumentError(`writeGGUF: tensors must have each name once; got ${show(name)} twice`);
    checkTensor(name, tensor);
    named.set(name, tensor);
  }
  const header = [Buffer.from("GGUF"), uint(4, 3), uint(8, named.size), uint(8, pairs.size)];
  for (const [key, value] of pairs) header.push(...string(key), ...encodeValue(key, value));
  let offset = 0;
  for (const [name, { tensor, type = "F32" }] of named) {
    const { id, blockElements, blockBytes } = tensorTypeByName.get(type)!;
    header.push(...string(name), uint(4, tensor.shape.length));
    for (const size of [...tensor.shape].reverse()) header.push(uint(8, size));
    header.push(uint(4, id), uint(8, offset));
    const bytes = (countElements(tensor.shape) / blockElements) * blockBytes;
    offset += Math.ceil(bytes / alignment) * alignment;
  }
  const head = Buffer.concat(header);
  function* chunks(): Generator<Uint8Array> {
    yield head;
    yield padding(head.length);
    for (const [name, tensor] of named) {
      const bytes = encodeTensor(name, tensor);
      yield bytes;
      yield padding(bytes.length);
    }
  }
  await writeAtomically(path, chunks());
}
