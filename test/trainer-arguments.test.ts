import { describe, expect, test } from "vitest";
import { ArgumentError, type TrainingArguments } from "../src/index.ts";
import { camelCase, snakeCase } from "../src/letter-case.ts";
import { resolveArguments } from "../src/train/resolve-arguments.ts";
import { planSteps } from "../src/train/step-plan.ts";

const refused = (options: object): string => {
  try {
    resolveArguments(options as TrainingArguments);
  } catch (error) {
    expect(error).toBeInstanceOf(ArgumentError);
    return (error as Error).message;
  }
  throw new Error("not refused");
};

test("defaults are Hugging Face's", () => {
  expect(resolveArguments({})).toMatchObject({
    ...{
      outputDir: "trainer_output",
      perDeviceTrainBatchSize: 8,
      perDeviceEvalBatchSize: 8,
      numTrainEpochs: 3,
    },
    ...{ maxSteps: -1, learningRate: 5e-5, lrSchedulerType: "linear", warmupSteps: 0, weightDecay: 0 },
    ...{ adamBeta1: 0.9, adamBeta2: 0.999, adamEpsilon: 1e-8, maxGradNorm: 1, gradientAccumulationSteps: 1 },
    ...{
      loggingStrategy: "steps",
      loggingSteps: 500,
      saveStrategy: "steps",
      saveSteps: 500,
      evalStrategy: "no",
    },
    ...{
      evalSteps: 500,
      seed: 42,
      dataSeed: 42,
      trainSamplingStrategy: "random",
      reportTo: [],
      optim: "adamw",
    },
  });
});

test("what one option says of another", () => {
  expect(resolveArguments({ evalSteps: 7 })).toMatchObject({ evalStrategy: "steps", evalSteps: 7 });
  expect(resolveArguments({ evalStrategy: "steps", loggingSteps: 9 }).evalSteps).toBe(9);
  expect(resolveArguments({ seed: 3 }).dataSeed).toBe(3);
  expect(resolveArguments({ warmupRatio: 0.1 }).warmupSteps).toBe(0.1);
  expect(resolveArguments({ metricForBestModel: "accuracy" }).greaterIsBetter).toBe(true);
  expect(resolveArguments({ metricForBestModel: "eval_loss" }).greaterIsBetter).toBe(false);
  expect(resolveArguments({ loadBestModelAtEnd: true, evalSteps: 250 })).toMatchObject({
    ...{ metricForBestModel: "loss", greaterIsBetter: false },
  });
  expect(resolveArguments({ saveTotalLimit: 0 }).saveTotalLimit).toBeUndefined();
  expect(resolveArguments({ optim: "adamw_torch_fused", reportTo: "none" })).toMatchObject({
    optim: "adamw",
    reportTo: [],
  });
  expect(resolveArguments({ optim: "sgd", optimArgs: "momentum=0.9, nesterov=True" }).optimArgs).toEqual({
    ...{ momentum: 0.9, nesterov: true },
  });
  expect(resolveArguments({ maxGradValue: 0.5 }).maxGradNorm).toBe(0);
});

describe("updates and epochs", () => {
  const plan = (options: TrainingArguments, batches?: number) =>
    planSteps(resolveArguments(options), batches);
  test("follow from the number of batches", () => {
    expect(plan({ gradientAccumulationSteps: 4 }, 10)).toMatchObject({ maxSteps: 9, numTrainEpochs: 3 });
    expect(plan({ gradientAccumulationSteps: 40 }, 10)).toMatchObject({ maxSteps: 3 });
    expect(plan({ numTrainEpochs: 1.5 }, 5)).toMatchObject({ maxSteps: 8, numTrainEpochs: 2 });
    expect(plan({ maxSteps: 11 }, 5)).toMatchObject({ maxSteps: 11, numTrainEpochs: 3 });
    expect(plan({ maxSteps: 11 })).toMatchObject({ maxSteps: 11, numTrainEpochs: 1 });
  });
  test("shares are of all updates, rounded up", () => {
    const shares = { maxSteps: 101, warmupRatio: 0.1, loggingSteps: 0.25, evalSteps: 0.5, saveSteps: 0.999 };
    expect(plan(shares)).toMatchObject({ warmupSteps: 11, loggingSteps: 26, evalSteps: 51, saveSteps: 101 });
    expect(plan({ maxSteps: 10, warmupSteps: 2.7 }).warmupSteps).toBe(2);
  });
  test("need maxSteps where the length is unknown", () => {
    expect(() => plan({})).toThrow(/give maxSteps/);
  });
});

test.each<[object, RegExp]>([
  [{ learningrate: 1 }, /there is no option learningrate/],
  [{ fp16: true }, /there is no option fp16; use bf16/],
  [{ perDeviceTrainBatchSize: 0 }, /perDeviceTrainBatchSize must be an integer of at least 1; got 0/],
  [{ learningRate: "1e-4" }, /learningRate must be a number .*; got 1e-4/],
  [{ loggingSteps: 1.5 }, /loggingSteps must be an integer of at least 1 or a share/],
  [{ optim: "adagrad" }, /optim must be one of adamw, .*; got 'adagrad'/],
  [{ warmupRatio: 0.1, warmupSteps: 5 }, /either warmupSteps or warmupRatio/],
  [{ maxGradNorm: 1, maxGradValue: 1 }, /either maxGradNorm or maxGradValue/],
  [{ maxSteps: 0 }, /maxSteps must be at least 1/],
  [{ numTrainEpochs: 0 }, /numTrainEpochs must be above 0/],
  [{ saveStrategy: "best" }, /"best" needs an evalStrategy/],
  [{ lrSchedulerType: "reduce_lr_on_plateau" }, /needs an evalStrategy/],
  [{ loadBestModelAtEnd: true }, /same evalStrategy and saveStrategy; got "no" and "steps"/],
  [
    { loadBestModelAtEnd: true, evalSteps: 100, saveSteps: 250 },
    /saveSteps to be a multiple of evalSteps; got 250 and 100/,
  ],
  [{ loadBestModelAtEnd: true, evalSteps: 0.1, saveSteps: 100 }, /multiple/],
  [{ maxTokens: 100 }, /maxTokens goes with trainSamplingStrategy/],
  [{ bf16: "yes" }, /bf16 must be one of true, false, auto/],
  [{ optimArgs: "momentum" }, /optimArgs must be an object or "name=value/],
])("%j is refused", (options, message) => {
  expect(refused(options)).toMatch(message);
});

test("names on disk", () => {
  for (const [camel, snake] of [
    ["evalSamplesPerSecond", "eval_samples_per_second"],
    ["evalF1Macro", "eval_f1_macro"],
    ["loss", "loss"],
    ["perDeviceTrainBatchSize", "per_device_train_batch_size"],
  ] as const) {
    expect(snakeCase(camel)).toBe(snake);
    expect(camelCase(snake)).toBe(camel);
  }
});
