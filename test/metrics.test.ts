import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  accuracyScore,
  averagePrecisionScore,
  balancedAccuracyScore,
  bitsPerByte,
  bitsPerCharacter,
  chrF,
  classificationReport,
  cohenKappaScore,
  confusionMatrix,
  EvalPrediction,
  exactMatch,
  expectedCalibrationError,
  type FScoreOptions,
  f1Score,
  fbetaScore,
  type Label,
  logLoss,
  type Metric,
  matthewsCorrcoef,
  metrics,
  perplexity,
  precisionRecallFscoreSupport,
  precisionScore,
  recallScore,
  rocAucScore,
  tokenF1,
} from "../src/index.ts";

type Golden = number | null | Golden[];

interface ClassCase {
  name: string;
  predictions: Label[];
  labels: Label[];
  accuracy: number;
  balanced: number;
  adjusted: Golden;
  mcc: number;
  kappa: Record<string, Golden>;
  confusion: Record<string, number[][]>;
  scores: [options: FScoreOptions & { beta: number }, Record<string, Golden>][];
  report: string;
  partial: string;
}

interface Goldens {
  classes: ClassCase[];
  probabilities: {
    name: string;
    probabilities: number[][];
    labels: number[];
    logLoss: number;
    calibration: Record<string, number>;
  }[];
  ranking: { name: string; scores: number[]; labels: number[]; auc: Golden; ap: number }[];
  answers: { prediction: string; references: string[]; exact: number; f1: number }[];
}

const golden: Goldens = JSON.parse(readFileSync(new URL("golden/metrics.json", import.meta.url), "utf8"));

/** What the file says, null being NaN, to 12 digits. */
const near = (value: Golden): unknown =>
  Array.isArray(value) ? value.map(near) : value === null ? NaN : expect.closeTo(value, 12);

describe.each(golden.classes)("classes as scikit-learn: $name", (given) => {
  const { predictions, labels } = given;
  const args = [predictions, labels] as const;

  test("agreement", () => {
    expect(accuracyScore(...args)).toEqual(near(given.accuracy));
    expect(balancedAccuracyScore(...args)).toEqual(near(given.balanced));
    expect(balancedAccuracyScore(...args, { adjusted: true })).toEqual(near(given.adjusted));
    expect(matthewsCorrcoef(...args)).toEqual(near(given.mcc));
    expect(cohenKappaScore(...args)).toEqual(near(given.kappa.none!));
    for (const weights of ["linear", "quadratic"] as const)
      expect(cohenKappaScore(...args, { weights })).toEqual(near(given.kappa[weights]!));
  });

  test("confusion matrix", () => {
    const { none, chosen, ...normalized } = given.confusion;
    expect(confusionMatrix(...args)).toEqual(none);
    for (const normalize of ["true", "pred", "all"] as const)
      expect(confusionMatrix(...args, { normalize })).toEqual(near(normalized[normalize]!));
    const options = given.scores.find(([{ labels }]) => labels)![0];
    if (chosen) expect(confusionMatrix(...args, { labels: options.labels! })).toEqual(chosen);
  });

  test("precision, recall and F score", () => {
    expect(given.scores.length).toBeGreaterThan(30);
    for (const [{ zeroDivision, ...rest }, expected] of given.scores) {
      const options = { ...rest, zeroDivision: zeroDivision ?? NaN } as FScoreOptions & { beta: number };
      const { beta, ...averaged } = options;
      const all = precisionRecallFscoreSupport(...args, options as { average: null; beta: number });
      const what = JSON.stringify(options);
      expect(all, what).toMatchObject(
        Object.fromEntries(Object.entries(expected).map(([name, value]) => [name, near(value)])),
      );
      const average = averaged as FScoreOptions & { average: "macro" };
      expect(precisionScore(...args, average), what).toEqual(near(expected.precision!));
      expect(recallScore(...args, average), what).toEqual(near(expected.recall!));
      expect(fbetaScore(...args, { ...average, beta }), what).toEqual(near(expected.fscore!));
      if (beta === 1) expect(f1Score(...args, average), what).toEqual(near(expected.fscore!));
    }
  });

  test("report", () => {
    expect(String(classificationReport(...args))).toBe(given.report);
    const labels = given.scores.find(([options]) => options.labels)![0].labels!;
    expect(String(classificationReport(...args, { labels, digits: 4, zeroDivision: NaN }))).toBe(
      given.partial,
    );
  });
});

