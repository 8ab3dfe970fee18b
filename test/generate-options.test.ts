import { describe, expect, it } from "vitest";
import {
  type GenerateOptions,
  type GenerationTokenizer,
  generate,
  generationConfigFromJSON,
  generationConfigToJSON,
  type LogitsProcessor,
  processPrefix,
  stream,
} from "../src/generate/index.ts";
import { golden, TableModel, tokenizer, vocabSize } from "./table-model.ts";

const rows = (sequences: readonly Int32Array[]) => sequences.map((row) => [...row]);
const prompts = [[3, 4], [5, 2, 7, 6, 2], [9], [10, 11, 8, 4, 4, 4, 3]];
const eosTokenId = 1;

describe("options", () => {
  const failing = (options: object, inputs: unknown = [3, 4]) =>
    generate(new TableModel(), inputs as number[], options as GenerateOptions).then(
      () => "no error",
      (error) => `${error.code} ${error.message}`,
    );

  it("are those of the call, over the checkpoint's, over the defaults", async () => {
    const model = new TableModel();
    const lengthWith = async (options: GenerateOptions) => {
      const { sequences } = await generate(model, [3, 4], options);
      return sequences[0]!.length;
    };
    expect(await lengthWith({})).toBe(22);
    model.generationConfig = { maxLength: 9, maxNewTokens: null };
    expect(await lengthWith({})).toBe(9);
    expect(await lengthWith({ maxLength: undefined })).toBe(9);
    expect(await lengthWith({ maxNewTokens: 4 })).toBe(6);
    model.generationConfig = { maxNewTokens: 5 };
    expect(await lengthWith({ maxNewTokens: null, maxLength: 4 })).toBe(4);
    model.generationConfig = { eosTokenId: golden.generations[0]!.sequences[0]![2]! };
    expect(await lengthWith({})).toBe(3);
    expect(await lengthWith({ eosTokenId: null })).toBe(22);
  });

  it("end at the context of the model", async () => {
    const model = new TableModel({ contextLength: 12 });
    const { sequences } = await generate(model, [3, 4]);
    expect(sequences[0]!.length).toBe(12);
    await expect(generate(model, [3, 4], { maxNewTokens: 11 })).rejects.toThrow("contextLength 12; got 13");
    await expect(generate(model, new Array(12).fill(3))).rejects.toThrow("shorter than contextLength 12");
  });

  it.each([
    [{ maxNewToken: 3 }, "options must be those of GenerateOptions; got maxNewToken"],
    [{ maxNewTokens: 0 }, "maxNewTokens must be an integer of at least 1; got 0"],
    [{ maxLength: 2 }, "a prompt must be shorter than maxLength 2; got 2 tokens"],
    [{ doSample: true, temperature: 0 }, "temperature must be above 0"],
    [{ topP: 0.9 }, "topP needs doSample: true; got topP 0.9 without it"],
    [{ lengthPenalty: 2 }, "lengthPenalty needs numBeams above 1"],
    [{ numBeams: 4, diversityPenalty: 1 }, "diversityPenalty needs numBeamGroups above 1"],
    [{ numBeams: 4, numBeamGroups: 2 }, "needs a diversityPenalty above 0"],
    [{ numBeams: 4, numBeamGroups: 3, diversityPenalty: 1 }, "multiple of numBeamGroups; got 4 and 3"],
    [{ numBeams: 4, numBeamGroups: 2, diversityPenalty: 1, doSample: true }, "can't go with doSample"],
    [{ numReturnSequences: 2 }, "numReturnSequences above 1 needs doSample or numBeams; got 2"],
    [{ numBeams: 2, numReturnSequences: 3 }, "at most numBeams; got 3 of 2"],
    [{ earlyStopping: "always", numBeams: 2 }, 'must be true, false or "never"; got "always"'],
    [{ stopStrings: ["x"] }, "stopStrings needs a tokenizer"],
    [{ stopStrings: [], tokenizer }, "stopStrings must be a string or strings"],
    [{ badWordsIds: [[]] }, "badWordsIds[0] must be an array of token ids"],
    [{ suppressTokens: [99] }, "suppressTokens must be below the 12 of the vocabulary; got 99"],
    [{ exponentialDecayLengthPenalty: [1, 2] }, "needs an eosTokenId"],
    [{ logitsProcessors: [3] }, "logitsProcessors must be an array of functions"],
    [{ seed: -1 }, "seed must be an integer of at least 0"],
    [{ suppressTokens: [...golden.pieces.keys()] }, "the options must leave a token"],
  ])("%j throws", async (options, message) => {
    const text = await failing(options);
    expect(text).toContain(message);
    expect(text).toMatch(/^ERR_ARGUMENT generate: /);
  });

  it.each([
    [[], "ERR_ARGUMENT generate: inputs must hold a prompt"],
    [null, "ERR_ARGUMENT generate: inputs must hold a prompt; got null"],
    [[[3], []], "ERR_ARGUMENT generate: an empty prompt needs a bosTokenId; got none for prompt 1"],
    [[3, 0.5], "ERR_ARGUMENT generate: inputs[0][1] must be an integer"],
    [[[3], [4, 12]], "ERR_INDEX generate: token ids must be below 12; got 12 at index 1 of prompt 1"],
    ["text", "ERR_ARGUMENT generate: text needs a tokenizer"],
  ])("prompts %j throw", async (inputs, message) => {
    expect(await failing({}, inputs)).toContain(message);
  });

  it("leave a model that fails without an open state", async () => {
    const model = new TableModel();
    model.change = (logits) => void logits.fill(Number.NaN);
    for (const options of [{}, { doSample: true }, { numBeams: 2 }, { numBeams: 2, doSample: true }]) {
      await expect(generate(model, [3], options)).rejects.toThrow("got NaN for token 0");
      const repaired = generate(model, [3], { ...options, removeInvalidValues: true });
      expect((await repaired).sequences[0]!.length).toBe(21);
    }
    await expect(generate(model, [99])).rejects.toMatchObject({ code: "ERR_INDEX" });
    expect(model.open).toBe(0);
  });

  it("are read from and written to generation_config.json", () => {
    const file = { eos_token_id: [1, 2], top_k: 40, no_repeat_ngram_size: 3, early_stopping: "never" };
    const config = generationConfigFromJSON({
      ...file,
      use_cache: true,
      transformers_version: "5",
      top_p: null,
    });
    expect(config).toEqual({ eosTokenId: [1, 2], topK: 40, noRepeatNgramSize: 3, earlyStopping: "never" });
    expect(generationConfigToJSON({ ...config, minP: null })).toEqual(file);
    expect(() => generationConfigFromJSON({ guidance_scale: 3 }, "f")).toThrow(
      "f: guidance_scale is not supported",
    );
    expect(() => generationConfigFromJSON({ top_p: 2 }, "f")).toThrow(
      "f: topP must be a number from 0 to 1; got 2",
    );
  });
});

