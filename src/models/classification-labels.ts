import { ArgumentError, checkInteger } from "../errors.ts";
import type { Settings } from "../io/json.ts";
import type { Tensor } from "../tensor.ts";
import type { BertInput, States } from "./bert.ts";

export interface LabelOptions {
  /** Default: as many as `labels` names, else 2. */
  numLabels?: number;
  /** Names of the classes. Default LABEL_0, LABEL_1 … */
  labels?: readonly string[];
}

export interface ClassificationInput extends BertInput {
  labels?: Tensor;
}

export interface ClassificationOutput extends States {
  logits: Tensor;
  /** `[]` f32; with labels only. */
  loss?: Tensor;
}

/** @internal The names of the classes. */
export function labelsOf({ numLabels, labels }: LabelOptions): string[] {
  const names = labels ? [...labels] : Array.from({ length: numLabels ?? 2 }, (_, i) => `LABEL_${i}`);
  checkInteger("numLabels", numLabels ?? names.length, 1);
  if (numLabels !== undefined && numLabels !== names.length) {
    throw new ArgumentError(`numLabels must be the number of labels, ${names.length}; got ${numLabels}`);
  }
  return names;
}

/** @internal The names of classes in a `config.json`. */
export function labelsIn(settings: Settings): LabelOptions {
  const table = settings.object("id2label");
  if (table === undefined) return { numLabels: settings.integer("num_labels", 2) };
  const count = Object.keys(table.values).length;
  return { labels: Array.from({ length: count }, (_, i) => table.string(String(i))) };
}

/** @internal Both tables of a `config.json`. */
export const labelTables = (labels: readonly string[]) => ({
  id2label: Object.fromEntries(labels.map((label, i) => [i, label])),
  label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
});
