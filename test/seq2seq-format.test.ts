import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { Bart, readSafetensors, type Seq2SeqLM, T5, Transformer, tensor } from "../src/index.ts";

const folder = await mkdtemp(path.join(os.tmpdir(), "seq2seq-"));
afterAll(() => rm(folder, { recursive: true }));
const golden = (name: string) => fileURLToPath(new URL(`golden/seq2seq/${name}`, import.meta.url));

const size = { vocabSize: 20, hiddenSize: 16, numLayers: 1, numHeads: 2, intermediateSize: 24, seed: 7 };
const v11 = { ...size, headSize: 6, activation: "geluTanh", gated: true } as const;

async function logitsOf(model: Seq2SeqLM) {
  const [input, output] = [Int32Array.of(5, 9, 3), Int32Array.of(0, 7, 4, 12)];
  const decoderInputIds = tensor(output, [1, 4]);
  return model
    .eval()(tensor(input, [1, 3]), { decoderInputIds })
    .logits.toArray();
}

/** What lies in `config.json`, with some keys changed. */
async function edit(folder: string, changes: Record<string, unknown> = {}) {
  const file = path.join(folder, "config.json");
  const config = { ...JSON.parse(await readFile(file, "utf8")), ...changes };
  await writeFile(file, JSON.stringify(config));
  return config as Record<string, unknown>;
}

const made: Record<string, [() => Seq2SeqLM, { fromPretrained(folder: string): Promise<Seq2SeqLM> }]> = {
  Transformer: [() => new Transformer({ ...size, contextLength: 24 }), Transformer],
  "Transformer of two vocabularies": [() => new Transformer({ ...size, decoderVocabSize: 23 }), Transformer],
  "Transformer with an output matrix": [
    () => new Transformer({ ...size, decoderVocabSize: 23, tieWordEmbeddings: false }),
    Transformer,
  ],
  Bart: [
    () => new Bart({ ...size, numDecoderLayers: 2, scaleEmbedding: true, activation: "geluTanh" }),
    Bart,
  ],
  T5: [() => new T5({ ...size, headSize: 6, numDecoderLayers: 2, activation: "silu" }), T5],
  "T5 1.1": [() => new T5({ ...v11, tieWordEmbeddings: false }), T5],
  "T5 1.1 with tied embeddings": [() => new T5({ ...v11, scaleDecoderOutputs: false }), T5],
};

test.each(Object.entries(made))("%s: comes back from its files as it was", async (_, [make, Model]) => {
  const model = make();
  await model.savePretrained(folder);
  const again = await Model.fromPretrained(folder);
  expect(again.config).toEqual(model.config);
  expect(again.generationConfig).toEqual(model.generationConfig);
  expect(await logitsOf(again)).toEqual(await logitsOf(model));
});

test("what a BART adds to its logits is kept", async () => {
  const model = await Bart.fromPretrained(golden("bart"));
  const bias = await model.logitsBias.toTypedArray();
  expect(Math.max(...bias.map(Math.abs))).toBeGreaterThan(0.1);
  expect(model.parameters()).not.toContain(model.logitsBias);
  await model.savePretrained(folder);
  const { tensors } = await readSafetensors(path.join(folder, "model.safetensors"));
  expect(tensors.get("final_logits_bias")).toMatchObject({ shape: [1, 20], data: bias });
});

test("a T5 that doesn't scale has an output matrix in its files, for older readers", async () => {
  const model = new T5({ ...v11, scaleDecoderOutputs: false });
  await model.savePretrained(folder);
  const { tensors } = await readSafetensors(path.join(folder, "model.safetensors"));
  expect(tensors.get("lm_head.weight")!.data).toEqual(tensors.get("shared.weight")!.data);
  expect(await edit(folder)).toMatchObject({ tie_word_embeddings: false, scale_decoder_outputs: false });
});

