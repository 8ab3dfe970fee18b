import type { Settings } from "../io/json.ts";
import { activationNames, activationOf } from "./activation-names.ts";
import type { BartConfig, FullBartConfig } from "./bart.ts";
import type { Layout, NameRule } from "./layout.ts";

const classes = { bart: "BartForConditionalGeneration", marian: "MarianMTModel" } as const;

/** What Hugging Face's classes take for an id that a file does not name; null for none. */
const defaultIds = {
  bart: { pad: 1, bos: 0, eos: 2, start: 2, forcedEos: 2 },
  marian: { pad: 58100, bos: null, eos: 0, start: 58100, forcedEos: 0 },
} as const;

/** `config.json` as Hugging Face's BartConfig or MarianConfig has it. */
export function toBartConfig(config: FullBartConfig): Record<string, unknown> {
  const { modelType, decoderVocabSize, shareEmbeddings, initializerRange = 0.02 } = config;
  return {
    architectures: [classes[modelType]],
    model_type: modelType,
    is_encoder_decoder: true,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.contextLength,
    d_model: config.hiddenSize,
    encoder_layers: config.numLayers,
    decoder_layers: config.numDecoderLayers,
    encoder_attention_heads: config.numHeads,
    decoder_attention_heads: config.numDecoderHeads,
    encoder_ffn_dim: config.intermediateSize,
    decoder_ffn_dim: config.decoderIntermediateSize,
    activation_function: activationNames[config.activation],
    dropout: config.dropout,
    attention_dropout: config.attentionDropout,
    activation_dropout: config.activationDropout,
    // A number that must be floating there: 1 would not be read, and only a new model uses it.
    ...(!Number.isInteger(initializerRange) && { init_std: initializerRange }),
    scale_embedding: config.scaleEmbedding,
    tie_word_embeddings: config.tieWordEmbeddings,
    ...(modelType === "marian" && {
      decoder_vocab_size: decoderVocabSize,
      share_encoder_decoder_embeddings: shareEmbeddings,
    }),
    pad_token_id: config.padTokenId,
    bos_token_id: config.bosTokenId ?? null,
    eos_token_id: config.eosTokenId,
    decoder_start_token_id: config.decoderStartTokenId,
    forced_bos_token_id: config.forcedBosTokenId ?? null,
    forced_eos_token_id: config.forcedEosTokenId ?? null,
    dtype: "float32",
  };
}

/** @throws ERR_CHECKPOINT naming the key that is missing or that this library cannot honour */
export function fromBartConfig(settings: Settings): BartConfig {
  const modelType = settings.oneOf("model_type", { bart: "bart", marian: "marian" } as const);
  const ids = defaultIds[modelType];
  settings.only("is_encoder_decoder", true);
  // What the code that these models were first trained with could also do.
  settings.only("normalize_before", false);
  settings.only("add_final_layer_norm", false);
  settings.only("encoder_layerdrop", 0);
  settings.only("decoder_layerdrop", 0);
  const isMarian = modelType === "marian";
  if (!isMarian) settings.only("tie_word_embeddings", true);
  const vocabSize = settings.integer("vocab_size", isMarian ? 58101 : 50265);
  /** An id that there need not be: null is none, and absent is what the class says. */
  const optional = (ours: keyof BartConfig, key: string, fallback: number | null): Partial<BartConfig> => {
    const value = Object.hasOwn(settings.values, key) ? settings.values[key] : fallback;
    return value === null ? {} : { [ours]: settings.integer(key, fallback ?? undefined, 0) };
  };
  return {
    modelType,
    vocabSize,
    contextLength: settings.integer("max_position_embeddings", 1024),
    hiddenSize: settings.integer("d_model", 1024),
    numLayers: settings.integer("encoder_layers", 12, 0),
    numDecoderLayers: settings.integer("decoder_layers", 12, 0),
    numHeads: settings.integer("encoder_attention_heads", 16),
    numDecoderHeads: settings.integer("decoder_attention_heads", 16),
    intermediateSize: settings.integer("encoder_ffn_dim", 4096),
    decoderIntermediateSize: settings.integer("decoder_ffn_dim", 4096),
    activation: activationOf(settings, "activation_function", "gelu"),
    dropout: settings.number("dropout", 0.1),
    attentionDropout: settings.number("attention_dropout", 0),
    activationDropout: settings.number("activation_dropout", 0),
    scaleEmbedding: settings.boolean("scale_embedding", false),
    initializerRange: settings.number("init_std", 0.02),
    tieWordEmbeddings: settings.boolean("tie_word_embeddings", true),
    ...(isMarian && {
      decoderVocabSize: settings.integer("decoder_vocab_size", vocabSize),
      shareEmbeddings: settings.boolean("share_encoder_decoder_embeddings", true),
    }),
    padTokenId: settings.integer("pad_token_id", ids.pad, 0),
    eosTokenId: settings.integer("eos_token_id", ids.eos, 0),
    decoderStartTokenId: settings.integer("decoder_start_token_id", ids.start, 0),
    ...optional("bosTokenId", "bos_token_id", ids.bos),
    ...optional("forcedBosTokenId", "forced_bos_token_id", null),
    ...optional("forcedEosTokenId", "forced_eos_token_id", ids.forcedEos),
  };
}

