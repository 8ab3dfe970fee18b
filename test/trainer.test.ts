import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import {
  collator,
  EarlyStoppingCallback,
  Linear,
  type Metric,
  memory,
  ones,
  Trainer,
  type TrainerCallback,
} from "../src/index.ts";
import { base, examples, temporaryFolder, tinyGPT, trained, vocabSize, weightsOf } from "./trainer-cases.ts";

/** A metric that says these values, one evaluation after the other; less is better. */
const scripted = (name: string, values: readonly number[]): Metric => {
  let evaluations = 0;
  return { name, needs: [], greaterIsBetter: false, compute: () => values[evaluations++]! };
};

const largestDifference = (a: Map<string, number[]>, b: Map<string, number[]>): number =>
  Math.max(
    ...[...a].flatMap(([name, values]) => values.map((value, i) => Math.abs(value - b.get(name)![i]!))),
  );

describe("training", () => {
  test("learns, and tells how it went", async () => {
    const { result, trainer, losses } = await trained({ maxSteps: 60 });
    expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.3);
    expect(result).toMatchObject({ globalStep: 60, interrupted: false });
    expect(result.trainLoss).toBeCloseTo(losses.reduce((a, b) => a + b) / 60, 9);
    expect(trainer.state).toMatchObject({ epoch: 10, numInputTokensSeen: 60 * 4 * 8 });
    const parameters = trainer.model.parameterCount - vocabSize * 8 - 8 * 8;
    expect(trainer.state!.totalFlos).toBe(6 * 60 * 4 * 8 * parameters);
  });

  test("is the same twice, and another with another seed", async () => {
    const run = async (seed: number) => (await trained({ seed }, tinyGPT({ dropout: 0.1 }))).losses;
    expect(await run(1)).toEqual(await run(1));
    expect(await run(1)).not.toEqual(await run(2));
  });

  test("accumulates such that each label counts alike, however the batches are cut", async () => {
    const ragged = examples(24).map(({ inputIds, targets }, n) => ({
      ...{ inputIds, targets: targets.map((id, t) => (t < n % 7 ? -100 : id)) },
    }));
    const run = async (perDeviceTrainBatchSize: number, gradientAccumulationSteps: number) => {
      const sizes = { perDeviceTrainBatchSize, gradientAccumulationSteps };
      return trained({
        ...sizes,
        trainData: ragged,
        trainSamplingStrategy: "sequential",
        optim: "sgd",
        learningRate: 1,
      });
    };
    const whole = await run(12, 1);
    for (const parts of [await run(4, 3), await run(1, 12)]) {
      expect(parts.losses.length).toBe(whole.losses.length);
      parts.losses.forEach((loss, i) => expect(loss).toBeCloseTo(whole.losses[i]!, 5));
      expect(largestDifference(await weightsOf(parts.model), await weightsOf(whole.model))).toBeLessThan(
        1e-4,
      );
    }
  });

  test("an update never reaches over the end of a pass", async () => {
    const batches: number[][] = [];
    const epochs: number[] = [];
    await trained({
      ...{
        trainData: examples(10),
        gradientAccumulationSteps: 2,
        maxSteps: 5,
        trainSamplingStrategy: "sequential",
      },
      collate: (rows) => {
        batches.push(rows.map(({ inputIds }) => inputIds[1]!));
        return collator()(rows);
      },
      callbacks: [{ onStepEnd: ({ state }) => void epochs.push(state.epoch) }],
    });
    expect(batches.map((rows) => rows.length)).toEqual([4, 4, 2, 4, 4, 2, 4, 4]);
    expect(epochs).toEqual([2 / 3, 1, 1 + 2 / 3, 2, 2 + 2 / 3]);
  });

  test("events come in Hugging Face's order", async () => {
    const order: string[] = [];
    const names = [
      ...[
        "onTrainBegin",
        "onEpochBegin",
        "onStepBegin",
        "onPreOptimizerStep",
        "onStepEnd",
        "onLog",
        "onEvaluate",
      ],
      ...["onSave", "onEpochEnd", "onTrainEnd"],
    ] as const;
    const spy = Object.fromEntries(
      names.map((name) => [name, () => void order.push(name)]),
    ) as TrainerCallback;
    await trained({
      ...{ trainData: examples(8), maxSteps: 3, callbacks: [spy], loggingSteps: 2, evalData: examples(4) },
      ...{ evalSteps: 2, saveStrategy: "steps", saveSteps: 2 },
    });
    const update = ["onStepBegin", "onPreOptimizerStep", "onStepEnd"];
    expect(order).toEqual([
      ...["onTrainBegin", "onEpochBegin", ...update, ...update],
      ...["onLog", "onLog", "onEvaluate", "onSave", "onEpochEnd", "onEpochBegin", ...update],
      ...["onLog", "onEvaluate", "onSave", "onEpochEnd", "onLog", "onTrainEnd"],
    ]);
  });

  test("callbacks decide what happens next, and see gradients", async () => {
    const norms: Promise<Float32Array | Int32Array>[] = [];
    const { trainer } = await trained({
      loggingStrategy: "no",
      callbacks: [
        {
          onStepEnd: ({ state, control }) => {
            control.shouldLog = state.globalStep === 2;
            control.shouldTrainingStop = state.globalStep === 4;
          },
          onPreOptimizerStep: ({ model }) => void norms.push(model.parameters()[0]!.grad!.toTypedArray()),
        },
      ],
    });
    expect(trainer.state!.logHistory.map(({ step }) => step)).toEqual([2, 4]);
    expect((await Promise.all(norms)).map((g) => g.some((x) => x !== 0))).toEqual([true, true, true, true]);
  });

  test("frees what it made", async () => {
    const model = tinyGPT({ dropout: 0.1 });
    const counts: number[] = [];
    const count: TrainerCallback = { onLog: () => void counts.push(memory().tensors) };
    await trained({ maxSteps: 40, loggingSteps: 5, gradientAccumulationSteps: 2, callbacks: [count] }, model);
    expect(new Set(counts.slice(1, -1)).size).toBe(1);
  });

  test("is refused while it trains, and with what does not fit", async () => {
    const trainer = new Trainer(tinyGPT(), base());
    const first = trainer.train();
    await expect(trainer.train()).rejects.toThrow(/training already/);
    await first;
    await expect(new Trainer(tinyGPT(), base({ trainData: [] })).train()).rejects.toThrow(
      /trainData .* got none/,
    );
    await expect(new Trainer(tinyGPT()).train()).rejects.toThrow(/trainData must be given/);
    expect(() => new Trainer(tinyGPT(), { evalSteps: 5 })).toThrow(/evalData must be given/);
    const noLoss = new Trainer(new Linear(2, 2), {
      trainData: [1],
      collate: () => [ones([1, 2])],
      saveStrategy: "no",
    });
    await expect(noLoss.train()).rejects.toThrow(/Linear must give \{ loss \}/);
    await expect(trained({ collate: () => 3 as never })).rejects.toThrow(
      /collate must make an object of tensors/,
    );
    await expect(trained({ lrSchedulerType: "cosin" })).rejects.toThrow(
      /lrSchedulerType must be one of constant/,
    );
  });
});

