import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromBf16Bits } from "../src/dtype.ts";
import { ArgumentError, CheckpointError } from "../src/errors.ts";
import { openGGUF } from "../src/io/gguf.ts";
import type { GGUFValue } from "../src/io/gguf-types.ts";
import { type GGUFTensor, writeGGUF } from "../src/io/gguf-writer.ts";
import { decodeHalves, halfTable, toHalfBits } from "../src/io/half.ts";
import { readSafetensors, type StoredTensor } from "../src/io/safetensors.ts";

const golden = (name: string) => fileURLToPath(new URL(`golden/${name}`, import.meta.url));
const file = await openGGUF(golden("gguf-types.gguf"));
const { tensors: expected } = await readSafetensors(golden("gguf-types.safetensors"));

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(path.join(tmpdir(), "gguf-"))));
afterAll(() => rm(folder, { recursive: true }));

const bitsOf = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const f32 = (data: ArrayLike<number>, ...shape: number[]): StoredTensor => ({
  dtype: "f32",
  shape,
  data: Float32Array.from(data),
});

describe("halves", () => {
  test("decode and encode are inverse, and encoding rounds to the nearest, ties to even", () => {
    const numbers = halfTable();
    expect(decodeHalves(new Uint16Array([0x3c00, 0xc000, 0x7bff, 1]))).toEqual(
      new Float32Array([1, -2, 65504, 2 ** -24]),
    );
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x7bff; bits++) {
      const middle = (numbers[bits]! + numbers[bits + 1]!) / 2;
      const above = Math.fround(middle * (1 + 2 ** -23));
      const isRight =
        toHalfBits(numbers[bits]!) === bits &&
        toHalfBits(-numbers[bits]!) === (bits | 0x8000) &&
        toHalfBits(middle) === bits + (bits & 1) &&
        toHalfBits(above) === bits + 1;
      if (!isRight) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
    expect([65519, 65520, Infinity, Number.NaN, -0].map(toHalfBits)).toEqual([
      0x7bff, 0x7c00, 0x7c00, 0x7e00, 0x8000,
    ]);
  });
});

describe("openGGUF", () => {
  test("metadata of every type", () => {
    expect(file.version).toBe(3);
    const value = (key: string) => file.metadata.get(`golden.${key}`);
    for (const bits of [8, 16, 32]) {
      expect(value(`uint${bits}.max`)).toEqual({ type: `u${bits}`, value: 2 ** bits - 1 });
      expect(value(`int${bits}.min`)).toEqual({ type: `i${bits}`, value: -(2 ** (bits - 1)) });
    }
    expect(value("uint64.max")).toEqual({ type: "u64", value: 2n ** 64n - 1n });
    expect(value("int64.min")).toEqual({ type: "i64", value: -(2n ** 63n) });
    expect(value("float32")).toEqual({ type: "f32", value: Math.fround(0.1) });
    expect(value("float64")).toEqual({ type: "f64", value: 0.1 });
    expect(value("true")).toEqual({ type: "bool", value: true });
    expect(value("false")).toEqual({ type: "bool", value: false });
    expect(value("string")).toEqual({ type: "string", value: "ein Wörtchen \u{1f600}" });
    expect(value("strings")).toEqual({ type: "array", of: "string", value: ["", "Ġthe", "▁a", "\n"] });
    expect(value("integers")).toEqual({ type: "array", of: "i32", value: new Int32Array([1, -2, 3]) });
    expect(value("floats")).toEqual({ type: "array", of: "f32", value: new Float32Array([0.5, -1.25]) });
    expect(value("bools")).toEqual({ type: "array", of: "bool", value: new Uint8Array([1, 0, 1]) });
  });

  test.each(["F32", "F16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K", "vector", "integers"])(
    "decodes %s to the bits that gguf does",
    (name) => {
      const { dtype, shape, data } = file.get(name);
      const theirs = expected.get(name)!;
      expect({ dtype, shape }).toEqual({ dtype: theirs.dtype, shape: theirs.shape });
      expect(bitsOf(data)).toEqual(bitsOf(theirs.data));
    },
  );

  test("hands out bf16 as it is", () => {
    const { dtype, shape, data } = file.get("BF16");
    expect([dtype, shape]).toEqual(["bf16", [6, 96]]);
    expect(Float32Array.from(data, fromBf16Bits)).toEqual(expected.get("BF16")!.data);
    expect(data.buffer).toBe(file.get("F32").data.buffer);
  });

  test("names what it cannot decode, and what is not there", () => {
    expect(file.has("Q5_0")).toBe(true);
    expect(file.typeOf("Q5_0")).toBe("Q5_0");
    expect(() => file.get("Q5_0")).toThrow(
      "gguf-types.gguf: tensor 'Q5_0': it is stored as Q5_0; readable are F32, F16, BF16, F64, I8, I16, I32, I64, " +
        "Q4_0, Q4_1, Q8_0, Q4_K, Q6_K",
    );
    expect(() => file.get("Q9")).toThrow(CheckpointError);
    expect(() => file.typeOf("Q9")).toThrow("tensor Q9 is missing");
  });

  test("reads the same where it does not map", async () => {
    const read = await openGGUF(golden("gguf-types.gguf"), { map: false });
    expect(read.metadata).toEqual(file.metadata);
    for (const name of ["F32", "BF16", "Q6_K"]) expect(read.get(name)).toEqual(file.get(name));
  });
});

