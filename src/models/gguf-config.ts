import { ArgumentError, CheckpointError, show } from "../errors.ts";
import type { GGUF } from "../io/gguf.ts";
import type { GGUFValue } from "../io/gguf-types.ts";
import type { GGUFArchitecture } from "./gguf-names.ts";
import { type Llama3Scaling, toScaling } from "./gguf-rotary.ts";

type Config = Record<string, unknown>;

/** The metadata of a GGUF file, read key by key: what is missing or out of place is named. */
class Reader {
  readonly source: string;
  private readonly metadata: ReadonlyMap<string, GGUFValue>;

  constructor({ source, metadata }: GGUF) {
    this.source = source;
    this.metadata = metadata;
  }

  fail(key: string, expected: string): never {
    const got = this.metadata.get(key)?.value;
    throw new CheckpointError(`${this.source}: ${key} must be ${expected}; got ${show(got)}`);
  }

  has(key: string): boolean {
    return this.metadata.has(key);
  }

  string(key: string, fallback?: string): string {
    const value = this.metadata.get(key)?.value ?? fallback;
    return typeof value === "string" ? value : this.fail(key, "a string");
  }

  integer(key: string, fallback?: number): number {
    const value = this.metadata.get(key)?.value ?? fallback;
    const number = typeof value === "bigint" ? Number(value) : value;
    const isInteger =
      typeof number === "number" && Number.isInteger(number) && number >= 0 && number < 2 ** 31;
    return isInteger ? number : this.fail(key, `an integer from 0 to ${2 ** 31 - 1}`);
  }

  /** A finite number; of a single, the shortest decimal fraction that rounds to it, such as 1e-5. */
  number(key: string, fallback?: number): number {
    const given = this.metadata.get(key);
    const value = given?.value ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) return this.fail(key, "a finite number");
    if (given?.type !== "f32") return value;
    for (let digits = 1; digits < 10; digits++) {
      const short = Number(value.toPrecision(digits));
      if (Math.fround(short) === value) return short;
    }
    return value;
  }

  only(key: string, value: number | string): void {
    if (this.has(key) && this.metadata.get(key)!.value !== value) this.fail(key, show(value));
  }
}

const architectures: readonly string[] = ["llama", "qwen2", "qwen3", "gpt2"] satisfies GGUFArchitecture[];

export function architectureOf(gguf: GGUF): GGUFArchitecture {
  const reader = new Reader(gguf);
  const name = reader.string("general.architecture");
  if (!architectures.includes(name))
    reader.fail("general.architecture", `one of ${architectures.join(", ")}`);
  return name as GGUFArchitecture;
}

/** What `config.json` would say of the model in a GGUF file. @throws ERR_CHECKPOINT */
export function fromGGUFMetadata(gguf: GGUF, isTied: boolean): Config {
  const reader = new Reader(gguf);
  const architecture = architectureOf(gguf);
  const [vocabulary] = gguf.has("token_embd.weight") ? gguf.get("token_embd.weight").shape : [];
  const id = (name: string) => {
    const key = `tokenizer.ggml.${name}_token_id`;
    return reader.has(key) ? reader.integer(key) : null;
  };
  const shared = {
    vocab_size: vocabulary ?? reader.integer(`${architecture}.vocab_size`),
    tie_word_embeddings: isTied,
    bos_token_id: id("bos"),
    eos_token_id: id("eos"),
  };
  const key = (name: string) => `${architecture}.${name}`;
  const width = reader.integer(key("embedding_length"));
  const inner = reader.integer(key("feed_forward_length"));
  const numLayers = reader.integer(key("block_count"));
  const heads = reader.integer(key("attention.head_count"));
  const contextLength = reader.integer(key("context_length"));
  if (heads === 0) reader.fail(key("attention.head_count"), "at least 1");
  if (architecture === "gpt2") {
    return {
      ...{ architectures: ["GPT2LMHeadModel"], model_type: "gpt2", ...shared },
      ...{ n_positions: contextLength, n_embd: width, n_layer: numLayers, n_head: heads },
      ...{ n_inner: inner === 4 * width ? null : inner, activation_function: "gelu_new" },
      layer_norm_epsilon: reader.number(key("attention.layer_norm_epsilon"), 1e-5),
    };
  }
  reader.only(key("expert_count"), 0);
  const headSize = reader.integer(key("attention.key_length"), Math.floor(width / heads));
  reader.only(key("attention.value_length"), headSize);
  reader.only(key("rope.dimension_count"), headSize);
  const windowKey = key("attention.sliding_window");
  const window = reader.has(windowKey) ? reader.integer(windowKey) : 0;
  const isQwen = architecture !== "llama";
  const modelType = isQwen ? architecture : window > 0 ? "mistral" : "llama";
  const name = { llama: "Llama", mistral: "Mistral", qwen2: "Qwen2", qwen3: "Qwen3" }[modelType];
  return {
    ...{ architectures: [`${name}ForCausalLM`], model_type: modelType, ...shared },
    ...{ max_position_embeddings: contextLength, num_hidden_layers: numLayers, hidden_size: width },
    ...{
      num_attention_heads: heads,
      num_key_value_heads: reader.integer(key("attention.head_count_kv"), heads),
    },
    ...{ head_dim: headSize, intermediate_size: inner, hidden_act: "silu" },
    rms_norm_eps: reader.number(key("attention.layer_norm_rms_epsilon")),
    rope_parameters: {
      rope_theta: reader.number(key("rope.freq_base"), 10000),
      ...scaling(gguf, reader, headSize),
    },
    ...(modelType !== "qwen2" && { attention_bias: gguf.has("blk.0.attn_q.bias") }),
    ...(modelType === "llama" && { mlp_bias: gguf.has("blk.0.ffn_gate.bias") }),
    ...(window > 0 && { sliding_window: window }),
    ...(window > 0 && isQwen && { use_sliding_window: true, max_window_layers: 0 }),
  };
}

