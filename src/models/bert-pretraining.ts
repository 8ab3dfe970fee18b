import { send } from "../messages.ts";
import { Linear } from "../nn/layers.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { add } from "../ops/elementwise.ts";
import { linearCrossEntropy } from "../ops/linearcrossentropy.ts";
import { linear } from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";
import { Bert, type BertConfig, type BertInput, type FullBertConfig, type States, states } from "./bert.ts";
import { fromBertConfig, headLayout, predictionNames, toBertConfig } from "./bert-format.ts";
import type { Layout, NameRule } from "./layout.ts";
import { withLazyLogits } from "./lazy-logits.ts";
import { MaskedLMHead } from "./masked-lm-head.ts";
import { loadPretrained, PreTrainedModel } from "./pretrained.ts";

export interface MaskedLMInput extends BertInput {
  /** `[B, T]` i32: the token that was at each masked place, -100 elsewhere. */
  labels?: Tensor;
}

export interface MaskedLMOutput extends States {
  /** `[B, T, V]`. With labels made when first read; see CausalLMOutput. */
  readonly logits: Tensor;
  /** `[]` f32, mean cross entropy over the places that have a label; with labels only. */
  loss?: Tensor;
}

export interface BertForMaskedLM {
  (ids: Tensor, input: MaskedLMInput & { labels: Tensor }): MaskedLMOutput & { loss: Tensor };
}

/** Encoder of the BERT family that predicts masked tokens. */
export class BertForMaskedLM extends PreTrainedModel<[ids: Tensor, input?: MaskedLMInput], MaskedLMOutput> {
  readonly config: FullBertConfig;
  bert: Bert;
  predictions: MaskedLMHead;

  constructor(config: BertConfig) {
    super();
    this.bert = new Bert(config, { pooler: false });
    this.config = this.bert.config;
    this.predictions = new MaskedLMHead(this.config);
  }

  forward(ids: Tensor, { labels, ...input }: MaskedLMInput = {}): MaskedLMOutput {
    const encoded = this.bert(ids, input);
    const x = this.predictions(encoded.lastHiddenState);
    const { weight } = this.bert.tokens;
    const { bias } = this.predictions;
    if (labels === undefined) return { logits: send("logits", linear(x, weight, bias)), ...states(encoded) };
    const loss = linearCrossEntropy(x, weight, labels, { bias });
    return withLazyLogits({ loss, ...states(encoded) }, x, weight, bias);
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return toBertConfig(this.config, "ForMaskedLM");
  }

  layout(): Layout {
    const { config } = this;
    return headLayout(config, predictionNames(config.modelType, "predictions"), ["predictions"]);
  }

  /** @throws ERR_CHECKPOINT */
  static fromPretrained(folder: string, options: Pick<BertConfig, "dtype"> = {}): Promise<BertForMaskedLM> {
    return loadPretrained(
      folder,
      (settings) => new BertForMaskedLM({ ...fromBertConfig(settings), ...options }),
    );
  }
}

export interface PreTrainingInput extends MaskedLMInput {
  /** `[B]` i32: 0 where segment B follows A in its document, 1 where it is from another. */
  nextSentenceLabel?: Tensor;
}

export interface PreTrainingOutput extends States {
  /** `[B, T, V]`. With labels made when first read; see CausalLMOutput. */
  readonly logits: Tensor;
  /** `[B, 2]` */
  seqRelationshipLogits: Tensor;
  /** `[]` f32: of masked tokens and of next sentences, added; with both labels only. */
  loss?: Tensor;
  /** `[]` f32: its parts. */
  maskedLMLoss?: Tensor;
  nextSentenceLoss?: Tensor;
}

/** BERT with both heads of its pretraining: masked tokens, and whether the second segment follows the first. */
export class BertForPreTraining extends PreTrainedModel<
  [ids: Tensor, input?: PreTrainingInput],
  PreTrainingOutput
> {
  readonly config: FullBertConfig;
  bert: Bert;
  predictions: MaskedLMHead;
  nextSentence: Linear;

  constructor(config: BertConfig) {
    super();
    this.bert = new Bert(config, { pooler: true });
    this.config = this.bert.config;
    this.predictions = new MaskedLMHead(this.config);
    this.nextSentence = new Linear(this.config.hiddenSize, 2, { std: this.config.initializerRange });
  }

  forward(ids: Tensor, { labels, nextSentenceLabel, ...input }: PreTrainingInput = {}): PreTrainingOutput {
    const encoded = this.bert(ids, input);
    const x = this.predictions(encoded.lastHiddenState);
    const { weight } = this.bert.tokens;
    const { bias } = this.predictions;
    const seqRelationshipLogits = this.nextSentence(encoded.poolerOutput!);
    const output: Omit<PreTrainingOutput, "logits"> = { seqRelationshipLogits, ...states(encoded) };
    if (nextSentenceLabel) output.nextSentenceLoss = crossEntropy(seqRelationshipLogits, nextSentenceLabel);
    if (labels === undefined) return { ...output, logits: send("logits", linear(x, weight, bias)) };
    const maskedLMLoss = linearCrossEntropy(x, weight, labels, { bias });
    const { nextSentenceLoss } = output;
    const loss = nextSentenceLoss ? add(maskedLMLoss, nextSentenceLoss) : maskedLMLoss;
    return withLazyLogits({ ...output, maskedLMLoss, loss }, x, weight, bias);
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return toBertConfig(this.config, "ForPreTraining");
  }

  layout(): Layout {
    const names: NameRule[] = [
      ...predictionNames("bert", "predictions"),
      ["nextSentence", "cls.seq_relationship"],
    ];
    return headLayout(this.config, names, ["predictions", "nextSentence", "bert.pooler"]);
  }

  /** @throws ERR_CHECKPOINT */
  static fromPretrained(
    folder: string,
    options: Pick<BertConfig, "dtype"> = {},
  ): Promise<BertForPreTraining> {
    return loadPretrained(folder, (settings) => {
      settings.only("model_type", "bert");
      return new BertForPreTraining({ ...fromBertConfig(settings), ...options });
    });
  }
}
