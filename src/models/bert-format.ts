import type { Settings } from "../io/json.ts";
import { activationNames, activationOf } from "./activation-names.ts";
import type { BertConfig, FullBertConfig } from "./bert.ts";
import type { Layout, NameRule } from "./layout.ts";

type ModelType = FullBertConfig["modelType"];

/** What the names of the trunk begin with in files that hold a head as well. */
export const trunkPrefix: Readonly<Record<ModelType, string>> = {
  bert: "bert.",
  roberta: "roberta.",
  distilbert: "distilbert.",
};

const classPrefix: Readonly<Record<ModelType, string>> = {
  bert: "Bert",
  roberta: "Roberta",
  distilbert: "DistilBert",
};

/**
 * `config.json` as Hugging Face's configuration of that model type has it.
 *
 * @param task the end of the name of the class: "Model", "ForMaskedLM"
 */
export function toBertConfig(config: FullBertConfig, task: string): Record<string, unknown> {
  const { modelType, classifierDropout } = config;
  const common = {
    architectures: [classPrefix[modelType] + task],
    model_type: modelType,
    vocab_size: config.vocabSize,
    initializer_range: config.initializerRange,
    pad_token_id: config.padTokenId,
    tie_word_embeddings: true,
  };
  const activation = activationNames[config.activation];
  if (modelType === "distilbert") {
    return {
      ...common,
      dim: config.hiddenSize,
      hidden_dim: config.intermediateSize,
      n_layers: config.numLayers,
      n_heads: config.numHeads,
      max_position_embeddings: config.contextLength,
      activation,
      dropout: config.dropout,
      attention_dropout: config.attentionDropout,
      seq_classif_dropout: classifierDropout ?? 0.2,
      qa_dropout: 0.1,
      sinusoidal_pos_embds: false,
    };
  }
  return {
    ...common,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numLayers,
    num_attention_heads: config.numHeads,
    max_position_embeddings: config.contextLength + (modelType === "roberta" ? config.padTokenId + 1 : 0),
    type_vocab_size: config.typeVocabSize,
    hidden_act: activation,
    hidden_dropout_prob: config.dropout,
    attention_probs_dropout_prob: config.attentionDropout,
    classifier_dropout: classifierDropout ?? null,
    layer_norm_eps: config.normEps,
  };
}

/** @throws ERR_CHECKPOINT naming the key that is missing or that this library cannot honour */
export function fromBertConfig(settings: Settings): BertConfig {
  const types = { bert: "bert", roberta: "roberta", distilbert: "distilbert" } as const;
  const modelType = settings.oneOf<ModelType>("model_type", types);
  settings.only("is_decoder", false);
  settings.only("add_cross_attention", false);
  settings.only("tie_word_embeddings", true);
  const common = {
    modelType,
    vocabSize: settings.integer("vocab_size"),
    initializerRange: settings.number("initializer_range", 0.02),
    padTokenId: settings.integer("pad_token_id", modelType === "roberta" ? 1 : 0, 0),
  };
  if (modelType === "distilbert") {
    settings.only("sinusoidal_pos_embds", false); // the table of a checkpoint holds them, but would be trained on
    const dropout = settings.has("seq_classif_dropout") ? settings.number("seq_classif_dropout") : undefined;
    settings.only("qa_dropout", 0.1);
    return {
      ...common,
      hiddenSize: settings.integer("dim"),
      intermediateSize: settings.integer("hidden_dim", 3072),
      numLayers: settings.integer("n_layers", 6, 0),
      numHeads: settings.integer("n_heads", 12),
      contextLength: settings.integer("max_position_embeddings", 512),
      activation: activationOf(settings, "activation", "gelu"),
      dropout: settings.number("dropout", 0.1),
      attentionDropout: settings.number("attention_dropout", 0.1),
      classifierDropout: dropout,
    };
  }
  settings.only("position_embedding_type", "absolute");
  const offset = modelType === "roberta" ? common.padTokenId + 1 : 0;
  const positions = settings.integer("max_position_embeddings", 512);
  if (positions <= offset) settings.fail("max_position_embeddings", `more than ${offset}`);
  return {
    ...common,
    hiddenSize: settings.integer("hidden_size"),
    intermediateSize: settings.integer("intermediate_size", 3072),
    numLayers: settings.integer("num_hidden_layers", 12, 0),
    numHeads: settings.integer("num_attention_heads", 12),
    contextLength: positions - offset,
    typeVocabSize: settings.integer("type_vocab_size", 2),
    activation: activationOf(settings, "hidden_act", "gelu"),
    dropout: settings.number("hidden_dropout_prob", 0.1),
    attentionDropout: settings.number("attention_probs_dropout_prob", 0.1),
    classifierDropout: settings.has("classifier_dropout") ? settings.number("classifier_dropout") : undefined,
    normEps: settings.number("layer_norm_eps", 1e-12),
  };
}

/** Where the parts of the encoder lie. */
export function trunkNames(
  { modelType, hiddenSize }: FullBertConfig,
  ours: string,
  theirs: string,
): NameRule[] {
  const sizes = [hiddenSize, hiddenSize, hiddenSize];
  const isDistil = modelType === "distilbert";
  const layer = `${theirs}${isDistil ? "transformer" : "encoder"}.layer.N.`;
  const self = ["query", "key", "value"].map((part) => `${layer}attention.self.${part}`);
  const lin = ["q", "k", "v"].map((part) => `${layer}attention.${part}_lin`);
  const one = (path: string, bert: string, distil: string): NameRule => [
    `${ours}blocks.N.${path}`,
    layer + (isDistil ? distil : bert),
  ];
  return [
    [`${ours}tokens`, `${theirs}embeddings.word_embeddings`],
    [`${ours}positions.table`, `${theirs}embeddings.position_embeddings`],
    [`${ours}tokenTypes`, `${theirs}embeddings.token_type_embeddings`],
    [`${ours}norm`, `${theirs}embeddings.LayerNorm`],
    [`${ours}blocks.N.attention.qkv`, isDistil ? lin : self, { sizes }],
    one("attention.output", "attention.output.dense", "attention.out_lin"),
    one("attentionNorm", "attention.output.LayerNorm", "sa_layer_norm"),
    one("mlp.up", "intermediate.dense", "ffn.lin1"),
    one("mlp.down", "output.dense", "ffn.lin2"),
    one("mlpNorm", "output.LayerNorm", "output_layer_norm"),
    [`${ours}pooler`, `${theirs}pooler.dense`],
  ];
}

/** Where the head of masked language modelling lies; its output matrix is that of the embeddings. */
export function predictionNames(modelType: ModelType, ours: string): NameRule[] {
  const [dense, norm, bias] = {
    bert: ["cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions"],
    roberta: ["lm_head.dense", "lm_head.layer_norm", "lm_head"],
    distilbert: ["vocab_transform", "vocab_layer_norm", "vocab_projector"],
  }[modelType] as [string, string, string];
  return [
    [`${ours}.dense`, dense],
    [`${ours}.norm`, norm],
    [ours, bias],
  ];
}

/**
 * The layout of an encoder with a head.
 *
 * @param names of the parts of the head
 * @param fresh our paths of what a checkpoint may lack
 */
export function headLayout(config: FullBertConfig, names: NameRule[], fresh: string[]): Layout {
  const prefix = trunkPrefix[config.modelType];
  // Tied weights have a second name in some files, and positions were a buffer once.
  const ignored = /(decoder\.(weight|bias)|vocab_projector\.weight|position_ids)$/;
  return { names: [...trunkNames(config, "bert.", prefix), ...names], prefix, fresh, ignored };
}
