import { expect, test } from "vitest";
import { Bert, BertForMaskedLM, CharTokenizer, GPT, T5 } from "../src/index.ts";
import { headKind, type Survey, survey, type TraceInput, trace } from "../src/inspect/index.ts";
import { readGolden, relativeError } from "./golden-folder.ts";

const folder = async (name: string) => (await readGolden(name)).folder;
const text = "the cat sat on the mat";
const tokenizer = CharTokenizer.fromText(text);
const small = new GPT({
  vocabSize: tokenizer.size,
  contextLength: 32,
  numLayers: 2,
  numHeads: 2,
  hiddenSize: 16,
  seed: 1,
});

/** What holds of every survey. */
function check(s: Survey): void {
  const lengths = { tokens: s.tokens.length, source: s.source?.length ?? 0 };
  for (const map of s.attentions) {
    const { heads: H, length: T, keys: S, weights, sizes, kinds, causal } = map;
    expect([T, S]).toEqual([lengths[map.of], lengths[map.from]]);
    expect([weights.length, sizes.length, kinds.length]).toEqual([H * T * S, H * S, H]);
    for (let n = 0; n < H * T; n++) {
      const row = weights.subarray(n * S, (n + 1) * S);
      expect(row.reduce((sum, w) => sum + w, 0)).toBeCloseTo(1, 4);
      if (causal) expect(row.subarray((n % T) + 1).every((w) => w === 0)).toBe(true);
    }
    expect(sizes.every((size) => size > 0)).toBe(true);
  }
  for (const { norms, gradients, of } of s.loudness) {
    expect(norms.length).toBe(lengths[of]);
    expect(gradients?.length ?? norms.length).toBe(norms.length);
  }
  expect(s.routes.length).toBe(s.tokens.length);
  // Plain data: it survives a copy.
  expect(structuredClone(s)).toEqual(s);
}

test("a survey of a decoder has what its trace has", async () => {
  const s = await survey(small, text, { tokenizer });
  check(s);
  expect(s.tokens.map((token) => token.text).join("")).toBe(text);
  expect(s.notMeasured).toEqual([]);
  expect(s.attentions.map(({ part }) => part)).toEqual(["layer.1.attn", "layer.2.attn"]);
  await using t = await trace(small, text, {
    tokenizer,
    gradOf: "loss",
    keep: ["attention", "layer.*.mid", "**.out"],
  });
  expect(s.loss).toBeCloseTo(t.objective!, 5);
  expect(
    relativeError(s.attentions[1]!.weights, t.get("layer.2.attn.weights").toTypedArraySync()),
  ).toBeLessThan(1e-6);
  const mid = s.loudness.find(({ name }) => name === "layer.1.mid")!;
  const norms = (x: Float32Array) =>
    Array.from({ length: text.length }, (_, i) => Math.hypot(...x.subarray(16 * i, 16 * (i + 1))));
  expect(
    relativeError(mid.norms, norms(t.get("layer.1.mid").toTypedArraySync() as Float32Array)),
  ).toBeLessThan(1e-5);
  expect(
    relativeError(mid.gradients!, norms(t.grad("layer.1.mid").toTypedArraySync() as Float32Array)),
  ).toBeLessThan(1e-4);
  for (const [to, route] of s.routes.entries()) {
    const [messages, own] = [route!.messages, await t.messages(to)];
    expect(messages).toEqual(own);
    expect([route!.to, route!.isMeasured]).toEqual([to, true]);
    expect(route!.token).toBe(s.targets![to]);
  }
  expect(s.headEffects).toEqual(await t.effects());
  await using back = await trace(small, text, { tokenizer, keep: ["layer.2.mlp.out"], gradOf: { at: 7 } });
  const [written, gradient] = [back.get("layer.2.mlp.out"), back.grad("layer.2.mlp.out")];
  const product = written.mul(gradient).sum(1).toTypedArraySync();
  expect(s.mlpEstimates![7 * 2 + 1]).toBeCloseTo(product[7]!, 4);
  for (const id of s.lens!.ids) expect(s.strings[id]).toBe(tokenizer.decode([id]));
});

