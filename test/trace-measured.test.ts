import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import {
  Bart,
  Bert,
  BertForMaskedLM,
  GPT,
  Llama,
  readSafetensors,
  T5,
  type Tensor,
  tensor,
} from "../src/index.ts";
import {
  type Edit,
  edit,
  type Message,
  type MessageName,
  merge,
  type TraceInput,
  trace,
} from "../src/inspect/index.ts";
import { readGolden, relativeError } from "./golden-folder.ts";

const folder = async (name: string) => (await readGolden(name)).folder;
const ids = [3, 1, 4, 1, 5, 9, 2, 6];
const pair = { source: [3, 4, 5, 6], target: [7, 8, 9] };
const gpt = await GPT.fromPretrained(await folder("decoders/gpt2"));
/** `linear`: how far first-order effects are those that are measured, at least, as a correlation. */
const cases = [
  { name: "gpt2", model: gpt, input: ids, to: 6, linear: 0.9 },
  {
    name: "mistral",
    model: await Llama.fromPretrained(await folder("decoders/mistral")),
    input: ids,
    to: 7,
    linear: 0.8,
  },
  {
    name: "dynamic",
    model: await Llama.fromPretrained(await folder("decoders/dynamic")),
    input: ids,
    to: 5,
    linear: 0.5,
  },
  {
    name: "bert",
    model: await BertForMaskedLM.fromPretrained(await folder("encoders/bert-masked")),
    input: ids,
    to: 2,
    linear: 0.95,
  },
  { name: "t5", model: await T5.fromPretrained(await folder("seq2seq/t5")), input: pair, to: 1, linear: 0.3 },
  {
    name: "bart",
    model: await Bart.fromPretrained(await folder("seq2seq/bart")),
    input: pair,
    to: 2,
    linear: 0.3,
  },
] as const;

/** The log-odds of a token at a position, under edits. */
async function logOdds(model: GPT, input: TraceInput, at: number, token: number, edits: Edit[] = []) {
  await using t = await trace(model, input, { keep: [], gradOf: { at, token }, edits });
  return t.objective!;
}

const correlation = (a: number[], b: number[]): number => {
  const mean = (x: number[]) => x.reduce((sum, v) => sum + v, 0) / x.length;
  const [ma, mb] = [mean(a), mean(b)];
  const product = (x: number[], y: number[], mx: number, my: number) =>
    mean(x.map((v, i) => (v - mx) * (y[i]! - my)));
  return product(a, b, ma, mb) / Math.sqrt(product(a, a, ma, ma) * product(b, b, mb, mb));
};

const keyOf = ({ part, head, from, to }: Pick<Message, "part" | "head" | "from" | "to">) =>
  `${part} ${head} ${from} ${to}`;

