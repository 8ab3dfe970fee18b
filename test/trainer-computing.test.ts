import { describe, expect, test } from "vitest";
import {
  collator,
  defaultDevice,
  type GPT,
  Linear,
  Module,
  mean,
  memory,
  metrics,
  mul,
  NonFiniteError,
  noGrad,
  seq2seqCollator,
  type Tensor,
  Trainer,
  type TrainerCallback,
  Transformer,
  tensor,
} from "../src/index.ts";
import { configure, info } from "../src/native.ts";
import { base, examples, temporaryFolder, tinyGPT, trained, vocabSize, weightsOf } from "./trainer-cases.ts";

describe("what is not finite", () => {
  /** A model whose gradient is no number while an example says so. */
  class Fragile extends Module<[batch: { x: Tensor }], { loss: Tensor }> {
    fine = new Linear(2, 2);
    weak = new Linear(2, 1);
    forward({ x }: { x: Tensor }) {
      return { loss: mean(mul(this.weak(this.fine(x)), 1)) };
    }
  }
  const rows = (bad: number) => Array.from({ length: 8 }, (_, i) => [i === bad ? Infinity : i, 1]);
  const options = (bad: number) => ({
    ...{ trainData: rows(bad), collate: (x: readonly number[][]) => ({ x: tensor(x as number[][]) }) },
    ...{
      perDeviceTrainBatchSize: 1,
      trainSamplingStrategy: "sequential" as const,
      saveStrategy: "no" as const,
    },
    ...{ numTrainEpochs: 1, loggingSteps: 1, outputDir: temporaryFolder() },
  });

  test("stops, and names the update and the first parameter", async () => {
    const trainer = new Trainer(new Fragile(), options(4));
    const error = await trainer.train().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(error).toBeInstanceOf(NonFiniteError);
    expect(error).toMatchObject({ code: "ERR_NON_FINITE", step: 5, parameter: "fine.weight" });
    expect((error as Error).message).toMatch(/step 5: the loss is .*that of fine\.weight/);
    await expect(trainer.saveCheckpoint()).rejects.toBe(error);
  });

  test("or is skipped: the weights are those without the example", async () => {
    const model = new Fragile();
    const copy = new Fragile();
    copy.loadStateDict(new Map([...model.stateDict()].map(([name, p]) => [name, p.clone()])));
    const warnings: string[] = [];
    const listen = (warning: Error) => warnings.push(warning.message);
    process.on("warning", listen);
    const constant = { lrSchedulerType: "constant", nonFinite: "skip" as const };
    const trainer = new Trainer(model, { ...options(4), ...constant });
    const { globalStep, trainLoss } = await trainer.train();
    const without = { ...options(-1), ...constant, trainData: rows(-1).filter((_, i) => i !== 4) };
    const expected = await new Trainer(copy, without).train();
    expect(await weightsOf(model)).toEqual(await weightsOf(copy));
    expect(globalStep).toBe(8);
    expect(trainLoss).toBeCloseTo(expected.trainLoss, 12);
    await new Promise(setImmediate);
    process.off("warning", listen);
    expect(warnings.join()).toMatch(/step 5: .*fine\.weight.*left out/);
  });
});

