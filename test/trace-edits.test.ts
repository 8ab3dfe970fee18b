import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { BertForSequenceClassification, GPT, Llama, memory, T5, type Tensor, tensor } from "../src/index.ts";
import { type Edit, edit, type Trace, trace } from "../src/inspect/index.ts";
import { readGolden, relativeError } from "./golden-folder.ts";

const folder = async (name: string) => (await readGolden(name)).folder;
const gpt = await GPT.fromPretrained(await folder("decoders/gpt2"));
const llama = await Llama.fromPretrained(await folder("decoders/mistral"));
const t5 = await T5.fromPretrained(await folder("seq2seq/t5"));
const ids = [3, 1, 4, 1, 5, 9, 2, 6];
const pair = { source: [3, 4, 5, 6], target: [7, 8, 9] };

const logitsOf = async (t: Trace) => [...(await t.get("logits").toTypedArray())];
const traced = async (edits: Edit[], input = ids) => logitsOf(await trace(gpt, input, { edits }));
const close = (a: ArrayLike<number>, b: ArrayLike<number>) => expect(relativeError(a, b)).toBeLessThan(2e-5);

/** The logits of a model while columns of an output projection are zeros: those of one head. */
async function withoutColumns(
  run: () => Promise<number[]>,
  weight: Tensor,
  from: number,
  to: number,
): Promise<number[]> {
  const before = await weight.toTypedArray();
  const columns = weight.shape[1]!;
  const without = before.map((x, n) => (n % columns >= from && n % columns < to ? 0 : x));
  weight.set(without as Float32Array);
  const result = await run();
  weight.set(before as Float32Array);
  return result;
}

test("silencing a head is a model with its columns of W_o zeroed", async () => {
  for (const [model, layer, head] of [
    [gpt, 1, 2],
    [llama, 2, 4],
  ] as const) {
    const { output, headSize: D } = model.blocks[layer - 1]!.attention;
    const got = await logitsOf(
      await trace(model, ids, { edits: [edit.silence(`layer.${layer}.attn.heads`, { head })] }),
    );
    const plain = async () => logitsOf(await trace(model, ids));
    const wanted = await withoutColumns(plain, output.weight, (head - 1) * D, head * D);
    close(got, wanted);
    expect(relativeError(got, await plain())).toBeGreaterThan(1e-3);
  }
});

test("silencing a head of cross-attention, too", async () => {
  const { output, headSize: D } = t5.decoder.blocks[1]!.crossAttention!;
  const name = "decoder.layer.2.cross.heads";
  const got = await logitsOf(await trace(t5, pair, { edits: [edit.silence(name, { head: 3 })] }));
  const plain = async () => logitsOf(await trace(t5, pair));
  close(got, await withoutColumns(plain, output.weight, 2 * D, 3 * D));
});

test("weights that are edited take effect, head by head and place by place", async () => {
  await using clean = await trace(gpt, ids, { keep: ["**.weights", "**.v", "**.heads"] });
  await using changed = await trace(gpt, ids, {
    keep: ["layer.1.attn.heads"],
    edits: [edit.silence("layer.1.attn.weights", { head: 2, at: 5 })],
  });
  const [T, H, C] = clean.get("layer.1.attn.heads").shape as [number, number, number];
  const [before, after] = [clean, changed].map((t) => t.get("layer.1.attn.heads").toTypedArraySync());
  for (let n = 0; n < T * H * C; n++) {
    const isSilent = Math.floor(n / (H * C)) === 5 && Math.floor(n / C) % H === 1;
    if (isSilent) expect(after![n]).toBe(0);
    else expect(after![n]).toBeCloseTo(before![n]!, 5);
  }
});

test("replacing by what was there changes nothing, by another run's all that comes after", async () => {
  const other = [2, 7, 1, 8, 2, 8, 1, 8];
  await using a = await trace(gpt, ids, { keep: ["layer.*.out", "logits"] });
  await using b = await trace(gpt, other, { keep: ["layer.*.out", "logits"] });
  close(await traced([edit.replace("layer.1.out", a)]), await logitsOf(a));
  close(await traced([edit.replace("layer.1.out", b)]), await logitsOf(b));
  // At one place, nothing before it changes.
  const at = 4;
  const V = gpt.config.vocabSize;
  const patched = await traced([edit.replace("layer.1.out", b, { at })]);
  const clean = await logitsOf(a);
  close(patched.slice(0, at * V), clean.slice(0, at * V));
  expect(
    relativeError(patched.slice(at * V, (at + 1) * V), clean.slice(at * V, (at + 1) * V)),
  ).toBeGreaterThan(1e-3);
});

