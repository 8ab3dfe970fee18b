import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ArgumentError, CheckpointError } from "../src/errors.ts";
import { GPT, Llama, tensor } from "../src/index.ts";
import { type GGUF, openGGUF } from "../src/io/gguf.ts";
import type { GGUFValue } from "../src/io/gguf-types.ts";
import { writeGGUF } from "../src/io/gguf-writer.ts";
import { readSafetensors, type StoredTensor } from "../src/io/safetensors.ts";
import { fromGGUF, toGGUF } from "../src/models/gguf-format.ts";
import { fromGGUFTokenizer, toGGUFTokenizer } from "../src/models/gguf-tokenizer.ts";
import { Tokenizer } from "../src/text/tokenizer.ts";

const golden = (name: string) => fileURLToPath(new URL(`golden/${name}`, import.meta.url));

const architectures = ["llama", "qwen2", "qwen3", "gpt2"] as const;
const models = new Map(
  await Promise.all(
    architectures.map(async (architecture) => {
      const theirs = await readSafetensors(golden(`gguf-${architecture}.safetensors`));
      const model = {
        gguf: await openGGUF(golden(`gguf-${architecture}.gguf`)),
        tensors: theirs.tensors,
        config: JSON.parse(theirs.metadata.config!) as Record<string, unknown>,
        tokenizer: JSON.parse(theirs.metadata.tokenizer!) as Record<string, unknown>,
        encodings: JSON.parse(theirs.metadata.encodings!) as [string, number[]][],
      };
      return [architecture, model] as const;
    }),
  ),
);

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(path.join(tmpdir(), "gguf-models-"))));
afterAll(() => rm(folder, { recursive: true }));

/** The same file with other metadata. */
const withMetadata = (gguf: GGUF, changes: Record<string, GGUFValue | undefined>): GGUF => {
  const metadata = new Map(gguf.metadata);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
  }
  return { ...gguf, metadata };
};

describe.each(architectures)("%s", (architecture) => {
  const { gguf, tensors, config, tokenizer } = models.get(architecture)!;

  test("is read as Hugging Face stores it", () => {
    const model = fromGGUF(gguf);
    expect([...model.checkpoint.names()].sort()).toEqual([...tensors.keys()].sort());
    for (const [name, tensor] of tensors) {
      expect(model.checkpoint.has(name)).toBe(true);
      expect(model.checkpoint.get(name), name).toEqual(tensor);
    }
    const theirs = { head_dim: 8, ...config };
    for (const [key, value] of Object.entries(model.config))
      expect(value, key).toEqual(theirs[key as keyof typeof theirs]);
    const read = ["vocab_size", "tie_word_embeddings", "model_type", "architectures", "bos_token_id"];
    expect(Object.keys(model.config)).toEqual(expect.arrayContaining(read));
    expect(() => model.checkpoint.get("model.extra.weight")).toThrow("tensor model.extra.weight is missing");
  });

  test("is written as llama.cpp lays it out", async () => {
    const target = path.join(folder, `${architecture}.gguf`);
    const written = toGGUF(config, tensors, {
      name: "tiny",
      tokenizer: toGGUFTokenizer({ tokenizer, config: {} }),
    });
    await writeGGUF(target, written.metadata, written.tensors);
    const back = await openGGUF(target);
    expect([...back.names()].sort()).toEqual([...gguf.names()].sort());
    for (const name of gguf.names()) {
      expect(back.typeOf(name), name).toBe(gguf.typeOf(name));
      if (name !== "rope_freqs.weight") expect(back.bytesOf(name), name).toEqual(gguf.bytesOf(name));
    }
    for (const [key, value] of gguf.metadata) expect(back.metadata.get(key), key).toEqual(value);
    expect(fromGGUF(back).config).toEqual(fromGGUF(gguf).config);
  });

  test("is written in Q8_0: matrices, and not what is read row by row", async () => {
    const { metadata, tensors: out } = toGGUF(config, tensors, { type: "Q8_0" });
    expect(metadata.get("general.file_type")).toEqual({ type: "u32", value: 7 });
    for (const [name, { tensor, type }] of out) {
      const isMatrix = tensor.shape.length === 2 && name !== "position_embd.weight";
      expect(type ?? "F32", name).toBe(isMatrix ? "Q8_0" : "F32");
    }
  });

  test("has a tokenizer that comes back as it was", () => {
    const { tokenizer: read, config: names } = fromGGUFTokenizer(gguf);
    expect(names).toMatchObject({ bos_token: "<s>", eos_token: "</s>" });
    const model = tokenizer.model as Record<string, unknown>;
    const readModel = read.model as Record<string, unknown>;
    expect(readModel.vocab).toEqual(model.vocab);
    if (architecture === "llama") {
      const place = new Map((readModel.merges as string[][]).map((pair, i) => [pair.join(" "), i]));
      const places = (model.merges as string[][]).map((pair) => place.get(pair.join(" ")));
      expect(places).not.toContain(undefined);
      expect(places).toEqual([...places].sort((a, b) => a! - b!));
      expect({ ...readModel, vocab: 0, merges: 0 }).toEqual({ ...model, vocab: 0, merges: 0 });
    } else expect(readModel).toEqual(model);
    const { model: _, added_tokens, ...parts } = tokenizer;
    const { model: _readModel, added_tokens: readAdded, ...readParts } = read;
    expect(readAdded).toEqual(added_tokens);
    const { pair: _pair, ...processor } = (parts.post_processor ?? {}) as Record<string, unknown>;
    const { pair: _readPair, ...readProcessor } = (readParts.post_processor ?? {}) as Record<string, unknown>;
    expect(readProcessor).toEqual(processor);
    for (const part of ["normalizer", "pre_tokenizer", "decoder"]) {
      expect(readParts[part as keyof typeof readParts], part).toMatchObject(
        (parts[part] ?? {}) as Record<string, unknown>,
      );
    }
  });
});

