import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { noGrad } from "../src/autograd.ts";
import { defaultDevice, setDefaultDevice } from "../src/device.ts";
import { crossEntropy } from "../src/functional.ts";
import { generatorState } from "../src/generator.ts";
import { freeingAll, memory, resetPeakMemory, scope } from "../src/memory.ts";
import { Bart } from "../src/models/bart.ts";
import { BertForSequenceClassification } from "../src/models/bert-classification.ts";
import { BertForMaskedLM } from "../src/models/bert-pretraining.ts";
import { GPT } from "../src/models/gpt.ts";
import { Llama } from "../src/models/llama.ts";
import { T5 } from "../src/models/t5.ts";
import { configure } from "../src/native.ts";
import { Embedding, Linear } from "../src/nn/layers.ts";
import { type AnyModule, Module } from "../src/nn/module.ts";
import { AdamW } from "../src/optim/adamw.ts";
import { makeOptimizer, type OptimizerName, optimizerNames } from "../src/optim/make-optimizer.ts";
import { estimateMemory, type MemoryEstimateOptions } from "../src/profile/index.ts";
import { Tensor, tensor } from "../src/tensor.ts";
import { setGradientCheckpointing } from "../src/train/gradient-checkpointing.ts";
import { step } from "../src/train/step.ts";

configure("threads", 1); // the machine may be busy, and memory is what counts

interface Size {
  layers: number;
  hidden: number;
  vocabulary: number;
  length: number;
  batch: number;
}
const sizes: Readonly<Record<string, Size>> = {
  narrow: { layers: 2, hidden: 64, vocabulary: 97, length: 48, batch: 6 },
  wide: { layers: 2, hidden: 256, vocabulary: 700, length: 33, batch: 2 },
  "large vocabulary": { layers: 1, hidden: 128, vocabulary: 4000, length: 64, batch: 2 },
};

/** The emulation of CUDA is slow. */
const isProcessor = defaultDevice() === "cpu";
const tiny: Size = { layers: 1, hidden: 32, vocabulary: 31, length: 8, batch: 2 };

type Dtype = "f32" | "bf16";
const shared = ({ layers, hidden, vocabulary }: Size, dtype: Dtype) =>
  ({ numLayers: layers, hiddenSize: hidden, vocabSize: vocabulary, numHeads: 4, dtype, seed: 0 }) as const;
const decoderIds = (ids: Tensor) => ({ decoderInputIds: ids });

/** Models, and what they take beside token ids, with labels and without. */
interface Kind {
  make(size: Size, dtype: Dtype): AnyModule;
  labels(ids: Tensor, batch: number): Record<string, Tensor>;
  inputs?(ids: Tensor): Record<string, Tensor>;
}
const kinds: Readonly<Record<string, Kind>> = {
  GPT: {
    make: (size, dtype) => new GPT({ ...shared(size, dtype), contextLength: size.length, dropout: 0.1 }),
    labels: (targets) => ({ targets }),
  },
  Llama: {
    make: (size, dtype) =>
      new Llama({
        ...shared(size, dtype),
        ...{ numKeyValueHeads: 2, intermediateSize: 3 * size.hidden, contextLength: size.length },
      }),
    labels: (targets) => ({ targets }),
  },
  BertForMaskedLM: {
    make: (size, dtype) => new BertForMaskedLM({ ...shared(size, dtype), contextLength: size.length }),
    labels: (labels) => ({ labels }),
  },
  BertForSequenceClassification: {
    make: (size, dtype) =>
      new BertForSequenceClassification(
        { ...shared(size, dtype), contextLength: size.length },
        { numLabels: 3 },
      ),
    labels: (_, batch) => ({ labels: tensor(new Int32Array(batch)) }),
  },
  T5: {
    make: (size, dtype) => new T5({ ...shared(size, dtype), headSize: size.hidden / 4 }),
    labels: (labels) => ({ labels, decoderInputIds: labels }),
    inputs: decoderIds,
  },
  Bart: {
    make: (size, dtype) => new Bart({ ...shared(size, dtype), contextLength: size.length }),
    labels: (labels) => ({ labels, decoderInputIds: labels }),
    inputs: decoderIds,
  },
};

/** What the tensors of a model and of three passes really hold at most. */
async function measured(
  { make, labels, inputs }: Kind,
  size: Size,
  dtype: Dtype,
  options: { training?: boolean; gradientCheckpointing?: boolean; optimizer?: OptimizerName } = {},
): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await sleep(0);
  }
  configure("trim", true); // blocks of earlier tests have other sizes
  const device = defaultDevice();
  const start = memory().liveBytes;
  freeingAll(device, () => {
    const model = make(size, dtype);
    if (options.gradientCheckpointing) setGradientCheckpointing(model, true);
    resetPeakMemory();
    const ids = tensor(new Int32Array(size.batch * size.length), [size.batch, size.length]);
    if (options.training === false) {
      model.eval();
      noGrad(() => scope(() => void model(ids, inputs?.(ids))));
      return;
    }
    const optimizer = makeOptimizer(options.optimizer ?? "adamw", model);
    for (let i = 0; i < 2; i++) {
      step(() => {
        const { loss } = model(ids, labels(ids, size.batch)) as { loss: Tensor };
        loss.backward();
        optimizer.step();
      });
    }
  });
  return memory().peakBytes - start;
}

