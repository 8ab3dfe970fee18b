import { describe, expect, test } from "vitest";
import {
  crossEntropy,
  defaultDevice,
  GPT,
  linear,
  linearCrossEntropy,
  manualSeed,
  noGrad,
  randn,
  scope,
  type Tensor,
  tensor,
} from "../src/index.ts";
import { memory } from "../src/memory.ts";
import { chunkedCrossEntropy } from "../src/ops/linearcrossentropy.ts";
import { runSource } from "./child.ts";

const values = (t: Tensor | undefined) => [...t!.toTypedArraySync()];
const ids = (...list: number[]) => tensor(Int32Array.from(list));

/** The largest difference, relative to the largest expected value. */
function relativeError(got: readonly number[], expected: readonly number[]): number {
  const scale = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((v, i) => Math.abs(got[i]! - v))) / scale;
}

describe("linearCrossEntropy", () => {
  test("in blocks of rows and chunks of classes has the loss and gradients of the two ops", () => {
    manualSeed(1);
    const [N, C, V] = [1500, 40, 2300];
    const x = randn([N, C], { requiresGrad: true });
    const weight = randn([V, C], { requiresGrad: true });
    const bias = randn([V], { requiresGrad: true });
    const targets = tensor(Int32Array.from({ length: N }, (_, n) => (n % 7 === 0 ? -100 : (n * 977) % V)));
    const inputs = [x, weight, bias];
    const options = { labelSmoothing: 0.1 };
    const run = (loss: Tensor) => {
      for (const t of inputs) t.gradient = undefined;
      loss.backward();
      return [loss, ...inputs.map((t) => t.grad)].map(values);
    };
    const expected = run(crossEntropy(linear(x, weight, bias), targets, options));
    const got = run(chunkedCrossEntropy(x, weight, targets, { bias, ...options }));
    got.forEach((g, i) => expect(relativeError(g, expected[i]!)).toBeLessThan(1e-5));
  });

  test("makes only the gradients that are wanted", () => {
    const [x, weight, targets] = [randn([3, 4]), randn([5, 4]), ids(0, 4, 2)];
    x.requiresGrad = true;
    chunkedCrossEntropy(x, weight, targets).backward();
    expect(weight.grad).toBeUndefined();
    const alone = values(x.grad);
    x.gradient = undefined;
    weight.requiresGrad = true;
    chunkedCrossEntropy(x, weight, targets).backward();
    expect(values(x.grad)).toEqual(alone);
    expect(weight.grad).toBeDefined();
  });

  test.each([linearCrossEntropy, chunkedCrossEntropy])(
    "reports targets outside of the classes",
    async (head) => {
      const loss = head(randn([3, 4]), randn([5, 4]), ids(0, -100, 5));
      await expect(loss.item()).rejects.toThrow(/element 2 is 5; it must be in \[0, 5\)/);
    },
  );

  test("says which shapes do not fit", () => {
    const [x, weight] = [randn([2, 3, 4]), randn([5, 4])];
    expect(() => linearCrossEntropy(x, weight, ids(1, 2))).toThrow(
      /linearCrossEntropy: targets must be \[\.\.\.\] with \.\.\. = 2, 3; got .*targets \[2\]/,
    );
    expect(() => linearCrossEntropy(x, x, ids(1, 2))).toThrow(/weight must be \[V, C\]/);
    expect(() => linearCrossEntropy(x, weight, ids(1, 2), { bias: randn([4]) })).toThrow(
      /bias must be \[V\]/,
    );
  });

  test.runIf(defaultDevice() === "cpu")(
    "never holds many logits: 4096 x 50257 of them would take 823 MB",
    async () => {
      const { status, stdout, stderr } = await runSource(`
      import { linearCrossEntropy, memory, randn, step, tensor } from "trainformer";
      const [N, V, C] = [4096, 50257, 16];
      const weight = randn([V, C], { std: 0.1, requiresGrad: true });
      const x = randn([N, C], { requiresGrad: true });
      const targets = tensor(Int32Array.from({ length: N }, (_, n) => n % V));
      const before = { tensors: memory().liveBytes, process: process.resourceUsage().maxRSS * 1024 };
      const loss = step(() => {
        const loss = linearCrossEntropy(x, weight, targets);
        loss.backward();
        return loss;
      });
      const value = await loss.item();
      const tensors = memory().peakBytes - before.tensors;
      const grown = process.resourceUsage().maxRSS * 1024 - before.process;
      console.log(JSON.stringify({ value, tensors, grown }));
    `);
      expect(status, stderr).toBe(0);
      const { value, tensors, grown } = JSON.parse(stdout);
      expect(value).toBeCloseTo(Math.log(50257), 0);
      expect(tensors).toBeLessThan(8e6); // the gradients of weight and x
      expect(grown).toBeLessThan(80e6); // those, and scratch memory
    },
  );
});

describe("the logits of a GPT with targets", () => {
  const config = { vocabSize: 11, contextLength: 8, numLayers: 1, numHeads: 2, hiddenSize: 8, seed: 1 };
  const inputs = () => tensor(Int32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);

  test("are made when they are read, once, and are not enumerable", () => {
    const model = new GPT(config);
    const [input, targets] = [inputs(), inputs()];
    const output = model(input, { targets });
    const before = memory().tensors;
    expect(Object.keys(output)).toEqual(["loss"]);
    expect(memory().tensors).toBe(before);
    const { logits } = output;
    expect(memory().tensors).toBe(before + 1);
    expect(output.logits).toBe(logits);
    expect(values(logits)).toEqual(values(model(input).logits));
    expect(model(input, { targets, lastOnly: false }).logits.shape).toEqual([2, 3, 11]);
  });

  test("may have a part in the gradient", () => {
    const model = new GPT(config);
    const [input, targets] = [inputs(), inputs()];
    const gradient = (loss: () => Tensor) => {
      for (const p of model.parameters()) p.gradient = undefined;
      loss().backward();
      return [...model.parameters()].map((p) => values(p.grad));
    };
    const twice = gradient(() => {
      const { logits, loss } = model(input, { targets });
      return loss.add(crossEntropy(logits, targets));
    });
    const once = gradient(() => model(input, { targets }).loss);
    twice.forEach((t, i) =>
      expect(
        relativeError(
          t,
          once[i]!.map((g) => 2 * g),
        ),
      ).toBeLessThan(1e-5),
    );
  });

  test("are recorded if the forward pass was, and live in the scope of that", () => {
    const model = new GPT(config);
    const targets = inputs();
    const silent = noGrad(() => model(inputs(), { targets }));
    expect(silent.logits.requiresGrad).toBe(false);
    const recorded = model(inputs(), { targets });
    expect(noGrad(() => recorded.logits).requiresGrad).toBe(true);
    const output = model(inputs(), { targets });
    scope(() => void output.logits);
    expect(output.logits.storage.isFreed).toBe(false);
    const gone = scope(() => model(inputs(), { targets }));
    expect(values(gone.loss)).toHaveLength(1);
    expect(() => gone.logits).toThrow(expect.objectContaining({ code: "ERR_DISPOSED" }));
  });
});
