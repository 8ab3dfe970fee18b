import { expect, test } from "vitest";
import {
  Bart,
  Bert,
  BertForMaskedLM,
  BertForPreTraining,
  BertForSequenceClassification,
  BertForTokenClassification,
  GPT,
  Llama,
  noGrad,
  T5,
  type Tensor,
  Transformer,
} from "../src/index.ts";
import { type MessageName, type Trace, type TraceBatch, trace } from "../src/inspect/index.ts";
import type { TransformerBlock } from "../src/nn/transformer.ts";
import { type Golden, readGolden, relativeError } from "./golden-folder.ts";

const models = {
  "decoders/gpt2": GPT,
  "decoders/llama": Llama,
  "decoders/smollm": Llama,
  "decoders/mistral": Llama,
  "decoders/qwen2": Llama,
  "decoders/qwen3": Llama,
  "decoders/dynamic": Llama,
  "decoders/longrope": Llama,
  "encoders/bert": Bert,
  "encoders/bert-masked": BertForMaskedLM,
  "encoders/roberta-masked": BertForMaskedLM,
  "encoders/distilbert-masked": BertForMaskedLM,
  "encoders/bert-pretraining": BertForPreTraining,
  "encoders/bert-classes": BertForSequenceClassification,
  "encoders/bert-tokens": BertForTokenClassification,
  "seq2seq/transformer": Transformer,
  "seq2seq/marian": Bart,
  "seq2seq/bart": Bart,
  "seq2seq/t5": T5,
  "seq2seq/t5-v1.1": T5,
};
// biome-ignore lint/suspicious/noExplicitAny: models of all kinds, whose fields are read by name
type AnyModel = any;

const rowsOf = (golden: Golden, name: string, lengths?: ArrayLike<number>): number[][] => {
  const { data, shape } = golden.stored(name);
  const [B, T] = shape as [number, number];
  return Array.from({ length: B }, (_, b) => [...data.subarray(b * T, b * T + (lengths?.[b] ?? T))]);
};

function inputOf(kind: string, golden: Golden, padTokenId: number): TraceBatch {
  if (kind === "decoders") return { ids: rowsOf(golden, "ids") };
  const lengths = golden.stored("lengths").data;
  if (kind === "encoders") {
    const types = golden.has("types") ? { tokenTypeIds: rowsOf(golden, "types", lengths) } : {};
    return { ids: rowsOf(golden, "ids", lengths), ...types };
  }
  // Hugging Face's decoder was given what its labels say, and padding where they say nothing.
  const target = rowsOf(golden, "labels").map((row) => row.map((id) => (id < 0 ? padTokenId : id)));
  return { source: rowsOf(golden, "inputIds", lengths), target };
}

/** What Hugging Face calls a message: its attentions, and its hidden states, of which the last is normalized. */
function expectedNames(golden: Golden, names: readonly MessageName[]): [MessageName, string][] {
  const isPreNorm = (body: string) => names.some((name) => name === `${body}final.norm`);
  const layersOf = (body: string) =>
    names.filter((name) => name.startsWith(`${body}layer.`) && /\d\.out$/.test(name)).length;
  const pairs = names.map((name): [MessageName, string] => {
    const [, body = "", layer, rest] = /^(encoder\.|decoder\.)?(?:layer\.(\d+)\.)?(.*)$/.exec(name)!;
    const n = Number(layer) - 1;
    const [states, weights] = body
      ? [`${body.slice(0, -1)}HiddenStates`, `${body.slice(0, -1)}Attentions`]
      : ["hidden", "attention"];
    const isLast = n + 1 === layersOf(body) && !isPreNorm(body);
    const theirs: Record<string, string> = {
      in: `${states}.${n}`,
      "attn.weights": `${weights}.${n}`,
      "cross.weights": `crossAttentions.${n}`,
      "final.norm": `${states}.${layersOf(body)}`,
      ...(isLast && { out: `${states}.${n + 1}` }),
      logits: "logits",
    };
    return [name, theirs[rest!] ?? ""];
  });
  return pairs.filter(([, theirs]) => golden.has(theirs));
}

/** The rows without padding: what stands there is anything. */
function counted(t: Tensor, lengths: ArrayLike<number> | undefined, T: number): Tensor[] {
  const axes = t.shape.flatMap((n, axis) => (axis > 0 && n === T ? [axis] : []));
  return Array.from({ length: t.shape[0]! }, (_, b) =>
    (lengths ? axes : []).reduce((part, axis) => part.slice(axis, 0, lengths![b]), t.slice(0, b, b + 1)),
  );
}