describe("ending", () => {
  test("an aborted signal ends it after the update in flight, with a checkpoint", async () => {
    const controller = new AbortController();
    const outputDir = temporaryFolder();
    const trainer = new Trainer(tinyGPT(), {
      ...base({ outputDir, saveStrategy: "steps", maxSteps: 1000, saveSteps: 500 }),
      callbacks: [{ onStepBegin: ({ state }) => void (state.globalStep === 7 && controller.abort()) }],
    });
    const result = await trainer.train({ signal: controller.signal });
    expect(result).toMatchObject({ interrupted: true, globalStep: 8 });
    expect(readdirSync(outputDir)).toEqual(["checkpoint-8"]);
    const none = await new Trainer(tinyGPT(), base()).train({ signal: AbortSignal.abort() });
    expect(none).toMatchObject({ interrupted: true, globalStep: 0 });
  });

  test("so it does within an evaluation", async () => {
    const controller = new AbortController();
    const outputDir = temporaryFolder();
    let evaluated = 0;
    const trainer = new Trainer(tinyGPT(), {
      ...base({ outputDir, saveStrategy: "steps", evalData: examples(400), evalSteps: 3 }),
      perDeviceEvalBatchSize: 1,
      collate: (rows) => {
        if (rows.length === 1 && ++evaluated === 5) controller.abort();
        return collator()(rows);
      },
    });
    const result = await trainer.train({ signal: controller.signal });
    expect(result).toMatchObject({ interrupted: true, globalStep: 3 });
    expect(evaluated).toBeLessThan(8);
    expect(readdirSync(outputDir)).toEqual(["checkpoint-3"]);
  });

  test("steps() can be left, and gives what each update was", async () => {
    const trainer = new Trainer(tinyGPT(), base({ evalData: examples(4), evalSteps: 2 }));
    const steps = [];
    for await (const step of trainer.steps()) {
      steps.push(step);
      if (step.step === 4) break;
    }
    const { losses } = await trained();
    expect(steps.map(({ loss }) => loss)).toEqual(losses.slice(0, 4));
    expect(steps.map(({ metrics }) => metrics !== undefined)).toEqual([false, true, false, true]);
    expect(steps[1]!.learningRate).toBeCloseTo((1e-2 * 5) / 6, 9);
    expect(trainer.state!.globalStep).toBe(4);
    expect((await trainer.train()).globalStep).toBe(6); // and it can train again
  });

  test("a schedule of one's own takes the place of the named one", async () => {
    const trainer = new Trainer(tinyGPT(), base({ schedule: (step) => 1e-3 / (step + 1) }));
    const rates = [];
    for await (const { learningRate } of trainer.steps()) rates.push(learningRate);
    expect(rates).toEqual(rates.map((_, step) => 1e-3 / (step + 1)));
  });

  test("early stopping waits for its patience", async () => {
    const metric = scripted("scripted", [5, 4, 4.5, 3, 3, 3.2, 1]);
    const { result } = await trained({
      ...{
        maxSteps: 7,
        evalSteps: 1,
        evalData: examples(2),
        metrics: [metric],
        metricForBestModel: "scripted",
      },
      callbacks: [new EarlyStoppingCallback({ earlyStoppingPatience: 2 })],
    });
    expect(result).toMatchObject({ globalStep: 6, bestMetric: 3 });
    await expect(trained({ callbacks: [new EarlyStoppingCallback()] })).rejects.toThrow(
      /needs metricForBestModel/,
    );
  });

  test("the best model is kept and loaded", async () => {
    const metric = scripted("cost", [3, 1, 2, 4]);
    const outputDir = temporaryFolder();
    const atStep2: Map<string, number[]>[] = [];
    const { model, result } = await trained({
      ...{ outputDir, maxSteps: 4, evalSteps: 1, saveSteps: 1, saveStrategy: "steps", evalData: examples(2) },
      ...{ metrics: [metric], metricForBestModel: "eval_cost", loadBestModelAtEnd: true, saveTotalLimit: 2 },
      callbacks: [
        {
          onEvaluate: async ({ state, model }) =>
            void (state.globalStep === 2 && atStep2.push(await weightsOf(model))),
        },
      ],
    });
    expect(result).toMatchObject({
      bestMetric: 1,
      bestModelCheckpoint: path.join(outputDir, "checkpoint-2"),
    });
    expect(await weightsOf(model)).toEqual(atStep2[0]);
    expect(readdirSync(outputDir).sort()).toEqual(["checkpoint-2", "checkpoint-4"]);
  });

  test('saveStrategy "best" saves nothing else', async () => {
    const metric = scripted("cost", [3, 1, 2, 0]);
    const outputDir = temporaryFolder();
    await trained({
      ...{ outputDir, maxSteps: 4, evalSteps: 1, saveStrategy: "best", evalData: examples(2) },
      ...{ metrics: [metric], metricForBestModel: "cost" },
    });
    expect(readdirSync(outputDir).sort()).toEqual(["checkpoint-1", "checkpoint-2", "checkpoint-4"]);
  });
});

test("reporters by name", async () => {
  const outputDir = temporaryFolder();
  await trained({ outputDir, reportTo: ["jsonl", "tensorboard"] });
  expect(existsSync(path.join(outputDir, "metrics.jsonl"))).toBe(true);
  expect(() => new Trainer(tinyGPT(), { reportTo: "wandb" })).toThrow(/wandb/);
});
