import { mkdir, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { bytesPerElement } from "../dtype.ts";
import { ArgumentError, show } from "../errors.ts";
import { indexName } from "./checkpoint.ts";
import { writeAtomically } from "./files.ts";
import { type StoredTensor, writeSafetensors } from "./safetensors.ts";
import { countElements } from "./stored-tensor.ts";

export interface WriteCheckpointOptions {
  /** Of one file, in bytes or as "5GB", "300MB", "10KB" (powers of ten); a larger tensor has a file of its own. Default "50GB" */
  maxShardSize?: number | string;
  /** Of each file. */
  metadata?: Readonly<Record<string, string>>;
}

type Named = readonly [name: string, tensor: StoredTensor];

const units = { "": 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 } as const;

function parseSize(size: number | string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([KMGT]B|)$/i.exec(String(size)) ?? [];
  const bytes = Number(digits) * units[(unit ?? "").toUpperCase() as keyof typeof units];
  if (Number.isSafeInteger(Math.floor(bytes)) && bytes >= 1) return Math.floor(bytes);
  throw new ArgumentError(
    `writeCheckpoint: maxShardSize must be a number of bytes, or one with KB, MB, GB or TB such as "5GB"; got ${show(size)}`,
  );
}

const sizeOf = ({ dtype, shape }: StoredTensor): number => countElements(shape) * bytesPerElement[dtype];

/** Tensors in their order, as many to a shard as fit; one that fits into no shard stands alone. */
function split(tensors: readonly Named[], max: number): Named[][] {
  const shards: Named[][] = [];
  let filling: Named[] = [];
  let bytes = 0;
  for (const named of tensors) {
    const size = sizeOf(named[1]);
    if (size > max) {
      shards.push([named]);
      continue;
    }
    if (bytes + size > max) {
      shards.push(filling);
      [filling, bytes] = [[], 0];
    }
    filling.push(named);
    bytes += size;
  }
  if (filling.length > 0 || shards.length === 0) shards.push(filling);
  return shards;
}

const isOurs = (name: string): boolean =>
  /^model(-\d{5}-of-\d{5})?\.safetensors$/.test(name) || name === indexName;

/**
 * Writes `tensors` into `folder` as Hugging Face's `save_pretrained` does: `model.safetensors`, or, if they are larger
 * than maxShardSize, `model-00001-of-0000N.safetensors` … and `model.safetensors.index.json`. Files of an earlier
 * checkpoint that this one does not have are removed. Each file appears whole or not at all; of several shards, some may be
 * there when writing fails, but the index is written last.
 *
 * The data of a shard is asked for when its turn comes.
 *
 * @param tensors pairs of name and tensor, such as a `Map`
 * @returns the names of the files with tensors
 * @throws ERR_ARGUMENT as {@link writeSafetensors}; ERR_CHECKPOINT when a file cannot be written
 */
export async function writeCheckpoint(
  folder: string,
  tensors: Iterable<Named>,
  { maxShardSize = "50GB", metadata = {} }: WriteCheckpointOptions = {},
): Promise<string[]> {
  const max = parseSize(maxShardSize);
  const all = [...tensors];
  const names = new Set<string>();
  for (const [name] of all) {
    if (names.has(name))
      throw new ArgumentError(`writeCheckpoint: tensors must have each name once; got ${show(name)} twice`);
    names.add(name);
  }
  const shards = split(all, max);
  const number = (n: number) => String(n).padStart(5, "0");
  const files =
    shards.length === 1
      ? ["model.safetensors"]
      : shards.map((_, i) => `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`);
  await mkdir(folder, { recursive: true });
  for (const [i, shard] of shards.entries())
    await writeSafetensors(path.join(folder, files[i]!), shard, metadata);
  const written = new Set(files);
  if (shards.length > 1) {
    const places = shards.flatMap((shard, i) => shard.map(([name]) => [name, files[i]!] as const));
    const weightMap = Object.fromEntries(places.sort(([a], [b]) => (a < b ? -1 : 1)));
    const index = {
      metadata: {
        total_parameters: all.reduce((sum, [, { shape }]) => sum + countElements(shape), 0),
        total_size: all.reduce((sum, [, tensor]) => sum + sizeOf(tensor), 0),
      },
      weight_map: weightMap,
    };
    await writeAtomically(path.join(folder, indexName), [Buffer.from(`${JSON.stringify(index, null, 2)}\n`)]);
    written.add(indexName);
  }
  for (const name of await readdir(folder))
    if (isOurs(name) && !written.has(name)) await rm(path.join(folder, name));
  return files;
}
