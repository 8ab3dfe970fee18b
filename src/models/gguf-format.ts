import { ArgumentError, CheckpointError, show } from "../errors.ts";
import type { Checkpoint } from "../io/checkpoint.ts";
import type { GGUF } from "../io/gguf.ts";
import type { GGUFValue } from "../io/gguf-types.ts";
import type { GGUFTensor, GGUFWriteType } from "../io/gguf-writer.ts";
import type { StoredTensor } from "../io/stored-tensor.ts";
import { architectureOf, fromGGUFMetadata, toGGUFMetadata } from "./gguf-config.ts";
import {
  converted,
  type Difference,
  differenceOf,
  type GGUFArchitecture,
  toGGUFName,
  toHuggingFaceName,
} from "./gguf-names.ts";
import { type Llama3Scaling, toFactors } from "./gguf-rotary.ts";

type Config = Record<string, unknown>;

/**
 * The model in a GGUF file as Hugging Face would have stored it: what `config.json` would say, and the tensors by the
 * names and in the layouts that they have there. Architectures llama (with Mistral), qwen2, qwen3 and gpt2.
 *
 * @throws ERR_CHECKPOINT naming the key or the tensor that is missing or that this library cannot honour
 */
export function fromGGUF(gguf: GGUF): { config: Config; checkpoint: Checkpoint } {
  const architecture = architectureOf(gguf);
  const isTied = !gguf.has("output.weight") || isSame(gguf, "output.weight", "token_embd.weight");
  const config = fromGGUFMetadata(gguf, isTied);
  const theirNames = new Map<string, string>();
  for (const name of gguf.names()) {
    if (name === "rope_freqs.weight" || (name === "output.weight" && isTied)) continue;
    const theirs = toHuggingFaceName(architecture, name);
    if (theirs === undefined)
      throw new CheckpointError(
        `${gguf.source}: tensor ${show(name)} is none of architecture ${architecture}`,
      );
    theirNames.set(theirs, name);
  }
  const heads = headsOf(config);
  const get = (theirs: string): StoredTensor => {
    const name = theirNames.get(theirs);
    if (name === undefined) throw new CheckpointError(`${gguf.source}: tensor ${theirs} is missing`);
    const difference = differenceOf(architecture, name, heads);
    const tensor = gguf.get(name);
    if (!allows(tensor.shape, difference))
      throw new CheckpointError(
        `${gguf.source}: tensor ${name} must ${demand(difference)}; got ${show(tensor.shape)}`,
      );
    return converted(tensor, difference, "huggingFace");
  };
  return {
    config,
    checkpoint: {
      source: gguf.source,
      metadata: {},
      names: () => theirNames.keys(),
      has: (name) => theirNames.has(name),
      get,
    },
  };
}

/** An output that repeats the embedding is a tied one. */
const isSame = (gguf: GGUF, a: string, b: string): boolean =>
  gguf.has(b) && gguf.typeOf(a) === gguf.typeOf(b) && Buffer.compare(gguf.bytesOf(a), gguf.bytesOf(b)) === 0;

function headsOf(config: Config): { heads: number; keyValueHeads: number } {
  const heads = Number(config.num_attention_heads ?? config.n_head);
  return { heads, keyValueHeads: Number(config.num_key_value_heads ?? heads) };
}

function allows(shape: readonly number[], difference: Difference): boolean {
  if (difference === undefined) return true;
  if ("transposed" in difference) return shape.length === 2;
  return difference.heads > 0 && shape.length > 0 && shape[0]! % (2 * difference.heads) === 0;
}

const demand = (difference: Difference): string =>
  difference && "heads" in difference
    ? `have an even number of rows for each of ${difference.heads} heads`
    : "be a matrix";

export interface ToGGUFOptions {
  /**
   * Of matrices. Rows that are no whole blocks of it are F16; vectors and position tables stay F32, as llama.cpp has
   * them. Default "F16"
   */
  type?: GGUFWriteType;
  /** Of the model, for those who list files. */
  name?: string;
  /** What it says of its tokenizer: see `toGGUFTokenizer`. */
  tokenizer?: Iterable<readonly [string, GGUFValue]>;
}

const fileTypes: Readonly<Record<GGUFWriteType, number>> = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 7, BF16: 32 };

/** What Hugging Face stores with some models, and which is no parameter. */
const isBuffer = (name: string): boolean => /\.attn\.(masked_)?bias$|rotary_emb\.inv_freq$/.test(name);

/**
 * Metadata and tensors for `writeGGUF` of a model as Hugging Face stores it: the other way round of {@link fromGGUF}.
 *
 * @param config what is in `config.json`
 * @param tensors pairs of name and tensor, as in `model.safetensors`
 * @throws ERR_ARGUMENT naming the key or the tensor for which GGUF has no place
 */
export function toGGUF(
  config: Config,
  tensors: Iterable<readonly [string, StoredTensor]>,
  { type = "F16", name, tokenizer = [] }: ToGGUFOptions = {},
): { metadata: Map<string, GGUFValue>; tensors: Map<string, GGUFTensor> } {
  const { architecture, metadata } = toGGUFMetadata(config);
  if (name !== undefined) metadata.set("general.name", { type: "string", value: name });
  metadata.set("general.file_type", { type: "u32", value: fileTypes[type] });
  if (type.startsWith("Q")) metadata.set("general.quantization_version", { type: "u32", value: 2 });
  for (const [key, value] of tokenizer) metadata.set(key, value);
  const heads = headsOf(config);
  const out = new Map<string, GGUFTensor>();
  const rope = (config.rope_parameters ?? config.rope_scaling) as Config | undefined;
  if ((rope?.rope_type ?? rope?.type) === "llama3") {
    const theta = Number(rope!.rope_theta ?? config.rope_theta ?? 10000);
    const headSize = Number(config.head_dim ?? Number(config.hidden_size) / heads.heads);
    const data = toFactors(rope as unknown as Llama3Scaling, theta, headSize);
    out.set("rope_freqs.weight", { tensor: { dtype: "f32", shape: [data.length], data } });
  }
  for (const [theirs, tensor] of tensors) {
    if (isBuffer(theirs) || (theirs === "lm_head.weight" && config.tie_word_embeddings === true)) continue;
    out.set(...place(architecture, theirs, tensor, heads, type));
  }
  return { metadata, tensors: out };
}

function place(
  architecture: GGUFArchitecture,
  theirs: string,
  tensor: StoredTensor,
  heads: { heads: number; keyValueHeads: number },
  type: GGUFWriteType,
): [string, GGUFTensor] {
  const fail = (problem: string): never => {
    throw new ArgumentError(`toGGUF: tensor ${show(theirs)} ${problem}`);
  };
  const prefixed =
    architecture === "gpt2" && /^(wte|wpe|h|ln_f)\./.test(theirs) ? `transformer.${theirs}` : theirs;
  const name = toGGUFName(architecture, prefixed) ?? fail(`is none of architecture ${architecture}`);
  const difference = differenceOf(architecture, name, heads);
  if (!allows(tensor.shape, difference)) fail(`must ${demand(difference)}; got ${show(tensor.shape)}`);
  const stored = converted(tensor, difference, "gguf");
  const isQuantized = stored.shape.length === 2 && name !== "position_embd.weight";
  const isWhole = !type.startsWith("Q") || stored.shape.at(-1)! % 32 === 0;
  return [name, { tensor: stored, type: isQuantized ? (isWhole ? type : "F16") : "F32" }];
}
