import { expect, test } from "vitest";
import { GPT, Llama } from "../src/index.ts";
import { expectClose, expectGradients, expectSavedAs, readGolden } from "./golden-folder.ts";
import { variants } from "./variants.ts";

/** From test/golden/make_decoders.py. */
const models = {
  gpt2: GPT,
  llama: Llama,
  smollm: Llama,
  mistral: Llama,
  qwen2: Llama,
  qwen3: Llama,
  dynamic: Llama,
  longrope: Llama,
};

for (const [name, Model] of Object.entries(models)) {
  const golden = await readGolden(`decoders/${name}`);

  for (const variant of variants.filter(({ dtypes }) => dtypes.includes("f32"))) {
    test(`${name} computes what Hugging Face computes (${variant.name})`, async () => {
      variant.select();
      const tolerance = variant.splits ? 2e-4 : 2e-5;
      const model = (await Model.fromPretrained(golden.folder)).eval();
      const output = model(golden.tensor("ids"), {
        targets: golden.tensor("targets"),
        outputHiddenStates: true,
        outputAttentions: true,
      });
      await expectClose(output.logits, golden, "logits", tolerance);
      for (const [i, state] of output.hiddenStates!.entries())
        await expectClose(state, golden, `hidden.${i}`, tolerance);
      for (const [i, weights] of output.attentions!.entries())
        await expectClose(weights, golden, `attention.${i}`, tolerance);
      await expectClose(output.loss!.reshape(1), golden, "loss", tolerance);
      output.loss!.backward();
      await expectGradients(model, model.layout(), golden, 2 * tolerance);
    });
  }

  // As sequences grow, these turn their keys by other angles, which those in a cache do not follow.
  const turnsAnew = name === "dynamic" || name === "longrope";
  test.skipIf(turnsAnew)(`${name} with a cache gives the logits that it gives without`, async () => {
    const model = (await Model.fromPretrained(golden.folder)).eval();
    const ids = golden.stored("ids");
    const [B, T] = ids.shape as [number, number];
    const decoding = model.startDecoding({ batchSize: B, capacity: T });
    const row = (b: number, from: number, to: number) => ids.data.subarray(b * T + from, b * T + to);
    const V = model.config.vocabSize;
    const expected = (b: number, t: number) => [
      ...golden.stored("logits").data.subarray((b * T + t) * V, (b * T + t + 1) * V),
    ];
    // Prompts of unequal lengths, then a token at a time.
    const lengths = [3, 5];
    let logits = await decoding.next(lengths.map((length, b) => row(b, 0, length)));
    for (let n = 0; lengths[1]! + n < T; n++) {
      for (const [b, length] of lengths.entries()) {
        const got = logits.subarray(b * V, (b + 1) * V);
        expected(b, length + n - 1).forEach((value, v) => expect(got[v]).toBeCloseTo(value, 3));
      }
      logits = await decoding.next(lengths.map((length, b) => row(b, length + n, length + n + 1)));
    }
    decoding.dispose();
  });

  test.skipIf(turnsAnew)(`${name} continues prompts as Hugging Face does`, async () => {
    const model = await Model.fromPretrained(golden.folder);
    const ids = golden.stored("ids");
    const prompts = [0, 1].map((b) => ids.data.subarray(b * ids.shape[1]!, b * ids.shape[1]! + 4));
    for (const numBeams of [1, 4]) {
      const { sequences } = await model.generate(prompts, { numBeams, maxNewTokens: 12, eosTokenId: null });
      const expected = golden.stored(`beams.${numBeams}`);
      expect(sequences.flatMap((row) => [...row])).toEqual([...expected.data]);
    }
  });

  test(`${name} is written as Hugging Face wrote it`, async () => {
    await expectSavedAs(await Model.fromPretrained(golden.folder), golden);
  });
}
