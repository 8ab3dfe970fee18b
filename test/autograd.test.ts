import { describe, expect, test } from "vitest";
import { defineOp } from "../src/autograd.ts";
import {
  add,
  checkpoint,
  dropout,
  GPT,
  Linear,
  layerNorm,
  manualSeed,
  memory,
  mul,
  noGrad,
  ones,
  randn,
  scope,
  softmax,
  split,
  step,
  sum,
  tensor,
} from "../src/index.ts";
import { withKernels } from "../src/op.ts";
import type { Tensor } from "../src/tensor.ts";

const values = (t: Tensor | undefined) => [...t!.toTypedArraySync()];

describe("backward", () => {
  test("gradients add up over several passes until they are cleared", () => {
    const x = tensor([1, 2], [2], { requiresGrad: true });
    for (let i = 0; i < 3; i++) sum(mul(x, x)).backward();
    expect(values(x.grad)).toEqual([6, 12]);
  });

  test("a tensor that reaches the loss by several ways gets the sum", () => {
    const x = tensor([3], [1], { requiresGrad: true });
    const y = mul(x, x);
    sum(add(mul(y, x), add(y, x))).backward(); // x³ + x² + x
    expect(values(x.grad)).toEqual([27 + 6 + 1]);
  });

  test("the result may be a leaf's view, and a leaf may be used through views", () => {
    const x = tensor([1, 2, 3, 4], [4], { requiresGrad: true });
    x.reshape(2, 2).backward(
      tensor([
        [1, 2],
        [3, 4],
      ]),
    );
    expect(values(x.grad)).toEqual([1, 2, 3, 4]);
    sum(x.reshape(2, 2).T.slice(0, 1, 2)).backward();
    expect(values(x.grad)).toEqual([1, 3, 3, 5]);
  });

  test("parts of one tensor, used in turns through views and directly, get their own gradients", () => {
    const x = tensor([1, 2, 3, 4], [2, 2], { requiresGrad: true });
    const [a, b] = split(mul(x, 1), [1, 1]) as [Tensor, Tensor];
    const direct = mul(a, b);
    const viewed = mul(a.reshape(2), b.reshape(2));
    sum(add(direct.reshape(2), viewed)).backward();
    expect(values(x.grad)).toEqual([4, 2, 8, 6]);
  });

  test("nothing is recorded within noGrad, or from detached tensors", () => {
    const x = ones([2], { requiresGrad: true });
    expect(noGrad(() => mul(x, x)).requiresGrad).toBe(false);
    expect(mul(x.detach(), 2).requiresGrad).toBe(false);
    expect(() => mul(x.detach(), 2).backward()).toThrow(expect.objectContaining({ code: "ERR_GRADIENT" }));
  });

  test("a graph is used once, unless it is retained", () => {
    const x = ones([3], { requiresGrad: true });
    const y = sum(softmax(mul(x, 2)));
    y.backward();
    expect(() => y.backward()).toThrow(/was freed by an earlier backward/);
    const z = sum(mul(x, x));
    z.backward(undefined, { retainGraph: true });
    z.backward();
    expect(values(x.grad).every((v) => Math.abs(v - 4) < 1e-5)).toBe(true);
  });

  test("names a graph that was freed where a product would have applied the slope of an activation", () => {
    const x = ones([2, 3]);
    const up = new Linear(3, 4, { activation: "gelu" });
    const [first, second] = [new Linear(4, 2), new Linear(4, 2)];
    const hidden = up(x);
    const [a, b] = [sum(first(hidden)), sum(second(hidden))];
    a.backward();
    expect(() => b.backward()).toThrow(/was freed by an earlier backward/);
  });

  test("a start that is no number needs a gradient, of the right shape", () => {
    const y = mul(ones([2, 3], { requiresGrad: true }), 2);
    expect(() => y.backward()).toThrow(/needs the gradient to start from/);
    expect(() => y.backward(ones([3]))).toThrow(expect.objectContaining({ code: "ERR_SHAPE" }));
  });

  test("leaves in bf16 have gradients in f32", () => {
    const x = ones([4], { dtype: "bf16", requiresGrad: true });
    sum(mul(x, x)).backward();
    expect(x.grad!.dtype).toBe("f32");
    expect(values(x.grad)).toEqual([2, 2, 2, 2]);
  });

  test("the gradient of an op that says none throws; an op with neither is refused", () => {
    const declaration = {
      name: "rotary",
      args: (x: Tensor, cos: Tensor, sin: Tensor) => ({ x, cos, sin, direction: 1 }),
      shapes: { x: "[B, T, H, D]", cos: "[T, E]", sin: "[T, E]", y: "[B, T, H, D]" },
      output: "y",
    } as const;
    expect(() => withKernels(declaration)).toThrow(/either a kernel rotary_backward or backward: "none"/);
    const frozen = defineOp({ ...declaration, backward: "none" });
    const y = frozen(randn([1, 2, 1, 4], { requiresGrad: true }), ones([2, 2]), ones([2, 2]));
    expect(() => sum(y).backward()).toThrow(expect.objectContaining({ code: "ERR_GRADIENT" }));
  });
});

describe("checkpoint", () => {
  const config = { vocabSize: 11, contextLength: 8, numLayers: 2, numHeads: 2, hiddenSize: 16, seed: 3 };

  test("has the same gradients, bit for bit, with dropout inside", () => {
    const run = (save: (body: (x: Tensor) => Tensor, x: Tensor) => Tensor) => {
      manualSeed(5);
      const layer = new Linear(8, 8);
      const x = randn([4, 8], { requiresGrad: true });
      const y = save((t) => dropout(layer(layerNorm(t, ones([8]))), 0.5), x);
      sum(mul(dropout(y, 0.5), y)).backward();
      return [values(x.grad), values(layer.weight.grad), values(layer.bias!.grad)];
    };
    expect(run(checkpoint)).toEqual(run((body, x) => body(x)));
  });

  test("keeps less memory than the plain call", () => {
    const ids = tensor(new Int32Array(64).fill(1), [8, 8]);
    const peak = (body: () => void) => {
      const before = memory().liveBytes;
      body();
      return memory().liveBytes - before;
    };
    const model = new GPT({ ...config, hiddenSize: 64 });
    const plain = scope(() => peak(() => void model(ids)));
    const saved = scope(() => peak(() => void checkpoint((x) => model(x).logits, ids)));
    expect(saved).toBeLessThan(plain / 4);
  });

  test("reaches the parameters inside a model", () => {
    const ids = tensor(
      [1, 2, 3, 4, 5, 6, 7, 8].map((x) => x),
      [1, 8],
    );
    const i32 = tensor(Int32Array.from(ids.toTypedArraySync()), [1, 8]);
    const gradients = (save: boolean) => {
      const model = new GPT(config);
      const logits = save ? checkpoint((x) => model(x).logits, i32) : model(i32).logits;
      sum(mul(logits, logits)).backward();
      return [...model.namedParameters()].map(([name, p]) => [name, values(p.grad)]);
    };
    expect(gradients(true)).toEqual(gradients(false));
  });
});

test("a step returns what it names and frees the rest", async () => {
  const before = memory().tensors;
  const w = randn([16, 16], { requiresGrad: true });
  const { loss } = step(() => {
    const y = softmax(w.matmul(w));
    const loss = sum(mul(y, y));
    loss.backward();
    return { loss };
  });
  expect(Number.isFinite(await loss.item())).toBe(true);
  expect(memory().tensors - before).toBe(3); // w, its gradient, the loss
});
