import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  Adafactor,
  Adam,
  AdamW,
  GPT,
  Linear,
  Lion,
  Muon,
  makeOptimizer,
  mul,
  type Optimizer,
  randn,
  SGD,
  step,
  sum,
  type Tensor,
  TokenDataset,
  tensor,
} from "../src/index.ts";
import { readSafetensors } from "../src/io/safetensors.ts";
import { relativeError } from "./golden-folder.ts";
import { type Variant, variants } from "./variants.ts";

/** What PyTorch and Transformers make of the same gradients in 50 steps, from test/golden/make_optim.py. */
const { tensors, metadata } = await readSafetensors(
  fileURLToPath(new URL("golden/optim.safetensors", import.meta.url)),
);
interface Case {
  shapes: number[][];
  maxGradNorm: number;
  maxGradValue: number;
  decays: boolean;
}
const cases: Record<string, Case> = JSON.parse(metadata.cases!).optimizers;

/** `value` of the script. */
function values(k: number, t: number, shape: readonly number[]): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  const array = Float32Array.from({ length: count }, (_, i) => {
    const h = (i * 7919 + k * 104729 + t * 15485863) % 65521;
    return (((h * h) % 65521) / 65521) * 2 - 1;
  });
  return tensor(
    array.map((x) => x * (t > 0 ? 1 + (t % 5) : 1)),
    [...shape],
  );
}

const steps = 50;
const initial = (shapes: readonly number[][]): Tensor[] =>
  shapes.map((shape, k) => Object.assign(values(k, 0, shape).clone(), { requiresGrad: true }));

/** Step t, from 1: parameter 2 has no gradient in every fourth. */
function stepAt(
  optimizer: Optimizer,
  parameters: readonly Tensor[],
  t: number,
  { maxGradNorm, maxGradValue, decays }: Case,
) {
  const learningRate = optimizer.learningRate * (1 - (t - 1) / 100);
  return step(() => {
    for (const [k, p] of parameters.entries())
      if (k !== 2 || t % 4 !== 3) sum(mul(p, values(k, t, p.shape))).backward();
    return optimizer.step({ maxGradNorm, maxGradValue, ...(decays ? { learningRate } : {}) });
  });
}

/** In groups all parameters are decayed, as in PyTorch; given as they are, only matrices would be. */
const all = (parameters: Tensor[]) => [{ parameters }];
const muon = { learningRate: 2e-2, weightDecay: 0.1, momentum: 0.95 };
const optimizers: Record<string, (p: Tensor[]) => Optimizer> = {
  adamw: (p) => new AdamW(all(p), { learningRate: 1e-2, betas: [0.9, 0.95], weightDecay: 0.1 }),
  adamw_amsgrad: (p) => new AdamW(all(p), { learningRate: 1e-2, weightDecay: 0.1, amsgrad: true }),
  adamw_groups: (p) =>
    new AdamW(
      [
        { parameters: p.slice(0, 2), learningRate: 2e-2, weightDecay: 0.1 },
        { parameters: p.slice(2), betas: [0.8, 0.9], eps: 1e-4 },
      ],
      { learningRate: 1e-2, weightDecay: 0 },
    ),
  adam: (p) => new Adam(all(p), { learningRate: 1e-2, weightDecay: 0.1 }),
  adam_amsgrad: (p) => new Adam(p, { learningRate: 1e-2, amsgrad: true }),
  sgd: (p) => new SGD(all(p), { learningRate: 1e-2, weightDecay: 0.1 }),
  sgd_momentum: (p) =>
    new SGD(all(p), { learningRate: 1e-2, momentum: 0.9, dampening: 0.3, weightDecay: 0.1 }),
  sgd_nesterov: (p) => new SGD(p, { learningRate: 1e-2, momentum: 0.9, nesterov: true }),
  lion: (p) => new Lion(all(p), { learningRate: 1e-2, weightDecay: 0.1 }),
  adafactor: (p) => new Adafactor(p),
  adafactor_warmup: (p) => new Adafactor(all(p), { beta1: 0.9, warmupInit: true, weightDecay: 0.1 }),
  adafactor_fixed: (p) =>
    new Adafactor(all(p), {
      learningRate: 1e-2,
      scaleParameter: false,
      weightDecay: 0.1,
      clipThreshold: 0.5,
    }),
  muon_original: (p) => new Muon(p, muon),
  muon_match_rms_adamw: (p) => new Muon(p, { ...muon, nesterov: false, adjustLrFn: "match_rms_adamw" }),
};

