import type { Settings } from "../io/json.ts";
import type { StoredTensor } from "../io/safetensors.ts";
import { activationNames, activationOf } from "./activation-names.ts";
import type { GPTConfig } from "./gpt.ts";
import type { Layout } from "./layout.ts";

type FullConfig = Required<Omit<GPTConfig, "seed">>;

/** `config.json` as Hugging Face's GPT2Config has it. `bias` is ours: their models always have biases, ours may lack them. */
export function toGPT2Config(config: FullConfig): Record<string, unknown> {
  return {
    architectures: ["GPT2LMHeadModel"],
    model_type: "gpt2",
    vocab_size: config.vocabSize,
    n_positions: config.contextLength,
    n_embd: config.hiddenSize,
    n_layer: config.numLayers,
    n_head: config.numHeads,
    n_inner: config.intermediateSize === 4 * config.hiddenSize ? null : config.intermediateSize,
    activation_function: activationNames[config.activation],
    layer_norm_epsilon: config.normEps,
    embd_pdrop: config.dropout,
    attn_pdrop: config.attentionDropout,
    resid_pdrop: config.dropout,
    tie_word_embeddings: true,
    bias: config.bias,
  };
}

/** @throws ERR_CHECKPOINT naming the key that is missing or that this library cannot honour */
export function fromGPT2Config(settings: Settings): GPTConfig {
  settings.only("model_type", "gpt2");
  settings.only("tie_word_embeddings", true);
  settings.only("scale_attn_weights", true);
  settings.only("scale_attn_by_inverse_layer_idx", false);
  settings.only("add_cross_attention", false);
  const dropout = settings.number("resid_pdrop", 0.1);
  settings.only("embd_pdrop", dropout);
  const hiddenSize = settings.integer("n_embd");
  return {
    vocabSize: settings.integer("vocab_size"),
    contextLength: settings.integer("n_positions"),
    numLayers: settings.integer("n_layer"),
    numHeads: settings.integer("n_head"),
    hiddenSize,
    intermediateSize: settings.integer("n_inner", 4 * hiddenSize),
    activation: activationOf(settings, "activation_function", "gelu_new"),
    dropout,
    attentionDropout: settings.number("attn_pdrop", 0.1),
    normEps: settings.number("layer_norm_epsilon", 1e-5),
    bias: settings.boolean("bias", true),
  };
}

const transposed = { transposed: true };

/** GPT-2 stores the four matrices of a layer as [inputs, outputs]. */
export const gpt2Layout = (bias = true): Layout => ({
  names: [
    ["tokens", "transformer.wte"],
    ["positions.table", "transformer.wpe"],
    ["blocks.N.attentionNorm", "transformer.h.N.ln_1"],
    ["blocks.N.attention.qkv", "transformer.h.N.attn.c_attn", transposed],
    ["blocks.N.attention.output", "transformer.h.N.attn.c_proj", transposed],
    ["blocks.N.mlpNorm", "transformer.h.N.ln_2"],
    ["blocks.N.mlp.up", "transformer.h.N.mlp.c_fc", transposed],
    ["blocks.N.mlp.down", "transformer.h.N.mlp.c_proj", transposed],
    ["norm", "transformer.ln_f"],
  ],
  prefix: "transformer.",
  // Buffers with the causal mask, the tied output, and biases of zero where the model has none.
  ignored: bias ? /\.attn\.(masked_)?bias$|^lm_head\.weight$/ : /bias$|^lm_head\.weight$/,
});

/** The biases of a model that has none. */
export function* zeroBiases({
  numLayers,
  hiddenSize: C,
  intermediateSize: F,
}: FullConfig): Generator<[string, StoredTensor]> {
  const zeros = (size: number): StoredTensor => ({
    dtype: "f32",
    shape: [size],
    data: new Float32Array(size),
  });
  const sizes = { ln_1: C, "attn.c_attn": 3 * C, "attn.c_proj": C, ln_2: C, "mlp.c_fc": F, "mlp.c_proj": C };
  for (let i = 0; i < numLayers; i++) {
    for (const [name, size] of Object.entries(sizes)) yield [`transformer.h.${i}.${name}.bias`, zeros(size)];
  }
  yield ["transformer.ln_f.bias", zeros(C)];
}