for (const { name, model, input, to, linear } of cases) {
  test(`${name}: effects of messages are what withholding each alone changes`, async () => {
    const m = model as GPT;
    const token = 3;
    await using t = await trace(m, input, { keep: ["**.weights"] });
    const before = await logOdds(m, input, to, token);
    const every = { token, top: 10_000, candidates: 10_000 };
    const found = new Map((await t.messages(to, every)).map((message) => [keyOf(message), message]));
    for (const weights of t.names) {
      const [H, T, S] = t.get(weights).shape as [number, number, number];
      const values = t.get(weights).toTypedArraySync();
      for (let n = 0; n < H * T * S; n++) {
        if (values[n] === 0 || n % 3 > 0) continue; // a third of them
        const [head, row, from] = [Math.floor(n / (T * S)) + 1, Math.floor(n / S) % T, n % S];
        const kept = Float32Array.from({ length: S }, (_, j) => Number(j !== from));
        const apply = (x: Tensor) => x.mul(tensor(kept, [S], { device: x.device }));
        const after = await logOdds(m, input, to, token, [{ name: weights, head, at: row, apply }]);
        const key = keyOf({ part: weights.replace(".weights", ""), head, from, to: row });
        const message = found.get(key);
        // What the gradient does not reach is not among them.
        expect(message?.effect ?? 0, key).toBeCloseTo(before - after, 3);
        if (message)
          expect([message.isMeasured, message.weight.toFixed(4)]).toEqual([true, values[n]!.toFixed(4)]);
      }
    }
    expect(found.size).toBeGreaterThan(40);
  });

  test(`${name}: what the gradient chooses has the largest effects`, async () => {
    const m = model as GPT;
    await using t = await trace(m, input);
    const all = await t.messages(to, { top: 10_000, candidates: 10_000 });
    const listed = await t.messages(to);
    expect(listed.length).toBeLessThanOrEqual(48);
    const keys = new Set(listed.map(keyOf));
    for (const message of all.slice(0, 5)) expect(keys, keyOf(message)).toContain(keyOf(message));
    const effects = listed.map(({ effect }) => Math.abs(effect));
    expect(effects).toEqual(effects.toSorted((a, b) => b - a));
    const [measured, estimated] = [all.map((x) => x.effect), all.map((x) => x.estimate)];
    expect(correlation(measured, estimated)).toBeGreaterThan(linear);
    for (const x of await t.messages(to, { measure: false }))
      expect([x.isMeasured, x.effect]).toEqual([false, x.estimate]);
  });

  test(`${name}: effects of parts are what silencing them changes`, async () => {
    const m = model as GPT;
    await using t = await trace(m, input);
    const [heads, mlps, layers] = await Promise.all(
      (["heads", "mlps", "layers"] as const).map((of) => t.effects({ of })),
    );
    const at = 1;
    const T = heads!.length;
    const token = name === "bert" ? ids[at]! : ((input as number[])[at + 1] ?? pair.target[at]!);
    const before = await logOdds(m, input, at, token);
    const without = async (edits: Edit[]) => before - (await logOdds(m, input, at, token, edits));
    for (const { part, heads: H, values } of heads!.parts) {
      for (const head of [1, H]) {
        const wanted = await without([edit.silence(`${part}.heads` as MessageName, { head })]);
        expect(values[(head - 1) * T + at], `${part} ${head}`).toBeCloseTo(wanted, 3);
      }
    }
    for (const { part, values } of mlps!.parts)
      expect(values[at], part).toBeCloseTo(await without([edit.silence(`${part}.out` as MessageName)]), 3);
    for (const { part, values } of layers!.parts) {
      await using clean = await trace(m, input, { keep: [`${part}.in` as MessageName] });
      const skipped = {
        name: `${part}.out` as MessageName,
        apply: (x: Tensor) =>
          clean
            .get(`${part}.in` as MessageName)
            .to(x.device)
            .reshape(...x.shape),
      };
      expect(values[at], part).toBeCloseTo(await without([skipped]), 3);
    }
    const some = await t.effects({ of: "mlps", parts: [mlps!.parts.at(-1)!.part] });
    expect(some.parts).toEqual([mlps!.parts.at(-1)!]);
    await expect(t.effects({ parts: ["layer.1.atn"] })).rejects.toThrow(/did you mean/);
  });

  test(`${name}: the lens ends with the logits`, async () => {
    await using t = await trace(model as GPT, input);
    const { names, length: T, top: K, ...lens } = await t.lens({ top: 3 });
    const rows = (await t.get("logits").toArray()) as number[][];
    expect(rows.length).toBe(T);
    for (const [i, logits] of rows.entries()) {
      const largest = Math.max(...logits);
      const total = logits.reduce((sum, z) => sum + Math.exp(z - largest), 0);
      const order = logits.map((_, v) => v).sort((a, b) => logits[b]! - logits[a]!);
      const at = (names.length - 1) * T + i;
      expect([...lens.ids.subarray(at * K, (at + 1) * K)]).toEqual(order.slice(0, K));
      const p = (v: number) => Math.exp(logits[v]! - largest) / total;
      order.slice(0, K).forEach((v, k) => expect(lens.probabilities[at * K + k]).toBeCloseTo(p(v), 4));
      const target = lens.targets[i]!;
      if (target < 0) expect([lens.targetProbabilities[at], lens.targetRanks[at]]).toEqual([NaN, -1]);
      else {
        expect(lens.targetProbabilities[at]).toBeCloseTo(p(target), 4);
        expect(lens.targetRanks[at]).toBe(order.indexOf(target));
      }
    }
  });
}

