import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { CheckpointError, show } from "../errors.ts";
import type { ReadOptions } from "./file-bytes.ts";
import { readJSON } from "./json-text.ts";
import { readSafetensors, type StoredTensor } from "./safetensors.ts";
import { isRecord } from "./stored-tensor.ts";

/** The tensors of a folder, read when they are asked for. */
export interface Checkpoint {
  /** What errors call it. */
  readonly source: string;
  readonly metadata: Readonly<Record<string, string>>;
  names(): Iterable<string>;
  has(name: string): boolean;
  /** @throws ERR_CHECKPOINT if there is none of that name */
  get(name: string): StoredTensor;
}

/** @internal Tensors that are in memory as a checkpoint. */
export function checkpointOf(
  tensors: ReadonlyMap<string, StoredTensor>,
  source: string,
  metadata: Readonly<Record<string, string>> = {},
): Checkpoint {
  return {
    source,
    metadata,
    names: () => tensors.keys(),
    has: (name) => tensors.has(name),
    get(name) {
      const stored = tensors.get(name);
      if (stored === undefined) throw new CheckpointError(`${source}: tensor ${name} is missing`);
      return stored;
    },
  };
}

export const indexName = "model.safetensors.index.json";

const isPickle = (name: string): boolean => /\.(bin|pt|pth|ckpt|pkl)(\.index\.json)?$/.test(name);

const pickleAdvice =
  "is a PyTorch pickle, and loading a pickle runs whatever code is in it; convert it where it is trusted: " +
  'in Python, AutoModel.from_pretrained(folder).save_pretrained("converted", safe_serialization=True), or the script ' +
  "convert.py of the package safetensors, and open what that writes";

/**
 * The tensors of a Hugging Face checkpoint: a folder with `model.safetensors`, or with the shards that
 * `model.safetensors.index.json` lists; or one such file itself. Tensors are views of the mapped files where their dtype
 * is ours (see {@link ReadOptions}).
 *
 * @throws ERR_CHECKPOINT naming the file that is missing, malformed, or a pickle
 */
export async function openCheckpoint(location: string, options: ReadOptions = {}): Promise<Checkpoint> {
  const facts = await stat(location).catch((cause) => {
    throw new CheckpointError(`${location}: cannot be read: ${(cause as Error).message}`, { cause });
  });
  const file = facts.isDirectory() ? await findWeights(location) : location;
  if (isPickle(file)) throw new CheckpointError(`${file}: ${pickleAdvice}`);
  if (file.endsWith(".gguf")) throw new CheckpointError(`${file}: is GGUF; open it with openGGUF`);
  if (file.endsWith(".json")) return openShards(file, options);
  const { tensors, metadata } = await readSafetensors(file, options);
  return checkpointOf(tensors, file, metadata);
}

async function findWeights(folder: string): Promise<string> {
  const names = await readdir(folder);
  const usual = ["model.safetensors", indexName].find((name) => names.includes(name));
  const other = names.find((name) => /^(pytorch_model|consolidated|model)\b/.test(name) && isPickle(name));
  const name = usual ?? other ?? names.find(isPickle) ?? names.find((name) => name.endsWith(".gguf"));
  if (name !== undefined) return path.join(folder, name);
  throw new CheckpointError(`${folder}: must hold model.safetensors or ${indexName}; got ${show(names)}`);
}

/** `{ metadata, weight_map: { tensor: file } }`, the files lying beside it. */
async function openShards(file: string, options: ReadOptions): Promise<Checkpoint> {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${file}: ${problem}`);
  };
  const json = await readJSON(file);
  const map = isRecord(json) ? json.weight_map : undefined;
  if (!isRecord(map)) return fail(`must hold { weight_map: { tensor: file } }; got ${show(json)}`);
  const shards = new Map<string, Map<string, StoredTensor>>();
  const tensors = new Map<string, StoredTensor>();
  let metadata: Record<string, string> = {};
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || !/^[^/\\:\0]+\.safetensors$/.test(shard)) {
      return fail(
        `weight_map: ${show(name)} must be in a .safetensors file of the same folder; got ${show(shard)}`,
      );
    }
    if (!shards.has(shard)) {
      const read = await readSafetensors(path.join(path.dirname(file), shard), options);
      shards.set(shard, read.tensors);
      if (shards.size === 1) metadata = read.metadata;
    }
    const tensor = shards.get(shard)!.get(name);
    if (tensor === undefined) return fail(`weight_map: ${shard} must hold the tensor ${show(name)}`);
    tensors.set(name, tensor);
  }
  return checkpointOf(tensors, file, metadata);
}
