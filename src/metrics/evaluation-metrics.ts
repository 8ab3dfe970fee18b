import { ArgumentError } from "../errors.ts";
import {
  accuracyScore,
  type BalancedAccuracyOptions,
  balancedAccuracyScore,
  type CohenKappaOptions,
  cohenKappaScore,
  matthewsCorrcoef,
} from "./agreement.ts";
import * as answers from "./answers.ts";
import * as bleuScores from "./bleu.ts";
import * as chrFScores from "./chrf.ts";
import {
  type Average,
  type FScoreOptions,
  f1Score,
  fbetaScore,
  precisionScore,
  recallScore,
} from "./f-score.ts";
import type { LabelPairOptions } from "./labels.ts";
import type { EvalPrediction, Metric, MetricInput, MetricValue } from "./metric.ts";
import * as perplexities from "./perplexity.ts";
import * as probabilities from "./probabilities.ts";
import { averagePrecisionScore, rocAucScore } from "./ranking.ts";
import * as rougeScores from "./rouge.ts";

/** Of every metric. */
export interface MetricOptions {
  /** Under which it is reported: `f1Macro` as `evalF1Macro`. Default: that of the function. */
  name?: string;
}

type Compute = (evaluation: EvalPrediction) => MetricValue;

const metric = (
  name: string,
  options: MetricOptions,
  compute: Compute,
  {
    needs = ["predictions", "labels"],
    greaterIsBetter = true,
  }: Partial<Omit<Metric, "name" | "compute">> = {},
): Metric => ({ name: options.name ?? name, needs, greaterIsBetter, compute });

/** Of predicted classes. */
const ofClasses = (
  name: string,
  options: MetricOptions,
  score: (predictions: ArrayLike<number>, labels: ArrayLike<number>) => number,
): Metric => metric(name, options, (evaluation) => score(evaluation.predictions, evaluation.labels));

const ofLogits: readonly MetricInput[] = ["logits", "labels"];

/** The share of predictions that are right. See {@link accuracyScore}. */
export const accuracy = (options: LabelPairOptions & MetricOptions = {}): Metric =>
  ofClasses("accuracy", options, (predictions, labels) => accuracyScore(predictions, labels, options));

/** The mean of the recalls of the classes. See {@link balancedAccuracyScore}. */
export const balancedAccuracy = (options: BalancedAccuracyOptions & MetricOptions = {}): Metric =>
  ofClasses("balancedAccuracy", options, (predictions, labels) =>
    balancedAccuracyScore(predictions, labels, options),
  );

type ScoreOptions = FScoreOptions & MetricOptions & { average?: Average };

/** See {@link precisionScore}; give an `average` for more than two classes. */
export const precision = (options: ScoreOptions = {}): Metric =>
  ofClasses("precision", options, (predictions, labels) => precisionScore(predictions, labels, options));

/** See {@link recallScore}; give an `average` for more than two classes. */
export const recall = (options: ScoreOptions = {}): Metric =>
  ofClasses("recall", options, (predictions, labels) => recallScore(predictions, labels, options));

/** See {@link f1Score}; give an `average` for more than two classes. */
export const f1 = (options: ScoreOptions = {}): Metric =>
  ofClasses("f1", options, (predictions, labels) => f1Score(predictions, labels, options));

/** See {@link fbetaScore}; give an `average` for more than two classes. */
export const fbeta = (options: ScoreOptions & { beta: number }): Metric =>
  ofClasses("fbeta", options, (predictions, labels) => fbetaScore(predictions, labels, options));

/** See {@link matthewsCorrcoef}. */
export const matthewsCorrelation = (options: LabelPairOptions & MetricOptions = {}): Metric =>
  ofClasses("matthewsCorrelation", options, (predictions, labels) =>
    matthewsCorrcoef(predictions, labels, options),
  );

/** See {@link cohenKappaScore}. */
export const cohenKappa = (options: CohenKappaOptions & MetricOptions = {}): Metric =>
  ofClasses("cohenKappa", options, (predictions, labels) => cohenKappaScore(predictions, labels, options));

/** The cross entropy of the classes. See {@link logLoss}. */
export const logLoss = (options: LabelPairOptions & MetricOptions = {}): Metric =>
  metric(
    "logLoss",
    options,
    ({ logits, labels }) =>
      probabilities.logLoss(softmaxRows("logLoss", logits, labels.length), labels, options),
    { needs: ofLogits, greaterIsBetter: false },
  );

/** See {@link probabilities.expectedCalibrationError}. */
export const expectedCalibrationError = (
  options: probabilities.CalibrationOptions & MetricOptions = {},
): Metric => {
  const name = "expectedCalibrationError";
  return metric(
    name,
    options,
    ({ logits, labels }) =>
      probabilities.expectedCalibrationError(softmaxRows(name, logits, labels.length), labels, options),
    { needs: ofLogits, greaterIsBetter: false },
  );
};

/** Of classifiers with two classes. See {@link rocAucScore}. */
export const rocAuc = (options: LabelPairOptions & MetricOptions = {}): Metric =>
  metric(
    "rocAuc",
    options,
    ({ logits, labels }) => rocAucScore(margins("rocAuc", logits, labels.length), labels, options),
    { needs: ofLogits },
  );