describe("ways to compute", () => {
  test("recomputed activations give the same losses and need less memory", async () => {
    const peak = async (gradientCheckpointing: boolean) => {
      const model = tinyGPT({ numLayers: 6, hiddenSize: 32, contextLength: 8, dropout: 0.1 });
      const before = memory().liveBytes;
      let most = 0;
      const { losses } = await trained(
        {
          ...{ gradientCheckpointing, maxSteps: 3, perDeviceTrainBatchSize: 24 },
          computeLoss: (model: GPT, { inputIds, targets }: { inputIds: Tensor; targets: Tensor }) => {
            const { loss } = model(inputIds, { targets });
            most = Math.max(most, memory().liveBytes - before);
            return loss;
          },
        },
        model,
      );
      return { losses, most };
    };
    const [kept, recomputed] = [await peak(false), await peak(true)];
    expect(recomputed.losses).toEqual(kept.losses);
    expect(recomputed.most).toBeLessThan(0.7 * kept.most);
    const plain = new Trainer(new Linear(2, 2), {
      gradientCheckpointing: true,
      trainData: [1],
      saveStrategy: "no",
    });
    await expect(plain.train()).rejects.toThrow(/needs TransformerBlocks/);
  });

  test("bf16 is asked for, refused or left", async () => {
    const { isa, isas } = info();
    const isOnProcessor = defaultDevice() === "cpu";
    if (isOnProcessor) {
      configure("isa", "avx2");
      await expect(trained({ bf16: true })).rejects.toThrow(/bf16: true needs a processor with .*got avx2/);
      const left = tinyGPT();
      await trained({ bf16: "auto" }, left);
      expect(left.config.dtype).toBe("f32");
    }
    const hardware = isas.find(({ supported, multipliesBf16 }) => supported && multipliesBf16);
    if (hardware || !isOnProcessor) {
      if (isOnProcessor) configure("isa", hardware!.name);
      const model = tinyGPT();
      const { losses } = await trained({ bf16: true }, model);
      expect(model.config.dtype).toBe("bf16");
      expect(noGrad(() => model.tokens(tensor(Int32Array.of(1, 2), [1, 2]))).dtype).toBe("bf16");
      expect(losses.every(Number.isFinite)).toBe(true);
    }
    configure("isa", isa);
  });

  test("an average of weights is what is evaluated", async () => {
    const model = tinyGPT();
    const averages = await weightsOf(model);
    const keep: TrainerCallback = {
      onStepEnd: async () => {
        for (const [name, values] of await weightsOf(model)) {
          averages.get(name)!.forEach((a, i, all) => void (all[i] = a + 0.1 * (values[i]! - a)));
        }
      },
    };
    const data = { evalData: examples(4), maxSteps: 10, learningRate: 0.05 };
    const { trainer } = await trained({ ...data, emaDecay: 0.9, callbacks: [keep] }, model);
    const weights = await weightsOf(model);
    const { evalLoss } = await trainer.evaluate();
    expect(await weightsOf(model)).toEqual(weights);
    const averaged = tinyGPT();
    const shapes = averaged.stateDict();
    averaged.loadStateDict(
      new Map([...averages].map(([name, a]) => [name, tensor(a).reshape(...shapes.get(name)!.shape)])),
    );
    const expected = await new Trainer(averaged, base(data)).evaluate();
    expect(evalLoss).toBeCloseTo(expected.evalLoss!, 5);
    const plain = await new Trainer(model, base(data)).evaluate();
    expect(Math.abs(evalLoss! - plain.evalLoss!)).toBeGreaterThan(1e-3);
  });

  test("encoder–decoder models smooth their labels themselves", async () => {
    const pairs = Array.from({ length: 6 }, (_, n) => ({ source: [3 + n, 4], target: [4, 3 + n, 5] }));
    const size = { vocabSize: 12, hiddenSize: 8, numLayers: 1, numHeads: 2, contextLength: 8, seed: 3 };
    const model = new Transformer({
      ...size,
      padTokenId: 0,
      eosTokenId: 1,
      decoderStartTokenId: 1,
      dropout: 0,
    });
    const collate = seq2seqCollator({ padTokenId: 0, eosTokenId: 1, decoderStartTokenId: 1 });
    const { inputIds, ...input } = collate(pairs);
    const expected = await noGrad(() => model(inputIds!, { ...input, labelSmoothing: 0.3 })).loss!.item();
    const options = { evalData: pairs, collate, labelSmoothingFactor: 0.3 };
    expect((await new Trainer(model, options).evaluate()).evalLoss).toBeCloseTo(expected, 6);
  });
});

describe("evaluation", () => {
  test("predictions, logits, labels and metrics are those of all batches", async () => {
    const data = examples(5);
    const { model, trainer } = await trained({
      maxSteps: 30,
      metrics: [metrics.accuracy()],
      perDeviceEvalBatchSize: 2,
    });
    const found = await trainer.predict(data);
    const all = collator()(data);
    const { logits } = noGrad(() => model(all.inputIds!));
    expect(found.logits!.length).toBe(5 * 8 * vocabSize);
    (await logits.toTypedArray()).forEach((x, i) => expect(found.logits![i]).toBeCloseTo(x, 5));
    expect([...found.labels!]).toEqual(data.flatMap(({ targets }) => targets));
    const right = found.predictions!.filter((id, i) => id === found.labels![i]).length;
    expect(found.metrics.evalAccuracy).toBeCloseTo(right / 40, 9);
    expect(model.training).toBe(true);
  });

  test("texts that a model writes", async () => {
    const pairs = Array.from({ length: 4 }, (_, n) => ({ source: [3 + n, 4], target: [4, 3 + n] }));
    const size = {
      vocabSize: 12,
      hiddenSize: 16,
      numLayers: 1,
      numHeads: 2,
      contextLength: 8,
      seed: 3,
      dropout: 0,
    };
    const model = new Transformer({ ...size, padTokenId: 0, eosTokenId: 1, decoderStartTokenId: 1 });
    const tokenizer = {
      save: async () => {},
      encode: (text: string) => text.split(" ").map(Number),
      decode: (ids: ArrayLike<number>) =>
        Array.from(ids)
          .filter((id) => id > 1)
          .join(" "),
    };
    const collate = seq2seqCollator({ padTokenId: 0, eosTokenId: 1, decoderStartTokenId: 1 });
    const options = {
      ...{ trainData: pairs, evalData: pairs, collate, tokenizer, metrics: [metrics.exactMatch()] },
      ...{ maxSteps: 150, learningRate: 2e-2, saveStrategy: "no" as const, outputDir: temporaryFolder() },
      ...{ predictWithGenerate: true, generationMaxLength: 6 },
    };
    const trainer = new Trainer(model, options);
    await trainer.train();
    expect((await trainer.evaluate()).evalExactMatch).toBe(1);
    const { texts } = await trainer.predict(pairs.slice(1, 2));
    expect(texts).toEqual({ predictions: ["4 4"], references: ["4 4"] });
    const without = new Trainer(model, { ...options, predictWithGenerate: false });
    await expect(without.evaluate()).rejects.toThrow(/needs predictWithGenerate/);
  });
});