test("scale, add and apply change a message, in the order in which the model sends", async () => {
  const vector = tensor(Float32Array.from({ length: gpt.config.hiddenSize }, (_, c) => Math.sin(c)));
  const heard: string[] = [];
  await using t = await trace(gpt, ids, {
    keep: ["layer.1.mlp.out", "layer.2.in", "layer.1.out", "layer.1.mid"],
    edits: [
      edit.add("layer.1.out", vector, { at: [2, 4] }),
      edit.watch("layer.2.in", (_, { name }) => heard.push(name)),
      edit.scale("layer.1.mlp.out", -2),
      edit.watch("layer.1.out", (_, { name, layer }) => heard.push(`${name} ${layer}`)),
    ],
  });
  expect(heard).toEqual(["layer.1.out 1", "layer.2.in"]);
  const [out, mid, mlp] = (["layer.1.out", "layer.1.mid", "layer.1.mlp.out"] as const).map((name) =>
    t.get(name),
  );
  const rest = out!.sub(mid!.add(mlp!));
  const added = rest.toTypedArraySync();
  const values = vector.toTypedArraySync();
  const C = values.length;
  added.forEach((x, n) => {
    const isThere = n >= 2 * C && n < 4 * C;
    expect(x).toBeCloseTo(isThere ? values[n % C]! : 0, 5);
  });
  await using clean = await trace(gpt, ids, { keep: ["layer.1.mlp.out"] });
  close(
    mlp!.toTypedArraySync(),
    clean
      .get("layer.1.mlp.out")
      .toTypedArraySync()
      .map((x) => -2 * x),
  );
});

test("average sends the mean over all positions of other texts", async () => {
  const texts = [
    [5, 6, 7],
    [8, 9, 10, 11, 12],
  ];
  const sums = new Float32Array(gpt.config.hiddenSize);
  for (const text of texts) {
    await using t = await trace(gpt, text, { keep: ["layer.2.mlp.out"] });
    t.get("layer.2.mlp.out")
      .toTypedArraySync()
      .forEach((x, n) => (sums[n % sums.length]! += x / 8));
  }
  await using t = await trace(gpt, ids, {
    keep: ["layer.2.mlp.out"],
    edits: [edit.average("layer.2.mlp.out", texts)],
  });
  t.get("layer.2.mlp.out")
    .toTypedArraySync()
    .forEach((x, n) => expect(x).toBeCloseTo(sums[n % sums.length]!, 5));
  await using one = await trace(llama, ids, {
    keep: ["layer.1.attn.k"],
    edits: [edit.average("layer.1.attn.k", texts, { head: 2, at: 3 })],
  });
  expect(one.get("layer.1.attn.k").shape[0]).toBe(ids.length);
  await expect(trace(gpt, ids, { edits: [edit.average("layer.1.attn.weights", texts)] })).rejects.toThrow(
    /vectors/,
  );
});

test("what is watched is a copy, and a batch keeps its axis", async () => {
  const plain = await traced([]);
  const seen: Tensor[] = [];
  const edits = [
    edit.watch("layer.*.out", (m) => {
      seen.push(m);
      m.set(new Float32Array(m.size));
    }),
  ];
  close(await traced(edits), plain);
  expect(seen.map((m) => m.shape)).toEqual(
    Array(gpt.config.numLayers).fill([1, ids.length, gpt.config.hiddenSize]),
  );
  await using batch = await trace(gpt, { ids: [ids, ids.slice(0, 5)] });
  expect(batch.get("logits").shape).toEqual([2, 8, gpt.config.vocabSize]);
  close((await batch.get("logits").toTypedArray()).subarray(0, plain.length), plain);
});

test("after stopAfter nothing is computed", async () => {
  const heard: string[] = [];
  const every = edit.watch("layer.1.**", (_, { name }) => heard.push(name));
  await using t = await trace(gpt, ids, { keep: "all", stopAfter: "layer.1.mid", edits: [every] });
  expect(heard.at(-1)).toBe("layer.1.mid");
  expect(t.names.at(-1)).toBe("layer.1.mid");
  const [short, whole] = [{ stopAfter: "layer.1.mid" as const }, {}].map(
    (o) => trace.cost(gpt, ids, o).flops,
  );
  expect(short).toBeLessThan(whole!);
  expect(() => t.get("logits")).toThrow(/ended after "layer.1.mid"/);
});

const refused = async (options: Parameters<typeof trace>[2], error: RegExp, input: unknown = ids) =>
  expect(trace(gpt, input as number[], options)).rejects.toThrow(error);

