import { send } from "../messages.ts";
import { Dropout, Linear } from "../nn/layers.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { add, scale } from "../ops/elementwise.ts";
import { reshape, split } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import { Bert, type BertConfig, type BertInput, type FullBertConfig, type States, states } from "./bert.ts";
import { fromBertConfig, headLayout, toBertConfig } from "./bert-format.ts";
import {
  type ClassificationInput,
  type ClassificationOutput,
  type LabelOptions,
  labelsIn,
  labelsOf,
  labelTables,
} from "./classification-labels.ts";
import type { Layout } from "./layout.ts";
import { loadPretrained, PreTrainedModel } from "./pretrained.ts";

/** Encoder of the BERT family that gives each token a class: names, parts of speech. `logits [B, T, L]`. */
export class BertForTokenClassification extends PreTrainedModel<
  [ids: Tensor, input?: ClassificationInput],
  ClassificationOutput
> {
  readonly config: FullBertConfig;
  readonly labels: readonly string[];
  bert: Bert;
  dropout: Dropout;
  classifier: Linear;

  constructor(config: BertConfig, options: LabelOptions = {}) {
    super();
    this.labels = labelsOf(options);
    this.bert = new Bert(config, { pooler: false });
    this.config = this.bert.config;
    const { hiddenSize, dropout, classifierDropout, modelType, initializerRange: std } = this.config;
    // DistilBERT's classifierDropout is that of whole sequences.
    this.dropout = new Dropout(modelType === "distilbert" ? dropout : (classifierDropout ?? dropout));
    this.classifier = new Linear(hiddenSize, this.labels.length, { std });
  }

  /** `labels [B, T]` i32, -100 counts for nothing. */
  forward(ids: Tensor, { labels, ...input }: ClassificationInput = {}): ClassificationOutput {
    const encoded = this.bert(ids, input);
    const logits = send("logits", this.classifier(this.dropout(encoded.lastHiddenState)));
    return { logits, ...(labels && { loss: crossEntropy(logits, labels) }), ...states(encoded) };
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return { ...toBertConfig(this.config, "ForTokenClassification"), ...labelTables(this.labels) };
  }

  layout(): Layout {
    return headLayout(this.config, [["classifier", "classifier"]], ["classifier"]);
  }

  /** @throws ERR_CHECKPOINT */
  static fromPretrained(
    folder: string,
    { dtype, ...options }: LabelOptions & Pick<BertConfig, "dtype"> = {},
  ): Promise<BertForTokenClassification> {
    return loadPretrained(folder, (settings) => {
      const own = options.numLabels !== undefined || options.labels !== undefined;
      const config = { ...fromBertConfig(settings), ...(dtype && { dtype }) };
      return new BertForTokenClassification(config, own ? options : labelsIn(settings));
    });
  }
}

export interface QuestionAnsweringInput extends BertInput {
  /** `[B]` i32: the first and the last token of the answer; -100 counts for nothing. */
  startPositions?: Tensor;
  endPositions?: Tensor;
}

export interface QuestionAnsweringOutput extends States {
  /** `[B, T]` */
  startLogits: Tensor;
  endLogits: Tensor;
  /** `[]` f32: the mean of both cross entropies; with positions only. */
  loss?: Tensor;
}

/** Encoder of the BERT family that finds where in a text the answer to a question begins and ends. */
export class BertForQuestionAnswering extends PreTrainedModel<
  [ids: Tensor, input?: QuestionAnsweringInput],
  QuestionAnsweringOutput
> {
  readonly config: FullBertConfig;
  bert: Bert;
  dropout: Dropout;
  outputs: Linear;

  constructor(config: BertConfig) {
    super();
    this.bert = new Bert(config, { pooler: false });
    this.config = this.bert.config;
    // DistilBERT drops here, BERT and RoBERTa do not.
    this.dropout = new Dropout(this.config.modelType === "distilbert" ? 0.1 : 0);
    this.outputs = new Linear(this.config.hiddenSize, 2, { std: this.config.initializerRange });
  }

  forward(ids: Tensor, input: QuestionAnsweringInput = {}): QuestionAnsweringOutput {
    const { startPositions, endPositions, ...rest } = input;
    const encoded = this.bert(ids, rest);
    const logits = send("logits", this.outputs(this.dropout(encoded.lastHiddenState)));
    const [startLogits, endLogits] = split(logits, [1, 1]).map((t) => reshape(t, [...ids.shape])) as [
      Tensor,
      Tensor,
    ];
    const output = { startLogits, endLogits, ...states(encoded) };
    if (startPositions === undefined || endPositions === undefined) return output;
    const both = add(crossEntropy(startLogits, startPositions), crossEntropy(endLogits, endPositions));
    return { ...output, loss: scale(both, 0.5) };
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    return toBertConfig(this.config, "ForQuestionAnswering");
  }

  layout(): Layout {
    return headLayout(this.config, [["outputs", "qa_outputs"]], ["outputs"]);
  }

  /** @throws ERR_CHECKPOINT */
  static fromPretrained(
    folder: string,
    options: Pick<BertConfig, "dtype"> = {},
  ): Promise<BertForQuestionAnswering> {
    return loadPretrained(
      folder,
      (settings) => new BertForQuestionAnswering({ ...fromBertConfig(settings), ...options }),
    );
  }
}