test.each(architectures)("%s computes the same from either file, and from shards", async (architecture) => {
  const { config } = models.get(architecture)!;
  const Model: { fromPretrained(location: string): Promise<GPT | Llama> } =
    architecture === "gpt2" ? GPT : Llama;
  const theirs = path.join(folder, architecture);
  await mkdir(theirs);
  await copyFile(golden(`gguf-${architecture}.safetensors`), path.join(theirs, "model.safetensors"));
  await writeFile(path.join(theirs, "config.json"), JSON.stringify(config));
  const logits = async (location: string) => {
    const model = await Model.fromPretrained(location);
    model.eval();
    return model(
      tensor(
        Int32Array.from({ length: 16 }, (_, i) => 3 + i),
        [1, 16],
      ),
    ).logits.data();
  };
  const expected = await logits(theirs);
  expect(Math.max(...expected)).toBeGreaterThan(0.1);
  expect(await logits(golden(`gguf-${architecture}.gguf`))).toEqual(expected);
  const sharded = path.join(theirs, "sharded");
  await (await Model.fromPretrained(theirs)).savePretrained(sharded, { maxShardSize: "20KB" });
  expect((await readdir(sharded)).length).toBeGreaterThan(4);
  expect(await logits(sharded)).toEqual(expected);
});

test.each(architectures)("the tokenizer of %s encodes as the one it came from", (architecture) => {
  const { gguf, encodings } = models.get(architecture)!;
  const read = Tokenizer.fromJSON(fromGGUFTokenizer(gguf).tokenizer);
  for (const [text, ids] of encodings) expect([...read.encode(text)]).toEqual(ids);
});

