import { noGrad } from "../autograd.ts";
import { DataError } from "../errors.ts";
import { scope } from "../memory.ts";
import {
  EvalPrediction,
  type EvalPredictionParts,
  type Metric,
  type MetricInput,
} from "../metrics/metric.ts";
import type { AnyModule } from "../nn/module.ts";
import { argmax } from "../ops/reductions.ts";
import { cast } from "../ops/views.ts";
import { Tensor } from "../tensor.ts";
import { evalName } from "./best-model.ts";
import type { Logs } from "./callback.ts";
import type { ModelOutput } from "./compute-loss.ts";
import type { Batch, Epoch } from "./data-source.ts";
import { generatedTexts, type TextOptions } from "./generated-texts.ts";
import { type CountItems, labelsOf, type PreparedBatch, prepare } from "./prepared-batch.ts";

export interface EvaluationOptions {
  model: AnyModule;
  lossOf: (batch: Batch) => ModelOutput;
  metrics: readonly Metric[];
  countItems?: CountItems | undefined;
  /** What is kept beside what metrics need. */
  keeps?: readonly MetricInput[];
  /** How texts are written, where a metric reads them. */
  texts: TextOptions | undefined;
  signal: AbortSignal | undefined;
}

/** What an evaluation has found. */
export interface Evaluation {
  /** `evalLoss`, metrics as `evalName`, `evalRuntime` in seconds, `evalSamplesPerSecond`, `evalStepsPerSecond`. */
  readonly metrics: Logs;
  readonly parts: EvalPredictionParts;
}

type Part = Exclude<MetricInput, "texts">;
type Enqueued = Partial<Record<Part | "loss", Tensor>> & { examples: number; items: number | undefined };

/**
 * Runs the model over all batches in evaluation mode. A batch is enqueued before what the one before it made is read.
 *
 * `evalLoss` is the mean of those of the batches, weighted by their examples, as Hugging Face's Trainer has it. Metrics
 * are given the mean over the items (labels that are not -100) where batches say how many they have.
 *
 * @throws the signal's reason when it is aborted; ERR_DATA without any example
 */
export async function evaluate(epoch: Epoch, options: EvaluationOptions): Promise<Evaluation> {
  const { model, metrics, keeps = [], signal } = options;
  const start_ms = performance.now();
  const needs = new Set([
    ...keeps,
    ...metrics.flatMap((metric) => [...(metric.needs ?? (["predictions", "labels"] as const))]),
  ]);
  const found: Record<Part, (Float32Array | Int32Array)[]> = { predictions: [], labels: [], logits: [] };
  const texts = { predictions: [] as string[], references: [] as string[] };
  const sum = { loss: 0, itemLoss: 0, examples: 0, items: 0, batches: 0 };
  const wasTraining = model.training;
  model.eval();

  const read = async ({ examples, items, loss, ...parts }: Enqueued): Promise<void> => {
    const value = loss === undefined ? 0 : await loss.item();
    sum.loss += value * examples;
    if (items !== 0) sum.itemLoss += value * (items ?? Number.NaN);
    sum.items += items ?? 0;
    sum.examples += examples;
    sum.batches++;
    for (const [name, t] of Object.entries(parts)) found[name as Part].push(await t.toTypedArray());
    for (const t of [loss, ...Object.values(parts)]) t?.dispose();
  };
  let inFlight: Promise<void> | undefined;
  const settle = async (next?: Promise<void>) => {
    const last = inFlight;
    inFlight = next;
    next?.catch(() => {});
    await last;
  };
  try {
    for await (const pending of epoch.from(0)) {
      signal?.throwIfAborted();
      const batch = await prepare(pending, model.device, options.countItems);
      const enqueued = read(enqueue(batch, needs, options));
      if (needs.has("texts")) {
        const written = await generatedTexts(model, batch.batch, options.texts, signal);
        texts.predictions.push(...written.predictions);
        texts.references.push(...written.references);
      }
      batch.end();
      await settle(enqueued);
    }
    await settle();
    signal?.throwIfAborted();
  } finally {
    model.train(wasTraining);
  }
  if (sum.examples === 0) throw new DataError("Trainer: evalData gave no example");

  const loss = sum.loss / sum.examples;
  const parts: EvalPredictionParts = { loss: sum.items > 0 ? sum.itemLoss / sum.items : loss };
  if (needs.has("predictions")) parts.predictions = joined(found.predictions) as Int32Array;
  if (needs.has("labels")) parts.labels = joined(found.labels);
  if (needs.has("logits")) parts.logits = joined(found.logits) as Float32Array;
  if (needs.has("texts")) parts.texts = texts;
  const seconds = (performance.now() - start_ms) / 1000;
  return {
    parts,
    metrics: {
      evalLoss: loss,
      ...(await computed(metrics, new EvalPrediction(parts))),
      evalRuntime: seconds,
      evalSamplesPerSecond: sum.examples / seconds,
      evalStepsPerSecond: sum.batches / seconds,
    },
  };
}

function enqueue(
  { batch, examples, items }: PreparedBatch,
  needs: ReadonlySet<MetricInput>,
  { lossOf }: EvaluationOptions,
): Enqueued {
  return scope(() =>
    noGrad(() => {
      const output = lossOf(batch);
      const logits = needs.has("predictions") || needs.has("logits") ? output.logits : undefined;
      const labels = needs.has("labels") ? labelsOf(batch) : undefined;
      return {
        examples,
        items,
        loss: output.loss,
        ...(needs.has("predictions") && logits instanceof Tensor && { predictions: argmax(logits, -1) }),
        ...(needs.has("logits") && logits instanceof Tensor && { logits: cast(logits, "f32") }),
        ...(labels && { labels: labels.clone() }),
      };
    }),
  );
}

function joined(arrays: readonly (Float32Array | Int32Array)[]): Float32Array | Int32Array {
  const length = arrays.reduce((sum, array) => sum + array.length, 0);
  const all = arrays[0] instanceof Float32Array ? new Float32Array(length) : new Int32Array(length);
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

async function computed(metrics: readonly Metric[], evaluation: EvalPrediction): Promise<Logs> {
  const values: Record<string, number> = {};
  for (const metric of metrics) {
    const value = await metric.compute(evaluation);
    if (typeof value === "number") values[evalName(metric.name)] = value;
    else for (const [name, number] of Object.entries(value)) values[evalName(name)] = number;
  }
  return values;
}
