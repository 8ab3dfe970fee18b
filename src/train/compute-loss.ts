import { ArgumentError, show } from "../errors.ts";
import type { AnyModule } from "../nn/module.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { Tensor } from "../tensor.ts";
import type { Batch } from "./data-source.ts";

/** What a model makes of a batch: a loss `[]`, and what else there is, such as `logits`. */
export interface ModelOutput {
  loss: Tensor;
  readonly logits?: Tensor;
}

/** A loss of one's own: the mean over the items of the batch, recorded for a backward pass. */
export type ComputeLoss<M extends AnyModule = AnyModule> = (model: M, batch: never) => Tensor | ModelOutput;

/**
 * Calls a model with a batch: an array holds its arguments; an object with `inputIds` becomes
 * `model(inputIds, everything else)`; any other object is its only argument.
 */
function call(model: AnyModule, batch: Batch): unknown {
  if (Array.isArray(batch)) return model(...batch);
  if (!("inputIds" in batch)) return model(batch);
  const { inputIds, ...rest } = batch as Readonly<Record<string, unknown>>;
  return model(inputIds, rest);
}

const isLoss = (value: unknown): value is Tensor => value instanceof Tensor && value.size === 1;

function checkOutput(output: unknown, who: string): ModelOutput {
  if (isLoss(output)) return { loss: output };
  if (typeof output === "object" && output !== null && isLoss((output as Partial<ModelOutput>).loss)) {
    return output as ModelOutput;
  }
  throw new ArgumentError(
    `Trainer: ${who} must give { loss } with one number; got ${show(output)}. Has the batch labels (or targets)?`,
  );
}

/** How the loss of a batch is computed: by the model itself, by `computeLoss`, or here with smoothed labels. */
export function lossFunction(
  model: AnyModule,
  computeLoss: ComputeLoss | undefined,
  labelSmoothing: number,
): (batch: Batch) => ModelOutput {
  const name = model.constructor.name;
  if (computeLoss !== undefined) {
    if (labelSmoothing > 0) {
      throw new ArgumentError(
        `Trainer: labelSmoothingFactor goes with the model's own loss; got ${labelSmoothing} and computeLoss`,
      );
    }
    return (batch) => checkOutput(computeLoss(model, batch as never), "computeLoss");
  }
  if (labelSmoothing === 0) return (batch) => checkOutput(call(model, batch), name);
  if ((model as { isEncoderDecoder?: boolean }).isEncoderDecoder) {
    return (batch) => checkOutput(call(model, withField(batch, { labelSmoothing })), name);
  }
  return (batch) => smoothed(model, batch, labelSmoothing);
}

const withField = (batch: Batch, fields: object): Batch =>
  Array.isArray(batch) ? [batch[0], { ...batch[1], ...fields }, ...batch.slice(2)] : { ...batch, ...fields };

/**
 * `(1 − ε) · mean(−log p(label)) + ε · mean over labels and classes(−log p)` of the labels that are not -100.
 *
 * @see Szegedy et al. 2016, "Rethinking the Inception Architecture", 7
 */
function smoothed(model: AnyModule, batch: Batch, labelSmoothing: number): ModelOutput {
  const { labels, targets, ...inputs } = batch as Readonly<Record<string, unknown>>;
  const wanted = labels ?? targets;
  if (Array.isArray(batch) || !(wanted instanceof Tensor) || wanted.dtype !== "i32") {
    throw new ArgumentError(
      `Trainer: labelSmoothingFactor needs batches with labels (or targets), a tensor of i32; got ${show(wanted)}`,
    );
  }
  const output = call(model, inputs) as { logits?: unknown };
  if (!(output?.logits instanceof Tensor)) {
    throw new ArgumentError(
      `Trainer: labelSmoothingFactor needs a model that gives { logits }; got ${show(output)} of ${model.constructor.name}`,
    );
  }
  const { logits } = output;
  return { logits, loss: crossEntropy(logits, wanted, { labelSmoothing }) };
}