describe("drawing", () => {
  it("follows the distribution that the processors leave", async () => {
    const model = new TableModel();
    const count = 4000;
    const options = { doSample: true, temperature: 2, topK: 6, numReturnSequences: count, maxNewTokens: 1 };
    const { sequences, scores } = await generate(model, [3, 4], { ...options, outputScores: true });
    const processed = scores![0]![0]!;
    const weights = Array.from(processed, Math.exp);
    const total = weights.reduce((a, b) => a + b);
    expect(weights.filter((w) => w > 0).length).toBe(6);
    for (let token = 0; token < vocabSize; token++) {
      const p = weights[token]! / total;
      const drawn = sequences.filter((row) => row[2] === token).length / count;
      expect(Math.abs(drawn - p)).toBeLessThanOrEqual(4 * Math.sqrt((p * (1 - p)) / count));
    }
  });

  it("is a function of seed and prompt, alone or in company", async () => {
    const model = new TableModel();
    const options = { doSample: true, maxNewTokens: 12, eosTokenId, seed: 7 };
    const together = await generate(model, prompts, options);
    for (const [i, prompt] of prompts.entries()) {
      const alone = await generate(model, prompt, options);
      expect(rows(alone.sequences)).toEqual([[...together.sequences[i]!]]);
    }
    const other = await generate(model, prompts, { ...options, seed: 8 });
    expect(rows(other.sequences)).not.toEqual(rows(together.sequences));
    const several = await generate(model, prompts, { ...options, numReturnSequences: 3 });
    expect(rows(several.sequences).filter((_, i) => i % 3 === 0)).toEqual(rows(together.sequences));
    const [first, second, third] = rows(several.sequences) as [number[], number[], number[]];
    const twice = await generate(model, [prompts[0]!, prompts[0]!, prompts[0]!], options);
    expect(rows(twice.sequences)).toEqual([first, second, third]);
    expect(first).not.toEqual(second);
  });

  it("of beams draws them without putting back, by their probability", async () => {
    const model = new TableModel();
    const options = { numBeams: 2, numReturnSequences: 2, doSample: true, topK: 0, maxNewTokens: 1 };
    const { scores } = await generate(model, [3, 4], { ...options, numBeams: 1, outputScores: true });
    const weights = Array.from(scores![0]![0]!, Math.exp);
    const total = weights.reduce((a, b) => a + b);
    const p = weights.map((w) => w / total);
    const best = p.indexOf(Math.max(...p));
    // drawn first, or second after any other
    const expected = p.reduce((sum, q, i) => sum + (i === best ? q : (q * p[best]!) / (1 - q)), 0);
    const count = 1500;
    let hits = 0;
    for (let seed = 0; seed < count; seed++) {
      const { sequences, sequencesScores } = await generate(model, [3, 4], { ...options, seed });
      const tokens = sequences.map((row) => row[2]!);
      expect(tokens[0]).not.toBe(tokens[1]);
      expect(sequencesScores![0]).toBeGreaterThanOrEqual(sequencesScores![1]!);
      tokens.forEach((token, i) => void expect(sequencesScores![i]).toBeCloseTo(Math.log(p[token]!), 4));
      if (tokens.includes(best)) hits++;
    }
    expect(Math.abs(hits / count - expected)).toBeLessThan(
      4 * Math.sqrt((expected * (1 - expected)) / count),
    );
  });

  it("takes presence and frequency from what has been generated", async () => {
    const model = new TableModel();
    model.change = (logits) => void logits.fill(0);
    const options = { presencePenalty: 0.5, frequencyPenalty: 0.25, maxNewTokens: 4, outputScores: true };
    const force: LogitsProcessor = (ids, scores) => {
      scores[ids.length < 4 ? 5 : 6] = 9;
    };
    const { scores } = await generate(model, [7, 7], { ...options, logitsProcessors: [force] });
    const last = scores![0]![3]!;
    expect([last[5], last[6], last[7]]).toEqual([-1, 9, 0]);
    const before = scores![0]![1]!;
    expect([before[5], before[6]]).toEqual([9, 0]);
  });
});