/** The GPU's products of f32 may be sums of bf16, and Newton's and Schulz's iteration stretches what is short. */
const toleranceOf = (name: string, { splits }: Variant) => (splits && name.startsWith("muon") ? 1e-4 : 1e-6);

for (const variant of variants) {
  if (!variant.dtypes.includes("f32")) continue;
  describe(`50 steps equal the reference's in float64 (${variant.name})`, () => {
    test.each(Object.entries(optimizers))("%s", async (name, make) => {
      variant.select();
      const golden = cases[name]!;
      const parameters = initial(golden.shapes);
      const optimizer = make(parameters);
      const norms: number[] = [];
      for (let t = 1; t <= steps; t++)
        norms.push(await stepAt(optimizer, parameters, t, golden).gradNorm.item());
      expect(relativeError(norms, tensors.get(`optimizers.${name}.norms`)!.data)).toBeLessThan(1e-6);
      for (const [k, p] of parameters.entries()) {
        const got = await p.toTypedArray();
        const expected = tensors.get(`optimizers.${name}.${k}`)!.data;
        expect(relativeError(got, expected), `parameter ${k}`).toBeLessThan(toleranceOf(name, variant));
        if (!name.startsWith("muon")) continue;
        const inBf16 = tensors.get(`optimizers.${name}_bf16.${k}`)!.data; // torch.optim.Muon itself
        expect(relativeError(got, inBf16), `parameter ${k}`).toBeLessThan(1e-2);
      }
    });
  });
}

test("all cases that the script wrote are among them", () => {
  expect(Object.keys(cases).filter((name) => !name.endsWith("_bf16"))).toEqual(Object.keys(optimizers));
});

/** What a checkpoint would hold of an optimizer. */
function saved(optimizer: Optimizer) {
  const { tensors, values } = optimizer.stateDict();
  return {
    tensors: new Map([...tensors].map(([name, t]) => [name, tensor(t.toTypedArraySync(), t.shape)])),
    values: JSON.parse(JSON.stringify(values)) as Record<string, unknown>,
  };
}
const bits = (list: readonly Tensor[]) => list.map((p) => [...p.toTypedArraySync()]);

