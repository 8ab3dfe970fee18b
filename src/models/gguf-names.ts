import { lazyTensor, type StoredTensor } from "../io/stored-tensor.ts";

// Names of tensors in GGUF files and in Hugging Face's, and how a tensor differs between them:
//
// - GPT-2's four matrices of a layer are [inputs, outputs] there and [outputs, inputs] in GGUF;
// - the rows of q and k of arch "llama" (not of qwen2 and qwen3) are reordered: a head of D rows has its rotary pairs as
//   (i, i + D/2) there and as (2i, 2i + 1) in GGUF.

export type GGUFArchitecture = "llama" | "qwen2" | "qwen3" | "gpt2";

const llama: Readonly<Record<string, string>> = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  attn_output: "self_attn.o_proj",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

const gpt2: Readonly<Record<string, string>> = {
  token_embd: "transformer.wte",
  position_embd: "transformer.wpe",
  output_norm: "transformer.ln_f",
  output: "lm_head",
  attn_norm: "ln_1",
  attn_qkv: "attn.c_attn",
  attn_output: "attn.c_proj",
  ffn_norm: "ln_2",
  ffn_up: "mlp.c_fc",
  ffn_down: "mlp.c_proj",
};

const tableOf = (architecture: GGUFArchitecture) => (architecture === "gpt2" ? gpt2 : llama);
const layerPrefix = (architecture: GGUFArchitecture) =>
  architecture === "gpt2" ? "transformer.h" : "model.layers";

/** The name in Hugging Face's files of a tensor of a GGUF file; undefined if the architecture has none like it. */
export function toHuggingFaceName(architecture: GGUFArchitecture, name: string): string | undefined {
  const [, layer, part, suffix] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const table = tableOf(architecture);
  if (part === undefined || !Object.hasOwn(table, part)) return undefined;
  const theirs = table[part]!;
  if (/^(model|transformer|lm_head)\b/.test(theirs))
    return layer === undefined ? `${theirs}.${suffix}` : undefined;
  return layer === undefined ? undefined : `${layerPrefix(architecture)}.${layer}.${theirs}.${suffix}`;
}

/** The name in GGUF files of a tensor in Hugging Face's; undefined if GGUF has none like it. */
export function toGGUFName(architecture: GGUFArchitecture, name: string): string | undefined {
  const [, stem, suffix] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
  if (stem === undefined) return undefined;
  const prefix = `${layerPrefix(architecture)}.`;
  const [, layer, rest] = stem.startsWith(prefix)
    ? (/^(\d+)\.(.*)$/.exec(stem.slice(prefix.length)) ?? [])
    : [];
  const part = Object.entries(tableOf(architecture)).find(([, theirs]) => theirs === (rest ?? stem))?.[0];
  if (part === undefined) return undefined;
  return layer === undefined ? `${part}.${suffix}` : `blk.${layer}.${part}.${suffix}`;
}

/** How a tensor of a GGUF file is made of Hugging Face's, and the other way round. */
export type Difference = { transposed: true } | { heads: number } | undefined;

/** @param name of the tensor in GGUF */
export function differenceOf(
  architecture: GGUFArchitecture,
  name: string,
  { heads, keyValueHeads }: { heads: number; keyValueHeads: number },
): Difference {
  if (architecture === "gpt2")
    return /^blk\..*\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight$/.test(name)
      ? { transposed: true }
      : undefined;
  if (architecture !== "llama") return undefined;
  if (/\.attn_q\.(weight|bias)$/.test(name)) return { heads };
  return /\.attn_k\.(weight|bias)$/.test(name) ? { heads: keyValueHeads } : undefined;
}

/** The tensor with its difference undone (of a GGUF file) or done (for one). Its shape must allow that. */
export function converted(
  tensor: StoredTensor,
  difference: Difference,
  to: "huggingFace" | "gguf",
): StoredTensor {
  if (difference === undefined) return tensor;
  const { dtype, shape } = tensor;
  const fill = <A extends Float32Array | Uint16Array | Int32Array>(from: A): A => {
    const out = new (from.constructor as { new (length: number): A })(from.length);
    if ("transposed" in difference) transpose(from, out, shape[0]!, shape[1]!);
    else reorderRows(from, out, shape[0]!, difference.heads, to);
    return out;
  };
  return lazyTensor(dtype, "transposed" in difference ? [...shape].reverse() : shape, () =>
    fill(tensor.data),
  );
}

type Numbers = Float32Array | Uint16Array | Int32Array;

/** out [N, M] = from [M, N], in squares that stay in the cache. */
function transpose(from: Numbers, out: Numbers, M: number, N: number): void {
  const side = 32;
  for (let m0 = 0; m0 < M; m0 += side)
    for (let n0 = 0; n0 < N; n0 += side)
      for (let n = n0; n < Math.min(N, n0 + side); n++)
        for (let m = m0; m < Math.min(M, m0 + side); m++) out[n * M + m] = from[m * N + n]!;
}

/** Row i + h · D/2 of a head of D rows, h of 0 and 1, is row 2i + h in GGUF. */
function reorderRows(
  from: Numbers,
  out: Numbers,
  rows: number,
  heads: number,
  to: "huggingFace" | "gguf",
): void {
  const D = rows / heads;
  const size = from.length / rows;
  for (let row = 0; row < rows; row++) {
    const i = row % D;
    const paired = row - i + 2 * (i % (D / 2)) + Math.floor(i / (D / 2));
    const [source, target] = to === "gguf" ? [row, paired] : [paired, row];
    out.set(from.subarray(source * size, (source + 1) * size), target * size);
  }
}