describe("beams", () => {
  it("come out the same alone and in company, greedily too", async () => {
    for (const more of [
      {},
      { numBeams: 3, numReturnSequences: 2 },
      { numBeams: 3, doSample: true, seed: 3 },
    ]) {
      for (const isEncoderDecoder of [false, true]) {
        const model = new TableModel({ isEncoderDecoder });
        const options = { eosTokenId, decoderStartTokenId: 2, maxNewTokens: 9, ...more };
        const together = await generate(model, prompts, options);
        const alone: number[][] = [];
        for (const prompt of prompts) alone.push(...rows((await generate(model, prompt, options)).sequences));
        expect(rows(together.sequences)).toEqual(alone);
      }
    }
  });

  it("have scores that sum to what they are ranked by", async () => {
    const options = { numBeams: 3, numReturnSequences: 3, eosTokenId, lengthPenalty: 0.5, maxNewTokens: 8 };
    const result = await generate(new TableModel(), [3, 4], { ...options, outputScores: true });
    result.sequences.forEach((row, i) => {
      const tokens = row.subarray(2);
      const steps = result.scores![i]!;
      expect(steps.length).toBe(tokens.length);
      const sum = steps.reduce((total, scores, t) => total + scores[tokens[t]!]!, 0);
      expect(result.sequencesScores![i]).toBeCloseTo(sum / tokens.length ** 0.5, 4);
    });
  });

  it("in groups are those of the definition", async () => {
    for (const diversityPenalty of [0.3, 1, 4]) {
      for (const prompt of prompts) {
        const options = { numBeams: 6, numBeamGroups: 3, numReturnSequences: 6, diversityPenalty };
        const result = await generate(new TableModel(), prompt, { ...options, eosTokenId, maxNewTokens: 6 });
        const expected = diverseBeams(prompt, { groups: 3, size: 2, penalty: diversityPenalty, steps: 6 });
        expect(rows(result.sequences)).toEqual(expected.map(({ ids }) => ids));
        expected.forEach(({ score }, i) => void expect(result.sequencesScores![i]).toBeCloseTo(score, 4));
      }
    }
  });

  it("of a forced language begin with it", async () => {
    const model = new TableModel({ isEncoderDecoder: true });
    const options = { decoderStartTokenId: [2, 4], forcedBosTokenId: 8, maxNewTokens: 3 };
    const { sequences } = await generate(model, [[3], [4]], options);
    expect(rows(sequences).map((row) => row.slice(0, 2))).toEqual([
      [2, 8],
      [4, 8],
    ]);
    const wrong = generate(model, [[3], [4]], { ...options, decoderStartTokenId: [2, 4, 5] });
    await expect(wrong).rejects.toThrow("decoderStartTokenId must be one for each of 2 inputs; got 3");
  });
});

