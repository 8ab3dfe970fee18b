import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ArgumentError, CheckpointError } from "../src/errors.ts";
import { openCheckpoint } from "../src/io/checkpoint.ts";
import { type StoredTensor, writeSafetensors } from "../src/io/safetensors.ts";
import { writeCheckpoint } from "../src/io/shards.ts";

const f32 = (...values: number[]): StoredTensor => ({
  dtype: "f32",
  shape: [values.length],
  data: Float32Array.from(values),
});
const bf16 = (length: number): StoredTensor => ({
  dtype: "bf16",
  shape: [length],
  data: new Uint16Array(length).fill(0x3f80),
});
const tensors = new Map<string, StoredTensor>([
  ["embed", f32(1, 2, 3, 4, 5, 6, 7, 8)],
  ["b.1", f32(1, 2)],
  ["a", bf16(4)],
  ["b.2", f32(3, 4)],
  ["norm", f32(9)],
]);

let root: string;
let folder: string;
beforeAll(async () => void (root = await mkdtemp(path.join(tmpdir(), "checkpoint-"))));
beforeEach(async () => void (folder = await mkdtemp(path.join(root, "model-"))));
afterAll(() => rm(root, { recursive: true }));

const inFolder = (name: string) => path.join(folder, name);
const indexFile = () => inFolder("model.safetensors.index.json");

async function refused(location = folder): Promise<string> {
  const error = await openCheckpoint(location).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as Error).message;
}

