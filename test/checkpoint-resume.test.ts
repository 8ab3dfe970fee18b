import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import {
  CheckpointError,
  collator,
  Dataset,
  EarlyStoppingCallback,
  GPT,
  Linear,
  latestCheckpoint,
  Module,
  mean,
  mul,
  sub,
  type Tensor,
  Trainer,
  type TrainerCallback,
  type TrainerOptions,
  tensor,
} from "../src/index.ts";
import { examples, temporaryFolder, tinyGPT, tokens, weightsOf } from "./trainer-cases.ts";

type Options = TrainerOptions<GPT, never>;

/** Everything that a resumed run must get right: dropout, accumulation over the end of a pass, shuffling, clipping. */
const hard: Options = {
  ...{ trainData: examples(23) as never, collate: collator() as never },
  ...{ perDeviceTrainBatchSize: 3, gradientAccumulationSteps: 3, maxSteps: 20, loggingSteps: 3 },
  ...{ learningRate: 1e-2, warmupRatio: 0.2, lrSchedulerType: "cosine", maxGradNorm: 0.5, weightDecay: 0.1 },
};
const variants: Record<string, Options> = {
  shuffled: hard,
  "by length": { ...hard, trainSamplingStrategy: "group_by_length" },
  "with an average": { ...hard, emaDecay: 0.9 },
  "a stream": { ...hard, trainData: Dataset.from(() => examples(23)) as never },
  "windows of tokens": { ...hard, trainData: tokens(150) },
  "skipping what is not finite": { ...hard, nonFinite: "skip" },
  "recomputed activations": { ...hard, gradientCheckpointing: true },
  "with evaluations": {
    ...hard,
    ...{
      evalData: examples(5) as never,
      evalSteps: 2,
      lrSchedulerType: "reduce_lr_on_plateau",
      warmupRatio: 0,
    },
    ...{ lrSchedulerKwargs: { patience: 0, factor: 0.5, threshold: 0.5 } },
  },
  sgd: { ...hard, optim: "sgd", optimArgs: { momentum: 0.9 } },
  adafactor: { ...hard, optim: "adafactor" },
  lion: { ...hard, optim: "lion" },
  muon: { ...hard, optim: "muon" },
};

/** Losses, rates and norms that were logged, by step. */
const logged = (trainer: Trainer<GPT, never>) =>
  trainer.state!.logHistory.flatMap(({ step, loss, gradNorm, learningRate, evalLoss, epoch }) =>
    loss === undefined && evalLoss === undefined
      ? []
      : [{ step, loss, gradNorm, learningRate, evalLoss, epoch }],
  );

async function averages(folder: string): Promise<Buffer> {
  return readFileSync(path.join(folder, "ema.safetensors"));
}

