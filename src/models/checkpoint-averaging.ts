import { copyFile, mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import { noGrad } from "../autograd.ts";
import { type DtypeArray, fromBf16, toBf16Bits } from "../dtype.ts";
import { ArgumentError, CheckpointError } from "../errors.ts";
import { openCheckpoint } from "../io/checkpoint.ts";
import type { StoredTensor } from "../io/safetensors.ts";
import { type WriteCheckpointOptions, writeCheckpoint } from "../io/shards.ts";
import { lazyTensor } from "../io/stored-tensor.ts";
import { scope } from "../memory.ts";
import { add, scale } from "../ops/elementwise.ts";
import { asF32, cast } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { shares } from "./ensemble.ts";

export interface AverageOptions {
  /** Of each model, divided by their sum. Default: all alike. */
  weights?: readonly number[];
}

/** Tensors by name, of one model. */
interface Source<T> {
  readonly name: string;
  names(): Iterable<string>;
  get(name: string): T;
}

/** Throws unless all have the same names, and under each the same shape and dtype. @returns the names */
function commonNames<T extends Pick<Tensor, "dtype" | "shape">>(sources: readonly Source<T>[]): string[] {
  const [first, ...others] = sources as [Source<T>, ...Source<T>[]];
  const names = [...first.names()];
  for (const other of others) {
    const own = new Set(other.names());
    const missing = names.filter((name) => !own.has(name));
    const more = [...own].filter((name) => !names.includes(name));
    if (missing.length + more.length > 0) {
      const list = (of: string[]) =>
        of.length > 5 ? `${of.slice(0, 5).join(", ")} …` : of.join(", ") || "none";
      throw new CheckpointError(
        `${other.name} must have the tensors of ${first.name}; got missing: ${list(missing)}, unexpected: ${list(more)}`,
      );
    }
    for (const name of names) {
      const [expected, got] = [first.get(name), other.get(name)].map(
        (t) => `${t!.dtype} ${showShape(t!.shape)}`,
      );
      if (got !== expected) {
        throw new CheckpointError(
          `${other.name}: ${name} must be ${expected}, as in ${first.name}; got ${got}`,
        );
      }
    }
  }
  return names;
}

function checkSources(name: string, argument: string, sources: readonly unknown[]): void {
  if (Array.isArray(sources) && sources.length > 0) return;
  const came = Array.isArray(sources) ? "none" : String(sources);
  throw new ArgumentError(`${name}: ${argument} must be an array of at least one; got ${came}`);
}

/**
 * The mean of the parameters of several models of one kind, for `loadStateDict`. That of the last checkpoints of a run is
 * often better than each of them.
 *
 * @param states as `stateDict()` gives them, on one device
 * @throws ERR_ARGUMENT on none and on bad weights; ERR_CHECKPOINT if names, shapes or dtypes differ
 * @see Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization"; Wortsman et al. 2022,
 *   "Model soups"
 */
export function averageStateDicts(
  states: readonly ReadonlyMap<string, Tensor>[],
  { weights }: AverageOptions = {},
): Map<string, Tensor> {
  checkSources("averageStateDicts", "states", states);
  const factors = shares("averageStateDicts: weights", weights, states.length);
  const names = commonNames(
    states.map((state, i) => ({
      name: `averageStateDicts: states[${i}]`,
      names: () => state.keys(),
      get: (name) => state.get(name)!,
    })),
  );
  const average = (tensors: readonly Tensor[]) =>
    scope(() => {
      const sum = tensors.map((t, i) => scale(asF32(t), factors[i]!)).reduce((a, b) => add(a, b));
      return cast(sum, tensors[0]!.dtype);
    });
  return noGrad(() => new Map(names.map((name) => [name, average(states.map((state) => state.get(name)!))])));
}

/** What of a folder belongs to the model, beside its weights. */
const companions = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
  "chat_template.jinja",
];

export interface AverageCheckpointsOptions
  extends AverageOptions,
    Pick<WriteCheckpointOptions, "maxShardSize"> {}

/**
 * Writes the mean of the weights of several checkpoints into the folder `output`, with the configuration and the
 * tokenizer of the first, so that `fromPretrained` reads it. Tensors are read one by one from the mapped files and summed
 * in f64: memory is that of one model, unless files are of f16, which are decoded.
 *
 * ```ts
 * await averageCheckpoints(["run/checkpoint-800", "run/checkpoint-900", "run/checkpoint-1000"], "run/averaged");
 * ```
 *
 * @param folders with `model.safetensors` or shards, or such files
 * @throws ERR_ARGUMENT on none, on bad weights, and if `output` is among them; ERR_CHECKPOINT if one cannot be read, and
 *   if names, shapes, dtypes or tensors of integers differ
 * @see {@link averageStateDicts}
 */
export async function averageCheckpoints(
  folders: readonly string[],
  output: string,
  { weights, maxShardSize = "50GB" }: AverageCheckpointsOptions = {},
): Promise<void> {
  const name = "averageCheckpoints";
  checkSources(name, "folders", folders);
  const factors = shares(`${name}: weights`, weights, folders.length);
  if (folders.some((folder) => path.resolve(folder) === path.resolve(output))) {
    throw new ArgumentError(`${name}: output must not be one of folders; got ${output}`);
  }
  const checkpoints = await Promise.all(folders.map((folder) => openCheckpoint(folder)));
  const sources = checkpoints.map((checkpoint) => ({
    name: checkpoint.source,
    names: () => checkpoint.names(),
    get: (key: string) => checkpoint.get(key),
  }));
  const tensors = commonNames(sources).map((key): [string, StoredTensor] => {
    const { dtype, shape } = sources[0]!.get(key);
    return [key, lazyTensor(dtype, shape, () => averaged(sources, key, factors))];
  });
  await mkdir(output, { recursive: true });
  await writeCheckpoint(output, tensors, { maxShardSize });
  const present = new Set(folders[0]!.endsWith(".safetensors") ? [] : await readdir(folders[0]!));
  for (const file of companions) {
    if (present.has(file)) await copyFile(path.join(folders[0]!, file), path.join(output, file));
  }
}

function averaged(
  sources: readonly Source<StoredTensor>[],
  name: string,
  factors: readonly number[],
): DtypeArray {
  const { dtype, data: first } = sources[0]!.get(name);
  if (dtype === "i32") {
    const other = sources.find((source) => {
      const { data } = source.get(name);
      return data.some((value, i) => value !== first[i]);
    });
    if (other === undefined) return first;
    throw new CheckpointError(
      `${other.name}: ${name} must be as in ${sources[0]!.name}, for integers have no mean`,
    );
  }
  const sum = new Float64Array(first.length);
  sources.forEach((source, m) => {
    const { data } = source.get(name);
    const values = dtype === "bf16" ? fromBf16(data as Uint16Array) : data;
    for (let i = 0; i < sum.length; i++) sum[i]! += factors[m]! * values[i]!;
  });
  return dtype === "bf16" ? Uint16Array.from(sum, toBf16Bits) : Float32Array.from(sum);
}
