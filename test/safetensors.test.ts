import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ArgumentError, CheckpointError } from "../src/errors.ts";
import { writeAtomically } from "../src/io/files.ts";
import {
  parseSafetensors,
  readSafetensors,
  type StoredTensor,
  writeSafetensors,
} from "../src/io/safetensors.ts";
import { configure } from "../src/native.ts";
import { Random } from "../src/random.ts";

// Both written by the Python package safetensors 0.8.0.
const native = Buffer.from(
  "QAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJwdCJ9LCJ3Ijp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsyLDJdLCJkYXRhX29mZnNldHMiOlswLDE2XX0sIu+sgCI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMCw0XSwiZGF0YV9vZmZzZXRzIjpbMTYsMTZdfSwi8J+YgCI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMV0sImRhdGFfb2Zmc2V0cyI6WzE2LDIwXX0sImkiOnsiZHR5cGUiOiJJMzIiLCJzaGFwZSI6W10sImRhdGFfb2Zmc2V0cyI6WzIwLDI0XX0sImIiOnsiZHR5cGUiOiJCRjE2Iiwic2hhcGUiOlszXSwiZGF0YV9vZmZzZXRzIjpbMjQsMzBdfX0gICAgIAAAwD8AAADAAABAQAAAgD4AABBB+f///4A/AEAAwA==",
  "base64",
);
const foreign = Buffer.from(
  "qAAAAAAAAAB7ImwiOnsiZHR5cGUiOiJJNjQiLCJzaGFwZSI6WzIsMV0sImRhdGFfb2Zmc2V0cyI6WzAsMTZdfSwiZCI6eyJkdHlwZSI6IkY2NCIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6WzE2LDMyXX0sImgiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzldLCJkYXRhX29mZnNldHMiOlszMiw1MF19fSAAAACA/////////38AAAAAmpmZmZmZ8T8AAAAAAADw/wA8AMD/ewEAAHwA/AB+Zi7/Aw==",
  "base64",
);

const tensors: [string, StoredTensor][] = [
  ["b", { dtype: "bf16", shape: [3], data: new Uint16Array([0x3f80, 0x4000, 0xc000]) }],
  ["\u{1F600}", { dtype: "f32", shape: [1], data: new Float32Array([9]) }],
  ["i", { dtype: "i32", shape: [], data: new Int32Array([-7]) }],
  ["\uFB00", { dtype: "f32", shape: [0, 4], data: new Float32Array(0) }],
  ["w", { dtype: "f32", shape: [2, 2], data: new Float32Array([1.5, -2, 3, 0.25]) }],
];

