import { ArgumentError } from "../errors.ts";
import { BertForSequenceClassification } from "../models/bert-classification.ts";
import { BertForMaskedLM, BertForPreTraining } from "../models/bert-pretraining.ts";
import { BertForQuestionAnswering, BertForTokenClassification } from "../models/bert-token-heads.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { Seq2SeqLM } from "../models/seq2seq-lm.ts";
import type { AnyModule } from "../nn/module.ts";
import { Tensor } from "../tensor.ts";

/** Of a batch. */
export interface BatchSize {
  /** Rows. */
  batchSize: number;
  /** Tokens of a row; of an encoder-decoder those of the encoder. */
  sequenceLength: number;
  /** Tokens of a row of the decoder. */
  targetLength: number;
}

const ids = (...shape: number[]): Tensor => Tensor.empty(shape, "i32", "meta");

/** The labels that a model of this package takes beside its token ids, by the names of its inputs; undefined for others. */
function labelsFor(model: AnyModule, { batchSize: B, sequenceLength: T, targetLength }: BatchSize) {
  if (model instanceof CausalLM) return { targets: ids(B, T) };
  if (model instanceof Seq2SeqLM) {
    return { labels: ids(B, targetLength), decoderInputIds: ids(B, targetLength) };
  }
  if (model instanceof BertForPreTraining) return { labels: ids(B, T), nextSentenceLabel: ids(B) };
  if (model instanceof BertForMaskedLM || model instanceof BertForTokenClassification) {
    return { labels: ids(B, T) };
  }
  if (model instanceof BertForQuestionAnswering) return { startPositions: ids(B), endPositions: ids(B) };
  if (model instanceof BertForSequenceClassification) {
    const L = model.labels.length;
    const isSingle = L > 1 && model.problemType !== "multi_label_classification";
    return { labels: isSingle ? ids(B) : Tensor.empty(L > 1 ? [B, L] : [B], "f32", "meta") };
  }
  return undefined;
}

/**
 * The loss of a model on a batch of that size, without values.
 *
 * @throws ERR_ARGUMENT for a model that does not make a loss of labels by itself
 */
export function sampleLoss(model: AnyModule, size: BatchSize): Tensor {
  const labels = labelsFor(model, size);
  if (labels === undefined) {
    throw new ArgumentError(
      `estimateMemory: ${model.constructor.name} is no model whose batches are known; pass loss: (model, size) => its loss`,
    );
  }
  return (model(ids(size.batchSize, size.sequenceLength), labels) as { loss: Tensor }).loss;
}

/** A forward pass of a model on a batch of that size, without labels. */
export function samplePass(model: AnyModule, size: BatchSize): unknown {
  const input = ids(size.batchSize, size.sequenceLength);
  if (!(model instanceof Seq2SeqLM)) return model(input);
  return model(input, { decoderInputIds: ids(size.batchSize, size.targetLength) });
}