describe("writeGGUF", () => {
  test.each(["F32", "F16", "BF16", "Q8_0", "Q4_0"] as const)(
    "encodes %s to the bytes that gguf does",
    async (type) => {
      const target = path.join(folder, `${type}.gguf`);
      await writeGGUF(target, [], [[type, { tensor: expected.get("source")!, type }]]);
      const written = await openGGUF(target);
      expect(written.typeOf(type)).toBe(type);
      expect(written.bytesOf(type)).toEqual(file.bytesOf(type));
      expect(written.get(type)).toEqual(file.get(type));
    },
  );

  test("metadata comes back as it was, tensors in their order", async () => {
    const target = path.join(folder, "all.gguf");
    const bf16: StoredTensor = { dtype: "bf16", shape: [2], data: new Uint16Array([0x3f80, 0xc000]) };
    const tensors: [string, GGUFTensor][] = [
      ["z", { tensor: f32([1, 2, 3], 3) }],
      ["a.weight", { tensor: f32([1, 2, 3, 4, 5, 6], 1, 2, 3), type: "F16" }],
      ["none", { tensor: f32([], 0, 4) }],
      ["wide", { tensor: bf16 }],
      ["narrow", { tensor: bf16, type: "BF16" }],
    ];
    await writeGGUF(target, file.metadata, tensors);
    const written = await openGGUF(target);
    expect(written.metadata).toEqual(file.metadata);
    expect([...written.names()]).toEqual(tensors.map(([name]) => name));
    expect(written.get("a.weight")).toEqual(tensors[1]![1].tensor);
    expect(written.get("none")).toEqual(tensors[2]![1].tensor);
    expect(written.get("wide")).toEqual(f32([1, -2], 2));
    expect(written.get("narrow")).toEqual(bf16);
    expect((await readFile(target)).length % 32).toBe(0);
  });

  test("refuses what the format does not hold, and leaves no file", async () => {
    const target = path.join(folder, "refused.gguf");
    const refuse = async (
      message: string,
      metadata: [string, unknown][],
      tensors: [string, unknown][] = [],
      kind: typeof ArgumentError | typeof CheckpointError = ArgumentError,
    ) => {
      const error = await writeGGUF(
        target,
        metadata as [string, GGUFValue][],
        tensors as [string, GGUFTensor][],
      ).catch((error: unknown) => error);
      expect(error).toBeInstanceOf(kind);
      expect((error as Error).message).toContain(message);
    };
    await refuse("a key must be ASCII", [["naïve", { type: "u8", value: 1 }]]);
    await refuse("other than general.alignment", [["general.alignment", { type: "u32", value: 64 }]]);
    await refuse("'k' must be in the range of u8", [["k", { type: "u8", value: 256 }]]);
    await refuse("'k' must be in the range of i32", [["k", { type: "i32", value: 1.5 }]]);
    await refuse("'k' must be in the range of u64", [["k", { type: "u64", value: -1n }]]);
    await refuse("'k' must be a bigint, as i64 is", [["k", { type: "i64", value: 1 }]]);
    await refuse("'k' must be a boolean", [["k", { type: "bool", value: 1 }]]);
    await refuse("'k' must be of a type of GGUF", [["k", { type: "u128", value: 1 }]]);
    await refuse("'k' must be a well-formed string", [["k", { type: "string", value: "\ud800" }]]);
    await refuse("list of well-formed strings", [["k", { type: "array", of: "string", value: [1] }]]);
    await refuse("a Uint16Array, as u16 is", [["k", { type: "array", of: "u16", value: new Uint8Array(1) }]]);
    await refuse("each key once", [
      ["k", { type: "u8", value: 1 }],
      ["k", { type: "u8", value: 1 }],
    ]);
    const x = f32(new Float32Array(33), 33);
    await refuse(
      "each name once",
      [],
      [
        ["x", { tensor: x }],
        ["x", { tensor: x }],
      ],
    );
    await refuse("at most 63 bytes", [], [["x".repeat(64), { tensor: x }]]);
    await refuse(
      "rows of Q8_0 must be multiples of 32 long; got [ 33 ]",
      [],
      [["x", { tensor: x, type: "Q8_0" }]],
    );
    await refuse("type must be one of F32, BF16, F16", [], [["x", { tensor: x, type: "Q4_K" }]]);
    await refuse("at most 4 sizes", [], [["x", { tensor: f32([1], 1, 1, 1, 1, 1) }]]);
    await refuse("dtype must be f32 or bf16", [], [["x", { tensor: { ...x, dtype: "i32" } }]]);
    await refuse(
      "the 34 elements of [ 34 ]; got 33",
      [],
      [["x", { tensor: { ...x, shape: [34] } }]],
      CheckpointError,
    );
    const large = f32(new Float32Array(32).fill(70_000), 32);
    await refuse(
      "F16 must hold finite numbers below 65520; got 70000 at element 0",
      [],
      [["x", { tensor: large, type: "F16" }]],
      CheckpointError,
    );
    const none = f32(new Float32Array(32).fill(Number.NaN), 32);
    await refuse("got NaN at element 0", [], [["x", { tensor: none, type: "Q8_0" }]], CheckpointError);
    expect((await readdir(folder)).filter((name) => name.startsWith("refused"))).toEqual([]);
  });
});
