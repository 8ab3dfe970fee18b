import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  AdamW,
  Bart,
  BertForMaskedLM,
  BertForPreTraining,
  BertForQuestionAnswering,
  BertForSequenceClassification,
  BertForTokenClassification,
  EMA,
  freeze,
  GPT,
  Linear,
  Llama,
  Module,
  makeOptimizer,
  parameterGroups,
  randn,
  SGD,
  step,
  sum,
  T5,
  type Tensor,
  Transformer,
  tensor,
  unfreeze,
} from "../src/index.ts";
import { readSafetensors } from "../src/io/safetensors.ts";
import type { AnyModule } from "../src/nn/module.ts";

const golden = (name: string) => fileURLToPath(new URL(`golden/${name}`, import.meta.url));
const { metadata } = await readSafetensors(golden("optim.safetensors"));
const elements = (parameters: Iterable<Tensor>) => [...parameters].reduce((n, p) => n + p.size, 0);
const bits = (list: Iterable<Tensor>) => [...list].map((p) => [...p.toTypedArraySync()]);
const config = { vocabSize: 17, contextLength: 8, numLayers: 2, numHeads: 2, hiddenSize: 16, seed: 1 };

/** By parameter name, what its group says. */
function byName(model: AnyModule, groups: ReturnType<typeof parameterGroups>) {
  const names = new Map([...model.namedParameters()].map(([name, p]) => [p, name]));
  return new Map(
    groups.flatMap(({ parameters, ...group }) => [...parameters].map((p) => [names.get(p)!, group])),
  );
}

const models: Record<string, { fromPretrained(folder: string): Promise<AnyModule> }> = {
  "decoders/gpt2": GPT,
  "decoders/llama": Llama,
  "decoders/qwen2": Llama,
  "decoders/qwen3": Llama,
  "encoders/bert-pretraining": BertForPreTraining,
  "encoders/bert-masked": BertForMaskedLM,
  "encoders/bert-classes": BertForSequenceClassification,
  "encoders/bert-tokens": BertForTokenClassification,
  "encoders/bert-answers": BertForQuestionAnswering,
  "encoders/distilbert-classes": BertForSequenceClassification,
  "encoders/roberta-masked": BertForMaskedLM,
  "seq2seq/bart": Bart,
  "seq2seq/marian": Bart,
  "seq2seq/t5": T5,
  "seq2seq/t5-v1.1": T5,
};

