import { ArgumentError, checkInteger } from "../errors.ts";
import { averagedScores, type PrecisionRecallFscore } from "./f-score.ts";
import { countClasses, type Label, type LabelPairOptions, labelPairs } from "./labels.ts";

export interface ClassScores {
  readonly precision: number;
  readonly recall: number;
  readonly f1Score: number;
  /** Labels. */
  readonly support: number;
}

export interface ClassificationReportOptions extends LabelPairOptions {
  /** The classes that are reported, in this order. Default: all that are predicted or labels, in order. */
  labels?: readonly Label[];
  /** Of the classes, in the order of `labels`. Default: the labels themselves. */
  targetNames?: readonly string[];
  /** Decimals in the table. Default 2. */
  digits?: number;
  /** What 0/0 is: 0, 1, or NaN, which means leave out. Default 0. */
  zeroDivision?: number;
}

/** Precision, recall and F1 of each class and their means; as a string it is a table. */
export class ClassificationReport {
  readonly classes: readonly (ClassScores & { readonly name: string })[];
  /** Unless a class that occurs is not reported. */
  readonly accuracy?: number;
  /** In place of the accuracy, if a class that occurs is not reported. */
  readonly microAvg?: ClassScores;
  readonly macroAvg: ClassScores;
  readonly weightedAvg: ClassScores;
  readonly #digits: number;

  /** @internal */
  constructor(
    classes: ClassificationReport["classes"],
    averages: Record<"micro" | "macro" | "weighted", ClassScores>,
    { isComplete, digits }: { isComplete: boolean; digits: number },
  ) {
    this.classes = classes;
    if (isComplete) this.accuracy = averages.micro.precision;
    else this.microAvg = averages.micro;
    this.macroAvg = averages.macro;
    this.weightedAvg = averages.weighted;
    this.#digits = digits;
  }

  /** The table that scikit-learn prints; a tie is rounded up, though, not to even. */
  toString(): string {
    const { classes, accuracy, microAvg, macroAvg, weightedAvg } = this;
    const digits = this.#digits;
    const width = Math.max(...classes.map(({ name }) => name.length), "weighted avg".length, digits);
    const line = (name: string, ...cells: string[]) =>
      `${name.padStart(width)} ${cells.map((cell) => ` ${cell.padStart(9)}`).join("")}\n`;
    const fixed = (value: number) => (Number.isNaN(value) ? "nan" : value.toFixed(digits));
    const row = (name: string, { precision, recall, f1Score, support }: ClassScores) =>
      line(name, fixed(precision), fixed(recall), fixed(f1Score), String(support));
    const first = microAvg
      ? row("micro avg", microAvg)
      : line("accuracy", "", "", fixed(accuracy!), String(macroAvg.support));
    return [
      line("", "precision", "recall", "f1-score", "support"),
      classes.map((scores) => row(scores.name, scores)).join(""),
      first + row("macro avg", macroAvg) + row("weighted avg", weightedAvg),
    ].join("\n");
  }
}

/**
 * Precision, recall and F1 of each class and their means; scikit-learn's `classification_report`.
 *
 * ```ts
 * console.log(String(classificationReport(predictions, labels, { targetNames: ["ham", "spam"] })));
 * ```
 *
 * @param predictions `[N]` classes: integers or strings
 * @param labels      `[N]`; -100 counts for nothing
 * @throws ERR_ARGUMENT if they differ in length, on none, on what is no class, and if there is not a name for each class
 */
export function classificationReport(
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  options: ClassificationReportOptions = {},
): ClassificationReport {
  const name = "classificationReport";
  const { labels: chosen, targetNames, digits = 2, zeroDivision = 0 } = options;
  checkInteger(`${name}: digits`, digits, 0, 100);
  const pairs = labelPairs(name, predictions, labels, options);
  const counts = countClasses(name, pairs, chosen);
  const K = counts.classes.length;
  if (targetNames !== undefined && (!Array.isArray(targetNames) || targetNames.length !== K)) {
    throw new ArgumentError(
      `${name}: targetNames must be ${K}, one for each of the classes ${counts.classes.slice(0, 8).join(", ")}${K > 8 ? " …" : ""}; got ${targetNames?.length}`,
    );
  }
  const { precision, recall, fscore, support } = averagedScores(
    counts,
    null,
    zeroDivision,
    1,
  ) as PrecisionRecallFscore<number[]>;
  const classes = counts.classes.map((label, k) => ({
    name: targetNames?.[k] ?? String(label),
    ...{ precision: precision[k]!, recall: recall[k]!, f1Score: fscore[k]!, support: support[k]! },
  }));
  const average = (kind: "micro" | "macro" | "weighted"): ClassScores => {
    const { fscore, ...scores } = averagedScores(
      counts,
      kind,
      zeroDivision,
      1,
    ) as PrecisionRecallFscore<number>;
    return { precision: scores.precision, recall: scores.recall, f1Score: fscore, support: scores.support };
  };
  const reported = new Set(counts.classes);
  return new ClassificationReport(
    classes,
    { micro: average("micro"), macro: average("macro"), weighted: average("weighted") },
    { isComplete: pairs.classes.every((label) => reported.has(label)), digits },
  );
}