/** What Hugging Face calls Bart.logitsBias. */
export const logitsBiasName = "final_logits_bias";

const sides = ["encoder", "decoder"] as const;

export function bartLayout(config: FullBartConfig): Layout {
  const { hiddenSize: C, modelType, shareEmbeddings, tieWordEmbeddings } = config;
  const stack = (side: (typeof sides)[number]): NameRule[] => {
    const [ours, theirs] = [`${side}.blocks.N`, `model.${side}.layers.N`];
    const attention = `${theirs}.self_attn`;
    const cross = `${theirs}.encoder_attn`;
    return [
      [`${side}.positions.table`, `model.${side}.embed_positions`],
      [`${side}.norm`, `model.${side}.layernorm_embedding`],
      [
        `${ours}.attention.qkv`,
        [`${attention}.q_proj`, `${attention}.k_proj`, `${attention}.v_proj`],
        { sizes: [C, C, C] },
      ],
      [`${ours}.attention.output`, `${attention}.out_proj`],
      [`${ours}.attentionNorm`, `${attention}_layer_norm`],
      [`${ours}.crossAttention.query`, `${cross}.q_proj`],
      [`${ours}.crossAttention.keyValue`, [`${cross}.k_proj`, `${cross}.v_proj`], { sizes: [C, C] }],
      [`${ours}.crossAttention.output`, `${cross}.out_proj`],
      [`${ours}.crossNorm`, `${cross}_layer_norm`],
      [`${ours}.mlp.up`, `${theirs}.fc1`],
      [`${ours}.mlp.down`, `${theirs}.fc2`],
      [`${ours}.mlpNorm`, `${theirs}.final_layer_norm`],
    ];
  };
  const constant = [
    logitsBiasName,
    ...(tieWordEmbeddings ? ["lm_head\\.weight"] : []),
    ...(shareEmbeddings ? ["(model\\.)?(en|de)coder\\.embed_tokens\\.weight"] : []),
    ...(modelType === "marian" ? ["(model\\.)?(en|de)coder\\.embed_positions\\.weight"] : []),
    "(model\\.)?(en|de)coder\\.version",
  ];
  return {
    names: [
      ["tokens", shareEmbeddings ? "model.shared" : "model.encoder.embed_tokens"],
      ["decoderTokens", "model.decoder.embed_tokens"],
      ["output", "lm_head"],
      ...sides.flatMap(stack),
    ],
    prefix: "model.",
    ignored: new RegExp(`^(${constant.join("|")})$`),
  };
}
