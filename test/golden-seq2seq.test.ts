import { expect, test } from "vitest";
import { generate } from "../src/generate/index.ts";
import { Bart, T5, Transformer } from "../src/index.ts";
import {
  expectClose,
  expectGradients,
  expectSavedAs,
  type Golden,
  readGolden,
  relativeError,
} from "./golden-folder.ts";
import { variants } from "./variants.ts";

/** From test/golden/make_seq2seq.py. */
const models = { transformer: Transformer, marian: Bart, bart: Bart, t5: T5, "t5-v1.1": T5 };
const lists = [
  "encoderHiddenStates",
  "decoderHiddenStates",
  "encoderAttentions",
  "decoderAttentions",
  "crossAttentions",
] as const;

/** The rows of a table of ids, each without what fills it up. */
function rowsOf(golden: Golden, name: string, lengths?: ArrayLike<number>): number[][] {
  const { data, shape } = golden.stored(name);
  const [B, T] = shape as [number, number];
  return Array.from({ length: B }, (_, b) =>
    [...data.subarray(b * T, (b + 1) * T)].slice(0, lengths?.[b] ?? T).filter((id) => id >= 0),
  );
}

for (const [name, Model] of Object.entries(models)) {
  const golden = await readGolden(`seq2seq/${name}`);

  for (const variant of variants.filter(({ dtypes }) => dtypes.includes("f32"))) {
    test(`${name} computes what Hugging Face computes (${variant.name})`, async () => {
      variant.select();
      const tolerance = variant.splits ? 2e-4 : 1e-5;
      const model = (await Model.fromPretrained(golden.folder)).eval();
      const output = model(golden.tensor("inputIds"), {
        lengths: golden.tensor("lengths"),
        labels: golden.tensor("labels"),
        outputHiddenStates: true,
        outputAttentions: true,
      });
      await expectClose(output.logits, golden, "logits", tolerance);
      await expectClose(output.loss!.reshape(1), golden, "loss", tolerance);
      for (const list of lists) {
        const expected = golden.names.filter((key) => key.startsWith(`${list}.`));
        expect(output[list]!.length, list).toBe(expected.length);
        for (const [i, t] of output[list]!.entries()) await expectClose(t, golden, `${list}.${i}`, tolerance);
      }
      output.loss!.backward();
      await expectGradients(model, model.layout(), golden, 2 * tolerance);
    });
  }

  test(`${name} writes what it writes with Hugging Face, greedily and with beams`, async () => {
    const model = (await Model.fromPretrained(golden.folder)).eval();
    const prompts = rowsOf(golden, "inputIds", golden.stored("lengths").data);
    const options = { minNewTokens: 6, maxNewTokens: 12, noRepeatNgramSize: 2 };
    const greedy = await generate(model, prompts, options);
    expect(greedy.sequences.map((row) => [...row])).toEqual(rowsOf(golden, "greedy"));
    const beams = await generate(model, prompts, { ...options, numBeams: 4, lengthPenalty: 1.5 });
    expect(beams.sequences.map((row) => [...row])).toEqual(rowsOf(golden, "beams"));
    expect(relativeError(beams.sequencesScores!, golden.stored("beamsScores").data)).toBeLessThan(1e-3);
  });

  test(`${name} is saved as Hugging Face saved it`, async () => {
    const own = await expectSavedAs(await Model.fromPretrained(golden.folder), golden, { swish: "silu" });
    expect(
      Object.entries(own).filter(([key, value]) => key !== "forced_bos_token_id" || value !== null),
    ).toEqual([]);
  });
}
