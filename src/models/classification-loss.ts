import { ArgumentError, ShapeError } from "../errors.ts";
import { zeros } from "../ops/creation.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { mul, sub } from "../ops/elementwise.ts";
import { mean } from "../ops/reductions.ts";
import { cast, concat, reshape } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import { type Tensor, tensor } from "../tensor.ts";

/** What the labels of a classifier are: numbers, one class of several, or any number of them. */
export type ProblemType = "regression" | "single_label_classification" | "multi_label_classification";

/** As Hugging Face decides where a configuration does not say: by the number of labels and by their dtype. */
export function problemTypeOf(labels: Tensor, numLabels: number): ProblemType {
  if (numLabels === 1) return "regression";
  return labels.dtype === "i32" ? "single_label_classification" : "multi_label_classification";
}

/**
 * The loss of logits `[B, L]`.
 *
 * - regression: mean square difference; labels `[B]` or `[B, L]` f32
 * - single_label_classification: cross entropy; labels `[B]` i32, -100 counts for nothing
 * - multi_label_classification: binary cross entropy of each logit; labels `[B, L]` f32 from 0 to 1
 *
 * @returns `[]` f32
 */
export function classificationLoss(logits: Tensor, labels: Tensor, type: ProblemType): Tensor {
  if (type === "single_label_classification") return crossEntropy(logits, labels);
  if (type !== "regression" && type !== "multi_label_classification") {
    throw new ArgumentError(
      `problemType must be regression, single_label_classification or multi_label_classification; got ${String(type)}`,
    );
  }
  if (labels.size !== logits.size) {
    throw new ShapeError(
      `${type}: labels must be ${showShape(logits.shape)}; got ${showShape(labels.shape)}`,
    );
  }
  const x = cast(logits, "f32");
  const y = reshape(cast(labels, "f32"), x.shape);
  if (type === "regression") {
    const difference = sub(x, y);
    return mean(mul(difference, difference));
  }
  // −y·log σ(x) − (1 − y)·log(1 − σ(x)) = log(1 + eˣ) − x·y, and log(1 + eˣ) is the cross entropy of (0, x) with class 0.
  const column = reshape(x, [x.size, 1]);
  const pairs = concat([zeros([x.size, 1], { device: x.device }), column], 1);
  const classes = tensor(new Int32Array(x.size), [x.size], { device: x.device });
  return sub(crossEntropy(pairs, classes), mean(mul(x, y)));
}