/** A file with this header, padded by `shift` spaces, and data. */
function file(header: object | string, data: Uint8Array = new Uint8Array(0), shift = 0): Uint8Array {
  const json = Buffer.from(
    (typeof header === "string" ? header : JSON.stringify(header)) + " ".repeat(shift),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return new Uint8Array(Buffer.concat([length, json, data]));
}

const bytesOf = (array: NodeJS.TypedArray) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "safetensors-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("safetensors", () => {
  it("writes the bytes that the format's own writer does, and reads them back", async () => {
    const path = join(folder, "native.safetensors");
    await writeSafetensors(path, tensors);
    expect(await readFile(path)).toEqual(native);
    const read = await readSafetensors(path);
    expect(read).toEqual({ tensors: new Map(tensors), metadata: { format: "pt" } });
    expect([...read.tensors.keys()]).toEqual(["w", "\uFB00", "\u{1F600}", "i", "b"]);
    expect(parseSafetensors(native)).toEqual(read);
  });

  it("converts half, double and long", () => {
    expect(parseSafetensors(foreign)).toEqual({
      metadata: {},
      tensors: new Map<string, StoredTensor>([
        ["l", { dtype: "i32", shape: [2, 1], data: new Int32Array([-(2 ** 31), 2 ** 31 - 1]) }],
        ["d", { dtype: "f32", shape: [2], data: new Float32Array([1.1, -Infinity]) }],
        [
          "h",
          {
            dtype: "f32",
            shape: [9],
            data: new Float32Array([
              1,
              -2,
              65504,
              2 ** -24,
              Infinity,
              -Infinity,
              NaN,
              0.0999755859375,
              1023 * 2 ** -24,
            ]),
          },
        ],
      ]),
    });
  });

  it("refuses values that the new dtype cannot hold", () => {
    const one = (dtype: string, data: Uint8Array) => {
      const info = { dtype, shape: [2], data_offsets: [0, data.length] };
      const { tensors } = parseSafetensors(file({ x: info }, data), "m.safetensors");
      return () => tensors.get("x")!.data;
    };
    for (const value of [2n ** 31n, -(2n ** 31n) - 1n, 2n ** 63n - 1n]) {
      expect(one("I64", bytesOf(new BigInt64Array([0n, value])))).toThrow(
        `m.safetensors: tensor 'x': values must be in the range of i32; got ${value} at element 1`,
      );
    }
    expect(one("F64", bytesOf(new Float64Array([1, -1e39])))).toThrow(
      "range of f32; got -1e+39 at element 1",
    );
    expect(one("U32", bytesOf(new Uint32Array([1, 2 ** 31])))).toThrow("i32; got 2147483648 at element 1");
    expect(one("U64", bytesOf(new BigUint64Array([1n, 2n ** 64n - 1n])))).toThrow(
      "range of i32; got 18446744073709551615 at element 1",
    );
    expect(one("F8_E4M3", new Uint8Array(2))).toThrow(
      "tensor 'x': it is stored as F8_E4M3; readable are F32",
    );
    expect(one("C64", new Uint8Array(16))).toThrow("it is stored as C64");
  });

  it.each<[string, NodeJS.TypedArray]>([
    ["BOOL", new Uint8Array([1, 0, 1])],
    ["U8", new Uint8Array([0, 255, 7])],
    ["I8", new Int8Array([-128, 127, 0])],
    ["I16", new Int16Array([-(2 ** 15), 5])],
    ["U16", new Uint16Array([2 ** 16 - 1, 5])],
    ["U32", new Uint32Array([2 ** 31 - 1, 5])],
    ["U64", new BigUint64Array([2n ** 31n - 1n, 0n])],
  ])("reads %s as i32", (dtype, values) => {
    const info = { dtype, shape: [values.length], data_offsets: [0, values.byteLength] };
    const x = parseSafetensors(file({ x: info }, bytesOf(values))).tensors.get("x")!;
    expect(x).toEqual({
      ...{ dtype: "i32", shape: [values.length] },
      data: Int32Array.from([...(values as Int8Array)].map(Number)),
    });
  });

  it("gives views on the bytes, and copies only what is misaligned", () => {
    const info = {
      x: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
      y: { dtype: "BF16", shape: [1], data_offsets: [8, 10] },
    };
    const data = new Uint8Array(10);
    data.set(bytesOf(new Float32Array([1, 2])));
    const shared: Record<string, number[]> = { x: [], y: [] };
    for (let shift = 0; shift < 8; shift++) {
      const bytes = file(info, data, shift);
      const { tensors } = parseSafetensors(bytes);
      expect([...tensors.get("x")!.data]).toEqual([1, 2]);
      for (const [name, { data }] of tensors) if (data.buffer === bytes.buffer) shared[name]!.push(shift);
    }
    expect([shared.x!.length, shared.y!.length]).toEqual([2, 4]);
  });

  it("keeps names and metadata as they are", async () => {
    const path = join(folder, "names.safetensors");
    const names = ["__proto__", "constructor", "10", "2", '"\\\n\u0001', "", "a.b"];
    const named = new Map(names.map((name, i) => [name, { ...tensors[2]![1], data: new Int32Array([i]) }]));
    const metadata = { format: "np", epoch: "3", ["__proto__"]: "x" };
    await writeSafetensors(path, named, metadata);
    const read = await readSafetensors(path);
    expect(read.tensors).toEqual(named);
    expect(Object.entries(read.metadata).sort()).toEqual(Object.entries(metadata).sort());
    const empty = join(folder, "empty.safetensors");
    await writeSafetensors(empty, new Map());
    expect(await readSafetensors(empty)).toEqual({ tensors: new Map(), metadata: { format: "pt" } });
  });

  const f32 = (begin: number, end: number) => ({
    dtype: "F32",
    shape: [(end - begin) / 4],
    data_offsets: [begin, end],
  });
  const eight = new Uint8Array(8);
  it.each<[string, Uint8Array, string]>([
    ["too short", new Uint8Array(7), "must have at least 8 bytes; got 7"],
    ["a header longer than the file", file({}).fill(99, 0, 1), "header must have at most 2 bytes"],
    ["an absurd header", new Uint8Array(16).fill(255), "got 18446744073709551615"],
    ["an empty header", file(""), "that do not begin with {"],
    ["a leading space", file(" {}"), "that do not begin with {"],
    ["no JSON", file("{nope}"), "header must be JSON in UTF-8"],
    ["no UTF-8", file('{"a":1}').fill(0xff, 10, 11), "header must be JSON in UTF-8"],
    ["a tensor twice", file('{"x":{},"y":[{"x":1}],"\\u0078":{}}'), "must have each key once; got 'x' twice"],
    ["a field twice", file('{"x":{"dtype":"F32","dtype":"F32"}}'), "got 'dtype' twice"],
    [
      "metadata that is no text",
      file({ __metadata__: { a: 1 } }),
      "__metadata__ must map strings to strings; got { a: 1 }",
    ],
    ["metadata that is no object", file({ __metadata__: null }), "__metadata__ must map"],
    ["no entry", file({ x: 5 }), "tensor 'x': must be { dtype, shape, data_offsets }; got 5"],
    [
      "another dtype",
      file({ x: { ...f32(0, 8), dtype: "F7" } }, eight),
      "dtype must be one of F32, BF16, F16, F64, I32,",
    ],
    [
      "a dtype of Object.prototype",
      file({ x: { ...f32(0, 8), dtype: "constructor" } }, eight),
      "got 'constructor'",
    ],
    [
      "a negative size",
      file({ x: { ...f32(0, 8), shape: [-2] } }, eight),
      "shape must be a list of sizes; got [ -2 ]",
    ],
    ["a broken size", file({ x: { ...f32(0, 8), shape: [1.5] } }, eight), "shape must be a list of sizes"],
    ["an overflow", file({ x: { ...f32(0, 0), shape: [2 ** 40, 2 ** 40, 0] } }), "must span the NaN bytes"],
    [
      "one offset",
      file({ x: { ...f32(0, 8), data_offsets: [0] } }, eight),
      "data_offsets must be [begin, end]",
    ],
    [
      "offsets that go back",
      file({ x: { ...f32(0, 8), data_offsets: [8, 0] } }, eight),
      "with begin <= end; got [ 8, 0 ]",
    ],
    [
      "a wrong size",
      file({ x: { ...f32(0, 8), shape: [3] } }, eight),
      "must span the 12 bytes of F32 [ 3 ]; got 8 bytes",
    ],
    [
      "a hole",
      file({ x: f32(0, 0), y: f32(4, 8) }, eight),
      "tensor 'y': data must begin at byte 0, where the one before it ends; got 4",
    ],
    ["an overlap", file({ x: f32(0, 8), y: f32(4, 8) }, eight), "tensor 'y': data must begin at byte 8"],
    [
      "data missing",
      file({ x: f32(0, 12) }, eight),
      "data must have the 12 bytes that the header lists; got 8",
    ],
    [
      "data left over",
      file({ x: f32(0, 4) }, eight),
      "data must have the 4 bytes that the header lists; got 8",
    ],
  ])("refuses %s", async (name, bytes, message) => {
    expect(() => parseSafetensors(bytes)).toThrow(CheckpointError);
    expect(() => parseSafetensors(bytes)).toThrow(message);
    const path = join(folder, `${name}.safetensors`);
    await writeFile(path, bytes);
    const error = await readSafetensors(path).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).toContain(path);
  });

  it("takes tensors in any order in the header, and empty ones between", () => {
    const { tensors } = parseSafetensors(
      file({ z: f32(4, 8), x: f32(0, 4), y: f32(4, 4), w: f32(0, 0) }, eight),
    );
    expect([...tensors.keys()]).toEqual(["w", "x", "y", "z"]);
  });

  it("asks a huge sparse file for its header only", async () => {
    const path = join(folder, "sparse.safetensors");
    const sparse = await open(path, "w");
    await sparse.write(file({ x: f32(0, 2 ** 36 - 8) }));
    await sparse.truncate(2 ** 36);
    await sparse.close();
    const before = process.memoryUsage().arrayBuffers;
    await expect(readSafetensors(path)).rejects.toThrow("data must have the 68719476728 bytes");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e6);
  });

  it("maps a file: tensors are views of one buffer, and no write to them reaches it", async () => {
    const path = join(folder, "mapped.safetensors");
    await writeSafetensors(path, tensors);
    const { tensors: mapped } = await readSafetensors(path);
    const w = mapped.get("w")!.data;
    expect(w.buffer).toBe(mapped.get("b")!.data.buffer);
    expect(w.buffer.byteLength).toBe(native.length);
    w.fill(7);
    expect(await readFile(path)).toEqual(native);
    expect((await readSafetensors(path)).tensors.get("w")!.data[0]).toBe(1.5);
    await writeSafetensors(path, tensors.slice(0, 1));
    expect([...mapped.get("w")!.data]).toEqual([7, 7, 7, 7]);
    await rm(path);
    expect([...mapped.get("b")!.data]).toEqual([0x3f80, 0x4000, 0xc000]);
  });

  it.each(["where the caller asks", "where buffers of native memory are forbidden"])(
    "reads what it does not map, %s",
    async (where) => {
      const path = join(folder, "read.safetensors");
      await writeSafetensors(path, tensors);
      const isForbidden = where.startsWith("where buffers");
      configure("externalBuffers", !isForbidden);
      const { tensors: read } = await readSafetensors(path, isForbidden ? {} : { map: false });
      expect(read.get("w")!.data.buffer.byteLength).toBe(16);
      await writeSafetensors(path, tensors);
      expect(read.get("w")!.data[0]).toBe(1.5);
      expect(() => read.get("b")!.data).toThrow(
        `${path}: cannot be read: it has changed since it was opened`,
      );
      await rm(path);
      expect(() => read.get("b")!.data).toThrow(CheckpointError);
      configure("externalBuffers", true);
    },
  );

  it("names a file that cannot be read", async () => {
    await expect(readSafetensors(join(folder, "nowhere"))).rejects.toThrow(/nowhere: cannot be read: ENOENT/);
    await expect(readSafetensors(folder)).rejects.toThrow(/cannot be read: it must be a regular file/);
    if (process.platform === "win32") return;
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(readSafetensors(pipe)).rejects.toThrow(/pipe: cannot be read: it must be a regular file/);
  });

  it("gives a CheckpointError or valid tensors for any mutation", () => {
    const random = new Random(2024);
    let refused = 0;
    for (let i = 0; i < 500; i++) {
      const source = random.integer(2) ? native : foreign;
      let bytes = new Uint8Array(source);
      const headerBytes = 8 + Number(source.readBigUInt64LE());
      for (let n = random.integer(3); n >= 0; n--) {
        const at = random.integer(Math.max(1, random.integer(4) ? headerBytes : bytes.length));
        const kind = random.integer(4);
        if (at >= bytes.length) continue;
        if (kind === 0) bytes[at] = random.integer(256);
        else if (kind === 1) bytes[at]! ^= 1 << random.integer(8);
        else if (kind === 2) bytes[at] = 0x30 + random.integer(10);
        else bytes = bytes.slice(0, random.integer(bytes.length + 1));
      }
      try {
        for (const { dtype, shape, data } of parseSafetensors(bytes).tensors.values()) {
          expect(["f32", "bf16", "i32"]).toContain(dtype);
          expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
        }
      } catch (error) {
        expect(error).toBeInstanceOf(CheckpointError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
    expect(refused).toBeLessThan(500);
  });

  it("refuses to write what it could not read, and leaves no file", async () => {
    const path = join(folder, "refused.safetensors");
    const good = tensors[4]![1];
    const refuse = async (list: [string, unknown][], message: string, metadata?: Record<string, string>) => {
      const error = await writeSafetensors(path, list as [string, StoredTensor][], metadata).catch(
        (error: unknown) => error,
      );
      expect(error).toBeInstanceOf(ArgumentError);
      expect((error as Error).message).toContain(message);
    };
    await refuse(
      [["w", { ...good, shape: [5] }]],
      "tensor 'w': data must have the 5 elements of [ 5 ]; got 4",
    );
    await refuse([["w", { ...good, shape: [-4] }]], "shape must be a list of sizes; got [ -4 ]");
    await refuse([["w", { ...good, dtype: "f16" }]], "dtype must be one of f32, i32, bf16; got 'f16'");
    await refuse([["w", { ...good, dtype: "i32" }]], "data must be a Int32Array, as i32 is");
    await refuse([["__metadata__", good]], "name must be");
    await refuse([["\ud800", good]], "name must be well-formed");
    await refuse(
      [
        ["w", good],
        ["w", good],
      ],
      "must have each name once; got 'w' twice",
    );
    await refuse([["w", good]], "metadata: 'epoch' must be a well-formed string; got 3", {
      epoch: 3 as never,
    });
    expect((await readdir(folder)).filter((name) => name.startsWith("refused"))).toEqual([]);
  });
});

describe("writeAtomically", () => {
  it("replaces the file whole", async () => {
    const path = join(folder, "atomic");
    await writeAtomically(path, [Buffer.from("one"), new Uint8Array(0), Buffer.alloc(3_000_000, "x")]);
    expect(await readFile(path, "utf8")).toBe(`one${"x".repeat(3_000_000)}`);
    await writeAtomically(path, [Buffer.from("two")]);
    expect(await readFile(path, "utf8")).toBe("two");
  });

  it("keeps the old file and leaves no other when a chunk fails", async () => {
    const inner = join(folder, "inner");
    await mkdir(inner);
    const path = join(inner, "kept");
    await writeAtomically(path, [Buffer.from("old")]);
    function* failing() {
      yield Buffer.from("new");
      throw new RangeError("no more");
    }
    await expect(writeAtomically(path, failing())).rejects.toMatchObject({
      code: "ERR_CHECKPOINT",
      message: `${path}: cannot be written: no more`,
      cause: expect.any(RangeError),
    });
    expect(await readFile(path, "utf8")).toBe("old");
    await expect(writeAtomically(inner, [Buffer.from("x")])).rejects.toBeInstanceOf(CheckpointError);
    await expect(writeAtomically(join(inner, "no", "where"), [])).rejects.toThrow(
      /cannot be written: ENOENT/,
    );
    expect(await readdir(inner)).toEqual(["kept"]);
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});
