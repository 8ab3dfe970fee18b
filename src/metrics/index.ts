export {
  accuracyScore,
  type BalancedAccuracyOptions,
  balancedAccuracyScore,
  type CohenKappaOptions,
  type ConfusionMatrixOptions,
  cohenKappaScore,
  confusionMatrix,
  matthewsCorrcoef,
} from "./agreement.ts";
export { exactMatch, tokenF1 } from "./answers.ts";
export { type BLEUOptions, type BLEUScore, bleu } from "./bleu.ts";
export type { BLEUTokenizer } from "./bleu-tokenizers.ts";
export { type ChrFScore, chrF } from "./chrf.ts";
export {
  ClassificationReport,
  type ClassificationReportOptions,
  type ClassScores,
  classificationReport,
} from "./classification-report.ts";
export * as metrics from "./evaluation-metrics.ts";
export {
  type Average,
  type FScoreOptions,
  f1Score,
  fbetaScore,
  type PrecisionRecallFscore,
  precisionRecallFscoreSupport,
  precisionScore,
  recallScore,
} from "./f-score.ts";
export type { Label, LabelPairOptions } from "./labels.ts";
export {
  EvalPrediction,
  type EvalPredictionParts,
  type EvaluatedTexts,
  type Metric,
  type MetricInput,
  type MetricValue,
} from "./metric.ts";
export { bitsPerByte, bitsPerCharacter, perplexity } from "./perplexity.ts";
export {
  type CalibrationOptions,
  expectedCalibrationError,
  logLoss,
  type Probabilities,
} from "./probabilities.ts";
export { averagePrecisionScore, type RankingOptions, rocAucScore } from "./ranking.ts";
export { type RougeScore, rouge } from "./rouge.ts";
export type { References } from "./text-pairs.ts";
