import { beforeAll, describe, expect, it } from "vitest";
import { Llama, T5, Tokenizer, trainBPE } from "../src/index.ts";
import { cli, failure, lastLine } from "./cli-run.ts";

const { inFolder, trainformer } = cli("cli-generate");
const text = "the old man sat down by the sea and looked at a small red boat";
let tokenizer: Tokenizer;
let t5: T5;
let llama: Llama;

beforeAll(async () => {
  const json = await trainBPE([text], { vocabSize: 290, specialTokens: ["<pad>", "</s>"] });
  tokenizer = Tokenizer.fromJSON(json, { padToken: "<pad>", eosToken: "</s>" });
  const size = { vocabSize: tokenizer.size, numLayers: 1, numHeads: 2, hiddenSize: 16 };
  t5 = new T5({ ...size, seed: 4 });
  for (const parameter of t5.parameters()) parameter.detach().assign(parameter.detach().mul(3)); // it says something
  t5.generationConfig = { ...t5.generationConfig, maxLength: 12 };
  llama = new Llama({ ...size, contextLength: 64, intermediateSize: 32, seed: 4 });
  await t5.savePretrained(inFolder("t5"), { tokenizer });
  await llama.savePretrained(inFolder("llama"), { tokenizer });
});

const generate = (model: string, ...args: string[]) =>
  trainformer(["generate", "--model", model, "--prompt", "the old", "--json", ...args]);

describe("trainformer generate", () => {
  it("writes what an encoder–decoder makes of the prompt, as its folder says how", async () => {
    const [plain, beams] = await Promise.all([
      generate("t5"),
      generate("t5", "--num-beams", "3", "--num-return-sequences", "2", "--length-penalty", "0.5"),
    ]);
    expect([plain.code, beams.code], plain.stderr + beams.stderr).toEqual([0, 0]);
    const { texts, sequences } = await t5.generate("the old", { tokenizer });
    expect(lastLine(plain.stdout)).toMatchObject({ text: texts[0], tokens: sequences[0]!.length - 1 });
    expect(plain.stdout.startsWith(`${texts[0]}\n`)).toBe(true);
    expect(texts[0]).not.toBe("");
    const options = { tokenizer, numBeams: 3, numReturnSequences: 2, lengthPenalty: 0.5 };
    expect(lastLine(beams.stdout).texts).toEqual((await t5.generate("the old", options)).texts);
  });

  it("draws as it is told to, and tells how many tokens that were", async () => {
    const how = { topP: 0.9, minP: 0.01, repetitionPenalty: 1.3, maxNewTokens: 9, seed: 5 };
    const args =
      "--top-p 0.9 --min-p 0.01 --repetition-penalty 1.3 --max-new-tokens 9 --seed 5 --temperature 1.5";
    const [drawn, piped] = await Promise.all([
      generate("llama", ...args.split(" ")),
      trainformer(["generate", "--model", "llama", "--greedy", "--max-new-tokens", "4"], {
        input: "the old",
      }),
    ]);
    const options = { ...how, tokenizer, doSample: true, temperature: 1.5, topK: 40 };
    const { texts, sequences } = await llama.generate("the old", options);
    const tokens = sequences[0]!.length - tokenizer.encode("the old").length;
    expect(lastLine(drawn.stdout)).toMatchObject({ text: texts[0], tokens, interrupted: false });
    const greedy = await llama.generate("the old", { tokenizer, maxNewTokens: 4 });
    expect(piped.stdout).toBe(`the old${greedy.texts[0]}\n`);
  });

  it.each([
    ["--model llama --prompt x --greedy --top-p 0.5", 2, "--top-p needs --do-sample; got --top-p 0.5"],
    ["--model llama --prompt x --length-penalty 2", 2, "--length-penalty needs --num-beams above 1"],
    [
      "--model llama --prompt x --num-beams 2 --num-return-sequences 3",
      2,
      "--num-return-sequences must be at most",
    ],
    ["--model llama --prompt x --prompt-file y", 2, "--prompt excludes --prompt-file; got both"],
    ["--model llama --prompt-file none.txt", 1, "none.txt"],
    ["--model llama --prompt x --device cuda:99", 1, 'device "cuda:99"'],
  ])("%s: exit code %i", async (line, expectedCode, expected) => {
    const { message, exitCode } = await failure(`generate ${line}`);
    expect(message).toContain(expected);
    expect(exitCode).toBe(expectedCode);
  });
});