describe("20 steps are 10, a state saved and loaded, and 10 more, bit for bit", () => {
  test.each(Object.entries(optimizers))("%s", (name, make) => {
    const golden = cases[name]!;
    const run = (parameters: Tensor[], optimizer: Optimizer, from: number, to: number) => {
      for (let t = from; t <= to; t++) stepAt(optimizer, parameters, t, golden);
    };
    const whole = initial(golden.shapes);
    run(whole, make(whole), 1, 20);
    const first = initial(golden.shapes);
    const before = make(first);
    run(first, before, 1, 10);
    const second = first.map((p) => Object.assign(p.detach().clone(), { requiresGrad: true }));
    const after = make(second);
    after.loadStateDict(saved(before));
    expect(after.stepCount).toBe(10);
    run(second, after, 11, 20);
    expect(bits(second)).toEqual(bits(whole));
  });

  test("a whole model, whose hidden matrices are Muon's and the rest AdamW's", () => {
    const config = { vocabSize: 17, contextLength: 8, numLayers: 2, numHeads: 2, hiddenSize: 16, seed: 3 };
    const dataset = TokenDataset.fromTokens(Int32Array.from({ length: 500 }, (_, i) => (i * i) % 17));
    const made = () => {
      const model = new GPT(config);
      const optimizer = makeOptimizer("muon", model, {
        learningRate: 1e-2,
        weightDecay: 0.1,
        layerDecay: 0.8,
      });
      return { model, optimizer };
    };
    const run = ({ model, optimizer }: ReturnType<typeof made>, from: number, to: number) => {
      const batches = dataset.batches({ batchSize: 2, contextLength: 8, steps: to, seed: 1 });
      for (const { step: i, inputs, targets } of batches) {
        if (i < from) continue;
        step(() => {
          model(inputs, { targets }).loss.backward();
          optimizer.step({ learningRate: 5e-3, maxGradNorm: 1 });
        });
      }
    };
    const [whole, first, second] = [made(), made(), made()];
    expect(whole.optimizer.parameters.length).toBe(whole.model.parameters().length);
    run(whole, 0, 6);
    run(first, 0, 3);
    second.model.loadStateDict(first.model.stateDict());
    second.optimizer.loadStateDict(saved(first.optimizer));
    run(second, 3, 6);
    expect(bits(second.model.parameters())).toEqual(bits(whole.model.parameters()));
    expect(() => new SGD(second.model.parameters()).loadStateDict(saved(first.optimizer))).toThrow(
      "SGD.loadStateDict: optimizer must be SGD; got OptimizerList",
    );
  });

  test("says what does not fit", () => {
    const optimizer = new AdamW([randn([2, 3], { requiresGrad: true }), randn([3], { requiresGrad: true })]);
    const state = saved(optimizer);
    const load = (change: Partial<typeof state>) => () => optimizer.loadStateDict({ ...state, ...change });
    const without = new Map([...state.tensors].filter(([name]) => name !== "1.exp_avg"));
    expect(load({ tensors: without })).toThrow("AdamW.loadStateDict: tensor 1.exp_avg [3] is missing");
    expect(load({ tensors: new Map([...state.tensors, ["1.exp_avg", randn([4])]]) })).toThrow(
      "AdamW.loadStateDict: 1.exp_avg must be [3] f32; got [4] f32",
    );
    expect(load({ tensors: new Map([...state.tensors, ["2.exp_avg", randn([4])]]) })).toThrow(
      "AdamW.loadStateDict: unexpected tensor 2.exp_avg",
    );
    expect(load({ values: { ...state.values, steps: [1] } })).toThrow(
      "AdamW.loadStateDict: steps must be 2 numbers of steps, as there are parameters; got 1",
    );
    expect(load({ values: { ...state.values, stepCount: -1 } })).toThrow(
      /stepCount must be a number of steps/,
    );
    expect(load({ values: {} })).toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT" }));
  });
});