test("what needs logits of tokens, or one text, says so", async () => {
  const bert = await Bert.fromPretrained(await folder("encoders/bert"));
  await using t = await trace(bert, ids);
  for (const run of [() => t.lens(), () => t.messages(1), () => t.effects()])
    await expect(run()).rejects.toThrow(/needs a model whose logits are of tokens; Bert has no such head/);
  await using batch = await trace(gpt, { ids: [ids, ids] });
  for (const run of [() => batch.lens(), () => batch.messages(1), () => batch.effects()])
    await expect(run()).rejects.toThrow(/takes one text; got a batch of 2/);
  await using one = await trace(gpt, ids);
  await expect(one.messages(8)).rejects.toThrow(/to must be an integer from 0 to 7; got 8/);
  await expect(one.effects({ tokens: [1] })).rejects.toThrow(/tokens must be 8/);
  await expect(one.messages(1, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
});

test("a saved trace reads back as safetensors", async () => {
  const place = await mkdtemp(path.join(os.tmpdir(), "trace-"));
  try {
    const tokenizer = {
      encode: () => ids,
      decode: (some: ArrayLike<number>) => `<${Array.from(some).join()}>`,
    };
    await using t = await trace(gpt, "a text", { keep: "attention", gradOf: "loss", tokenizer });
    await t.save(path.join(place, "trace.safetensors"));
    const { tensors, metadata } = await readSafetensors(path.join(place, "trace.safetensors"));
    expect([...tensors.keys()].sort()).toEqual(t.names.flatMap((name) => [name, `grad.${name}`]).sort());
    for (const name of t.names) {
      expect(tensors.get(name)!.shape).toEqual(t.get(name).shape);
      expect(tensors.get(name)!.data).toEqual(await t.get(name).toTypedArray());
      expect(tensors.get(`grad.${name}`)!.data).toEqual(await t.grad(name).toTypedArray());
    }
    expect(JSON.parse(metadata.tokens!)).toEqual(ids.map((id) => ({ id, text: `<${id}>` })));
    expect(JSON.parse(metadata.config!).n_layer).toBe(gpt.config.numLayers);
    expect(Number(metadata.objective)).toBe(t.objective);
  } finally {
    await rm(place, { recursive: true });
  }
});

test("layers merge into one representation", async () => {
  await using t = await trace(gpt, ids);
  const [a, b] = (["layer.1.out", "layer.2.out"] as const).map((name) => t.get(name).toTypedArraySync());
  const C = gpt.config.hiddenSize;
  const joined = merge(t, ["layer.*.out"]);
  expect(joined.shape).toEqual([8, 2 * C]);
  joined.toTypedArraySync().forEach((x, n) => {
    const [row, c] = [Math.floor(n / (2 * C)), n % (2 * C)];
    expect(x).toBe(c < C ? a![row * C + c] : b![row * C + c - C]);
  });
  const mean = merge(t, ["layer.1.out", "layer.2.out"], "mean").toTypedArraySync();
  expect(
    relativeError(
      mean,
      a!.map((x, n) => (x + b![n]!) / 2),
    ),
  ).toBeLessThan(1e-6);
  expect(
    relativeError(
      merge(t, ["layer.*.out"], "sum").toTypedArraySync(),
      mean.map((x) => 2 * x),
    ),
  ).toBeLessThan(1e-6);
  expect(() => merge(t, ["layer.1.attn.q"])).toThrow(/not kept/);
  expect(() => merge(t, ["layer.*.mid"])).toThrow(/nothing that was kept/);
  expect(() => merge(t, ["layer.1.out", "logits"])).toThrow(/of one shape/);
});
