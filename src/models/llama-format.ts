import { ArgumentError } from "../errors.ts";
import type { Settings } from "../io/json.ts";
import type { RotaryScaling } from "../nn/rotary-scaling.ts";
import { activationNames, activationOf } from "./activation-names.ts";
import type { Layout } from "./layout.ts";
import type { FullLlamaConfig, LlamaConfig } from "./llama.ts";

const architectures = {
  llama: "LlamaForCausalLM",
  mistral: "MistralForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
} as const;

/** `config.json` as Hugging Face's configuration of that model type has it. */
export function toLlamaConfig(config: FullLlamaConfig): Record<string, unknown> {
  const { modelType, numLayers, slidingWindow, slidingLayers, attentionBias, mlpBias, headNorm } = config;
  const isQwen = modelType === "qwen2" || modelType === "qwen3";
  const windowed = (i: number) => slidingWindow !== undefined && (slidingLayers?.[i] ?? true);
  // What the classes of Hugging Face cannot express must not be written as if it were the same model.
  const biases = { llama: [false, true], mistral: [false], qwen2: ["qkv"], qwen3: [false, true] }[modelType];
  const fits =
    (biases as unknown[]).includes(attentionBias) &&
    (!mlpBias || modelType === "llama") &&
    headNorm === (modelType === "qwen3") &&
    (slidingWindow === undefined || modelType !== "llama") &&
    (slidingLayers === undefined || isQwen);
  if (!fits) {
    throw new ArgumentError(
      `savePretrained: modelType must be one whose biases, windows and normalization of heads are those of the model; got ${modelType}`,
    );
  }
  return {
    architectures: [architectures[modelType]],
    model_type: modelType,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.contextLength,
    num_hidden_layers: numLayers,
    num_attention_heads: config.numHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    hidden_act: activationNames[config.activation],
    rms_norm_eps: config.normEps,
    initializer_range: config.initializerRange,
    attention_dropout: config.attentionDropout,
    tie_word_embeddings: config.tieWordEmbeddings,
    rope_parameters: { rope_theta: config.ropeTheta, ...scalingToHuggingFace(config.ropeScaling) },
    ...((modelType === "llama" || modelType === "qwen3") && { attention_bias: attentionBias }),
    ...(modelType === "llama" && { mlp_bias: mlpBias }),
    ...(modelType === "mistral" && { sliding_window: slidingWindow ?? null }),
    ...(isQwen && {
      use_sliding_window: slidingWindow !== undefined,
      sliding_window: slidingWindow ?? null,
      layer_types: Array.from({ length: numLayers }, (_, i) =>
        windowed(i) ? "sliding_attention" : "full_attention",
      ),
    }),
  };
}

/** @throws ERR_CHECKPOINT naming the key that is missing or that this library cannot honour */
export function fromLlamaConfig(settings: Settings): LlamaConfig {
  const types = { llama: "llama", mistral: "mistral", qwen2: "qwen2", qwen3: "qwen3" } as const;
  const modelType = settings.oneOf<keyof typeof types>("model_type", types);
  settings.only("pretraining_tp", 1);
  const numLayers = settings.integer("num_hidden_layers", undefined, 0);
  const numHeads = settings.integer("num_attention_heads");
  const hiddenSize = settings.integer("hidden_size");
  const contextLength = settings.integer(
    "max_position_embeddings",
    { llama: 2048, mistral: 131072, qwen2: 32768, qwen3: 32768 }[modelType],
  );
  const headSize =
    modelType === "qwen3"
      ? settings.integer("head_dim", 128)
      : settings.integer("head_dim", Math.floor(hiddenSize / numHeads));
  const { ropeTheta, ropeScaling } = fromRopeParameters(settings, contextLength);
  return {
    modelType,
    vocabSize: settings.integer("vocab_size"),
    contextLength,
    numLayers,
    numHeads,
    numKeyValueHeads: settings.integer("num_key_value_heads", modelType === "mistral" ? 8 : numHeads),
    headSize,
    hiddenSize,
    intermediateSize: settings.integer("intermediate_size"),
    activation: activationOf(settings, "hidden_act", "silu"),
    normEps: settings.number("rms_norm_eps", 1e-6),
    ropeTheta,
    ropeScaling,
    attentionBias: {
      llama: settings.boolean("attention_bias", false),
      mistral: false,
      qwen2: "qkv",
      qwen3: settings.boolean("attention_bias", false),
    }[modelType] as boolean | "qkv",
    mlpBias: modelType === "llama" && settings.boolean("mlp_bias", false),
    headNorm: modelType === "qwen3",
    tieWordEmbeddings: settings.boolean("tie_word_embeddings", false),
    attentionDropout: settings.number("attention_dropout", 0),
    initializerRange: settings.number("initializer_range", 0.02),
    ...slidingWindows(settings, modelType, numLayers),
  };
}