describe("the estimate is within 10 % of what is measured", () => {
  const thorough = ["GPT", "BertForMaskedLM", "T5"];
  const cases = isProcessor
    ? Object.keys(kinds).flatMap((kind) =>
        Object.keys(sizes)
          .slice(0, thorough.includes(kind) ? 3 : 1)
          .map((size) => [kind, size] as const),
      )
    : (["GPT", "T5"] as const).map((kind) => [kind, "tiny"] as const);
  const all = cases.flatMap(([kind, size]) => [[kind, size, "f32"] as const, [kind, size, "bf16"] as const]);
  test.each(all)("%s, %s, %s", async (kind, sizeName, dtype) => {
    const [model, size] = [kinds[kind]!, sizes[sizeName] ?? tiny];
    const batch = { batchSize: size.batch, sequenceLength: size.length };
    for (const training of [true, false]) {
      const estimate = estimateMemory(() => model.make(size, dtype), { ...batch, training });
      const real = await measured(model, size, dtype, { training });
      expect(Math.abs(estimate.total / real - 1), training ? "training" : "without targets").toBeLessThan(
        0.1,
      );
    }
  });

  test.runIf(isProcessor).each(["GPT", "Bart"])("%s that computes its activations again", async (kind) => {
    const [model, size] = [kinds[kind]!, { ...sizes.narrow!, layers: 6 }];
    const batch = { batchSize: size.batch, sequenceLength: size.length };
    const plain = estimateMemory(() => model.make(size, "f32"), batch);
    const estimate = estimateMemory(() => model.make(size, "f32"), { ...batch, gradientCheckpointing: true });
    expect(estimate.activations).toBeLessThan(0.6 * plain.activations);
    const real = await measured(model, size, "f32", { gradientCheckpointing: true });
    expect(Math.abs(estimate.total / real - 1)).toBeLessThan(0.1);
  });
});

const small = { vocabSize: 50, contextLength: 16, numLayers: 1, numHeads: 2, hiddenSize: 32 };
const batch = { batchSize: 2, sequenceLength: 16 };

test("the parts are those of the formulas", () => {
  const config = { ...small, hiddenSize: 256, numLayers: 2, vocabSize: 2000 };
  const { parameters, gradients, optimizerState, packedWeights, activations, total } = estimateMemory(
    () => new GPT(config),
    batch,
  );
  // Matrices of 12 · C² a layer with 13 · C of biases and normalizations, two tables, the last normalization.
  const values = 4 * (2 * (12 * 256 ** 2 + 13 * 256) + (2000 + 16) * 256 + 2 * 256);
  expect(parameters / values).toBeCloseTo(1, 1);
  expect(gradients / values).toBeCloseTo(1, 1);
  expect(optimizerState / (2 * values)).toBeCloseTo(1, 1);
  expect(parameters + gradients + optimizerState + packedWeights + activations).toBe(total);
});

test("a model that is there already is estimated by its twin, and stays as it was", async () => {
  const model = new GPT({ ...small, dropout: 0.2, seed: 0 }).eval();
  const ids = tensor(new Int32Array(32).fill(3), [2, 16]);
  const before = await model(ids).logits.toTypedArray();
  const [state, { tensors, liveBytes }] = [generatorState(), memory()];
  const estimate = estimateMemory(model, batch);
  expect(estimate).toEqual(estimateMemory(() => new GPT({ ...small, dropout: 0.2 }), batch));
  expect(memory().tensors).toBe(tensors);
  expect(memory().liveBytes).toBe(liveBytes);
  expect(memory("meta").liveBytes).toBe(0);
  expect(generatorState()).toEqual(state);
  expect(model.training).toBe(false);
  expect(model.parameters().every((p) => p.grad === undefined && p.device === defaultDevice())).toBe(true);
  expect(await model(ids).logits.toTypedArray()).toEqual(before);
});

test("gradient checkpointing of the model is that of its twin", () => {
  const model = new GPT({ ...small, numLayers: 4 });
  const plain = estimateMemory(model, batch);
  setGradientCheckpointing(model, true);
  const again = estimateMemory(model, batch);
  expect(again.total).toBeLessThan(plain.total);
  expect(again).toEqual(
    estimateMemory(() => new GPT({ ...small, numLayers: 4 }), { ...batch, gradientCheckpointing: true }),
  );
});

test("dtype makes the model compute in it", () => {
  const inBf16 = estimateMemory(() => new GPT({ ...small, dtype: "bf16" }), batch);
  expect(estimateMemory(new GPT(small), { ...batch, dtype: "bf16" })).toEqual(inBf16);
});

