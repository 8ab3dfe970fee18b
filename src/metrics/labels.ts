import { ArgumentError, checkInteger } from "../errors.ts";

/** A class: an integer, or its name. */
export type Label = number | string;

export interface LabelPairOptions {
  /** Where the label is this, nothing is compared. Default -100. */
  ignoreIndex?: number;
}

/** Predictions and labels as indices into `classes`, without those that are ignored. */
export interface LabelPairs {
  /** Whatever is predicted or is a label, in order. */
  readonly classes: readonly Label[];
  /** `[N]` */
  readonly predicted: Int32Array;
  /** `[N]` */
  readonly expected: Int32Array;
}

/**
 * Checks predictions and labels, and numbers their classes.
 *
 * @param name of the caller, in messages
 * @throws ERR_ARGUMENT if they differ in length, if nothing is left to compare, and on what is no class
 */
export function labelPairs(
  name: string,
  predictions: ArrayLike<Label>,
  labels: ArrayLike<Label>,
  { ignoreIndex = -100 }: LabelPairOptions = {},
): LabelPairs {
  checkLength(name, "predictions", predictions);
  checkLength(name, "labels", labels);
  if (predictions.length !== labels.length) {
    throw new ArgumentError(
      `${name}: predictions and labels must be of one length; got ${predictions.length} and ${labels.length}`,
    );
  }
  checkInteger(`${name}: ignoreIndex`, ignoreIndex, Number.MIN_SAFE_INTEGER);
  const seen = new Map<Label, number>();
  let kind: "number" | "string" | undefined;
  const indexOf = (argument: string, values: ArrayLike<Label>, i: number): number => {
    const value = values[i]!;
    const index = seen.get(value);
    if (index !== undefined) return index;
    if (!Number.isSafeInteger(value) && typeof value !== "string") {
      throw new ArgumentError(
        `${name}: ${argument} must be integers, or strings; got ${String(value)} at index ${i}`,
      );
    }
    kind ??= typeof value as "number" | "string";
    if (typeof value !== kind) {
      throw new ArgumentError(
        `${name}: predictions and labels must be integers all, or strings all; got ${JSON.stringify(value)} in ${argument} at index ${i}, and others that are ${kind}s`,
      );
    }
    seen.set(value, seen.size);
    return seen.size - 1;
  };
  const predicted = new Int32Array(labels.length);
  const expected = new Int32Array(labels.length);
  let N = 0;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === ignoreIndex) continue;
    expected[N] = indexOf("labels", labels, i);
    predicted[N++] = indexOf("predictions", predictions, i);
  }
  if (N === 0) {
    throw new ArgumentError(
      `${name}: labels must have at least one that counts; got ${labels.length === 0 ? "none" : `${labels.length}, all of them ${ignoreIndex}`}`,
    );
  }
  const classes = [...seen.keys()].sort(inOrder);
  const places = new Map(classes.map((label, place) => [seen.get(label)!, place]));
  const renumber = (indices: Int32Array) => indices.subarray(0, N).map((index) => places.get(index)!);
  return { classes, predicted: renumber(predicted), expected: renumber(expected) };
}

/** Numbers by value, names by code unit. */
const inOrder = (a: Label, b: Label): number => (a < b ? -1 : a > b ? 1 : 0);

/** Throws unless `values` is an array or something like it. A string, whose characters it would be, is not. */
export function checkLength(name: string, argument: string, values: ArrayLike<unknown>): number {
  if (typeof values !== "object" || values === null || !Number.isSafeInteger(values.length)) {
    throw new ArgumentError(
      `${name}: ${argument} must be an array or a typed array; got ${values === null ? "null" : typeof values}`,
    );
  }
  return values.length;
}

/** Of each class, what a score needs. */
export interface ClassCounts {
  readonly classes: readonly Label[];
  /** Predicted and right. */
  readonly hits: Float64Array;
  readonly predicted: Float64Array;
  /** Labels. */
  readonly support: Float64Array;
  /** Labels of all classes. */
  readonly total: number;
}

/** @param chosen the classes that count, in this order; others are added up in `total` only. Default all */
export function countClasses(
  name: string,
  { classes, predicted, expected }: LabelPairs,
  chosen?: readonly Label[],
): ClassCounts {
  const places = classPlaces(name, classes, chosen);
  const size = chosen?.length ?? classes.length;
  const counts = { hits: new Float64Array(size), predicted: new Float64Array(size) };
  const support = new Float64Array(size);
  for (let i = 0; i < expected.length; i++) {
    const [p, e] = [places[predicted[i]!]!, places[expected[i]!]!];
    if (p >= 0) counts.predicted[p]!++;
    if (e >= 0) support[e]!++;
    if (p >= 0 && p === e) counts.hits[p]!++;
  }
  return { classes: chosen ?? classes, ...counts, support, total: expected.length };
}

/** Of each class its place among the chosen, -1 if it is not. */
export function classPlaces(
  name: string,
  classes: readonly Label[],
  chosen: readonly Label[] = classes,
): Int32Array {
  if (!Array.isArray(chosen) || chosen.length === 0) {
    throw new ArgumentError(
      `${name}: options.labels must be an array of at least one class; got ${Array.isArray(chosen) ? "none" : String(chosen)}`,
    );
  }
  const places = new Map(chosen.map((label, place) => [label, place]));
  if (places.size !== chosen.length) {
    throw new ArgumentError(`${name}: options.labels must have each class once; got ${chosen.join(", ")}`);
  }
  return Int32Array.from(classes, (label) => places.get(label) ?? -1);
}
