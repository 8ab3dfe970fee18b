import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { generationConfigOf, generationOptions } from "../src/cli/generation-options.ts";
import { helpOf, overview } from "../src/cli/help.ts";
import { nearest } from "../src/cli/nearest.ts";
import { defaultsTo, flag, integer, number, positional, required, text, texts } from "../src/cli/options.ts";
import { parseOptions } from "../src/cli/parse-options.ts";
import { UsageError } from "../src/cli/usage-error.ts";

const folder = mkdtempSync(path.join(tmpdir(), "trainformer-options-"));
afterAll(() => rmSync(folder, { recursive: true }));

const options = {
  input: required(positional(text("IN", "read"))),
  others: positional(texts("FILE", "read too")),
  minLr: defaultsTo(0.5, number(0, "rate", 1)),
  steps: integer(1, "updates"),
  stop: texts("TEXT", "ends"),
  json: flag("prints JSON"),
  noBias: flag("without"),
};
const parse = (...args: string[]) => parseOptions(options, args);

/** With `--config` of a file that holds `values`. */
function withConfig(values: unknown, ...args: string[]) {
  const file = path.join(folder, "o.json");
  writeFileSync(file, JSON.stringify(values));
  return parse(...args, "--config", file);
}

describe("parseOptions", () => {
  it("takes names, values, places and what may be repeated", () => {
    expect(parse("a", "--min-lr=0.25", "b", "--stop", "x", "--json", "--stop=-y", "c", "--no-bias")).toEqual({
      input: "a",
      others: ["b", "c"],
      minLr: 0.25,
      steps: undefined,
      stop: ["x", "-y"],
      json: true,
      noBias: true,
    });
    expect(parse("--", "--json")).toMatchObject({ input: "--json", json: false, minLr: 0.5 });
    expect(parse("a", "--steps", "1", "--steps", "2").steps).toBe(2);
  });

  it("takes what the command line lacks from a file, in both spellings", () => {
    const config = { input: "f", "min-lr": 0.25, steps: 3, stop: ["x", "y"], json: true, noBias: false };
    expect(withConfig(config)).toEqual({
      input: "f",
      others: [],
      minLr: 0.25,
      steps: 3,
      stop: ["x", "y"],
      json: true,
      noBias: false,
    });
    const line = withConfig(config, "a", "--stop", "z", "--no-json", "--no-bias", "--steps", "9");
    expect(line).toMatchObject({ input: "a", stop: ["z"], json: false, noBias: true, steps: 9, minLr: 0.25 });
    expect(withConfig({ input: "f", noBias: true }, "--bias").noBias).toBe(false);
    expect(withConfig({ input: "f", stop: "x" }).stop).toEqual(["x"]);
  });

  it.each([
    [{ input: "f", stpes: 1 }, /o\.json: no option is called "stpes"; the nearest is "steps"/],
    [{ input: "f", "min-lr": 0, minLr: 0 }, /minLr must be there once/],
    [{ input: "f", steps: "3" }, /o\.json: steps must be a number; got "3"/],
    [{ input: "f", steps: 0 }, /o\.json: steps must be an integer of at least 1; got 0/],
    [{ input: "f", steps: null }, /o\.json: steps must be a number; got null/],
    [{ input: "f", json: 1 }, /json must be a boolean; got 1/],
    [{ input: "f", stop: ["x", 1] }, /stop must be a string or a list of them/],
    [{ input: "f", constructor: 1 }, /no option is called "constructor"/],
    [{}, /^IN is required/],
    ["text", /must be an object of options; got "text"/],
  ])("refuses the file %j", (config, message) => {
    expect(() => withConfig(config)).toThrow(message);
    expect(() => withConfig(config)).toThrow(UsageError);
    expect(() => withConfig(config)).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
  });
});

it.each([
  ["stpes", "steps"],
  ["--lernrate", "--learning-rate"],
  ["data", "data"],
])("nearest: %s is %s", (name, expected) => {
  expect(nearest(name, ["--learning-rate", "data", "date", "steps", "stop"])).toBe(expected);
});

describe("help", () => {
  it("fits 80 columns and names every option", async () => {
    expect(
      Math.max(
        ...overview(commands)
          .split("\n")
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(80);
    for (const entry of commands) {
      const command = await entry.load();
      const help = helpOf(entry, command);
      expect(Math.max(...help.split("\n").map((line) => line.length)), entry.name).toBeLessThanOrEqual(80);
      expect(help).toContain("exit codes:");
      expect(overview(commands)).toContain(`  ${entry.name} `);
    }
  });
});

describe("options of generation", () => {
  const given = (...args: string[]) => parseOptions(generationOptions, args);
  const vocabulary = { tokenToId: (token: string) => (token === "de" ? 7 : undefined) };
  const decoder = { isEncoderDecoder: false, generationConfig: {} };
  const encoderDecoder = { isEncoderDecoder: true, generationConfig: {}, contextLength: 24 };
  const config = (model: Parameters<typeof generationConfigOf>[1], ...args: string[]) =>
    generationConfigOf(given(...args), model, vocabulary, 1);

  it("draws from decoders and takes the likeliest of encoder–decoders, unless told otherwise", () => {
    const drawn = { doSample: true, temperature: 0.8, topK: 40, maxNewTokens: 200, seed: 0 };
    expect(config(decoder)).toEqual(drawn);
    expect(config(encoderDecoder)).toEqual({ doSample: false, maxNewTokens: 23, seed: 0 });
    expect(config(encoderDecoder, "--do-sample")).toEqual({ ...drawn, maxNewTokens: 23 });
    expect(config(decoder, "--temperature", "0")).toEqual({ doSample: false, maxNewTokens: 200, seed: 0 });
    expect(config(decoder, "--num-beams", "2")).toMatchObject({ doSample: false, numBeams: 2 });
  });

  it("leaves to the model what it says itself", () => {
    const generationConfig = { doSample: false, maxLength: 9 };
    expect(config({ ...decoder, generationConfig })).toEqual({ doSample: false, seed: 0 });
    const sampled = { doSample: true, temperature: 0.6, topK: 5 };
    expect(config({ ...decoder, generationConfig: sampled })).toMatchObject(sampled);
    expect(config({ ...decoder, generationConfig: sampled }, "--greedy")).toMatchObject({ doSample: false });
  });

  it("finds tokens and refuses what excludes each other", () => {
    expect(config(decoder, "--forced-bos-token", "de")).toMatchObject({ forcedBosTokenId: 7 });
    expect(() => config(decoder, "--forced-bos-token", "xx")).toThrow(/must be a token; got "xx"/);
    expect(() => config(decoder, "--greedy", "--do-sample")).toThrow(UsageError);
    expect(config(decoder, "--early-stopping", "never")).toMatchObject({ earlyStopping: "never" });
    expect(config(decoder, "--early-stopping", "true")).toMatchObject({ earlyStopping: true });
  });
});
