import { expect, test } from "vitest";
import {
  Bart,
  BertForMaskedLM,
  BertForSequenceClassification,
  GPT,
  Llama,
  noGrad,
  T5,
  type Tensor,
  tensor,
} from "../src/index.ts";
import { type GradOf, type MessageName, type Trace, type TraceInput, trace } from "../src/inspect/index.ts";
import { readGolden, relativeError } from "./golden-folder.ts";

const folder = async (name: string) => (await readGolden(name)).folder;
const models = {
  gpt2: await GPT.fromPretrained(await folder("decoders/gpt2")),
  mistral: await Llama.fromPretrained(await folder("decoders/mistral")),
  bert: await BertForMaskedLM.fromPretrained(await folder("encoders/bert-masked")),
  t5: await T5.fromPretrained(await folder("seq2seq/t5")),
  bart: await Bart.fromPretrained(await folder("seq2seq/bart")),
};
const ids = [3, 1, 4, 1, 5, 9, 2, 6];
const pair = { source: [3, 4, 5, 6], target: [7, 8, 9] };
const inputs: Record<keyof typeof models, TraceInput> = {
  gpt2: ids,
  mistral: ids,
  bert: ids,
  t5: pair,
  bart: pair,
};

/** (f(m + ε·1ₙ) − f(m − ε·1ₙ)) / 2ε for element n of a message. */
async function slope(
  model: GPT,
  input: TraceInput,
  gradOf: GradOf,
  name: MessageName,
  n: number,
  epsilon: number,
) {
  const at = async (by: number) => {
    const apply = (m: Tensor) => {
      const step = new Float32Array(m.size);
      step[n] = by;
      return m.add(tensor(step, [...m.shape], { device: m.device }));
    };
    return (await trace(model, input, { keep: [], edits: [{ name, apply }], gradOf })).objective!;
  };
  return ((await at(epsilon)) - (await at(-epsilon))) / (2 * epsilon);
}

const epsilon = 3e-3;
for (const [name, model] of Object.entries(models)) {
  for (const gradOf of ["loss", { at: 1, token: 3 }] as const) {
    test(`${name}: gradients of ${JSON.stringify(gradOf)} by all messages are slopes`, async () => {
      const input = inputs[name as keyof typeof models];
      await using t = await trace(model, input, { keep: "all", gradOf });
      let compared = 0;
      for (const message of t.names) {
        const gradient = t.grad(message).toTypedArraySync();
        const value = t.get(message).toTypedArraySync();
        // The largest one, and one in the middle.
        const places = Array.from(gradient.keys()).filter((n) => Number.isFinite(value[n]));
        const largest = places.reduce((best, n) =>
          Math.abs(gradient[n]!) > Math.abs(gradient[best]!) ? n : best,
        );
        // Both values of the difference are rounded to f32, by 2⁻²⁴ of them and a little more on the way.
        const rounding = (4 * 2 ** -24 * Math.max(1, Math.abs(t.objective!))) / epsilon;
        const allowed = 0.05 * Math.abs(gradient[largest]!) + rounding;
        for (const n of [largest, places[places.length >> 1]!]) {
          const wanted = await slope(model as GPT, input, gradOf, message, n, epsilon);
          expect(Math.abs(gradient[n]! - wanted), `${message} ${n}`).toBeLessThan(allowed);
          compared++;
        }
      }
      expect(compared).toBe(2 * trace.names(model).length);
    });
  }
}

test("log-odds are those of the logits", async () => {
  for (const at of [2, -1]) {
    await using t = await trace(models.gpt2, ids, { gradOf: { at } });
    const rows = (await t.get("logits").toArray()) as number[][];
    const row = rows.at(at)!;
    const token = at === -1 ? row.indexOf(Math.max(...row)) : ids[at + 1]!;
    const rest = Math.log(row.reduce((sum, z, v) => sum + (v === token ? 0 : Math.exp(z)), 0));
    expect(t.objective).toBeCloseTo(row[token]! - rest, 4);
  }
});

test("any function of the logits has a gradient, of a model of classes too", async () => {
  const model = await BertForSequenceClassification.fromPretrained(await folder("encoders/bert-classes"));
  await expect(trace(model, ids, { gradOf: "loss" })).rejects.toThrow(/gradOf must be a function/);
  await using t = await trace(model, ids, { keep: ["logits", "layer.1.out"], gradOf: (z) => z.mul(z).sum() });
  const logits = t.get("logits").toTypedArraySync();
  expect(
    relativeError(
      t.grad("logits").toTypedArraySync(),
      logits.map((z) => 2 * z),
    ),
  ).toBeLessThan(1e-5);
  expect(t.grad("layer.1.out").shape).toEqual(t.get("layer.1.out").shape);
});

test("the loss is that of training, and a batch has one gradient for each row", async () => {
  const rows = [ids, ids.slice(2), [7, 7, 7]];
  await using t = await trace(models.gpt2, { ids: rows }, { gradOf: "loss" });
  const targets = new Int32Array(3 * 8).fill(-100);
  rows.forEach((row, b) => targets.set(row.slice(1), 8 * b));
  const padded = new Int32Array(3 * 8);
  rows.forEach((row, b) => padded.set(row, 8 * b));
  const { loss } = noGrad(() =>
    models.gpt2.eval()(tensor(padded, [3, 8]), { targets: tensor(targets, [3, 8]) }),
  );
  expect(t.objective).toBeCloseTo(await loss!.item(), 5);
  expect(t.grad("layer.1.out").shape).toEqual([3, 8, 16]);
});

test("what leads to nothing that was asked for has a gradient of zeros", async () => {
  await using t = await trace(models.gpt2, ids, {
    keep: ["layer.1.out", "layer.2.attn.q"],
    gradOf: { at: 3 },
  });
  const gradient = t.grad("layer.1.out");
  const later = gradient.slice(0, 4).contiguous().toTypedArraySync();
  expect(later.every((g) => g === 0)).toBe(true);
  expect(
    gradient
      .slice(0, 0, 4)
      .contiguous()
      .toTypedArraySync()
      .some((g) => g !== 0),
  ).toBe(true);
  const cut: Trace = await trace(models.gpt2, ids, {
    keep: ["layer.1.out", "layer.2.out"],
    edits: [{ name: "layer.2.in", apply: (m) => m.detach() }],
    gradOf: "loss",
  });
  expect(
    cut
      .grad("layer.1.out")
      .toTypedArraySync()
      .every((g) => g === 0),
  ).toBe(true);
  expect(
    cut
      .grad("layer.2.out")
      .toTypedArraySync()
      .some((g) => g !== 0),
  ).toBe(true);
});