test("a report is data, too", () => {
  const report = classificationReport([0, 1, 1, 0], [0, 1, 0, 0], { targetNames: ["ham", "spam"] });
  expect(report.classes[1]).toEqual({ name: "spam", precision: 0.5, recall: 1, f1Score: 2 / 3, support: 1 });
  expect(report.accuracy).toBe(0.75);
  expect(report.microAvg).toBeUndefined();
  expect(report.weightedAvg).toMatchObject({ precision: 0.875, recall: 0.75, support: 4 });
  expect(JSON.parse(JSON.stringify(report)).macroAvg).toEqual({ ...report.macroAvg });
});

test("β of infinity is the recall", () => {
  const args = [
    [0, 1, 0, 1, 1],
    [0, 1, 1, 1, 0],
  ] as const;
  expect(fbetaScore(...args, { beta: Infinity })).toBe(recallScore(...args));
});

test("labels of -100, or what ignoreIndex says, count for nothing", () => {
  const predictions = Int32Array.of(1, 0, 3, 1, -7);
  const labels = Int32Array.of(1, 1, -100, 1, -100);
  expect(accuracyScore(predictions, labels)).toBe(2 / 3);
  expect(confusionMatrix(predictions, labels)).toEqual([
    [0, 0],
    [1, 2],
  ]);
  expect(f1Score(predictions, labels)).toBeCloseTo(0.8, 12);
  expect(accuracyScore([1, 0, 3], [1, 1, 0], { ignoreIndex: 0 })).toBe(0.5);
  const rows = [
    [0.5, 0.5],
    [0.2, 0.8],
  ];
  expect(logLoss(rows, [-100, 1])).toBeCloseTo(-Math.log(0.8), 12);
  expect(expectedCalibrationError(rows, [-100, 1])).toBeCloseTo(0.2, 12);
  expect(rocAucScore([0.5, 0.1, 0.9], [-100, 0, 1])).toBe(1);
});

describe.each(golden.probabilities)("probabilities: $name", ({ probabilities, labels, ...expected }) => {
  test("log loss as scikit-learn", () => {
    expect(logLoss(probabilities, labels)).toBeCloseTo(expected.logLoss, 12);
    expect(logLoss(Float64Array.from(probabilities.flat()), Int32Array.from(labels))).toBeCloseTo(
      expected.logLoss,
      12,
    );
    if (probabilities[0]!.length > 2) return;
    expect(
      logLoss(
        probabilities.map(([, p]) => p!),
        labels,
      ),
    ).toBeCloseTo(expected.logLoss, 9);
  });

  test("calibration by its definition", () => {
    for (const [bins, error] of Object.entries(expected.calibration))
      expect(expectedCalibrationError(probabilities, labels, { numBins: Number(bins) })).toBeCloseTo(
        error,
        12,
      );
  });
});

test.each(golden.ranking)("ranking as scikit-learn: $name", ({ scores, labels, auc, ap }) => {
  expect(rocAucScore(scores, labels)).toEqual(near(auc));
  expect(averagePrecisionScore(scores, labels)).toEqual(near(ap));
});

test("answers as SQuAD compares them", () => {
  for (const { prediction, references, exact, f1 } of golden.answers) {
    expect(exactMatch([prediction], [references]), prediction).toBe(exact);
    expect(tokenF1([prediction], [references]), prediction).toBeCloseTo(f1, 12);
  }
  const predictions = golden.answers.map(({ prediction }) => prediction);
  const references = golden.answers.map(({ references }) => references);
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  expect(exactMatch(predictions, references)).toBeCloseTo(mean(golden.answers.map(({ exact }) => exact)), 12);
  expect(tokenF1(predictions, references)).toBeCloseTo(mean(golden.answers.map(({ f1 }) => f1)), 12);
});