/** Diverse beam search with earlyStopping false and lengthPenalty 1, spelled out; see Vijayakumar et al. 2018. */
function diverseBeams(prompt: number[], o: { groups: number; size: number; penalty: number; steps: number }) {
  type Beam = { ids: number[]; sum: number };
  const groups = Array.from({ length: o.groups }, () => ({
    running: [{ ids: prompt, sum: 0 }] as Beam[],
    complete: [] as { ids: number[]; score: number }[],
    isDone: false,
  }));
  for (let step = 1; step <= o.steps; step++) {
    const chosen = new Array<number>(vocabSize).fill(0);
    for (const group of groups) {
      if (group.isDone) continue;
      const candidates = group.running.flatMap(({ ids, sum }) => {
        const t = ids.length - 1;
        const at = ((ids[t - 1] ?? 0) * vocabSize + ids[t]!) * vocabSize;
        const logits = Array.from({ length: vocabSize }, (_, v) => {
          return golden.table[at + v]! + golden.positionBias[t * vocabSize + v]!;
        });
        const total = Math.log(logits.reduce((a, x) => a + Math.exp(x), 0));
        return logits.map((x, v) => ({ ids: [...ids, v], sum: sum + x - total - o.penalty * chosen[v]! }));
      });
      const best = candidates.sort((a, b) => b.sum - a.sum).slice(0, 2 * o.size);
      const isComplete = ({ ids }: Beam) => ids.at(-1) === eosTokenId || step === o.steps;
      for (const beam of best.slice(0, o.size).filter(isComplete)) {
        group.complete.push({ ids: beam.ids, score: beam.sum / step });
      }
      group.complete = group.complete.sort((a, b) => b.score - a.score).slice(0, o.size);
      group.running = best.filter((beam) => !isComplete(beam)).slice(0, o.size);
      for (const { ids } of group.running) chosen[ids.at(-1)!]!++;
      const worst = group.complete[o.size - 1]?.score ?? -Infinity;
      group.isDone = group.running.length === 0 || group.running[0]!.sum / step <= worst;
    }
  }
  return groups.flatMap(({ complete }) => complete).sort((a, b) => b.score - a.score);
}

