import { copyFile, cp, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { fromBf16, toBf16Bits } from "../dtype.ts";
import {
  ArgumentError,
  CheckpointError,
  fromGGUF,
  type GGUFValue,
  type GGUFWriteType,
  openCheckpoint,
  openGGUF,
  type StoredTensor,
  Tokenizer,
  toGGUF,
  toGGUFTokenizer,
  writeCheckpoint,
  writeGGUF,
} from "../index.ts";
import { exists } from "../io/files.ts";
import { readJSON, writeJSON } from "../io/json.ts";
import { lazyTensor } from "../io/stored-tensor.ts";
import { loadTokenizer } from "./model-folder.ts";

/** A model as Hugging Face stores it, read of a folder or of a GGUF file. */
export interface Source {
  location: string;
  config: Record<string, unknown>;
  /** Data is read when it is asked for. */
  tensors: [string, StoredTensor][];
  /** Metadata of a GGUF file that says how the tokenizer works. */
  ggufTokenizer(): Promise<Iterable<readonly [string, GGUFValue]>>;
  /** Writes the files of a folder beside its configuration and its tensors. */
  writeOthers(folder: string): Promise<void>;
}

interface SourceOptions {
  noTokenizer: boolean;
}

const tokenizerFiles =
  /^(tokenizer.*|vocab\.(json|txt)|merges\.txt|added_tokens\.json|special_tokens_map\.json|chat_template\.jinja|.*\.(model|spm))$/;
const weightFiles = /(\.(safetensors|bin|pt|pth|ckpt|pkl|gguf|onnx|h5|msgpack|npz)(\.index\.json)?|\.tmp)$/;
/** Folders of sentence-transformers beside a model: `1_Pooling`. */
const moduleFolder = /^\d+_[A-Z]\w*$/;

/** @throws CheckpointError */
export async function openSource(location: string, options: SourceOptions): Promise<Source> {
  return location.endsWith(".gguf") ? openGGUFSource(location, options) : openFolder(location, options);
}

async function openGGUFSource(location: string, { noTokenizer }: SourceOptions): Promise<Source> {
  const gguf = await openGGUF(location);
  const { config, checkpoint } = fromGGUF(gguf);
  const hasTokenizer = !noTokenizer && gguf.metadata.has("tokenizer.ggml.model");
  return {
    location,
    config,
    tensors: [...checkpoint.names()].map((name) => [name, checkpoint.get(name)]),
    ggufTokenizer: async () =>
      hasTokenizer ? [...gguf.metadata].filter(([key]) => key.startsWith("tokenizer.")) : [],
    async writeOthers(folder) {
      if (hasTokenizer) await (await loadTokenizer(location)).save(folder);
    },
  };
}

async function openFolder(location: string, { noTokenizer }: SourceOptions): Promise<Source> {
  const config = (await readJSON(path.join(location, "config.json"))) as Record<string, unknown>;
  const checkpoint = await openCheckpoint(location);
  return {
    location,
    config,
    tensors: [...checkpoint.names()].map((name) => [name, checkpoint.get(name)]),
    ggufTokenizer: async () => (noTokenizer ? [] : ggufTokenizerOf(location, config)),
    async writeOthers(folder) {
      for (const entry of await readdir(location, { withFileTypes: true })) {
        const [from, to] = [path.join(location, entry.name), path.join(folder, entry.name)];
        if (entry.isDirectory() && moduleFolder.test(entry.name)) await cp(from, to, { recursive: true });
        const isOther = entry.name !== "config.json" && !weightFiles.test(entry.name);
        const isWanted = isOther && !(noTokenizer && tokenizerFiles.test(entry.name));
        if (isWanted && (entry.isFile() || entry.isSymbolicLink())) await copyFile(from, to);
      }
    },
  };
}

async function ggufTokenizerOf(
  location: string,
  config: Record<string, unknown>,
): Promise<Map<string, GGUFValue>> {
  const tokenizer = await Tokenizer.fromPretrained(location);
  const { bosToken, eosToken, unkToken, padToken, chatTemplate } = tokenizer;
  const special = { bos_token: bosToken, eos_token: eosToken, unk_token: unkToken, pad_token: padToken };
  const files = {
    tokenizer: tokenizer.toJSON() as Record<string, unknown>,
    config: { ...special, chat_template: chatTemplate },
  };
  try {
    return toGGUFTokenizer(files, Number(config.vocab_size ?? 0));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new CheckpointError(`${location}: ${error.message}; --no-tokenizer leaves it out`, {
      cause: error,
    });
  }
}

/**
 * Writes a GGUF file, which appears whole or not at all.
 *
 * @returns its size in bytes
 */
export async function writeGGUFFile(
  file: string,
  source: Source,
  { type, name }: { type: GGUFWriteType; name: string },
): Promise<number> {
  const tokenizer = await source.ggufTokenizer();
  const { metadata, tensors } = toGGUF(source.config, source.tensors, { type, name, tokenizer });
  await writeGGUF(file, metadata, tensors);
  return (await stat(file)).size;
}

/** A tensor in another dtype; integers stay what they are. */
function inType(tensor: StoredTensor, type: "F32" | "BF16" | undefined): StoredTensor {
  const { dtype, shape } = tensor;
  if (type === "F32" && dtype === "bf16") {
    return lazyTensor("f32", shape, () => fromBf16(tensor.data as Uint16Array));
  }
  if (type === "BF16" && dtype === "f32") {
    return lazyTensor("bf16", shape, () => Uint16Array.from(tensor.data as Float32Array, toBf16Bits));
  }
  return tensor;
}

/** A configuration that says of what dtype the tensors are, where that is one. */
function withDtype(
  { torch_dtype, ...config }: Record<string, unknown>,
  tensors: Iterable<readonly [string, StoredTensor]>,
): Record<string, unknown> {
  const dtypes = new Set([...tensors].map(([, { dtype }]) => dtype).filter((dtype) => dtype !== "i32"));
  if (dtypes.size !== 1) return torch_dtype === undefined ? config : { ...config, torch_dtype };
  return { ...config, dtype: dtypes.has("f32") ? "float32" : "bfloat16" };
}

/**
 * Writes a folder of Hugging Face, beside its place, and puts it there when it is complete; into one that is there
 * already its files are moved one by one.
 *
 * @returns the bytes of its tensors' files
 */
export async function writeFolder(
  folder: string,
  source: Source,
  { type, maxShardSize = "50GB" }: { type: "F32" | "BF16" | undefined; maxShardSize: string | undefined },
): Promise<number> {
  const temporary = `${path.resolve(folder)}.${process.pid}.tmp`;
  try {
    await mkdir(temporary, { recursive: true });
    await source.writeOthers(temporary);
    const tensors = source.tensors.map(([name, tensor]) => [name, inType(tensor, type)] as const);
    await writeJSON(path.join(temporary, "config.json"), withDtype(source.config, tensors));
    const files = await writeCheckpoint(temporary, tensors, { maxShardSize });
    const sizes = await Promise.all(files.map(async (file) => (await stat(path.join(temporary, file))).size));
    await put(temporary, folder);
    return sizes.reduce((sum, size) => sum + size, 0);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw cause;
  }
}

/** The weights of a model and what says where they are. */
const isWeights = (name: string): boolean =>
  /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/.test(name);

async function put(temporary: string, folder: string): Promise<void> {
  if (!(await exists(folder))) return rename(temporary, folder);
  const written = await readdir(temporary);
  for (const name of written) {
    if (moduleFolder.test(name)) await rm(path.join(folder, name), { recursive: true, force: true });
    await rename(path.join(temporary, name), path.join(folder, name));
  }
  for (const name of await readdir(folder)) {
    if (isWeights(name) && !written.includes(name)) await rm(path.join(folder, name));
  }
  await rm(temporary, { recursive: true });
}