test("whether a T5 scales is what its file says, or in older ones whether it ties", async () => {
  await new T5({ ...v11, tieWordEmbeddings: false }).savePretrained(folder);
  const scales = async (changes: Record<string, unknown>) => {
    await edit(folder, changes);
    const { config } = await T5.fromPretrained(folder);
    expect(config.tieWordEmbeddings).toBe(false); // the file has a matrix of its own, whatever it says
    return config.scaleDecoderOutputs;
  };
  expect(await scales({ tie_word_embeddings: true, scale_decoder_outputs: false })).toBe(false);
  expect(await scales({ tie_word_embeddings: false, scale_decoder_outputs: null })).toBe(false);
  expect(await scales({ tie_word_embeddings: true, scale_decoder_outputs: null })).toBe(true);
});

test("generation begins and ends as the configuration says", async () => {
  expect((await Bart.fromPretrained(golden("bart"))).generationConfig).toEqual({
    decoderStartTokenId: 0,
    eosTokenId: 2,
    padTokenId: 1,
    forcedEosTokenId: 2,
  });
  const model = new Bart(size);
  model.generationConfig.numBeams = 2;
  await model.savePretrained(folder);
  expect((await Bart.fromPretrained(folder)).generationConfig).toEqual(model.generationConfig);
  await rm(path.join(folder, "generation_config.json")); // as in older folders
  await edit(folder, { forced_bos_token_id: 5, forced_eos_token_id: null, num_beams: 3 });
  expect((await Bart.fromPretrained(folder)).generationConfig).toEqual({
    decoderStartTokenId: 2,
    eosTokenId: 2,
    padTokenId: 1,
    forcedBosTokenId: 5,
    numBeams: 3,
  });
});

test("what these models cannot compute is refused", async () => {
  await expect(Transformer.fromPretrained(golden("bart"))).rejects.toThrow(
    "model_type must be marian; got 'bart'",
  );
  await expect(T5.fromPretrained(golden("bart"))).rejects.toThrow(/model_type must be 't5'/);
  await new Bart(size).savePretrained(folder);
  for (const [key, value] of [
    ["normalize_before", true],
    ["encoder_layerdrop", 0.1],
    ["tie_word_embeddings", false],
    ["activation_function", "mish"],
    ["pad_token_id", -1],
  ]) {
    const before = await edit(folder);
    await edit(folder, { [key as string]: value });
    const failed = expect(Bart.fromPretrained(folder), `${key}`).rejects;
    await failed.toMatchObject({
      code: "ERR_CHECKPOINT",
      message: expect.stringContaining(`${key} must be`),
    });
    await writeFile(path.join(folder, "config.json"), JSON.stringify(before));
  }
  expect(() => new Bart({ ...size, shareEmbeddings: false })).toThrow('needs modelType "marian"; got "bart"');
  expect(() => new Transformer({ ...size, decoderVocabSize: 5, shareEmbeddings: true })).toThrow(
    "shareEmbeddings needs vocabularies of one size; got vocabSize 20, decoderVocabSize 5",
  );
  expect(() => new Bart({ ...size, tieWordEmbeddings: false })).toThrow("needs shareEmbeddings false");
  expect(() => new T5({ ...size, eosTokenId: 20 })).toThrow(
    "eosTokenId must be an integer from 0 to 19; got 20",
  );
});

test("initial weights are those of T5", async () => {
  const model = new T5({ ...size, hiddenSize: 64, headSize: 16, numHeads: 8, intermediateSize: 256 });
  const deviation = async (values: Promise<Float32Array | Int32Array>) => {
    const all = Float32Array.from(await values);
    return Math.sqrt(all.reduce((sum, x) => sum + x * x, 0) / all.length);
  };
  const { attention, crossAttention, mlp } = model.decoder.blocks[0]!;
  for (const [weight, std] of [
    [model.tokens.weight, 1],
    [attention.qkv.weight.slice(0, 0, 128), (64 * 16) ** -0.5],
    [attention.qkv.weight.slice(0, 128), 64 ** -0.5],
    [crossAttention!.query.weight, (64 * 16) ** -0.5],
    [crossAttention!.keyValue.weight, 64 ** -0.5],
    [attention.output.weight, 128 ** -0.5],
    [mlp.up.weight, 64 ** -0.5],
    [mlp.down.weight, 256 ** -0.5],
  ] as const) {
    expect((await deviation(weight.detach().toTypedArray())) / std).toBeCloseTo(1, 1);
  }
});