describe("what optimizers are given", () => {
  const parameter = (...shape: number[]) => randn(shape, { requiresGrad: true });
  const move = (optimizer: Optimizer, ...parameters: Tensor[]) => {
    for (const p of parameters) sum(p).backward();
    return optimizer.step({ learningRate: 1 });
  };

  test("frozen parameters stay as they are and take no memory", () => {
    const [trained, frozen] = [parameter(2, 2), randn([2, 2])];
    const optimizer = new SGD([frozen, trained]);
    expect(optimizer.parameters).toEqual([trained]);
    const before = bits([frozen, trained]);
    move(optimizer, trained);
    expect(bits([frozen])[0]).toEqual(before[0]);
    bits([trained])[0]!.forEach((v, i) => expect(v).toBeCloseTo(before[1]![i]! - 1, 6));
    expect(() => new AdamW([frozen])).toThrow(
      "AdamW: parameters must hold at least one tensor with requiresGrad",
    );
  });

  test("parameters that join later have their own number of steps, and so Adam's first step", () => {
    const [early, late] = [parameter(3), parameter(3)];
    const optimizer = new Adam([early], { learningRate: 0.1 });
    for (let i = 0; i < 100; i++) move(optimizer, early);
    optimizer.addParameterGroup({ parameters: [late], learningRate: 0.01 });
    const [before] = bits([late]);
    sum(late).backward();
    optimizer.step();
    bits([late])[0]!.forEach((v, i) => expect(v).toBeCloseTo(before![i]! - 0.01, 6));
    expect(() => optimizer.addParameterGroup({ parameters: [late] })).toThrow(
      "Adam: group: a parameter must be in one group only; got [3] again",
    );
  });

  test("a group's rate keeps its ratio to the step's", () => {
    const [a, b] = [parameter(3), parameter(3)];
    const optimizer = new SGD([{ parameters: [a] }, { parameters: [b], learningRate: 0.5 }], {
      learningRate: 2,
    });
    const before = bits([a, b]);
    move(optimizer, a, b);
    const moved = bits([a, b]).map((list, k) => before[k]![0]! - list[0]!);
    expect(moved[0]).toBeCloseTo(1, 6);
    expect(moved[1]).toBeCloseTo(0.25, 6);
  });

  test("a parameter that another optimizer took is not updated in the wrong place", () => {
    const p = parameter(2, 2);
    const [first, second] = [new SGD([p]), new SGD([p])];
    expect(() => move(first, p)).toThrow(/SGD.step: parameter 0 \[2, 2\] has other memory/);
    p.gradient = undefined;
    move(second, p);
    expect(second.stepCount).toBe(1);
  });

  test("bad input is refused by name", () => {
    const p = parameter(2, 2);
    expect(() => new Muon([p, parameter(2)])).toThrow(
      "Muon: parameters must be matrices [rows, columns]; got [2] (give others to another optimizer",
    );
    expect(() => new SGD([p], { nesterov: true })).toThrow(
      "SGD: nesterov needs a momentum above 0 and a dampening of 0; got 0, 0",
    );
    expect(() => new Adafactor([p], { learningRate: 1e-3, relativeStep: true })).toThrow(
      "Adafactor: learningRate and relativeStep: true exclude each other; got 0.001",
    );
    expect(() => new Adafactor([p], { relativeStep: false })).toThrow(
      "Adafactor: learningRate must be given with relativeStep: false",
    );
    expect(() => new Adafactor([p]).step({ learningRate: 1 })).toThrow("learningRate follows from the step");
    expect(() => new Lion([p], { betas: [0.9, 2] })).toThrow(
      "Lion: betas[1] must be a number from 0 to 1; got 2",
    );
    expect(() => new AdamW([p]).step({ maxGradNorm: 1, maxGradValue: 1 })).toThrow(
      "AdamW.step: maxGradNorm and maxGradValue cannot be combined; choose one",
    );
    expect(
      () =>
        new AdamW(
          new GPT({ vocabSize: 3, contextLength: 2, numLayers: 1, numHeads: 1, hiddenSize: 4 }) as never,
        ),
    ).toThrow("AdamW: parameters must be iterable, such as model.parameters(); got function");
    expect(() => new Adam([mul(p, 2)])).toThrow(
      "Adam: parameters must be tensors that no operation produced; got one from scale",
    );
    expect(() => makeOptimizer("rmsprop" as never, new Linear(2, 2))).toThrow(
      "makeOptimizer: name must be one of adamw, adam, sgd, adafactor, lion, muon; got rmsprop",
    );
    expect(() => makeOptimizer("muon", new Linear(2, 2))).toThrow(/the model has none that are trained/);
  });

  test("every name makes an optimizer that learns", async () => {
    const rates = { adamw: 1e-2, adam: 1e-2, sgd: 0.3, adafactor: 1e-2, lion: 3e-3, muon: 1e-2 } as const;
    const text = Int32Array.from({ length: 600 }, (_, i) => i % 7);
    for (const [name, learningRate] of Object.entries(rates) as [keyof typeof rates, number][]) {
      const size = { vocabSize: 7, contextLength: 8, numLayers: 1, numHeads: 1, hiddenSize: 16 };
      const model = new GPT({ ...size, seed: 1 });
      const optimizer = makeOptimizer(name, model, { learningRate, weightDecay: 0.01 });
      const losses: number[] = [];
      for (const { inputs, targets } of TokenDataset.fromTokens(text).batches({
        batchSize: 4,
        contextLength: 8,
        steps: 30,
        seed: 1,
      })) {
        const loss = step(() => {
          const { loss } = model(inputs, { targets });
          loss.backward();
          optimizer.step({ maxGradNorm: 1 });
          return loss;
        });
        losses.push(await loss.item());
      }
      expect(losses.at(-1), name).toBeLessThan(0.75 * losses[0]!);
    }
  });
});
