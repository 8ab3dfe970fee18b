import { ArgumentError } from "../errors.ts";
import { send } from "../messages.ts";
import { Dropout, Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { AttentionPooling, meanPooling } from "../nn/pooling.ts";
import { tanh } from "../ops/tanh.ts";
import type { Tensor } from "../tensor.ts";
import { Bert, type BertConfig, type BertOutput, type FullBertConfig, firstOf, states } from "./bert.ts";
import { fromBertConfig, headLayout, toBertConfig } from "./bert-format.ts";
import {
  type ClassificationInput,
  type ClassificationOutput,
  type LabelOptions,
  labelsIn,
  labelsOf,
  labelTables,
} from "./classification-labels.ts";
import { classificationLoss, type ProblemType, problemTypeOf } from "./classification-loss.ts";
import type { Layout, NameRule } from "./layout.ts";
import { loadPretrained, PreTrainedModel } from "./pretrained.ts";

/** How the states of a text become one: that of its first token, their mean, or a learned weighted mean. */
export type Pooling = "cls" | "mean" | "attention";

export interface SequenceClassificationOptions extends LabelOptions {
  /** Default "cls". The others are of this library: Hugging Face's classes do not read them. */
  pooling?: Pooling;
  /** Default: by the number and dtype of the labels; see problemTypeOf. */
  problemType?: ProblemType;
}

/** From the states of a text to the scores of its classes, as each of the family does it. */
export class SequenceClassificationHead extends Module<[encoded: BertOutput, lengths?: Tensor], Tensor> {
  attentionPooling: AttentionPooling | undefined;
  /** RoBERTa and DistilBERT have a map before the last, where BERT has its pooler. */
  dense: Linear | undefined;
  dropout: Dropout;
  output: Linear;
  readonly pooling: Pooling;
  private readonly modelType!: FullBertConfig["modelType"];

  constructor(config: FullBertConfig, numLabels: number, pooling: Pooling) {
    super();
    if (!["cls", "mean", "attention"].includes(pooling)) {
      throw new ArgumentError(`pooling must be cls, mean or attention; got ${String(pooling)}`);
    }
    const { hiddenSize, modelType, initializerRange: std } = config;
    this.pooling = pooling;
    Object.defineProperty(this, "modelType", { value: modelType });
    this.attentionPooling = pooling === "attention" ? new AttentionPooling(hiddenSize, { std }) : undefined;
    const isDistil = modelType === "distilbert";
    this.dense =
      pooling === "cls" && modelType !== "bert"
        ? new Linear(hiddenSize, hiddenSize, { std, ...(isDistil && { activation: "relu" as const }) })
        : undefined;
    this.dropout = new Dropout(config.classifierDropout ?? (isDistil ? 0.2 : config.dropout));
    this.output = new Linear(hiddenSize, numLabels, { std });
  }

  forward({ lastHiddenState: x, poolerOutput }: BertOutput, lengths?: Tensor): Tensor {
    if (this.attentionPooling) return this.output(this.dropout(this.attentionPooling(x, lengths)));
    if (this.pooling === "mean") return this.output(this.dropout(meanPooling(x, lengths)));
    if (this.dense === undefined) return this.output(this.dropout(poolerOutput!));
    const first = firstOf(x);
    if (this.modelType === "distilbert") return this.output(this.dropout(this.dense(first)));
    return this.output(this.dropout(tanh(this.dense(this.dropout(first)))));
  }

  /** Where its parts lie in a checkpoint. */
  names(ours: string): NameRule[] {
    const roberta = this.modelType === "roberta" && this.pooling === "cls";
    return [
      [`${ours}.dense`, roberta ? "classifier.dense" : "pre_classifier"],
      [`${ours}.output`, roberta ? "classifier.out_proj" : "classifier"],
      [`${ours}.attentionPooling`, "attention_pooling"],
    ];
  }
}

/** Encoder of the BERT family that sorts texts, or pairs of them, into classes. */
export class BertForSequenceClassification extends PreTrainedModel<
  [ids: Tensor, input?: ClassificationInput],
  ClassificationOutput
> {
  readonly config: FullBertConfig;
  readonly labels: readonly string[];
  readonly problemType: ProblemType | undefined;
  bert: Bert;
  classifier: SequenceClassificationHead;

  constructor(config: BertConfig, options: SequenceClassificationOptions = {}) {
    super();
    const { pooling = "cls" } = options;
    this.labels = labelsOf(options);
    this.problemType = options.problemType;
    this.bert = new Bert(config, { pooler: pooling === "cls" && (config.modelType ?? "bert") === "bert" });
    this.config = this.bert.config;
    this.classifier = new SequenceClassificationHead(this.config, this.labels.length, pooling);
  }

  /** `labels`: see classificationLoss. `logits [B, L]`. */
  forward(ids: Tensor, { labels, ...input }: ClassificationInput = {}): ClassificationOutput {
    const encoded = this.bert(ids, input);
    const logits = send("logits", this.classifier(encoded, input.lengths));
    if (labels === undefined) return { logits, ...states(encoded) };
    const type = this.problemType ?? problemTypeOf(labels, this.labels.length);
    return { logits, loss: classificationLoss(logits, labels, type), ...states(encoded) };
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    const { pooling } = this.classifier;
    return {
      ...toBertConfig(this.config, "ForSequenceClassification"),
      ...labelTables(this.labels),
      ...(this.problemType && { problem_type: this.problemType }),
      ...(pooling !== "cls" && { pooling }),
    };
  }

  layout(): Layout {
    return headLayout(this.config, this.classifier.names("classifier"), ["classifier", "bert.pooler"]);
  }

  /**
   * Reads an encoder of the family with its classifier, or without one: then that is new.
   *
   * @throws ERR_CHECKPOINT
   */
  static fromPretrained(
    folder: string,
    { dtype, ...options }: SequenceClassificationOptions & Pick<BertConfig, "dtype"> = {},
  ): Promise<BertForSequenceClassification> {
    return loadPretrained(folder, (settings) => {
      const poolings = { cls: "cls", mean: "mean", attention: "attention" } as const;
      const types = ["regression", "single_label_classification", "multi_label_classification"] as const;
      const known = Object.fromEntries(types.map((type) => [type, type]));
      const stored = {
        pooling: settings.oneOf<Pooling>("pooling", poolings, "cls"),
        ...(settings.has("problem_type") && {
          problemType: settings.oneOf<ProblemType>("problem_type", known),
        }),
      };
      const own = options.numLabels !== undefined || options.labels !== undefined;
      const config = { ...fromBertConfig(settings), ...(dtype && { dtype }) };
      return new BertForSequenceClassification(config, {
        ...(own ? {} : labelsIn(settings)),
        ...stored,
        ...options,
      });
    });
  }
}