describe("prefixes", () => {
  it("are processed once, for any number of prompts and calls, and change nothing", async () => {
    const model = new TableModel();
    const common = [5, 2, 7, 6, 2];
    const continued = [[...common, 3], [...common, 4, 9], common];
    const prefix = await processPrefix(model, common);
    expect(model.calls).toEqual(["start 1 rows of 5", "next 5"]);
    for (const options of [{}, { numBeams: 2 }, { doSample: true, numReturnSequences: 2 }]) {
      model.calls.length = 0;
      const shared = await generate(model, continued, { ...options, prefix, maxNewTokens: 5 });
      expect(model.calls.slice(0, 2)).toEqual(["fork 3 rows of 4", "next 2,3,1"]);
      expect(shared).toEqual(await generate(model, continued, { ...options, maxNewTokens: 5 }));
    }
    const { sequences } = await generate(model, continued[1]!, { prefix });
    expect(model.calls).toContain("fork 1 rows of 5");
    expect(rows(sequences)).toEqual(rows((await generate(model, continued[1]!)).sequences));
    await expect(generate(model, [[3]], { prefix })).rejects.toThrow(
      "begin as its prefix does, with token 5; got 3",
    );
    await expect(generate(new TableModel(), common, { prefix })).rejects.toThrow(
      "prefix must be of this model",
    );
    prefix.dispose();
    expect(model.open).toBe(0);
    await expect(processPrefix(new TableModel({ isEncoderDecoder: true }), [1])).rejects.toThrow(
      "decoder-only",
    );
  });
});

it("a prefix goes on from another, which stays as it is", async () => {
  const model = new TableModel();
  const first = await processPrefix(model, [5, 2, 7]);
  model.calls.length = 0;
  const second = await processPrefix(model, [5, 2, 7, 6, 2, 3], { prefix: first });
  expect(model.calls).toEqual(["fork 1 rows of 3", "next 3"]);
  const other = await processPrefix(model, [5, 2], { prefix: first });
  expect(model.calls.slice(2)).toEqual(["fork 1 rows of 1", "next 1"]);
  const prompt = [5, 2, 7, 6, 2, 3, 4];
  for (const prefix of [first, second, other]) {
    expect(await generate(model, [prompt], { prefix })).toEqual(await generate(model, [prompt]));
  }
  await expect(processPrefix(model, [3], { prefix: first })).rejects.toThrow("begin as its prefix does");
  await expect(processPrefix(new TableModel(), [5], { prefix: first })).rejects.toThrow(
    "prefix must be of this model",
  );
  for (const prefix of [first, second, other]) prefix.dispose();
  expect(model.open).toBe(0);
});

describe("ends", () => {
  it("at a signal, with its reason and without an open state", async () => {
    const model = new TableModel();
    for (const options of [{}, { numBeams: 2 }]) {
      const controller = new AbortController();
      const stop: LogitsProcessor = (ids) => {
        if (ids.length === 5) controller.abort(new Error("enough"));
      };
      const running = generate(model, [3, 4], {
        ...options,
        logitsProcessors: [stop],
        signal: controller.signal,
      });
      await expect(running).rejects.toThrow("enough");
      await expect(generate(model, [3], { signal: controller.signal })).rejects.toThrow("enough");
    }
    expect(model.open).toBe(0);
  });

  it("after maxTime, and where the caller's criteria say so", async () => {
    const model = new TableModel();
    const late = await generate(model, prompts, { maxTime: 0 });
    expect(late.sequences.map((row) => row.length)).toEqual(prompts.map((row) => row.length + 1));
    const stoppingCriteria = [(ids: Int32Array, row: { prompt: number }) => ids.length >= 12 - row.prompt];
    const { sequences } = await generate(model, prompts, { stoppingCriteria });
    expect(sequences.map((row) => row.length)).toEqual([12, 11, 10, 9]);
  });
});