describe("a resumed run equals the one that was not interrupted, bit for bit", () => {
  test.each(Object.entries(variants))("%s", async (name, options) => {
    const outputDir = temporaryFolder();
    const whole = tinyGPT({ dropout: 0.2 });
    // 8 batches a pass, 3 an update: the third update ends a pass
    const steps = name === "shuffled" ? [1, 3, 4, 8, 9, 19] : [4, 9];
    const saving: TrainerCallback = {
      onStepEnd: ({ state, control }) => void (control.shouldSave ||= steps.includes(state.globalStep)),
    };
    const trainer = new Trainer(whole, { ...options, outputDir, callbacks: [saving] });
    await trainer.train();
    const [weights, history] = [await weightsOf(whole), logged(trainer)];
    for (const step of steps) {
      const model = tinyGPT({ dropout: 0.2, seed: 77 });
      const resumed = new Trainer(model, { ...options, outputDir: temporaryFolder(), callbacks: [] });
      const result = await resumed.train({
        resumeFromCheckpoint: path.join(outputDir, `checkpoint-${step}`),
      });
      expect(logged(resumed), `from ${step}`).toEqual(history);
      expect(await weightsOf(model), `from ${step}`).toEqual(weights);
      expect(result.globalStep).toBe(20);
      if (name !== "with an average") continue;
      const folder = path.join(resumed.options.outputDir, "checkpoint-20");
      expect((await averages(folder)).equals(await averages(path.join(outputDir, "checkpoint-20")))).toBe(
        true,
      );
    }
  });

  test("by steps() that are left, and a model that is none of Hugging Face's", async () => {
    class Line extends Module<[batch: { x: Tensor; y: Tensor }], { loss: Tensor }> {
      line = new Linear(2, 1);
      forward({ x, y }: { x: Tensor; y: Tensor }) {
        const difference = sub(this.line(x), y);
        return { loss: mean(mul(difference, difference)) };
      }
    }
    const points = Array.from({ length: 10 }, (_, i) => ({
      x: [Math.sin(i), Math.cos(i)],
      y: Math.sin(i) - 2,
    }));
    const options = (outputDir: string) => ({
      ...{ outputDir, trainData: points, perDeviceTrainBatchSize: 4, maxSteps: 12, learningRate: 0.1 },
      collate: (rows: readonly (typeof points)[number][]) => ({
        x: tensor(rows.map(({ x }) => x)),
        y: tensor(rows.map(({ y }) => [y])),
      }),
    });
    const folder = temporaryFolder();
    const line = new Line();
    const start = line.stateDict();
    const initial = new Map([...start].map(([name, p]) => [name, p.clone()]));
    const trainer = new Trainer(line, { ...options(folder), saveStrategy: "no" });
    const losses: number[] = [];
    for await (const { step, loss } of trainer.steps()) {
      losses.push(loss);
      if (step === 5) break;
    }
    expect(trainer.state!.globalStep).toBe(5);
    await trainer.saveCheckpoint();
    const resumed = new Trainer(new Line(), options(folder));
    for await (const { loss } of resumed.steps({ resumeFromCheckpoint: true })) losses.push(loss);
    const whole = new Line();
    whole.loadStateDict(initial);
    const expected: number[] = [];
    const uninterrupted = new Trainer(whole, { ...options(temporaryFolder()), saveStrategy: "no" });
    for await (const { loss } of uninterrupted.steps()) expected.push(loss);
    expect(losses).toEqual(expected);
    expect(await weightsOf(resumed.model)).toEqual(await weightsOf(whole));
  });
});

describe("what a checkpoint holds", () => {
  test("the model as Hugging Face reads it, the state with its names, and the files of a resume", async () => {
    const outputDir = temporaryFolder();
    const trainer = new Trainer(tinyGPT(), { ...hard, outputDir, maxSteps: 4, saveSteps: 2, emaDecay: 0.99 });
    await trainer.train();
    const folder = path.join(outputDir, "checkpoint-4");
    expect(readdirSync(folder).sort()).toEqual([
      "config.json",
      "ema.safetensors",
      "model.safetensors",
      "optimizer.safetensors",
      "resume.json",
      "trainer_state.json",
      "training_args.json",
    ]);
    expect(await weightsOf(await GPT.fromPretrained(folder))).toEqual(await weightsOf(trainer.model));
    const state = JSON.parse(readFileSync(path.join(folder, "trainer_state.json"), "utf8"));
    expect(state).toMatchObject({ global_step: 4, max_steps: 4, num_train_epochs: 2, train_batch_size: 3 });
    expect(state.log_history[0]).toMatchObject({ step: 3, epoch: 1, learning_rate: 0.01 * 0.75 });
    expect(Object.keys(state.log_history[0]).sort()).toEqual([
      "epoch",
      "grad_norm",
      "learning_rate",
      "loss",
      "step",
    ]);
    const options = JSON.parse(readFileSync(path.join(folder, "training_args.json"), "utf8"));
    expect(options).toMatchObject({
      per_device_train_batch_size: 3,
      lr_scheduler_type: "cosine",
      warmup_steps: 0.2,
    });
  });

  test("with saveOnlyModel nothing to go on with, which is told", async () => {
    const outputDir = temporaryFolder();
    const options = { ...hard, outputDir, maxSteps: 2, saveOnlyModel: true };
    await new Trainer(tinyGPT(), options).train();
    expect(existsSync(path.join(outputDir, "checkpoint-2/optimizer.safetensors"))).toBe(false);
    const again = new Trainer(tinyGPT(), options).train({ resumeFromCheckpoint: true });
    await expect(again).rejects.toThrow(/checkpoint-2: must hold resume.json .* saveOnlyModel/);
  });

  test("callbacks go on where they were", async () => {
    const outputDir = temporaryFolder();
    const options = (more: Options): Options => ({
      ...{ ...hard, ...more, outputDir, evalData: examples(4) as never, evalSteps: 1, saveSteps: 1 },
      ...{ learningRate: 0, metricForBestModel: "loss" },
      callbacks: [new EarlyStoppingCallback({ earlyStoppingPatience: 4 })],
    });
    const first = new Trainer(tinyGPT(), options({}));
    for await (const { step } of first.steps()) if (step === 3) break;
    const second = new Trainer(tinyGPT(), options({}));
    expect((await second.train({ resumeFromCheckpoint: true })).globalStep).toBe(5);
  });
});

