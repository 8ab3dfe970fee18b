import { describe, expect, it } from "vitest";
import { type GenerateOptions, generate, processPrefix, stream } from "../src/generate/index.ts";
import { GPT, noGrad, T5, tensor } from "../src/index.ts";

const model = new GPT({
  vocabSize: 61,
  contextLength: 24,
  numLayers: 2,
  numHeads: 2,
  hiddenSize: 32,
  seed: 5,
});
// Initial weights hardly tell tokens apart: larger ones do.
for (const [name, parameter] of model.namedParameters()) {
  if (/tokens|positions/.test(name)) parameter.assign(parameter.mul(20));
}
const prompts = [[3, 4], [5, 2, 7, 6, 2, 50, 41], [9], [10, 11, 8, 60]];
const rows = (sequences: readonly Int32Array[]) => sequences.map((row) => [...row]);

/** Greedy decoding without a cache. */
async function likeliest(prompt: readonly number[], count: number): Promise<number[]> {
  const ids = [...prompt];
  for (let n = 0; n < count; n++) {
    const input = tensor(Int32Array.from(ids), [1, ids.length], { device: model.device });
    const logits = (await noGrad(
      () => model(input, { lastOnly: true }).logits,
    ).toTypedArray()) as Float32Array;
    ids.push(logits.indexOf(Math.max(...logits)));
  }
  return ids;
}

describe("a GPT generates", () => {
  it("what it would without its cache, for rows of any lengths together", async () => {
    const { sequences } = await generate(model, prompts, { maxNewTokens: 12 });
    for (const [i, prompt] of prompts.entries()) {
      expect([...sequences[i]!]).toEqual(await likeliest(prompt, 12));
    }
    expect(new Set(sequences.flatMap((row) => [...row])).size).toBeGreaterThan(10);
  });

  it("for each prompt what it would alone, also from a common prefix", async () => {
    const common = [8, 9, 10, 33, 12];
    const continued = [[...common, 3, 4], [...common, 7], common];
    const prefix = await processPrefix(model, common);
    const eosTokenId = [...Array(20).keys()];
    const ways: GenerateOptions[] = [
      { eosTokenId },
      { doSample: true, eosTokenId, numReturnSequences: 2 },
      { numBeams: 3, numReturnSequences: 2, eosTokenId: [4, 17] },
    ];
    for (const way of ways) {
      const options = { maxNewTokens: 9, ...way };
      const together = await generate(model, continued, options);
      const alone: number[][] = [];
      for (const prompt of continued) alone.push(...rows((await generate(model, prompt, options)).sequences));
      expect(rows(together.sequences)).toEqual(alone);
      expect(rows((await generate(model, continued, { ...options, prefix })).sequences)).toEqual(alone);
    }
    prefix.dispose();
  });

  it("as a stream", async () => {
    const ids = [3, 4];
    for await (const id of stream(model, [3, 4], { maxNewTokens: 10 })) ids.push(id);
    expect(ids).toEqual(await likeliest([3, 4], 10));
  });
});

describe("a T5 generates", () => {
  const t5 = new T5({ vocabSize: 40, numLayers: 2, numHeads: 2, hiddenSize: 16, headSize: 8, seed: 3 });

  it("for each input what it would alone, whatever its length", async () => {
    for (const way of [
      {},
      { doSample: true, numReturnSequences: 2 },
      { numBeams: 3, numReturnSequences: 3 },
    ]) {
      const options = { maxNewTokens: 8, eosTokenId: [1, 2, 3], ...way };
      const together = await generate(
        t5,
        prompts.map((row) => row.map((id) => id % 40)),
        options,
      );
      for (const [i, prompt] of prompts.entries()) {
        const alone = await generate(
          t5,
          prompt.map((id) => id % 40),
          options,
        );
        const n = alone.sequences.length;
        expect(rows(together.sequences.slice(n * i, n * (i + 1)))).toEqual(rows(alone.sequences));
        expect(alone.sequences[0]![0]).toBe(t5.generationConfig.decoderStartTokenId);
      }
    }
  });
});