describe("parameterGroups", () => {
  test.each(Object.entries(models))(
    "decays what Hugging Face's Trainer does, and has all once: %s",
    async (name, Model) => {
      const [decayed, all] = JSON.parse(metadata.decayed!)[name] as [number, number];
      const model = await Model.fromPretrained(golden(name));
      const groups = parameterGroups(model, { weightDecay: 0.1 });
      expect(groups.map(({ weightDecay }) => weightDecay).sort()).toEqual([0, 0.1]);
      const parameters = groups.flatMap((group) => [...group.parameters]);
      expect(new Set(parameters).size).toBe(parameters.length);
      expect(elements(parameters)).toBe(all);
      expect(elements(groups.find(({ weightDecay }) => weightDecay === 0.1)!.parameters)).toBe(decayed);
    },
  );

  test("excludes norms of one's own by their names", () => {
    class Own extends Module {
      gainNorm = { norm: new Linear(2, 3), other_norm: new Linear(2, 3, { bias: false }) };
      norm = this.gainNorm.norm;
      last_norm = this.gainNorm.other_norm;
      normal = new Linear(2, 5);
      forward(x: Tensor): Tensor {
        return x;
      }
    }
    const model = new Own();
    const groups = byName(model, parameterGroups(model, { weightDecay: 0.5 }));
    expect(Object.fromEntries([...groups].map(([name, { weightDecay }]) => [name, weightDecay]))).toEqual({
      "norm.weight": 0,
      "norm.bias": 0,
      "last_norm.weight": 0,
      "normal.weight": 0.5,
      "normal.bias": 0,
    });
  });

  test("layerDecay: the head learns at the full rate, each block before it slower, embeddings slowest", () => {
    const model = new GPT(config);
    const rates = byName(model, parameterGroups(model, { learningRate: 1, layerDecay: 0.5 }));
    const rate = (name: string) => rates.get(name)!.learningRate;
    expect(rate("tokens.weight")).toBe(0.125);
    expect(rate("positions.table.weight")).toBe(0.125);
    expect(rate("blocks.0.attention.qkv.weight")).toBe(0.25);
    expect(rate("blocks.1.mlpNorm.bias")).toBe(0.5);
    expect(rate("norm.weight")).toBe(1);
    const both = new T5({
      vocabSize: 9,
      numLayers: 2,
      numHeads: 1,
      hiddenSize: 8,
      headSize: 8,
      intermediateSize: 8,
    });
    const depths = byName(both, parameterGroups(both, { learningRate: 1, layerDecay: 0.5 }));
    const depth = (name: string) => 5 + Math.log2(depths.get(name)!.learningRate!);
    expect(
      ["tokens.weight", "encoder.positionBias.table.weight", "encoder.blocks.0.mlp.up.weight"].map(depth),
    ).toEqual([0, 0, 1]);
    expect(["encoder.norm.weight", "decoder.positionBias.table.weight"].map(depth)).toEqual([2, 0]);
    expect(["decoder.blocks.1.mlp.up.weight", "decoder.norm.weight"].map(depth)).toEqual([4, 5]);
  });

  test("learningRates: the first glob that matches, a rate or a multiplier", () => {
    const model = new GPT(config);
    const groups = parameterGroups(model, {
      learningRate: 1e-2,
      learningRates: { "blocks.0.*": { multiplier: 0.1 }, "*.qkv.*": 5e-3, "norm.bias": { multiplier: 0 } },
    });
    const rates = byName(model, groups);
    const rate = (name: string) => rates.get(name)!.learningRate;
    expect(rate("blocks.0.attention.qkv.weight")).toBeCloseTo(1e-3, 15);
    expect(rate("blocks.1.attention.qkv.bias")).toBe(5e-3);
    expect(rate("norm.bias")).toBe(0);
    expect(rate("tokens.weight")).toBe(1e-2);
    const before = new Map(
      [...model.namedParameters()].map(([name, p]) => [name, [...p.toTypedArraySync()]]),
    );
    const optimizer = new SGD(groups, { learningRate: 1e-2 });
    for (const p of model.parameters()) sum(p).backward();
    optimizer.step({ learningRate: 1 }); // a hundred times the base: so are all
    for (const [name, p] of model.namedParameters())
      expect(before.get(name)![0]! - p.toTypedArraySync()[0]!, name).toBeCloseTo(100 * rate(name)!, 5);
  });

  test("refuses what it cannot use", () => {
    const model = new GPT(config);
    expect(() => parameterGroups(model, { learningRates: { "head.*": 1 } })).toThrow(
      'parameterGroups: "head.*" matches no parameter; there are tokens.weight, positions.table.weight, blocks.0.attentionNorm.weight, …',
    );
    expect(() => parameterGroups(model, { layerDecay: 0.9 })).toThrow(
      "parameterGroups: learningRate must be given with multipliers and layerDecay",
    );
    expect(() => parameterGroups(model, { layerDecay: 1.5 })).toThrow(
      "layerDecay must be a number from 0 to 1",
    );
    expect(() => parameterGroups(model.parameters() as never)).toThrow("model must be a Module; got object");
  });

  test("Muon gets the matrices within blocks, without embeddings and the head", () => {
    const model = new Transformer({ ...config, sourceVocabSize: 9, targetVocabSize: 9 } as never);
    const optimizer = makeOptimizer("muon", model, { learningRate: 1e-3 }) as unknown as {
      members: { parameters: Tensor[] }[];
    };
    const [muon, adamw] = optimizer.members;
    const names = new Map([...model.namedParameters()].map(([name, p]) => [p, name]));
    expect(muon!.parameters.every((p) => p.rank === 2 && /blocks\.\d+\./.test(names.get(p)!))).toBe(true);
    expect(adamw!.parameters.every((p) => p.rank < 2 || !/blocks\.\d+\./.test(names.get(p)!))).toBe(true);
    expect(muon!.parameters.length + adamw!.parameters.length).toBe(model.parameters().length);
  });
});

