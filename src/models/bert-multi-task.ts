import { ArgumentError } from "../errors.ts";
import { Dropout, Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { add, scale } from "../ops/elementwise.ts";
import type { Tensor } from "../tensor.ts";
import {
  Bert,
  type BertConfig,
  type BertInput,
  type BertOutput,
  type FullBertConfig,
  type States,
  states,
} from "./bert.ts";
import { SequenceClassificationHead, type SequenceClassificationOptions } from "./bert-classification.ts";
import { fromBertConfig, headLayout, toBertConfig } from "./bert-format.ts";
import { type LabelOptions, labelsOf } from "./classification-labels.ts";
import { classificationLoss, problemTypeOf } from "./classification-loss.ts";
import type { Layout, NameRule } from "./layout.ts";
import { loadPretrained, PreTrainedModel } from "./pretrained.ts";

/** One head: of whole texts (see BertForSequenceClassification) or, with `kind: "token"`, of each token. */
export type Task =
  | ({ kind?: "sequence" } & SequenceClassificationOptions)
  | ({ kind: "token" } & LabelOptions);

export interface MultiTaskInput extends BertInput {
  /** The tasks to run. Default: those with labels, or all. */
  tasks?: readonly string[];
  /** By task; see classificationLoss, and crossEntropy for tokens. */
  labels?: Readonly<Record<string, Tensor>>;
  /** Of each task's loss in the sum. Default 1. */
  lossWeights?: Readonly<Record<string, number>>;
}

export interface MultiTaskOutput extends States {
  /** `[B, L]` or `[B, T, L]`, by task. */
  logits: Record<string, Tensor>;
  /** `[]` f32, by task that has labels. */
  losses: Record<string, Tensor>;
  /** Their weighted sum. */
  loss?: Tensor;
}

/** The head of one task. */
class TaskHead extends Module<[encoded: BertOutput, lengths?: Tensor], Tensor> {
  sequence: SequenceClassificationHead | undefined;
  dropout: Dropout;
  token: Linear | undefined;
  readonly task: Task;
  readonly labels: readonly string[];

  constructor(config: FullBertConfig, task: Task) {
    super();
    this.task = task;
    this.labels = labelsOf(task);
    const { hiddenSize, dropout, classifierDropout, initializerRange: std } = config;
    this.dropout = new Dropout(classifierDropout ?? dropout);
    const count = this.labels.length;
    this.token = task.kind === "token" ? new Linear(hiddenSize, count, { std }) : undefined;
    this.sequence =
      task.kind === "token"
        ? undefined
        : new SequenceClassificationHead(config, count, task.pooling ?? "cls");
  }

  forward(encoded: BertOutput, lengths?: Tensor): Tensor {
    if (this.sequence) return this.sequence(encoded, lengths);
    return this.token!(this.dropout(encoded.lastHiddenState));
  }

  lossOf(logits: Tensor, labels: Tensor): Tensor {
    if (this.task.kind === "token") return crossEntropy(logits, labels);
    const type = this.task.problemType ?? problemTypeOf(labels, this.labels.length);
    return classificationLoss(logits, labels, type);
  }
}

/**
 * One encoder of the BERT family with several heads, trained on all of them or by turns. Its folders are of this
 * library: Hugging Face reads the encoder in them.
 *
 * @see Caruana 1997, "Multitask Learning"; Liu et al. 2019, "Multi-Task Deep Neural Networks"
 */
export class BertForMultiTask extends PreTrainedModel<
  [ids: Tensor, input?: MultiTaskInput],
  MultiTaskOutput
> {
  readonly config: FullBertConfig;
  bert: Bert;
  heads: TaskHead[];
  readonly taskNames: readonly string[];

  constructor(config: BertConfig, tasks: Readonly<Record<string, Task>>) {
    super();
    this.taskNames = Object.keys(tasks);
    if (this.taskNames.length === 0)
      throw new ArgumentError("BertForMultiTask: tasks must name one at least");
    this.bert = new Bert(config);
    this.config = this.bert.config;
    this.heads = this.taskNames.map((name) => new TaskHead(this.config, tasks[name]!));
  }

  forward(ids: Tensor, input: MultiTaskInput = {}): MultiTaskOutput {
    const { labels = {}, lossWeights = {}, tasks, ...rest } = input;
    const labelled = Object.keys(labels);
    const chosen = tasks ?? (labelled.length > 0 ? labelled : this.taskNames);
    for (const name of [...chosen, ...labelled, ...Object.keys(lossWeights)]) {
      if (this.taskNames.includes(name)) continue;
      throw new ArgumentError(`BertForMultiTask: tasks must be of ${this.taskNames.join(", ")}; got ${name}`);
    }
    const encoded = this.bert(ids, rest);
    const output: MultiTaskOutput = { logits: {}, losses: {}, ...states(encoded) };
    for (const name of chosen) {
      const head = this.heads[this.taskNames.indexOf(name)]!;
      const logits = head(encoded, input.lengths);
      output.logits[name] = logits;
      const target = labels[name];
      if (target === undefined) continue;
      const loss = head.lossOf(logits, target);
      output.losses[name] = loss;
      const weighted = scale(loss, lossWeights[name] ?? 1);
      output.loss = output.loss ? add(output.loss, weighted) : weighted;
    }
    return output;
  }

  toHuggingFaceConfig(): Record<string, unknown> {
    const tasks = Object.fromEntries(
      this.taskNames.map((name, i) => {
        const { task, labels } = this.heads[i]!;
        const { numLabels: _, ...options } = task;
        return [name, { ...options, labels }];
      }),
    );
    return { ...toBertConfig(this.config, "ForMultiTask"), tasks };
  }

  layout(): Layout {
    const heads = this.taskNames.flatMap((name, i): NameRule[] => [
      [`heads.${i}.token`, `heads.${name}.classifier`],
      [`heads.${i}.sequence.dense`, `heads.${name}.dense`],
      [`heads.${i}.sequence.output`, `heads.${name}.classifier`],
      [`heads.${i}.sequence.attentionPooling`, `heads.${name}.attention_pooling`],
    ]);
    return headLayout(this.config, heads, ["heads", "bert.pooler"]);
  }

  /**
   * Reads what `savePretrained` has written, or an encoder of the family for new `tasks`.
   *
   * @throws ERR_CHECKPOINT
   */
  static fromPretrained(
    folder: string,
    { dtype, tasks }: { tasks?: Readonly<Record<string, Task>> } & Pick<BertConfig, "dtype"> = {},
  ): Promise<BertForMultiTask> {
    return loadPretrained(folder, (settings) => {
      const stored = settings.object("tasks")?.values as Record<string, Task> | undefined;
      const config = { ...fromBertConfig(settings), ...(dtype && { dtype }) };
      return new BertForMultiTask(config, tasks ?? stored ?? {});
    });
  }
}