test("perplexity and bits", () => {
  expect(perplexity(Math.log(50))).toBeCloseTo(50, 12);
  expect(bitsPerByte(Math.LN2, { tokens: 10, bytes: 40 })).toBeCloseTo(0.25, 12);
  expect(bitsPerCharacter(2 * Math.LN2, { tokens: 10, characters: 5 })).toBeCloseTo(4, 12);
});

describe("metrics of a Trainer", () => {
  const labels = Int32Array.of(1, 0, 1, -100, 0);
  const logits = Float32Array.of(0, 1, 2, -1, 0.5, 0, 9, 9, 0, 0.25);
  const predictions = Int32Array.of(1, 0, 0, 0, 1);
  const texts = { predictions: ["the cat sat"], references: [["the cat sat down"]] };
  const evaluation = new EvalPrediction({ loss: Math.log(3), labels, logits, predictions, texts });
  const p1 = [
    1 / (1 + Math.exp(-1)),
    1 / (1 + Math.exp(3)),
    1 / (1 + Math.exp(0.5)),
    0.5,
    1 / (1 + Math.exp(-0.25)),
  ];

  const cases: [Metric, unknown][] = [
    [metrics.accuracy(), 0.5],
    [metrics.balancedAccuracy(), 0.5],
    [metrics.precision(), 0.5],
    [metrics.recall(), 0.5],
    [metrics.f1({ average: "macro" }), 0.5],
    [metrics.fbeta({ beta: 2 }), 0.5],
    [metrics.matthewsCorrelation(), 0],
    [metrics.cohenKappa(), 0],
    [metrics.logLoss(), expect.closeTo(logLoss(p1, labels), 6)],
    [metrics.expectedCalibrationError(), expect.closeTo(expectedCalibrationError(p1, labels), 6)],
    [metrics.rocAuc(), rocAucScore(p1, labels)],
    [metrics.averagePrecision(), averagePrecisionScore(p1, labels)],
    [metrics.perplexity(), expect.closeTo(3, 12)],
    [metrics.bitsPerByte({ bytes: 8 }), expect.closeTo(Math.log2(3) / 2, 12)],
    [metrics.bitsPerCharacter({ characters: 4 }), expect.closeTo(Math.log2(3), 12)],
    [metrics.bleu({ effectiveOrder: true }), expect.closeTo(100 * Math.exp(-1 / 3), 9)],
    [metrics.chrF(), chrF(texts.predictions, texts.references).score],
    [metrics.rouge(), { rouge1: expect.closeTo(6 / 7, 12), rouge2: 0.8, rougeL: expect.closeTo(6 / 7, 12) }],
    [metrics.exactMatch(), 0],
    [metrics.tokenF1(), 0.8],
  ];
  test.each(cases.map(([metric, expected]) => ({ ...metric, metric, expected })))(
    "$name",
    async ({ metric, expected }) => {
      expect(await metric.compute(evaluation)).toEqual(expected);
      const parts = { loss: evaluation.loss, labels, logits, predictions, texts };
      const needed = Object.fromEntries(
        ["loss" as const, ...metric.needs!].map((need) => [need, parts[need]]),
      );
      expect(await metric.compute(new EvalPrediction(needed))).toEqual(expected);
    },
  );

  test("losses are better the lower they are", () => {
    expect(metrics.f1().greaterIsBetter).toBe(true);
    expect(metrics.perplexity().greaterIsBetter).toBe(false);
    expect(metrics.expectedCalibrationError().greaterIsBetter).toBe(false);
  });

  test("have names", () => {
    expect(metrics.f1().name).toBe("f1");
    expect(metrics.f1({ average: "macro", name: "f1Macro" }).name).toBe("f1Macro");
  });

  test("what was not evaluated cannot be read", () => {
    expect(() => metrics.logLoss().compute(new EvalPrediction({ predictions, labels }))).toThrow(
      /logits must be among what the evaluation made .* got predictions, labels/,
    );
  });
});