/** Which layers see how much: Mistral all of them, Qwen those of `layer_types` (or, in old files, the last ones). */
function slidingWindows(
  settings: Settings,
  modelType: NonNullable<LlamaConfig["modelType"]>,
  numLayers: number,
): Pick<LlamaConfig, "slidingWindow" | "slidingLayers"> {
  if (modelType === "llama") return {};
  if (modelType === "mistral") {
    const isOff = settings.values.sliding_window === null;
    return isOff ? {} : { slidingWindow: settings.integer("sliding_window", 4096) };
  }
  if (!settings.boolean("use_sliding_window", false)) return {};
  const slidingWindow = settings.integer("sliding_window", 4096);
  const types = settings.values.layer_types;
  if (types == null) {
    const first = settings.integer("max_window_layers", 28, 0);
    return { slidingWindow, slidingLayers: Array.from({ length: numLayers }, (_, i) => i >= first) };
  }
  const known = ["full_attention", "sliding_attention"];
  if (!Array.isArray(types) || types.length !== numLayers || !types.every((type) => known.includes(type))) {
    settings.fail("layer_types", `${numLayers} of ${known.join(", ")}`);
  }
  return { slidingWindow, slidingLayers: types.map((type) => type === "sliding_attention") };
}

/** `rope_parameters`, or as older files have it `rope_theta` and `rope_scaling`. */
function fromRopeParameters(
  settings: Settings,
  contextLength: number,
): { ropeTheta: number; ropeScaling: RotaryScaling | undefined } {
  const old = settings.object("rope_scaling");
  const rope = settings.object("rope_parameters") ?? old;
  const ropeTheta = (rope?.has("rope_theta") ? rope : settings).number("rope_theta", 10000, 1);
  if (rope === undefined) return { ropeTheta, ropeScaling: undefined };
  const types = {
    default: "default",
    linear: "linear",
    dynamic: "dynamic",
    yarn: "yarn",
    llama3: "llama3",
    longrope: "longrope",
    su: "longrope",
  } as const;
  const type = rope.oneOf<string>(rope.has("rope_type") ? "rope_type" : "type", types, "default");
  const optional = (key: string) => (rope.has(key) ? rope.number(key) : undefined);
  const originalLength = () =>
    (rope.has("original_max_position_embeddings") ? rope : settings).integer(
      "original_max_position_embeddings",
      contextLength,
    );
  const scaling = (): RotaryScaling | undefined => {
    switch (type) {
      case "linear":
      case "dynamic":
        return { type, factor: rope.number("factor", undefined, 1) };
      case "yarn": {
        const original = originalLength();
        return {
          type,
          originalLength: original,
          factor: rope.number("factor", contextLength / original, 1),
          ...defined({
            truncate: rope.has("truncate") ? rope.boolean("truncate") : undefined,
            betaFast: optional("beta_fast"),
            betaSlow: optional("beta_slow"),
            attentionFactor: optional("attention_factor"),
            mscale: optional("mscale"),
            mscaleAllDim: optional("mscale_all_dim"),
          }),
        };
      }
      case "llama3":
        return {
          type,
          factor: rope.number("factor", undefined, 1),
          originalLength: originalLength(),
          lowFrequencyFactor: rope.number("low_freq_factor"),
          highFrequencyFactor: rope.number("high_freq_factor"),
        };
      case "longrope": {
        const original = originalLength();
        return {
          type,
          originalLength: original,
          factor: rope.number("factor", contextLength / original, 1),
          shortFactor: rope.numbers("short_factor"),
          longFactor: rope.numbers("long_factor"),
          ...defined({ attentionFactor: optional("attention_factor") }),
        };
      }
    }
  };
  return { ropeTheta, ropeScaling: scaling() };
}

const defined = <T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;

function scalingToHuggingFace(scaling: RotaryScaling | undefined): Record<string, unknown> {
  if (scaling === undefined) return { rope_type: "default" };
  const { type, ...rest } = scaling;
  const names: Record<string, string> = {
    originalLength: "original_max_position_embeddings",
    lowFrequencyFactor: "low_freq_factor",
    highFrequencyFactor: "high_freq_factor",
    betaFast: "beta_fast",
    betaSlow: "beta_slow",
    attentionFactor: "attention_factor",
    mscaleAllDim: "mscale_all_dim",
    shortFactor: "short_factor",
    longFactor: "long_factor",
  };
  const theirs = Object.entries(rest).map(([key, value]) => [names[key] ?? key, value]);
  return { rope_type: type, ...Object.fromEntries(theirs) };
}

export function llamaLayout({
  numHeads,
  numKeyValueHeads,
  headSize,
  tieWordEmbeddings,
}: FullLlamaConfig): Layout {
  const sizes = [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads) => heads * headSize);
  const attention = "model.layers.N.self_attn";
  return {
    names: [
      ["tokens", "model.embed_tokens"],
      ["blocks.N.attentionNorm", "model.layers.N.input_layernorm"],
      [
        "blocks.N.attention.qkv",
        [`${attention}.q_proj`, `${attention}.k_proj`, `${attention}.v_proj`],
        { sizes },
      ],
      ["blocks.N.attention.queryNorm", `${attention}.q_norm`],
      ["blocks.N.attention.keyNorm", `${attention}.k_norm`],
      ["blocks.N.attention.output", `${attention}.o_proj`],
      ["blocks.N.mlpNorm", "model.layers.N.post_attention_layernorm"],
      ["blocks.N.mlp.gate", "model.layers.N.mlp.gate_proj"],
      ["blocks.N.mlp.up", "model.layers.N.mlp.up_proj"],
      ["blocks.N.mlp.down", "model.layers.N.mlp.down_proj"],
      ["norm", "model.norm"],
      ["output", "lm_head"],
    ],
    prefix: "model.",
    ignored: tieWordEmbeddings ? /rotary_emb\.inv_freq$|^lm_head\.weight$/ : /rotary_emb\.inv_freq$/,
  };
}
