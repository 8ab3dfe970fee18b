import {
  accuracyScore,
  type BertForSequenceClassification,
  CheckpointError,
  type ClassificationReport,
  classificationReport,
  DataError,
  f1Score,
  type Tokenizer,
  tensor,
} from "../index.ts";
import { evaluating } from "../models/evaluating.ts";

/** Texts, or pairs of them, and the classes that they are of. */
export interface LabelledTexts {
  texts: readonly (string | readonly [string, string])[];
  /** Indices of the model's labels. */
  labels: Int32Array;
}

/**
 * The index of a label that a file gives: the model's name for it, or the index itself.
 *
 * @throws DataError
 */
export function labelIndex(names: readonly string[], label: unknown, place: string): number {
  const byName = names.indexOf(String(label));
  if (byName >= 0) return byName;
  const index = typeof label === "number" ? label : /^\d+$/.test(String(label)) ? Number(label) : -1;
  if (Number.isInteger(index) && index >= 0 && index < names.length) return index;
  const shown = names.length > 8 ? `${names.slice(0, 8).join(", ")} …` : names.join(", ");
  throw new DataError(
    `${place}: the label must be one of ${shown}, or from 0 to ${names.length - 1}; got ${JSON.stringify(label)}`,
  );
}

/** @throws CheckpointError unless of several classes one is right */
export function checkClassifier(location: string, model: BertForSequenceClassification): void {
  const { problemType: type, labels } = model;
  if (labels.length > 1 && (type === undefined || type === "single_label_classification")) return;
  const came = type ?? `${labels.length} label`;
  throw new CheckpointError(`${location}: must sort texts into classes of which one is right; got ${came}`);
}

export interface ClassifierOptions {
  batchSize: number;
  signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

/** The classes that a model finds, and how good that is. */
export async function evaluateClassifier(
  model: BertForSequenceClassification,
  tokenizer: Tokenizer,
  { texts, labels }: LabelledTexts,
  { batchSize, signal, onProgress }: ClassifierOptions,
): Promise<{
  loss: number;
  accuracy: number;
  f1Macro: number;
  f1Weighted: number;
  report: ClassificationReport;
}> {
  const predictions = new Int32Array(texts.length);
  const K = model.labels.length;
  const maxLength = Math.min(tokenizer.modelMaxLength ?? Infinity, model.config.contextLength);
  let nats = 0;
  for (let begin = 0; begin < texts.length; begin += batchSize) {
    signal.throwIfAborted();
    const rows = texts.slice(begin, begin + batchSize);
    const targets = labels.slice(begin, begin + batchSize);
    const { logits, loss } = evaluating(model, () => {
      const { ids, lengths, tokenTypeIds } = tokenizer.tensors(rows, { truncation: true, maxLength });
      const { device } = model;
      const typed = model.config.typeVocabSize > 1 ? { tokenTypeIds: tokenTypeIds.to(device) } : {};
      const expected = { labels: tensor(targets, [rows.length], { device }) };
      const { logits, loss } = model(ids.to(device), { lengths: lengths.to(device), ...typed, ...expected });
      return { logits, loss: loss! };
    });
    nats += (await loss.item()) * rows.length;
    const scores = await logits.toTypedArray();
    for (let b = 0; b < rows.length; b++) {
      const row = scores.subarray(b * K, (b + 1) * K);
      predictions[begin + b] = row.indexOf(Math.max(...row));
    }
    loss.dispose();
    logits.dispose();
    onProgress(begin + rows.length, texts.length);
  }
  const all = Array.from({ length: K }, (_, k) => k);
  return {
    loss: nats / texts.length,
    accuracy: accuracyScore(predictions, labels),
    f1Macro: f1Score(predictions, labels, { average: "macro", labels: all }),
    f1Weighted: f1Score(predictions, labels, { average: "weighted", labels: all }),
    report: classificationReport(predictions, labels, { labels: all, targetNames: model.labels }),
  };
}