function scaling(gguf: GGUF, reader: Reader, headSize: number): Config | Llama3Scaling {
  const architecture = architectureOf(gguf);
  const key = (name: string) => `${architecture}.rope.scaling.${name}`;
  const type = reader.string(key("type"), "none");
  const originalLength = () => ({
    original_max_position_embeddings: reader.integer(key("original_context_length")),
  });
  if (gguf.has("rope_freqs.weight")) {
    reader.only(key("type"), "none");
    return toScaling(
      gguf.get("rope_freqs.weight"),
      reader.number(`${architecture}.rope.freq_base`, 10000),
      headSize,
      gguf.source,
    );
  }
  if (type === "none") return { rope_type: "default" };
  if (type === "linear") return { rope_type: "linear", factor: reader.number(key("factor")) };
  if (type !== "yarn") return reader.fail(key("type"), "one of none, linear, yarn");
  return { rope_type: "yarn", factor: reader.number(key("factor")), ...originalLength() };
}

const number = (type: "u32" | "f32", value: number): GGUFValue => ({ type, value });

/** The metadata that a `config.json` becomes in a GGUF file. @throws ERR_ARGUMENT on a model that GGUF has no place for */
export function toGGUFMetadata(config: Config): {
  architecture: GGUFArchitecture;
  metadata: Map<string, GGUFValue>;
} {
  const fail = (key: string, expected: string): never => {
    throw new ArgumentError(`toGGUF: config: ${key} must be ${expected}; got ${show(config[key])}`);
  };
  const modelType = config.model_type === "mistral" ? "llama" : config.model_type;
  if (!architectures.includes(modelType as string))
    fail("model_type", "one of llama, mistral, qwen2, qwen3, gpt2");
  const architecture = modelType as GGUFArchitecture;
  const metadata = new Map<string, GGUFValue>([
    ["general.architecture", { type: "string", value: architecture }],
  ]);
  const put = (name: string, type: "u32" | "f32", key: string, fallback?: number) => {
    const value = config[key] ?? fallback;
    if (typeof value !== "number" || !(value >= 0) || (type === "u32" && !Number.isSafeInteger(value)))
      return fail(key, type === "u32" ? "an integer of at least 0" : "a number of at least 0");
    metadata.set(`${architecture}.${name}`, number(type, value));
    return value;
  };
  for (const name of ["bos", "eos"] as const) {
    const id = config[`${name}_token_id`];
    if (typeof id === "number") metadata.set(`tokenizer.ggml.${name}_token_id`, number("u32", id));
  }
  if (architecture === "gpt2") {
    if ((config.activation_function ?? "gelu_new") !== "gelu_new") fail("activation_function", '"gelu_new"');
    put("context_length", "u32", "n_positions");
    const width = put("embedding_length", "u32", "n_embd");
    put("block_count", "u32", "n_layer");
    put("feed_forward_length", "u32", "n_inner", 4 * width);
    put("attention.head_count", "u32", "n_head");
    put("attention.layer_norm_epsilon", "f32", "layer_norm_epsilon", 1e-5);
    put("vocab_size", "u32", "vocab_size");
    return { architecture, metadata };
  }
  if ((config.hidden_act ?? "silu") !== "silu") fail("hidden_act", '"silu"');
  put("context_length", "u32", "max_position_embeddings");
  const width = put("embedding_length", "u32", "hidden_size");
  put("block_count", "u32", "num_hidden_layers");
  put("feed_forward_length", "u32", "intermediate_size");
  const heads = put("attention.head_count", "u32", "num_attention_heads");
  put("attention.head_count_kv", "u32", "num_key_value_heads", heads);
  const headSize = put("attention.key_length", "u32", "head_dim", Math.floor(width / heads));
  metadata.set(`${architecture}.attention.value_length`, number("u32", headSize));
  metadata.set(`${architecture}.rope.dimension_count`, number("u32", headSize));
  put("attention.layer_norm_rms_epsilon", "f32", "rms_norm_eps", 1e-6);
  put("vocab_size", "u32", "vocab_size");
  const isWindowed = config.model_type === "mistral" || config.use_sliding_window === true;
  if (isWindowed && config.sliding_window != null) {
    if (architecture !== "llama")
      fail("use_sliding_window", "false: GGUF has no windows of this architecture");
    put("attention.sliding_window", "u32", "sliding_window");
  }
  const rope = (config.rope_parameters ?? config.rope_scaling ?? {}) as Config;
  const theta = rope.rope_theta ?? config.rope_theta ?? 10000;
  metadata.set(`${architecture}.rope.freq_base`, number("f32", theta as number));
  const type = rope.rope_type ?? rope.type ?? "default";
  const key = `${architecture}.rope.scaling`;
  if (type === "linear" || type === "yarn") {
    metadata.set(`${key}.type`, { type: "string", value: type });
    metadata.set(`${key}.factor`, number("f32", rope.factor as number));
  }
  if (type === "yarn") {
    const known = ["rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings"];
    const other = Object.keys(rope).find((key) => !known.includes(key));
    if (other !== undefined) fail("rope_parameters", `without ${other}: GGUF has no place for it`);
    const original = rope.original_max_position_embeddings ?? config.max_position_embeddings;
    metadata.set(`${key}.original_context_length`, number("u32", original as number));
  }
  if (!["default", "linear", "yarn", "llama3"].includes(type as string))
    fail("rope_parameters", "of rope_type default, linear, yarn or llama3");
  return { architecture, metadata };
}