test("what there is no time for is named, not zero", async () => {
  const s = await survey(small, text, { tokenizer, seconds: 0 });
  check(s);
  expect(s.notMeasured).toEqual([
    `the messages behind ${text.length} of ${text.length} predictions`,
    "the heads of layer.1.attn, layer.2.attn",
  ]);
  expect(s.routes.every((route) => route === undefined)).toBe(true);
  expect(s.headEffects).toBeUndefined();
  expect(s.mlpEstimates!.every(Number.isNaN)).toBe(true);
  expect(s.lens).toBeDefined();
});

test("surveys of encoders, with and without a vocabulary, and of pairs", async () => {
  const cases: [Parameters<typeof survey>[0], TraceInput, string, number][] = [
    [await BertForMaskedLM.fromPretrained(await folder("encoders/bert-masked")), [1, 2, 3, 4], "encoder", 2],
    [await Bert.fromPretrained(await folder("encoders/bert")), [1, 2, 3, 4], "encoder", 2],
    [
      await T5.fromPretrained(await folder("seq2seq/t5")),
      { source: [3, 4, 5], target: [6, 7] },
      "encoder-decoder",
      6,
    ],
    [await T5.fromPretrained(await folder("seq2seq/t5")), [3, 4, 5], "encoder-decoder", 6],
  ];
  for (const [model, input, architecture, maps] of cases) {
    const s = await survey(model, input);
    check(s);
    expect([s.architecture, s.attentions.length]).toEqual([architecture, maps]);
    const speaks = !(model instanceof Bert);
    expect([s.lens !== undefined, s.headEffects !== undefined, s.targets !== undefined]).toEqual([
      speaks,
      speaks,
      speaks,
    ]);
    if (!speaks)
      expect(s.notMeasured).toEqual(["Bert has no logits of tokens: no lens, messages or effects"]);
  }
});

test("a single token has no loss, but a prediction", async () => {
  const s = await survey(small, [3]);
  check(s);
  expect([s.loss, s.loudness[0]!.gradients, s.notMeasured]).toEqual([undefined, undefined, []]);
  const best = s.lens!.ids[(s.lens!.names.length - 1) * s.lens!.top]!;
  expect([s.targets![0], s.routes[0]!.token]).toEqual([best, best]);
  expect(s.targetLogProbabilities![0]).toBeLessThan(0);
});

test("a signal stops it", async () => {
  await expect(survey(small, text, { tokenizer, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
});

test("heads are named by what they read", () => {
  const ids = [5, 6, 7, 5, 6, 7, 5];
  const T = ids.length;
  const of = (place: (i: number) => number) =>
    Float32Array.from({ length: T * T }, (_, n) => Number(n % T === place(Math.floor(n / T))));
  expect(
    headKind(
      of((i) => Math.max(0, i - 1)),
      ids,
    ),
  ).toEqual({ kind: "previous token", share: 1 });
  expect(
    headKind(
      of((i) => i),
      ids,
    ),
  ).toEqual({ kind: "itself", share: 1 });
  expect(
    headKind(
      of(() => 0),
      ids,
    ).kind,
  ).toBe("first token");
  expect(
    headKind(
      of((i) => (i >= 3 ? i - 3 : i)),
      ids,
    ),
  ).toEqual({ kind: "earlier copy", share: 1 });
  expect(
    headKind(
      of((i) => (i >= 3 ? i - 2 : i)),
      ids,
    ),
  ).toEqual({ kind: "after earlier copy", share: 1 });
  const apart = [5, 6, 7, 8, 9, 3, 4];
  const back = (places: number) =>
    headKind(
      of((i) => Math.max(0, Math.min(T - 1, i - places))),
      apart,
    );
  expect([2, 3, -1].map((places) => back(places))).toEqual([
    { kind: "two tokens back", share: 1 },
    { kind: "three tokens back", share: 1 },
    { kind: "next token", share: 1 },
  ]);
  expect(headKind(new Float32Array(T * T).fill(1 / T), ids).kind).toBe("broad");
  const even = Float32Array.from({ length: T * T }, (_, n) => {
    const [i, j] = [Math.floor(n / T), n % T];
    return j <= i ? 1 / (i + 1) : 0;
  });
  expect(headKind(even, [5, 6, 5, 6, 5, 6, 5]).kind).toBe("broad"); // half of it goes to copies by chance
});