describe("writeCheckpoint and openCheckpoint", () => {
  test("one file", async () => {
    expect(await writeCheckpoint(folder, tensors, { metadata: { made: "here" } })).toEqual([
      "model.safetensors",
    ]);
    for (const location of [folder, inFolder("model.safetensors")]) {
      const checkpoint = await openCheckpoint(location);
      expect(checkpoint.source).toBe(inFolder("model.safetensors"));
      expect(checkpoint.metadata).toEqual({ format: "pt", made: "here" });
      expect([...checkpoint.names()].sort()).toEqual([...tensors.keys()].sort());
      for (const [name, tensor] of tensors) expect(checkpoint.get(name)).toEqual(tensor);
      expect(checkpoint.has("c")).toBe(false);
      expect(() => checkpoint.get("c")).toThrow("model.safetensors: tensor c is missing");
    }
  });

  /** What huggingface_hub 1.x's split_torch_state_dict_into_shards does with sizes 32, 8, 8, 8, 4 and at most 20. */
  test("shards of a size, in Hugging Face's layout", async () => {
    const files = await writeCheckpoint(folder, tensors, { maxShardSize: 20 });
    const [one, two, three] = [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`);
    expect(files).toEqual([one, two, three]);
    expect(await readFile(indexFile(), "utf8")).toBe(
      `${JSON.stringify(
        {
          metadata: { total_parameters: 17, total_size: 60 },
          weight_map: { a: two, "b.1": two, "b.2": three, embed: one, norm: three },
        },
        null,
        2,
      )}\n`,
    );
    for (const location of [folder, indexFile()]) {
      const checkpoint = await openCheckpoint(location);
      for (const [name, tensor] of tensors) expect(checkpoint.get(name)).toEqual(tensor);
      expect(checkpoint.metadata).toEqual({ format: "pt" });
    }
  });

  test("what an earlier checkpoint left is removed, and nothing else", async () => {
    await writeFile(inFolder("model.txt"), "");
    await writeCheckpoint(folder, tensors, { maxShardSize: "0.02KB" });
    expect(await readdir(folder)).toHaveLength(5);
    await writeCheckpoint(folder, tensors, { maxShardSize: "1MB" });
    expect((await readdir(folder)).sort()).toEqual(["model.safetensors", "model.txt"]);
    await writeCheckpoint(folder, tensors, { maxShardSize: 30 });
    expect((await readdir(folder)).sort()).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "model.txt",
    ]);
  });

  test("the data of a shard is asked for when its turn comes", async () => {
    const asked: string[] = [];
    const lazy = [...tensors].map(([name, { dtype, shape, data }]) => {
      const tensor = {
        dtype,
        shape,
        get data() {
          asked.push(name);
          return data;
        },
      };
      return [name, tensor] as const;
    });
    lazy.push(["last", { ...f32(1), shape: [2] }]);
    await expect(writeCheckpoint(folder, lazy, { maxShardSize: 20 })).rejects.toBeInstanceOf(ArgumentError);
    expect(new Set(asked)).toEqual(new Set(tensors.keys()));
    expect(await readdir(folder)).toHaveLength(2);
  });

  test.each(["5XB", "GB", "", "-1", "0", 0, -5, Number.NaN, Infinity, "1e9"])(
    "refuses the size %j",
    async (maxShardSize) => {
      await expect(writeCheckpoint(folder, tensors, { maxShardSize })).rejects.toThrow(
        "maxShardSize must be a number of bytes",
      );
    },
  );

  test("refuses a name given twice in different shards", async () => {
    const twice = [...tensors, ["embed", f32(1)] as const];
    await expect(writeCheckpoint(folder, twice, { maxShardSize: 20 })).rejects.toThrow("got 'embed' twice");
  });
});

describe("openCheckpoint refuses", () => {
  test("what is not there", async () => {
    expect(await refused(inFolder("nowhere"))).toContain("nowhere: cannot be read: ENOENT");
    expect(await refused()).toContain("must hold model.safetensors or model.safetensors.index.json; got []");
  });

  test.each([
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "weights.pt",
    "consolidated.00.pth",
    "epoch=3.ckpt",
  ])("%s, and says why and what to do", async (name) => {
    await writeFile(inFolder(name), "");
    for (const location of [folder, inFolder(name)]) {
      expect(await refused(location)).toMatch(
        new RegExp(
          `${name}: is a PyTorch pickle, and loading a pickle runs whatever code is in it; convert.*safe_serialization=True`,
        ),
      );
    }
  });

  test("GGUF, whose tensors have other names", async () => {
    await writeFile(inFolder("m.gguf"), "");
    expect(await refused()).toContain("m.gguf: is GGUF; open it with openGGUF");
  });

  test("an index that is none", async () => {
    const indices: [unknown, string][] = [
      ["[]", "must hold { weight_map: { tensor: file } }; got []"],
      ["{}", "must hold { weight_map"],
      ['{"weight_map": 5}', "must hold { weight_map"],
      ["{", "must be JSON in UTF-8"],
      ['{"weight_map":{"a":"x","a":"y"}}', "must have each key once; got 'a' twice"],
      [`{"a":${"[".repeat(100)}${"]".repeat(100)}}`, "must be nested at most 64 deep"],
    ];
    for (const [text, message] of indices) {
      await writeFile(indexFile(), text as string);
      expect(await refused()).toContain(message);
    }
  });

  test("shards elsewhere", async () => {
    await mkdir(inFolder("sub"));
    await writeSafetensors(inFolder("sub/x.safetensors"), tensors);
    const elsewhere = [
      "../x.safetensors",
      "sub/x.safetensors",
      "/x.safetensors",
      "..\\x.safetensors",
      "C:x.safetensors",
    ];
    for (const shard of [...elsewhere, "x.bin", "", 5, null, "a\0.safetensors"]) {
      await writeFile(indexFile(), JSON.stringify({ weight_map: { embed: shard } }));
      expect(await refused()).toContain("'embed' must be in a .safetensors file of the same folder; got");
    }
  });

  test("a shard or a tensor that is missing", async () => {
    const files = await writeCheckpoint(folder, tensors, { maxShardSize: 20 });
    await rename(inFolder(files[1]!), inFolder("away"));
    expect(await refused()).toContain(`${files[1]}: cannot be read: ENOENT`);
    await rename(inFolder(files[2]!), inFolder(files[1]!));
    expect(await refused()).toContain(`weight_map: ${files[1]} must hold the tensor 'a'`);
  });
});