test("errors name what was wrong and what is right", async () => {
  await refused(
    { keep: ["layer.2.attn.pattern" as "layer.2.attn.out"] },
    /no message "layer.2.attn.pattern"; did you mean "layer.2.attn.weights"\?/,
  );
  await refused({ keep: ["blocks.1.attn.q" as "logits"] }, /did you mean "layer.1.attn.q"/);
  await refused({ edits: [edit.silence("layer.9.out")] }, /edits: no message "layer.9.out"/);
  await refused(
    { keep: ["layer.2.out"], stopAfter: "layer.1.out" },
    /"layer.2.out" comes after stopAfter "layer.1.out"/,
  );
  await refused({ stopAfter: "layer.1.out", gradOf: "loss" }, /gradOf needs logits/);
  await refused({ edits: [edit.silence("layer.1.attn.out", { head: 1 })] }, /take layer.1.attn.heads/);
  await refused(
    { edits: [edit.silence("layer.1.attn.heads", { head: 0 })] },
    /head must be an integer from 1/,
  );
  await refused(
    { edits: [edit.silence("layer.1.out", { at: 8 })] },
    /at must be an integer from 0 to 7; got 8/,
  );
  await refused(
    { edits: [{ name: "layer.1.out", apply: (m) => m.sum(2) }] },
    /apply must give \[1, 8, 16\]; got \[1, 8\]/,
  );
  await refused(
    { edits: [edit.add("layer.1.out", tensor([1, 2, 3]))] },
    /must be, or broadcast to, \[1, 8, 16\]; got \[3\]/,
  );
  await refused({ gradOf: () => tensor([1, 2]) }, /one number; got \[2\]/);
  await refused({}, /tokenizer must be given/, "a text");
  await refused({}, /at least one each/, []);
  await refused({}, /integers from 0 to/, [1, 10_000]);
  await refused({}, /ids must be a text, token ids, or rows/, null);
  await refused({}, /ids must be a text, token ids, or rows/, {});
  await refused({}, /labels must have rows of 8, as the tokens have/, { ids: [ids], labels: [[1, 2]] });
  await refused({}, /labels must be an integer from -100/, {
    ids: [ids],
    labels: [ids.map((id) => id + 0.5)],
  });
  await refused({ keep: 5 as never }, /keep must be a name or an array of names; got 5/);
  await refused({ edits: [5 as never] }, /edits must be an array of edits/);
  await refused({ gradOf: { at: 9 } }, /gradOf.at must be an integer from 0 to 7/);
  await refused({ gradOf: "accuracy" as never }, /gradOf.at must be an integer/);
  await refused({}, /may have ids, labels, tokenTypeIds; got source/, pair);
  await refused(
    { budget: { bytes: 1000 } },
    /must fit into budget.bytes, 0.0 MB; got \d+ messages of .* GFLOP/,
  );
  await refused({ budget: { seconds: 0 } }, /at most budget.seconds, 0; got .* GFLOP\/s/);
  await using t = await trace(gpt, ids);
  expect(() => t.get("layer.1.attn.weights")).toThrow(/not kept; add keep: \["layer.1.attn.weights"\]/);
  expect(() => t.get("layer.1.attn.wieghts" as "logits")).toThrow(/did you mean "layer.1.attn.weights"/);
  expect(() => t.grad("logits")).toThrow(/add gradOf/);
  expect(() => trace.cost({} as typeof gpt, ids)).toThrow(/model must be a CausalLM.*got Object/);
});

test("a model is as it was, also after a failure", async () => {
  const model = new GPT({
    vocabSize: 20,
    contextLength: 8,
    numLayers: 2,
    numHeads: 2,
    hiddenSize: 16,
    dropout: 0.5,
  });
  model.train();
  model.blocks[0]!.eval();
  model.tokens.weight.requiresGrad = false;
  const failing = { name: "layer.2.out", apply: () => { throw new Error("mine"); } } as const; // biome-ignore format: one line
  await expect(trace(model, [1, 2, 3], { edits: [failing], gradOf: "loss" })).rejects.toThrow("mine");
  await using t = await trace(model, [1, 2, 3], { gradOf: "loss" });
  await using again = await trace(model, [1, 2, 3]);
  close(await logitsOf(t), await logitsOf(again)); // without dropout
  expect(model.blocks[0]!.training).toBe(false);
  expect(model.blocks[0]!.mlp.training).toBe(false);
  expect(model.blocks[1]!.mlp.training).toBe(true);
  const trained = model.parameters().filter((p) => p.requiresGrad);
  expect(trained.length).toBe(model.parameters().length - 1);
  for (const p of model.parameters()) expect(p.grad).toBeUndefined();
});

test("what is kept is freed with the trace, the rest at once, without the garbage collector", async () => {
  const classes = await BertForSequenceClassification.fromPretrained(await folder("encoders/bert-classes"));
  const once = async () => {
    for (const [model, input] of [
      [gpt, ids],
      [t5, pair],
      [classes, [1, 2, 3]],
    ] as const) {
      await using t = await trace(model, input, { keep: "all", edits: [edit.scale("**.mlp.out", 2)] });
      t.get(t.names[3]!);
      if (model === classes) continue;
      await using g = await trace(model, input, { keep: "all", gradOf: "loss" });
      g.grad(g.names[3]!);
      await g.lens();
      await g.messages(-1, { candidates: 8 });
      await g.effects();
    }
    return memory().tensors;
  };
  await once();
  globalThis.gc?.(); // what other tests left
  await sleep(50);
  const before = memory().tensors;
  for (let n = 0; n < 3; n++) expect(await once()).toBe(before);
});
