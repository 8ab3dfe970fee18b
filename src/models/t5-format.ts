import type { Checkpoint } from "../io/checkpoint.ts";
import type { Settings } from "../io/json.ts";
import type { Activation } from "../ops/products.ts";
import { activationNames } from "./activation-names.ts";
import type { Layout, NameRule } from "./layout.ts";
import type { FullT5Config, T5Config } from "./t5.ts";

const prefixOfGated = "gated-";

/** `feed_forward_proj` by name. Of a gate, "gelu" is the approximation with tanh; alone it is exact. */
const feedForwards: Readonly<Record<string, { activation: Activation; gated: boolean }>> = {
  relu: { activation: "relu", gated: false },
  gelu: { activation: "gelu", gated: false },
  gelu_new: { activation: "geluTanh", gated: false },
  silu: { activation: "silu", gated: false },
  swish: { activation: "silu", gated: false },
  "gated-relu": { activation: "relu", gated: true },
  "gated-gelu": { activation: "geluTanh", gated: true },
  "gated-gelu_new": { activation: "geluTanh", gated: true },
  "gated-silu": { activation: "silu", gated: true },
  "gated-swish": { activation: "silu", gated: true },
};

/** `config.json` as Hugging Face's T5Config has it. */
export function toT5Config(config: FullT5Config): Record<string, unknown> {
  const { activation, gated, tieWordEmbeddings, scaleDecoderOutputs } = config;
  const name = activationNames[activation];
  return {
    architectures: ["T5ForConditionalGeneration"],
    model_type: "t5",
    is_encoder_decoder: true,
    vocab_size: config.vocabSize,
    d_model: config.hiddenSize,
    d_kv: config.headSize,
    d_ff: config.intermediateSize,
    num_layers: config.numLayers,
    num_decoder_layers: config.numDecoderLayers,
    num_heads: config.numHeads,
    relative_attention_num_buckets: config.relativeAttentionNumBuckets,
    relative_attention_max_distance: config.relativeAttentionMaxDistance,
    dropout_rate: config.dropout,
    layer_norm_epsilon: config.normEps,
    feed_forward_proj: gated ? `${prefixOfGated}${activation === "geluTanh" ? "gelu" : name}` : name,
    // Older versions read from the first whether to scale; newer ones read the second.
    tie_word_embeddings: tieWordEmbeddings && scaleDecoderOutputs,
    scale_decoder_outputs: scaleDecoderOutputs,
    pad_token_id: config.padTokenId,
    eos_token_id: config.eosTokenId,
    decoder_start_token_id: config.decoderStartTokenId,
    dtype: "float32",
  };
}

/** @throws ERR_CHECKPOINT naming the key that is missing or that this library cannot honour */
export function fromT5Config(settings: Settings): T5Config {
  settings.only("model_type", "t5");
  settings.only("is_encoder_decoder", true);
  const numLayers = settings.integer("num_layers", 6, 0);
  const padTokenId = settings.integer("pad_token_id", 0, 0);
  const ties = settings.boolean("tie_word_embeddings", true);
  return {
    vocabSize: settings.integer("vocab_size", 32128),
    hiddenSize: settings.integer("d_model", 512),
    headSize: settings.integer("d_kv", 64),
    intermediateSize: settings.integer("d_ff", 2048),
    numLayers,
    numDecoderLayers: settings.integer("num_decoder_layers", numLayers, 0),
    numHeads: settings.integer("num_heads", 8),
    relativeAttentionNumBuckets: settings.integer("relative_attention_num_buckets", 32),
    relativeAttentionMaxDistance: settings.integer("relative_attention_max_distance", 128),
    dropout: settings.number("dropout_rate", 0.1),
    normEps: settings.number("layer_norm_epsilon", 1e-6),
    ...settings.oneOf("feed_forward_proj", feedForwards, "relu"),
    scaleDecoderOutputs: settings.boolean("scale_decoder_outputs", ties),
    padTokenId,
    eosTokenId: settings.integer("eos_token_id", 1, 0),
    decoderStartTokenId: settings.integer("decoder_start_token_id", padTokenId, 0),
  };
}

export const outputName = "lm_head.weight";

/**
 * Whether the output matrix is one of its own. The configuration doesn't tell: newer files say that it is tied in any
 * case. It is if the file has it, and with other values than the embeddings.
 */
export function hasOwnOutput(checkpoint: Checkpoint): boolean {
  if (!checkpoint.has(outputName)) return false;
  if (!checkpoint.has("shared.weight")) return true;
  const [output, embeddings] = [checkpoint.get(outputName), checkpoint.get("shared.weight")];
  const bytes = ({ data }: typeof output) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return output.dtype !== embeddings.dtype || !bytes(output).equals(bytes(embeddings));
}

/** The parts of a block there, in their order. */
const parts = {
  encoder: ["SelfAttention", "DenseReluDense"],
  decoder: ["SelfAttention", "EncDecAttention", "DenseReluDense"],
} as const;

export function t5Layout({ numHeads, headSize, gated, tieWordEmbeddings }: FullT5Config): Layout {
  const width = numHeads * headSize;
  const side = (name: "encoder" | "decoder"): NameRule[] => {
    const ours = `${name}.blocks.N`;
    const rules = parts[name].flatMap((part, i): NameRule[] => {
      const layer = `${name}.block.N.layer.${i}`;
      const theirs = `${layer}.${part}`;
      switch (part) {
        case "SelfAttention":
          return [
            [`${ours}.attentionNorm`, `${layer}.layer_norm`],
            [
              `${ours}.attention.qkv`,
              [`${theirs}.q`, `${theirs}.k`, `${theirs}.v`],
              { sizes: [width, width, width] },
            ],
            [`${ours}.attention.output`, `${theirs}.o`],
          ];
        case "EncDecAttention":
          return [
            [`${ours}.crossNorm`, `${layer}.layer_norm`],
            [`${ours}.crossAttention.query`, `${theirs}.q`],
            [`${ours}.crossAttention.keyValue`, [`${theirs}.k`, `${theirs}.v`], { sizes: [width, width] }],
            [`${ours}.crossAttention.output`, `${theirs}.o`],
          ];
        case "DenseReluDense":
          return [
            [`${ours}.mlpNorm`, `${layer}.layer_norm`],
            [`${ours}.mlp.gate`, `${theirs}.wi_0`],
            [`${ours}.mlp.up`, `${theirs}.${gated ? "wi_1" : "wi"}`],
            [`${ours}.mlp.down`, `${theirs}.wo`],
          ];
      }
    });
    const bias = `${name}.block.0.layer.0.SelfAttention.relative_attention_bias`;
    return [[`${name}.positionBias.table`, bias], ...rules, [`${name}.norm`, `${name}.final_layer_norm`]];
  };
  const constant = [
    "(en|de)coder\\.embed_tokens\\.weight",
    // Old files have one, which nothing reads.
    "decoder\\.block\\.0\\.layer\\.1\\.EncDecAttention\\.relative_attention_bias\\.weight",
    ...(tieWordEmbeddings ? ["lm_head\\.weight"] : []),
  ];
  return {
    names: [["tokens", "shared"], ...side("encoder"), ...side("decoder"), ["output", "lm_head"]],
    ignored: new RegExp(`^(${constant.join("|")})$`),
  };
}