for (const [folder, Model] of Object.entries(models)) {
  const golden = await readGolden(folder);
  const [kind] = folder.split("/") as [string];
  const model: AnyModel = await (Model as AnyModel).fromPretrained(golden.folder);
  const input = inputOf(kind, golden, model.config.padTokenId);

  test(`${folder} sends what Hugging Face computes, under all its names`, async () => {
    model.eval();
    await using t = await trace(model, input, { keep: "all" });
    expect(t.names).toEqual(trace.names(model));
    const { parts } = trace.cost(model, input, { keep: "all" });
    const B = golden.stored(kind === "seq2seq" ? "inputIds" : "ids").shape[0]!;
    for (const { name, shape } of parts) {
      expect(t.get(name).shape, name).toEqual(name.endsWith("embed.position") ? shape : [B, ...shape]);
    }
    const lengths = kind === "decoders" ? undefined : golden.stored("lengths").data;
    const S = golden.stored(kind === "seq2seq" ? "inputIds" : "ids").shape[1]!;
    const names = expectedNames(golden, t.names);
    expect(names.length).toBeGreaterThanOrEqual(
      golden.names.filter((n) => /^(?!gradient).*(hidden|attention|logits)/i.test(n)).length,
    );
    for (const [ours, theirs] of names) {
      const [got, wanted] = [t.get(ours), golden.tensor(theirs)];
      expect(got.shape, ours).toEqual(wanted.shape);
      const ofEncoder = kind === "encoders" || theirs.startsWith("encoder") || theirs.startsWith("cross");
      const [a, b] = [got, wanted].map((x) => counted(x, ofEncoder ? lengths : undefined, S));
      for (const [row, part] of a!.entries()) {
        const error = relativeError(
          part.contiguous().toTypedArraySync(),
          b![row]!.contiguous().toTypedArraySync(),
        );
        expect(error, `${ours} of row ${row}`).toBeLessThan(3e-5);
      }
    }
  });

  test(`${folder}: what is heard is what is computed unheard`, async () => {
    await using small = await trace(model, input);
    await using all = await trace(model, input, { keep: "all" });
    for (const name of small.names) {
      const error = relativeError(await all.get(name).toTypedArray(), await small.get(name).toTypedArray());
      expect(error, name).toBeLessThan(2e-5);
    }
  });

  test(`${folder}: the parts sum up`, async () => {
    await using t = await trace(model, input, { keep: "all" });
    const stacks: [string, TransformerBlock[]][] =
      kind === "seq2seq"
        ? [
            ["encoder.", model.encoder.blocks],
            ["decoder.", model.decoder.blocks],
          ]
        : [["", (model.bert ?? model).blocks]];
    for (const [body, blocks] of stacks) {
      for (const [i, block] of blocks.entries()) noGrad(() => expectSums(t, `${body}layer.${i + 1}`, block));
    }
  });
}

function expectSums(t: Trace, layer: string, block: TransformerBlock): void {
  const get = (name: string) => t.get(`${layer}.${name}` as MessageName);
  const close = (a: Tensor, b: Tensor, name: string) =>
    expect(relativeError(a.toTypedArraySync(), b.toTypedArraySync()), `${layer}.${name}`).toBeLessThan(1e-5);
  const after = (norm: (x: Tensor) => Tensor, x: Tensor) => (block.normPosition === "post" ? norm(x) : x);
  for (const part of block.crossAttention ? ["attn", "cross"] : ["attn"]) {
    const { output } = part === "attn" ? block.attention : block.crossAttention!;
    const heads = get(`${part}.heads`).sum(2);
    close(output.bias ? heads.add(output.bias.to("cpu")) : heads, get(`${part}.out`), `${part}.heads`);
    const [scores, weights] = [get(`${part}.scores`), get(`${part}.weights`)].map((x) =>
      x.toTypedArraySync(),
    );
    const S = get(`${part}.scores`).shape.at(-1)!;
    for (let row = 0; row < scores!.length; row += S) {
      const some = [...scores!.subarray(row, row + S)];
      const total = some.reduce((sum, s) => sum + Math.exp(s - Math.max(...some)), 0);
      some.forEach((s, j) => {
        const expected = s === -Infinity ? 0 : Math.exp(s - Math.max(...some)) / total;
        expect(Math.abs(weights![row + j]! - expected)).toBeLessThan(1e-5);
      });
    }
  }
  const near = (norm: TransformerBlock["attentionNorm"]) => (x: Tensor) =>
    norm(x.to(norm.weight.device)).to("cpu");
  close(after(near(block.attentionNorm), get("in").add(get("attn.out"))), get("mid"), "mid");
  const mid = block.crossAttention ? get("cross.mid") : get("mid");
  if (block.crossAttention)
    close(after(near(block.crossNorm!), get("mid").add(get("cross.out"))), mid, "cross.mid");
  close(after(near(block.mlpNorm), mid.add(get("mlp.out"))), get("out"), "out");
}

test("a position that may not be seen has the score −∞", async () => {
  const golden = await readGolden("decoders/mistral");
  const model = await Llama.fromPretrained(golden.folder);
  await using t = await trace(model, [1, 2, 3, 4, 5, 6, 7], { keep: ["layer.1.attn.scores"] });
  const scores = t.get("layer.1.attn.scores");
  const [H, T, S] = scores.shape as [number, number, number];
  const window = model.config.slidingWindow ?? T;
  const values = scores.toTypedArraySync();
  for (let n = 0; n < H * T * S; n++) {
    const [i, j] = [Math.floor(n / S) % T, n % S];
    expect(Number.isFinite(values[n]!)).toBe(j <= i && i - j < window);
  }
});

test("in mixed precision messages are bf16, and heard as they are unheard", async () => {
  for (const [folder, Model] of [
    ["decoders/gpt2", GPT],
    ["decoders/qwen3", Llama],
  ] as const) {
    const model: AnyModel = await Model.fromPretrained((await readGolden(folder)).folder, { dtype: "bf16" });
    await using plain = await trace(model, [1, 2, 3, 4, 5]);
    await using all = await trace(model, [1, 2, 3, 4, 5], { keep: "all", gradOf: "loss" });
    expect(all.names).toEqual(trace.names(model));
    const logits = await Promise.all([all, plain].map((t) => t.get("logits").toTypedArray()));
    expect(relativeError(logits[0]!, logits[1]!)).toBeLessThan(0.03);
    for (const name of all.names) {
      expect(all.get(name).dtype, name).toBe(name.endsWith(".scores") ? "f32" : "bf16");
      expect(all.grad(name).shape, name).toEqual(all.get(name).shape);
      expect(all.grad(name).toTypedArraySync().every(Number.isFinite), name).toBe(true);
    }
    expect((await all.messages(3, { candidates: 8 })).length).toBeGreaterThan(0);
    expect((await all.effects()).parts.length).toBe(model.config.numLayers);
  }
});
