import type { Dtype, DtypeArray } from "../dtype.ts";
import { decodeHalves } from "./half.ts";
import type { Fail } from "./stored-tensor.ts";

type View<A> = {
  new (buffer: ArrayBufferLike, offset: number, length: number): A;
  BYTES_PER_ELEMENT: number;
};

/** The elements of `bytes`: a view, or a copy where they are not aligned to their size. */
export function view<A>(type: View<A>, bytes: Uint8Array): A {
  const size = type.BYTES_PER_ELEMENT;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new type(buffer, byteOffset, byteLength / size);
}

/** `out` from what it was rounded from, unless a finite number became infinite. */
function checkedSingles(doubles: Float64Array, fail: Fail): Float32Array {
  const out = new Float32Array(doubles);
  const i = out.findIndex((x, i) => Math.abs(x) === Infinity && Math.abs(doubles[i]!) !== Infinity);
  if (i >= 0) fail(`values must be in the range of f32; got ${doubles[i]} at element ${i}`);
  return out;
}

const failAsInteger = (fail: Fail, value: bigint | number, i: number): never =>
  fail(`values must be in the range of i32; got ${value} at element ${i}`);

/** 64-bit integers as halves of 32 bits: the upper one has to repeat the sign, or to be 0 of an unsigned integer. */
function decode64(bytes: Uint8Array, isSigned: boolean, fail: Fail): Int32Array {
  const words = view(Int32Array, bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes));
  const out = new Int32Array(words.length / 2);
  for (let i = 0; i < out.length; i++) {
    const low = words[2 * i]!;
    const high = words[2 * i + 1]!;
    if (high !== low >> 31 || (!isSigned && high < 0)) {
      const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
      failAsInteger(fail, isSigned ? value : BigInt.asUintN(64, value), i);
    }
    out[i] = low;
  }
  return out;
}

function decodeU32(bytes: Uint8Array, fail: Fail): Int32Array {
  const out = view(Int32Array, bytes);
  const i = out.findIndex((x) => x < 0);
  if (i >= 0) failAsInteger(fail, out[i]! >>> 0, i);
  return out;
}

/** A type of elements in a file, and how it is read. */
export interface ElementType {
  readonly name: string;
  readonly bits: number;
  /** What it is read as. */
  readonly dtype: Dtype;
  /** The elements of `bytes`: a view where the dtype is ours and they are aligned, else converted without loss. */
  decode(bytes: Uint8Array, fail: Fail): DtypeArray;
}

/** Those that this library computes with, and those that turn into them. */
const readable: readonly ElementType[] = [
  { name: "F32", bits: 32, dtype: "f32", decode: (bytes) => view(Float32Array, bytes) },
  { name: "BF16", bits: 16, dtype: "bf16", decode: (bytes) => view(Uint16Array, bytes) },
  { name: "F16", bits: 16, dtype: "f32", decode: (bytes) => decodeHalves(view(Uint16Array, bytes)) },
  {
    name: "F64",
    bits: 64,
    dtype: "f32",
    decode: (bytes, fail) => checkedSingles(view(Float64Array, bytes), fail),
  },
  { name: "I32", bits: 32, dtype: "i32", decode: (bytes) => view(Int32Array, bytes) },
  { name: "I64", bits: 64, dtype: "i32", decode: (bytes, fail) => decode64(bytes, true, fail) },
  { name: "I16", bits: 16, dtype: "i32", decode: (bytes) => new Int32Array(view(Int16Array, bytes)) },
  { name: "I8", bits: 8, dtype: "i32", decode: (bytes) => new Int32Array(view(Int8Array, bytes)) },
  { name: "U64", bits: 64, dtype: "i32", decode: (bytes, fail) => decode64(bytes, false, fail) },
  { name: "U32", bits: 32, dtype: "i32", decode: decodeU32 },
  { name: "U16", bits: 16, dtype: "i32", decode: (bytes) => new Int32Array(view(Uint16Array, bytes)) },
  { name: "U8", bits: 8, dtype: "i32", decode: (bytes) => new Int32Array(bytes) },
  { name: "BOOL", bits: 8, dtype: "i32", decode: (bytes) => new Int32Array(bytes) },
];

/** Numbers that mean something with their scales only, or are complex: a file may hold them beside others. */
const opaque = ["F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"]
  .map((name) => ({ name, bits: 8 }))
  .concat({ name: "F4", bits: 4 }, { name: "F6_E2M3", bits: 6 }, { name: "F6_E3M2", bits: 6 })
  .concat({ name: "C64", bits: 64 })
  .map(({ name, bits }): ElementType => {
    const names = readable.map((type) => type.name).join(", ");
    return {
      ...{ name, bits, dtype: "f32" },
      decode: (_, fail) => fail(`it is stored as ${name}; readable are ${names}`),
    };
  });

/** By the name that safetensors has for it. */
export const elementTypes: ReadonlyMap<unknown, ElementType> = new Map<string, ElementType>(
  [...readable, ...opaque].map((type) => [type.name, type]),
);