describe("what is refused", () => {
  const { gguf, config, tensors, tokenizer } = models.get("llama")!;
  const string = (value: string): GGUFValue => ({ type: "string", value });
  const u32 = (value: number): GGUFValue => ({ type: "u32", value });

  test.each<[string, Record<string, GGUFValue | undefined>, string]>([
    [
      "no architecture",
      { "general.architecture": undefined },
      "general.architecture must be a string; got undefined",
    ],
    [
      "another architecture",
      { "general.architecture": string("mamba") },
      "one of llama, qwen2, qwen3, gpt2; got 'mamba'",
    ],
    ["a missing size", { "llama.block_count": undefined }, "llama.block_count must be an integer from 0"],
    [
      "a size that is text",
      { "llama.embedding_length": string("x") },
      "llama.embedding_length must be an integer",
    ],
    ["no heads", { "llama.attention.head_count": u32(0) }, "llama.attention.head_count must be at least 1"],
    ["experts", { "llama.expert_count": u32(8) }, "llama.expert_count must be 0; got 8"],
    [
      "part of a head rotated",
      { "llama.rope.dimension_count": u32(8) },
      "llama.rope.dimension_count must be 16; got 8",
    ],
    [
      "other sizes of values",
      { "llama.attention.value_length": u32(8) },
      "llama.attention.value_length must be 16",
    ],
    [
      "no epsilon",
      { "llama.attention.layer_norm_rms_epsilon": undefined },
      "rms_epsilon must be a finite number",
    ],
    [
      "other factors",
      { "llama.rope.freq_base": { type: "f32", value: 500 } },
      "must hold Llama 3's factors of 8 frequencies",
    ],
  ])("%s", (_, changes, message) => {
    expect(() => fromGGUF(withMetadata(gguf, changes))).toThrow(CheckpointError);
    expect(() => fromGGUF(withMetadata(gguf, changes))).toThrow(message);
  });

  test("tensors of another architecture, or that have no rows for each head", () => {
    const other = withMetadata(gguf, { "general.architecture": string("gpt2") });
    expect(() => fromGGUF(other)).toThrow("gpt2.embedding_length must be");
    const named: GGUF = { ...gguf, names: () => ["blk.0.ffn_gate_exps.weight"] };
    expect(() => fromGGUF(named)).toThrow(
      "tensor 'blk.0.ffn_gate_exps.weight' is none of architecture llama",
    );
    const odd = withMetadata(gguf, { "llama.attention.head_count": u32(3) });
    expect(() => fromGGUF(odd).checkpoint.get("model.layers.0.self_attn.q_proj.weight")).toThrow(
      "tensor blk.0.attn_q.weight must have an even number of rows for each of 3 heads; got [ 64, 32 ]",
    );
  });

  test.each<[string, Record<string, GGUFValue | undefined>, string]>([
    [
      "no model",
      { "tokenizer.ggml.model": undefined },
      'tokenizer.ggml.model must be one of "gpt2", "llama"',
    ],
    ["another model", { "tokenizer.ggml.model": string("bert") }, "got 'bert'"],
    ["no tokens", { "tokenizer.ggml.tokens": undefined }, "tokenizer.ggml.tokens must be a list of strings"],
    [
      "no scores",
      { "tokenizer.ggml.scores": undefined },
      "tokenizer.ggml.scores must be the score of each token",
    ],
    [
      "too few scores",
      { "tokenizer.ggml.scores": { type: "array", of: "f32", value: new Float32Array(2) } },
      "a number for each of",
    ],
    [
      "an id of no token",
      { "tokenizer.ggml.eos_token_id": u32(5000) },
      "tokenizer.ggml.eos_token_id must be the place of one of",
    ],
    [
      "a flag that is none",
      { "tokenizer.ggml.add_bos_token": u32(1) },
      "add_bos_token must be true or false; got 1",
    ],
    [
      "a token too long",
      { "tokenizer.ggml.tokens": { type: "array", of: "string", value: Array(320).fill("x".repeat(600)) } },
      "of at most 512 characters",
    ],
    [
      "BPE without merges",
      { "tokenizer.ggml.model": string("gpt2") },
      "tokenizer.ggml.merges must be a list of strings",
    ],
  ])("a tokenizer with %s", (_, changes, message) => {
    expect(() => fromGGUFTokenizer(withMetadata(gguf, changes))).toThrow(CheckpointError);
    expect(() => fromGGUFTokenizer(withMetadata(gguf, changes))).toThrow(message);
  });

  test("a way to split text that is not known", () => {
    const { gguf } = models.get("gpt2")!;
    const other = withMetadata(gguf, { "tokenizer.ggml.pre": string("tekken") });
    expect(() => fromGGUFTokenizer(other)).toThrow("tokenizer.ggml.pre must be one of gpt-2, gpt2");
    const strange = { ...models.get("gpt2")!.tokenizer, pre_tokenizer: { type: "Whitespace" } };
    expect(() => toGGUFTokenizer({ tokenizer: strange, config: {} })).toThrow(
      "must split text as gpt-2, llama-bpe",
    );
    const unigram = { ...tokenizer, model: { type: "Unigram" } };
    expect(() => toGGUFTokenizer({ tokenizer: unigram, config: {} })).toThrow(ArgumentError);
  });

  test("a model that GGUF has no place for", () => {
    const refuse = (
      changes: Record<string, unknown>,
      message: string,
      state: Iterable<[string, StoredTensor]> = tensors,
    ) => {
      expect(() => toGGUF({ ...config, ...changes }, state)).toThrow(ArgumentError);
      expect(() => toGGUF({ ...config, ...changes }, state)).toThrow(message);
    };
    refuse(
      { model_type: "bert" },
      "model_type must be one of llama, mistral, qwen2, qwen3, gpt2; got 'bert'",
    );
    refuse({ hidden_act: "gelu" }, "hidden_act must be");
    refuse({ rope_parameters: { rope_type: "longrope" } }, "rope_type default, linear, yarn or llama3");
    refuse({ rope_parameters: { rope_type: "yarn", factor: 2, beta_fast: 3 } }, "without beta_fast");
    refuse({ hidden_size: undefined }, "hidden_size must be an integer");
    refuse({ num_attention_heads: 5 }, "q_proj.weight' must have an even number of rows for each of 5 heads");
    refuse({}, "'lm_head.bias.x' is none of architecture llama", [
      ["lm_head.bias.x", tensors.get("model.norm.weight")!],
    ]);
  });
});