describe("text", () => {
  /** UTF-8 bytes as tokens: every character outside ASCII is several. */
  const bytes = "aé€😀 \u00e9".split("").join("");
  const all = [...new Set(Buffer.from(bytes))];
  const byteTokenizer: GenerationTokenizer = {
    encode: (text) => [...Buffer.from(text)].map((byte) => all.indexOf(byte)),
    decode: (ids) => Buffer.from(Array.from(ids, (id) => all[id]!)).toString("utf8"),
  };
  /** A model that spells a text. */
  const spelling = (text: string) => {
    const model = new TableModel();
    const ids = byteTokenizer.encode(text);
    const spell: LogitsProcessor = (row, scores, { promptLength }) => {
      scores.fill(-Infinity);
      scores[ids[(row.length - promptLength) % ids.length]!] = 0;
    };
    const options = { tokenizer: byteTokenizer, logitsProcessors: [spell], maxNewTokens: ids.length };
    return { model, options };
  };

  it("comes in whole characters, together what generate() returns", async () => {
    const text = "a😀é €a";
    const { model, options } = spelling(text);
    const pieces: string[] = [];
    for await (const piece of stream(model, "aé", options)) pieces.push(piece);
    expect(pieces).toEqual([...text]);
    const { texts } = await generate(model, ["aé", "a"], options);
    expect(texts).toEqual([text, text]);
    const cut = await generate(model, "a", { ...options, maxNewTokens: 3 });
    expect(cut.texts[0]).toMatch(/^a\ufffd+$/);
  });

  it("goes on where the prompt ends within a character", async () => {
    const { model, options } = spelling("a");
    const [lead, ...rest] = byteTokenizer.encode("é") as [number, number];
    const spell: LogitsProcessor = (row, scores) => {
      scores.fill(-Infinity);
      scores[row.length === 1 ? rest[0]! : 0] = 0;
    };
    const { texts } = await generate(model, [lead], {
      ...options,
      logitsProcessors: [spell],
      maxNewTokens: 2,
    });
    expect(texts).toEqual(["éa"]);
  });

  it("uses the tokenizer's stream, whose context is the prompt", async () => {
    let asked: unknown;
    const spaced: GenerationTokenizer = {
      encode: (text) => tokenizer.encode(text),
      decode: (ids) => Array.from(ids, (id) => golden.pieces[id]).join(" "),
      decodeStream: (options) => {
        asked = options;
        let before = "";
        return {
          push: (id) => [before, (before = " ") && golden.pieces[id]].join(""),
          end: () => ".",
        };
      },
    };
    const result = await generate(new TableModel(), "st op", { tokenizer: spaced, maxNewTokens: 2 });
    const words = Array.from(result.sequences[0]!.subarray(2), (id) => ` ${golden.pieces[id]}`);
    expect(result.texts).toEqual([`${words.join("")}.`]);
    expect(asked).toEqual({ skipSpecialTokens: true });
  });

  it("ends with the token that completes a stop string, also of several tokens and characters", async () => {
    const { model, options } = spelling("a€é€a");
    for (const [stopStrings, text] of [
      ["é€", "a€é€"],
      [["a€", "zz"], "a€"],
      ["€é", "a€é"],
    ] as const) {
      const result = await generate(model, "€", { ...options, stopStrings });
      expect(result.texts).toEqual([text]);
      let streamed = "";
      for await (const piece of stream(model, "€", { ...options, stopStrings })) streamed += piece;
      expect(streamed).toBe(text);
    }
  });
});

describe("stream", () => {
  it("gives the tokens of generate() and frees the state when left", async () => {
    const model = new TableModel();
    const { sequences } = await generate(model, [3, 4], { eosTokenId, doSample: true });
    const tokens: number[] = [];
    for await (const token of stream(model, [3, 4], { eosTokenId, doSample: true })) tokens.push(token);
    expect([3, 4, ...tokens]).toEqual([...sequences[0]!]);
    for await (const _ of stream(model, [3, 4])) break;
    expect(model.open).toBe(0);
  });

  it("refuses what it can't do at once", () => {
    const model = new TableModel();
    const failing = (options: object, prompt: unknown = [3]) =>
      expect(() => stream(model, prompt as number[], options));
    failing({ numBeams: 2 }).toThrow("stream: numBeams must be 1");
    failing({ numReturnSequences: 2, doSample: true }).toThrow("stream: numReturnSequences must be 1");
    failing({ outputScores: true }).toThrow("stream: outputScores must be left out");
    failing({}, [[3], [4]]).toThrow("stream: prompt must be one; got 2");
    failing({ topq: 1 }).toThrow("got topq");
    model.generationConfig = { numBeams: 4 };
    failing({}).toThrow("also where the checkpoint says more; got 4");
  });
});
