import { inspect } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import {
  add,
  arange,
  attention,
  concat,
  crossEntropy,
  defaultDevice,
  embedding,
  full,
  GPT,
  Linear,
  layerNorm,
  linear,
  matmul,
  memory,
  randn,
  rmsNorm,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "../src/index.ts";
import { configure } from "../src/native.ts";

const place = defaultDevice();
const isOnHost = place === "cpu";
const code = (expected: string) => expect.objectContaining({ code: expected });

describe("reading and writing", () => {
  afterEach(() => configure("externalBuffers", true));

  test.runIf(isOnHost)("tensor() adopts a typed array: each sees what the other writes", async () => {
    const array = new Float32Array([1, 2, 3, 4]);
    const x = tensor(array, [2, 2]);
    const data = (await x.data()) as Float32Array;
    expect(data.buffer).toBe(array.buffer);
    array[0] = 7;
    expect(await x.toArray()).toEqual([
      [7, 2],
      [3, 4],
    ]);
    x.set([5, 6, 7, 8]);
    await x.data();
    expect([...array]).toEqual([5, 6, 7, 8]);
  });

  test.runIf(isOnHost)(
    "data() is a view of native memory, 64-byte aligned, that outlives the tensor",
    async () => {
      const x = randn([1000]);
      const [one, two] = [(await x.data()) as Float32Array, (await x.data()) as Float32Array];
      one[3] = 42;
      expect(two[3]).toBe(42);
      x.dispose();
      for (let i = 0; i < 20; i++) zeros([1000]).dispose(); // the memory is not handed out while a view holds it
      await zeros([1]).item();
      expect(one[3]).toBe(42);
    },
  );

  test("where external buffers are forbidden, data() is a copy of what the tensor held then", async () => {
    configure("externalBuffers", false);
    const x = full([4], 1);
    const data = x.data();
    x.set([9, 9, 9, 9]);
    expect([...(await data)]).toEqual([1, 1, 1, 1]);
    expect([...(await x.data())]).toEqual([9, 9, 9, 9]);
  });

  test("strided views, scalars, integers and bf16", async () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(await x.T.toArray()).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
    expect([...(await x.slice(1, 1, 3).data())]).toEqual([2, 3, 5, 6]);
    expect(await tensor(3.5).toArray()).toBe(3.5);
    expect(await arange(4).toArray()).toEqual([0, 1, 2, 3]);
    expect(await tensor([1, 1 + 2 ** -7, 1 + 2 ** -9], [3], { dtype: "bf16" }).toArray()).toEqual([
      1,
      1 + 2 ** -7,
      1,
    ]);
  });

  test("item() takes one element only", async () => {
    expect(await tensor([[4]]).item()).toBe(4);
    await expect(zeros([2]).item()).rejects.toThrow(code("ERR_SHAPE"));
  });
});

describe("printing", () => {
  test("like NumPy", () => {
    expect(
      String(
        tensor([
          [1, 2],
          [3, 4],
        ]),
      ),
    ).toBe(`tensor([[1., 2.],\n        [3., 4.]], f32, ${place})`);
    expect(String(tensor([0.5, -1.25, 100]))).toBe(`tensor([  0.50,  -1.25, 100.00], f32, ${place})`);
    expect(String(arange(3))).toBe(`tensor([0, 1, 2], i32, ${place})`);
    expect(String(tensor([Number.NaN, Infinity, 1]))).toBe(`tensor([nan, inf,  1.], f32, ${place})`);
    expect(String(tensor([1e-8, 1]))).toBe(`tensor([1.0000e-08, 1.0000e+00], f32, ${place})`);
    expect(String(zeros([0, 3]))).toBe(`tensor([], f32, ${place})`);
    expect(inspect(tensor(2))).toBe(`tensor(2., f32, ${place})`);
  });

  test("large tensors are summarised, freed ones say so", () => {
    const text = String(zeros([40, 40]));
    expect(text.split("\n").length).toBe(7);
    expect(text).toContain("...");
    const gone = zeros([2]);
    gone.dispose();
    expect(String(gone)).toBe("tensor(freed, [2], f32)");
  });
});