describe("resumeFromCheckpoint", () => {
  test('true needs a checkpoint, "auto" does not', async () => {
    const options = { ...hard, outputDir: temporaryFolder(), maxSteps: 2 };
    const run = (resumeFromCheckpoint: boolean | string) =>
      new Trainer(tinyGPT(), options).train({ resumeFromCheckpoint });
    await expect(run(true)).rejects.toThrow(/must hold a checkpoint .*"auto"/);
    expect((await run("auto")).globalStep).toBe(2);
    expect(await latestCheckpoint(options.outputDir)).toBe(path.join(options.outputDir, "checkpoint-2"));
    expect((await run("auto")).trainRuntime).toBeLessThan(1); // complete already
  });

  test("refuses data in another order, unless it is to be ignored", async () => {
    const outputDir = temporaryFolder();
    await new Trainer(tinyGPT(), { ...hard, outputDir, maxSteps: 2 }).train();
    const other = (more: Options) =>
      new Trainer(tinyGPT(), { ...hard, outputDir, maxSteps: 3, perDeviceTrainBatchSize: 4, ...more }).train({
        resumeFromCheckpoint: true,
      });
    await expect(other({})).rejects.toThrow(
      /order: perDeviceTrainBatchSize must be 4, as now .*ignoreDataSkip.*; got 3/,
    );
    expect((await other({ ignoreDataSkip: true })).globalStep).toBe(3);
  });

  test("refuses damaged files with an error that names them", async () => {
    const outputDir = temporaryFolder();
    const good = path.join(outputDir, "checkpoint-2");
    await new Trainer(tinyGPT(), { ...hard, outputDir, maxSteps: 2 }).train();
    for (const name of readdirSync(good).filter(
      (name) => name !== "config.json" && name !== "training_args.json",
    )) {
      for (const damage of ["empty", "cut", "gone", "noise"]) {
        const bad = path.join(outputDir, "bad");
        mkdirSync(bad);
        cpSync(good, bad, { recursive: true });
        const file = path.join(bad, name);
        const bytes = readFileSync(file);
        if (damage === "gone") rmSync(file);
        else if (damage === "noise")
          writeFileSync(
            file,
            bytes.map((b, i) => (i % 3 ? b : b ^ 0xa5)),
          );
        else writeFileSync(file, bytes.subarray(0, damage === "empty" ? 0 : bytes.length >> 1));
        const run = new Trainer(tinyGPT(), { ...hard, outputDir: temporaryFolder(), maxSteps: 3 });
        const error = await run.train({ resumeFromCheckpoint: bad }).then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(error, `${name} ${damage}`).toBeInstanceOf(CheckpointError);
        rmSync(bad, { recursive: true });
      }
    }
  });
});