/** Of classifiers with two classes. See {@link averagePrecisionScore}. */
export const averagePrecision = (options: LabelPairOptions & MetricOptions = {}): Metric => {
  const name = "averagePrecision";
  return metric(
    name,
    options,
    ({ logits, labels }) => averagePrecisionScore(margins(name, logits, labels.length), labels, options),
    { needs: ofLogits },
  );
};

/** Of language models: e to the loss. See {@link perplexities.perplexity}. */
export const perplexity = (options: MetricOptions = {}): Metric =>
  metric("perplexity", options, ({ loss }) => perplexities.perplexity(loss), {
    needs: [],
    greaterIsBetter: false,
  });

type SizeOptions = LabelPairOptions & MetricOptions;

/** Of language models, evaluated on a text of so many bytes. See {@link perplexities.bitsPerByte}. */
export const bitsPerByte = ({ bytes, ...options }: SizeOptions & { bytes: number }): Metric =>
  metric(
    "bitsPerByte",
    options,
    ({ loss, labels }) => perplexities.bitsPerByte(loss, { tokens: countLabels(labels, options), bytes }),
    { needs: ["labels"], greaterIsBetter: false },
  );

/** Of language models, evaluated on a text of so many characters. See {@link perplexities.bitsPerCharacter}. */
export const bitsPerCharacter = ({ characters, ...options }: SizeOptions & { characters: number }): Metric =>
  metric(
    "bitsPerCharacter",
    options,
    ({ loss, labels }) =>
      perplexities.bitsPerCharacter(loss, { tokens: countLabels(labels, options), characters }),
    { needs: ["labels"], greaterIsBetter: false },
  );

/** Of texts that a model writes. */
const ofTexts = (
  name: string,
  options: MetricOptions,
  score: (texts: EvalPrediction["texts"]) => MetricValue,
): Metric => metric(name, options, ({ texts }) => score(texts), { needs: ["texts"] });

/** Of texts that a model writes, from 0 to 100. See {@link bleuScores.bleu}. */
export const bleu = (options: bleuScores.BLEUOptions & MetricOptions = {}): Metric =>
  ofTexts(
    "bleu",
    options,
    ({ predictions, references }) => bleuScores.bleu(predictions, references, options).score,
  );

/** Of texts that a model writes, from 0 to 100. See {@link chrFScores.chrF}. */
export const chrF = (options: MetricOptions = {}): Metric =>
  ofTexts("chrF", options, ({ predictions, references }) => chrFScores.chrF(predictions, references).score);

/** Of texts that a model writes: the F1 of `rouge1`, `rouge2` and `rougeL`, from 0 to 1. See {@link rougeScores.rouge}. */
export const rouge = (): Metric =>
  ofTexts("rouge", {}, ({ predictions, references }) => {
    const single = references.map((texts, i) => {
      if (typeof texts === "string") return texts;
      if (texts.length === 1) return texts[0]!;
      throw new ArgumentError(`rouge: references[${i}] must be one text; got ${texts.length}`);
    });
    const scores = Object.entries(rougeScores.rouge(predictions, single));
    return Object.fromEntries(scores.map(([name, { f1 }]) => [name, f1]));
  });

/** Of texts that a model writes: the share that is right. See {@link answers.exactMatch}. */
export const exactMatch = (options: MetricOptions = {}): Metric =>
  ofTexts("exactMatch", options, ({ predictions, references }) =>
    answers.exactMatch(predictions, references),
  );

/** Of texts that a model writes. See {@link answers.tokenF1}. */
export const tokenF1 = (options: MetricOptions = {}): Metric =>
  ofTexts("tokenF1", options, ({ predictions, references }) => answers.tokenF1(predictions, references));

function classesOf(name: string, logits: Float32Array, N: number): number {
  const K = logits.length / N;
  if (N > 0 && Number.isInteger(K) && K > 0) return K;
  throw new ArgumentError(`${name}: logits must be [N, K] for N = ${N} labels; got ${logits.length} numbers`);
}

/** `[N, K]` logits → `[N, K]` probabilities, in f64. */
function softmaxRows(name: string, logits: Float32Array, N: number): Float64Array {
  const K = classesOf(name, logits, N);
  const result = new Float64Array(logits.length);
  for (let i = 0; i < result.length; i += K) {
    let max = -Infinity;
    for (let k = i; k < i + K; k++) max = Math.max(max, logits[k]!);
    let sum = 0;
    for (let k = i; k < i + K; k++) sum += result[k] = Math.exp(logits[k]! - max);
    for (let k = i; k < i + K; k++) result[k]! /= sum;
  }
  return result;
}

/** `[N, 2]` logits → `[N]` of class 1 less that of class 0, which orders as its probability does; `[N]` stay. */
function margins(name: string, logits: Float32Array, N: number): ArrayLike<number> {
  const K = classesOf(name, logits, N);
  if (K === 1) return logits;
  if (K !== 2) throw new ArgumentError(`${name}: logits must be of two classes; got ${K}`);
  return Float64Array.from({ length: N }, (_, i) => logits[2 * i + 1]! - logits[2 * i]!);
}

function countLabels(labels: ArrayLike<number>, { ignoreIndex = -100 }: LabelPairOptions): number {
  let count = 0;
  for (let i = 0; i < labels.length; i++) if (labels[i] !== ignoreIndex) count++;
  return count;
}