describe("freezing", () => {
  const train = (model: GPT, optimizer: AdamW) =>
    step(() => {
      const ids = tensor(
        Int32Array.from({ length: 8 }, (_, i) => i),
        [1, 8],
      );
      model(ids, { targets: ids }).loss.backward();
      optimizer.step();
    });

  test("keeps what is frozen, trains the rest, and unfrozen layers join", () => {
    const model = new GPT(config);
    const first = model.blocks[0]!.parameters();
    const names = freeze(model, ["tokens.*", "blocks.0.*"]);
    expect(names).toContain("blocks.0.mlp.up.weight");
    const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2 });
    expect(optimizer.parameters.length).toBe(model.parameters().length - names.length);
    const before = bits([model.tokens.weight, ...first]);
    const trained = bits(model.blocks[1]!.parameters());
    train(model, optimizer);
    expect(bits([model.tokens.weight, ...first])).toEqual(before);
    expect(bits(model.blocks[1]!.parameters())).not.toEqual(trained);
    expect(first[0]!.grad).toBeUndefined();

    expect(unfreeze(model, "blocks.0.*")).toHaveLength(first.length);
    optimizer.addParameterGroup({ parameters: first });
    train(model, optimizer);
    expect(bits(first)).not.toEqual(before.slice(1));
    expect(bits([model.tokens.weight])[0]).toEqual(before[0]);
    expect(() => freeze(model, "block.*")).toThrow(/freeze: "block.\*" matches no parameter/);
  });
});

describe("EMA", () => {
  test("averages by its formula, swaps and restores bit for bit, and resumes", () => {
    const model = new Linear(3, 2);
    const ema = new EMA(model, { decay: 0.9 });
    const expected = bits(model.parameters());
    const change = () => {
      for (const p of model.parameters()) p.assign(randn(p.shape));
      ema.update();
      bits(model.parameters()).forEach((list, k) =>
        list.forEach((v, i) => (expected[k]![i]! += 0.1 * (v - expected[k]![i]!))),
      );
    };
    for (let i = 0; i < 5; i++) change();
    const weights = bits(model.parameters());
    ema.swap();
    bits(model.parameters()).forEach((list, k) =>
      list.forEach((v, i) => expect(v).toBeCloseTo(expected[k]![i]!, 6)),
    );
    expect(() => ema.update()).toThrow("EMA.update: the model has the averages; call restore() first");
    expect(() => ema.swap()).toThrow(/has the averages already/);
    ema.restore();
    expect(bits(model.parameters())).toEqual(weights);
    expect(() => ema.restore()).toThrow(/call swap\(\) first/);

    const { tensors, values } = ema.stateDict();
    const copy = new EMA(model, { decay: 0.9 });
    copy.loadStateDict({
      tensors: new Map([...tensors].map(([name, t]) => [name, t.clone()])),
      values: JSON.parse(JSON.stringify(values)),
    });
    expect(copy.updateCount).toBe(5);
    ema.update();
    copy.update();
    expect(bits(copy.stateDict().tensors.values())).toEqual(bits(ema.stateDict().tensors.values()));
    expect(() => copy.loadStateDict({ tensors: new Map(), values })).toThrow(
      "EMA.loadStateDict: weight must be [2, 3]; got none",
    );
  });

  test("constant weights stay what they are, and a warmup forgets the beginning", () => {
    const model = new Linear(3, 2);
    const constant = new EMA(model, { decay: 0.9999 });
    const before = bits(model.parameters());
    for (let i = 0; i < 100; i++) constant.update();
    expect(bits(constant.stateDict().tensors.values())).toEqual(before);

    const ema = new EMA(model, { decay: 0.999, warmup: true });
    const start = before[0]![0]!;
    for (const p of model.parameters()) p.assign(randn(p.shape, { mean: 5, std: 0 }));
    ema.update(); // keeps 2/11
    const [average] = bits(ema.stateDict().tensors.values());
    expect(average![0]).toBeCloseTo(5 + (2 / 11) * (start - 5), 5);
  });

  test("follows a model that an optimizer has, and products see what it swaps in", () => {
    const model = new Linear(3, 2, { bias: false });
    const optimizer = new SGD(model.parameters(), { learningRate: 1 });
    const ema = new EMA(model, { decay: 0.5 });
    const x = tensor([1, 1, 1], [1, 3]);
    const y = () => [...model(x).toTypedArraySync()];
    const before = y();
    step(() => {
      sum(model(x)).backward();
      optimizer.step();
    });
    ema.update();
    const after = y();
    ema.swap();
    y().forEach((v, i) => expect(v).toBeCloseTo((before[i]! + after[i]!) / 2, 5));
    ema.restore();
    expect(y()).toEqual(after);
  });
});