describe("scope", () => {
  test("frees what it made but what it returns, at any depth", () => {
    const before = memory().tensors;
    const kept = scope(() => {
      zeros([5]);
      const inner = scope(() => {
        zeros([6]);
        return { deep: [zeros([7])] };
      });
      return new Map([["kept", inner.deep[0]!]]);
    });
    expect(memory().tensors - before).toBe(1);
    kept.get("kept")!.dispose();
    expect(memory().tensors).toBe(before);
  });

  test("a freed tensor says so; an async body is refused; a throwing body frees", () => {
    const before = memory().tensors;
    let leaked: Tensor | undefined;
    scope(() => void (leaked = zeros([2])));
    expect(() => leaked!.add(1)).toThrow(code("ERR_DISPOSED"));
    expect(() => scope(async () => zeros([1]))).toThrow(code("ERR_ARGUMENT"));
    expect(() =>
      scope(() => {
        zeros([3]);
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(memory().tensors).toBe(before);
  });

  test("using frees at the end of the block", () => {
    const before = memory().tensors;
    {
      using x = zeros([3]);
      expect(x.device).toBe(place);
    }
    expect(memory().tensors).toBe(before);
  });

  test("parameters outlive the scope in which their module was made", async () => {
    const layer = scope(() => ({ module: new Linear(3, 2) })).module;
    expect(await layer(zeros([1, 3])).toArray()).toHaveLength(1);
  });

  test("the garbage collector frees what no scope owns", async () => {
    const collect = (globalThis as { gc?: () => void }).gc;
    expect(collect, "run with --expose-gc").toBeTypeOf("function");
    const before = memory().tensors;
    (() => {
      for (let i = 0; i < 50; i++) zeros([1000]);
    })();
    for (let i = 0; i < 50 && memory().tensors > before; i++) {
      collect!();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(memory().tensors).toBeLessThanOrEqual(before);
  });
});

describe("errors name what was wrong, what is right and what came", () => {
  const cases: [string, () => unknown, string, RegExp][] = [
    [
      "pattern",
      () => layerNorm(zeros([8, 256, 1024]), zeros([768])),
      "ERR_SHAPE",
      /^layerNorm: weight must be \[C\] with C = 1024; got x \[8, 256, 1024\], weight \[768\]$/,
    ],
    ["rank", () => rmsNorm(zeros([2, 3]), zeros([1, 3])), "ERR_SHAPE", /weight must be \[C\]; got/],
    ["dtype", () => rmsNorm(zeros([2, 3]), arange(3)), "ERR_DTYPE", /weight must be f32; got i32/],
    [
      "mixed dtypes",
      () => add(zeros([3]), zeros([3], { dtype: "bf16" })),
      "ERR_DTYPE",
      /b must be f32, as a is; got a f32, b bf16/,
    ],
    ["integers", () => add(arange(3), arange(3)), "ERR_DTYPE", /f32 or bf16/],
    ["ids", () => embedding(zeros([2]), zeros([3, 4])), "ERR_DTYPE", /ids must be i32; got f32/],
    ["broadcast", () => add(zeros([2, 3]), zeros([2])), "ERR_SHAPE", /got a \[2, 3\], b \[2\]/],
    ["matmul", () => matmul(zeros([2, 3]), zeros([2, 3])), "ERR_SHAPE", /a must be \[\.\.\., M, K\]/],
    ["linear", () => linear(zeros([2, 3]), zeros([4, 2])), "ERR_SHAPE", /weight \[4, 2\]/],
    [
      "heads",
      () => attention(zeros([1, 2, 3, 4]), zeros([1, 2, 2, 4]), zeros([1, 2, 2, 4])),
      "ERR_SHAPE",
      /multiple/,
    ],
    [
      "window",
      () => attention(zeros([1, 2, 1, 4]), zeros([1, 2, 1, 4]), zeros([1, 2, 1, 4]), { window: 0 }),
      "ERR_ARGUMENT",
      /window must be an integer of at least 1; got 0/,
    ],
    ["targets", () => crossEntropy(zeros([2, 3]), arange(3)), "ERR_SHAPE", /targets must be \[\.\.\.\]/],
    ["reshape", () => zeros([2, 3]).reshape(4, -1), "ERR_SHAPE", /must hold the 6 elements/],
    ["axis", () => zeros([2, 3]).sum(2), "ERR_SHAPE", /axis must be an axis of a tensor of rank 2/],
    ["slice", () => zeros([2, 3]).slice(0, 1, 5), "ERR_SHAPE", /got 1 to 5/],
    ["split", () => zeros([2, 3]).split([2, 2]), "ERR_SHAPE", /must add up/],
    ["concat", () => concat([zeros([2, 3]), zeros([3, 3])], 1), "ERR_SHAPE", /\[2, 3\], \[3, 3\]/],
    ["size", () => zeros([-1]), "ERR_SHAPE", /integers of at least 0/],
    ["too big", () => zeros([2 ** 20, 2 ** 20]), "ERR_OOM", /no memory/],
    ["ragged", () => tensor([[1, 2], [3]]), "ERR_SHAPE", /same length/],
    ["length", () => tensor(new Float32Array(3), [2, 2]), "ERR_SHAPE", /has 4 elements; data has 3/],
    ["device", () => zeros([2]).to("cuda:9"), "ERR_NO_DEVICE", /device "cuda:9": /],
    ["module device", () => new Linear(2, 2).to("cuda:9"), "ERR_NO_DEVICE", /device "cuda:9": /],
    [
      "layer",
      () => new Linear(0, 3),
      "ERR_ARGUMENT",
      /Linear: inputs must be an integer of at least 1; got 0/,
    ],
    [
      "model",
      () => new GPT({ vocabSize: 5, contextLength: 4, numLayers: 1, numHeads: 3, hiddenSize: 8 }),
      "ERR_ARGUMENT",
      /multiple of numHeads/,
    ],
  ];
  test.each(cases)("%s", (_, body, expected, message) => {
    expect(body).toThrow(
      expect.objectContaining({ code: expected, message: expect.stringMatching(message) }),
    );
  });

  test("ids outside of a table are reported by the next read", async () => {
    const y = embedding(tensor(Int32Array.of(0, 9)), zeros([3, 4]));
    await expect(y.data()).rejects.toThrow(code("ERR_INDEX"));
    expect(await embedding(tensor(Int32Array.of(0)), zeros([3, 1])).toArray()).toEqual([[0]]);
    const loss = crossEntropy(zeros([1, 3]), tensor(Int32Array.of(3)));
    await expect(loss.item()).rejects.toThrow(/element 0 is 3; it must be in \[0, 3\)/);
  });
});