describe("bad input", () => {
  const cases: [string, () => unknown, RegExp][] = [
    ["lengths", () => accuracyScore([1], [1, 2]), /accuracyScore: predictions and labels .* got 1 and 2/],
    ["nothing", () => f1Score([], []), /f1Score: labels must have at least one .* got none/],
    ["all ignored", () => f1Score([1, 1], [-100, -100]), /got 2, all of them -100/],
    [
      "a fraction",
      () => accuracyScore([1, 0.5], [1, 1]),
      /predictions must be integers.* got 0.5 at index 1/,
    ],
    ["NaN", () => accuracyScore([1, 1], [1, NaN]), /labels must be integers.* got NaN at index 1/],
    ["both kinds", () => accuracyScore([1, 1], [1, "a"] as Label[]), /integers all, or strings all; got "a"/],
    ["a text", () => accuracyScore("101" as unknown as number[], [1, 0, 1]), /predictions must be an array/],
    ["no array", () => accuracyScore([1], null as unknown as number[]), /labels must be an array.* got null/],
    ["binary of three", () => f1Score([0, 1, 2], [0, 1, 1]), /average must be micro.* got binary.* 0, 1, 2/],
    ["binary without 1", () => f1Score([0, 2], [0, 2]), /posLabel must be one of the classes, 0, 2; got 1/],
    ["binary of chosen", () => f1Score([0, 1], [0, 1], { labels: [1] }), /options.labels needs average/],
    ["average", () => f1Score([0], [0], { average: "mean" as "macro" }), /average must be .* got mean/],
    ["beta", () => fbetaScore([0], [0], { beta: -1 }), /beta must be a number of at least 0; got -1/],
    ["zero", () => f1Score([0], [0], { zeroDivision: 0.5 }), /zeroDivision must be 0, 1 or NaN; got 0.5/],
    ["no classes", () => confusionMatrix([0], [0], { labels: [] }), /options.labels .* got none/],
    ["a class twice", () => confusionMatrix([0], [0], { labels: [1, 1] }), /each class once; got 1, 1/],
    [
      "normalize",
      () => confusionMatrix([0], [0], { normalize: "row" as "true" }),
      /normalize must .* got row/,
    ],
    [
      "too many classes",
      () =>
        confusionMatrix(
          new Int32Array(5000),
          Int32Array.from({ length: 5000 }, (_, i) => i),
        ),
      /classes must be at most 4096; got 5000/,
    ],
    [
      "weights",
      () => cohenKappaScore([0], [0], { weights: "cubic" as "linear" }),
      /weights must .* got cubic/,
    ],
    [
      "names",
      () => classificationReport([0, 1], [0, 1], { targetNames: ["a"] }),
      /targetNames must be 2.* got 1/,
    ],
    ["rows", () => logLoss([[1, 0]], [0, 1]), /probabilities must be \[N, K\].* got 1 rows for 2 labels/],
    ["numbers", () => logLoss([1, 0, 1], [0, 1]), /got 3 numbers for 2 labels/],
    [
      "a short row",
      () => logLoss([[1, 0], [1]], [0, 0]),
      /probabilities must have 2 in each row; got 1 in row 1/,
    ],
    ["a logit", () => logLoss([[2, -1]], [0]), /probabilities must be from 0 to 1 .* got 2 in row 0/],
    ["a sum", () => logLoss([[0.5, 0.4]], [0]), /add up to 1 in each row; got 0.9 in row 0/],
    ["a label beyond", () => logLoss([[0.5, 0.5]], [2]), /labels\[0\] must be an integer from 0 to 1; got 2/],
    ["bins", () => expectedCalibrationError([[1, 0]], [0], { numBins: 0 }), /numBins must be .* got 0/],
    ["three to rank", () => rocAucScore([1, 2, 3], [0, 1, 2]), /labels must be of two classes.* got 0, 1, 2/],
    ["a score", () => rocAucScore([1, NaN], [0, 1]), /scores\[1\] must be a finite number; got NaN/],
    ["a loss", () => perplexity(-1), /perplexity: loss must be a number from 0/],
    ["bytes", () => bitsPerByte(1, { tokens: 1, bytes: 0 }), /bitsPerByte: bytes must be a number from 1/],
    ["answers", () => exactMatch(["a"], [[]]), /exactMatch: references\[0\] must be/],
  ];
  test.each(cases)("%s", (_, call, message) => {
    expect(call).toThrow(message);
    expect(call).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
  });
});