test("no optimizer, one of one's own, frozen parameters", () => {
  const none = estimateMemory(() => new GPT(small), { ...batch, optimizer: "none" });
  expect(none.optimizerState).toBe(0);
  expect(none.gradients).toBeGreaterThan(0);
  const adamw = estimateMemory(() => new GPT(small), batch);
  const own = estimateMemory(() => new GPT(small), { ...batch, optimizer: (all) => new AdamW(all) });
  expect(own).toEqual(adamw);
  const model = new GPT(small);
  const [first, ...others] = model.parameters();
  for (const p of others) p.requiresGrad = false;
  const frozen = estimateMemory(model, batch);
  expect(frozen.optimizerState).toBeLessThan(4 * 4 * first!.size);
});

test.runIf(isProcessor).each(optimizerNames)("what %s keeps", async (name) => {
  const [model, size] = [kinds.GPT!, sizes.narrow!];
  const options = { batchSize: size.batch, sequenceLength: size.length, optimizer: name };
  const estimate = estimateMemory(() => model.make(size, "f32"), options);
  const real = await measured(model, size, "f32", { optimizer: name });
  expect(Math.abs(estimate.total / real - 1)).toBeLessThan(0.1);
});

test("what fits on no machine can be asked for", () => {
  const llama = {
    ...{ vocabSize: 128256, contextLength: 8192, numLayers: 80, numHeads: 64, numKeyValueHeads: 8 },
    ...{ hiddenSize: 8192, intermediateSize: 28672, tieWordEmbeddings: false },
  };
  const { parameters, text } = estimateMemory(() => new Llama(llama), {
    batchSize: 8,
    sequenceLength: 8192,
    dtype: "bf16",
    device: "cuda",
  });
  expect(parameters / 4).toBeGreaterThan(70e9);
  expect(text).toMatch(/^Llama with 8 × 8192 tokens needs \d\.\d TB: parameters 2\d\d GB, .*activations/);
});

class Classifier extends Module {
  words = new Embedding(100, 16);
  output = new Linear(16, 4);
  forward(ids: Tensor): Tensor {
    return this.output(this.words(ids).mean(1));
  }
}

test("a model of one's own comes with its loss", () => {
  const loss = (
    model: Classifier,
    { batchSize, sequenceLength }: { batchSize: number; sequenceLength: number },
  ) => {
    const ids = tensor(new Int32Array(batchSize * sequenceLength), [batchSize, sequenceLength]);
    return crossEntropy(model(ids), tensor(new Int32Array(batchSize)));
  };
  const estimate = estimateMemory(() => new Classifier(), { ...batch, loss });
  expect(estimateMemory(new Classifier(), { ...batch, loss })).toEqual(estimate);
  expect(() => estimateMemory(new Classifier(), batch)).toThrow(
    /estimateMemory: Classifier is no model whose batches are known; pass loss/,
  );
});

test("wrong arguments are refused by name, and leave nothing behind", () => {
  const bad = (options: object) => () =>
    estimateMemory(() => new GPT(small), { ...batch, ...options } as MemoryEstimateOptions<GPT>);
  expect(bad({ batchSize: 0 })).toThrow(/batchSize must be an integer of at least 1; got 0/);
  expect(bad({ sequenceLength: 1.5 })).toThrow(/sequenceLength/);
  expect(bad({ sequenceLength: 17 })).toThrow(/16/);
  expect(bad({ dtype: "f16" })).toThrow(/dtype must be "f32" or "bf16"; got f16/);
  expect(bad({ device: "tpu" })).toThrow(/device must be/);
  expect(bad({ optimizer: "adamax" })).toThrow(/adamw, .*got adamax/);
  expect(() => estimateMemory({} as never, batch)).toThrow(/model must be a Module or a function/);
  const made = new GPT(small);
  expect(() => estimateMemory(() => made, batch)).toThrow(/makes one anew/);
  expect(defaultDevice()).not.toBe("meta");
  expect(memory("meta").liveBytes).toBe(0);
});

describe("meta", () => {
  test("has shapes, but no elements to read", async () => {
    const device = defaultDevice();
    setDefaultDevice("meta");
    try {
      const x = Tensor.empty([1e6, 1e6], "f32", "meta");
      expect(x.add(x).shape).toEqual([1e6, 1e6]);
      expect(() => x.toTypedArraySync()).toThrow(expect.objectContaining({ code: "ERR_DEVICE" }));
      await expect(x.sum().item()).rejects.toMatchObject({ code: "ERR_DEVICE" });
      expect(() => tensor([1, 2, 3]).to("cpu")).toThrow(/no elements/);
      expect(() => x.add(tensor([1], [1], { device: "cpu" }))).toThrow(/device|meta/);
    } finally {
      setDefaultDevice(device);
    }
  });
});
