import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CharTokenizer, GPT, TokenDataset } from "../src/index.ts";
import { Random } from "../src/random.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "trainformer-cli-"));
const inFolder = (name: string) => path.join(folder, name);
const small = "--layers 1 --heads 2 --width 32 --context 16 --batch 4".split(" ");

interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Writes to stdout that arrived apart. */
  chunks: number;
}

/** Runs node; `onProgress` gets a way to signal the process whenever it writes to stderr. */
function node(
  args: readonly string[],
  onProgress?: (kill: (signal: NodeJS.Signals) => void) => void,
  env: NodeJS.ProcessEnv = process.env,
) {
  return new Promise<Result>((resolve) => {
    const child = spawn(process.execPath, args, { cwd: folder, timeout: 50_000, env });
    const result = { stdout: "", stderr: "", chunks: 0 };
    child.stdout.on("data", (data) => {
      result.stdout += data;
      result.chunks++;
    });
    child.stderr.on("data", (data) => {
      result.stderr += data;
      onProgress?.((signal) => child.kill(signal));
    });
    child.on("close", (code) => resolve({ code, ...result }));
  });
}
const trainformer = (args: readonly string[], onProgress?: Parameters<typeof node>[1]) =>
  node([path.join(root, "dist/cli/main.js"), ...args], onProgress);
const onEmulatedCuda = (args: readonly string[]) =>
  node([path.join(root, "dist/cli/main.js"), ...args], undefined, {
    ...process.env,
    TRAINFORMER_CUDA: "emulated",
  });
const train = (out: string, ...args: string[]) =>
  trainformer(["train", "--data", "book.txt", "--out", out, ...small, "--json", ...args]);
const lastLine = (text: string) => JSON.parse(text.trimEnd().split("\n").at(-1)!);

/** Sentences of a few words in random order: something to learn in a few steps. */
function book(length: number): string {
  const words = "the old man sat down by the sea and looked at a small red boat – café".split(" ");
  const random = new Random(1);
  let text = "";
  while (text.length < length)
    text += words[random.integer(words.length)] + (random.integer(9) ? " " : ".\n");
  return text;
}
const text = book(30_000);

beforeAll(() => {
  const tsc = path.join(root, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root });
  writeFileSync(inFolder("book.txt"), text);
  writeFileSync(inFolder("other.txt"), `${book(5000)} ß`);
  writeFileSync(inFolder("empty.txt"), "");
  writeFileSync(inFolder("latin1.txt"), Buffer.from("ein Caf\xe9", "latin1"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("trainformer train", () => {
  it("leaves a checkpoint with the held-out loss that it reports", async () => {
    const { code, stdout, stderr } = await train("run", "--steps", "150", "--lr", "1e-2", "--sample", "20");
    expect(code, stderr).toBe(0);
    expect(stdout.trimEnd().split("\n").length).toBe(1);
    const result = lastLine(stdout);
    expect(stderr).toMatch(
      /^trainformer \S+ · cpu \S+ · \d+ threads? · 0.01 M parameters · \d+\.\d kB text, \d+ /,
    );
    expect(stderr).toMatch(/150\/150 {2}loss [\d.]+ {2}held-out [\d.]+ {2}lr [\d.e-]+ {2}\|g\| /);
    expect(result).toMatchObject({ steps: 150, out: "run", interrupted: false });
    expect(result.firstLoss).toBeCloseTo(Math.log(new Set(text).size), 1);
    expect(result.lastLoss).toBeLessThan(2);
    for (const name of ["tokensPerSecond", "peakRssBytes", "seconds"])
      expect(result[name]).toBeGreaterThan(0);

    const model = await GPT.fromPretrained(inFolder("run"));
    const tokens = (await CharTokenizer.load(inFolder("run"))).encode(text);
    expect(model.parameterCount).toBe(result.parameters);
    const [, heldOut] = TokenDataset.fromTokens(tokens).split(0.9);
    expect(await model.evaluate(heldOut)).toBeCloseTo(result.heldOutLoss, 5);
  });

  it("takes a held-out text, and does the same again with the same seed", async () => {
    const options = ["--held-out", "other.txt", "--steps", "5", "--no-bias", "--dropout", "0.1"];
    const [a, b, c] = await Promise.all([
      train("seed1", ...options),
      train("seed2", ...options),
      train("seed3", ...options, "--seed", "3"),
    ]);
    const losses = [a, b, c].map(({ stdout }) => {
      const { firstLoss, lastLoss, heldOutLoss } = lastLine(stdout);
      return [firstLoss, lastLoss, heldOutLoss];
    });
    expect(losses[0]).toEqual(losses[1]);
    expect(losses[0]).not.toEqual(losses[2]);
    expect((await CharTokenizer.load(inFolder("seed1"))).vocabulary).toContain("ß");
  });

  it.each([["SIGINT"], ["SIGTERM"]] as const)("saves and exits with 130 on %s", async (signal) => {
    let signalled = false;
    const args = ["--data", "book.txt", "--out", signal, ...small, "--steps", "1000000", "--json"];
    const { code, stdout, stderr } = await trainformer(["train", ...args], (kill) => {
      if (!signalled) [1, 2].forEach(() => kill(signal)); // npm passes a Ctrl-C on once more
      signalled = true;
    });
    expect(code, stderr).toBe(130);
    const { steps, interrupted } = lastLine(stdout);
    expect(interrupted).toBe(true);
    expect(stderr).toContain(`interrupted after step ${steps}: saved in ${signal}`);
    expect((await GPT.fromPretrained(inFolder(signal))).config.hiddenSize).toBe(32);
  });

  it("stops at a loss that is not finite and keeps the checkpoint from before", async () => {
    await train("diverged", "--steps", "1", "--sample", "0");
    const before = readFileSync(inFolder("diverged/model.safetensors"));
    const { code, stderr } = await train("diverged", "--lr", "1e38", "--warmup", "0", "--steps", "50");
    expect(code).toBe(1);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(
      /^trainformer train: step \d+: the (loss|norm of the gradient) is (NaN|Infinity); a lower --lr/,
    );
    expect(readFileSync(inFolder("diverged/model.safetensors"))).toEqual(before);
  });
});

describe("trainformer generate", () => {
  const generate = (...args: string[]) =>
    trainformer(["generate", "--model", "run", "--prompt", "the ", "--tokens", "50", ...args]);

  it("streams the same text for the same seed", async () => {
    const [a, b, c] = await Promise.all([generate(), generate("--json"), generate("--seed", "1")]);
    expect(a.code).toBe(0);
    expect(a.stdout).toMatch(/^the [\s\S]{50}\n$/);
    expect(a.chunks).toBeGreaterThan(1);
    expect(b.stdout).toBe(`${a.stdout}${b.stdout.split("\n").at(-2)}\n`);
    expect(`the ${lastLine(b.stdout).text}\n`).toBe(a.stdout);
    expect(c.stdout).not.toBe(a.stdout);
  });

  it("names the characters that it cannot read", async () => {
    const { code, stderr } = await generate("--prompt", "das große Θ");
    expect(code).toBe(1);
    expect(stderr).toBe(
      'trainformer generate: --prompt must have characters of the vocabulary of run only; got "g", "ß", "Θ"\n',
    );
  });
});

describe("trainformer", () => {
  it("says what the machine offers", async () => {
    const [facts, human] = await Promise.all([trainformer(["info", "--json"]), trainformer(["info"])]);
    const { version, isa, isas, threads } = lastLine(facts.stdout);
    expect(version).toBe(JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")).version);
    expect(isas).toContain(isa);
    expect(threads).toBeGreaterThan(0);
    expect(human.stdout).toContain(`isa          ${isa} (available: scalar`);
  });

  it("says which GPU there is, or why none", async () => {
    const { stdout } = await trainformer(["info", "--json"]);
    const [, cuda] = lastLine(stdout).devices;
    expect(cuda).toEqual(
      cuda.available
        ? expect.objectContaining({ emulated: false })
        : expect.objectContaining({ reason: expect.any(String) }),
    );
  });

  it.runIf(process.platform === "linux" && process.arch === "x64")(
    "trains, generates and tells of itself on CUDA",
    async () => {
      const [human, json] = await Promise.all([onEmulatedCuda(["info"]), onEmulatedCuda(["info", "--json"])]);
      expect(human.stdout).toMatch(/cuda: .*\(emulated\), compute capability 8\.0/);
      expect(lastLine(json.stdout).devices[1]).toMatchObject({ available: true, emulated: true });
      const run = (...args: string[]) => [
        "train",
        "--data",
        "book.txt",
        ...small,
        "--steps",
        "5",
        "--json",
        ...args,
      ];
      const [there, here] = await Promise.all([
        onEmulatedCuda(run("--out", "there", "--device", "cuda")),
        trainformer(run("--out", "here")),
      ]);
      expect(there.code, there.stderr).toBe(0);
      expect(lastLine(there.stdout)).toMatchObject({ device: "cuda" });
      expect(lastLine(there.stdout).lastLoss).toBeCloseTo(lastLine(here.stdout).lastLoss, 3);
      const generate = ["generate", "--model", "there", "--prompt", "the ", "--tokens", "5"];
      const [a, b] = await Promise.all([
        onEmulatedCuda([...generate, "--device", "cuda"]),
        trainformer(generate),
      ]);
      expect(a.stdout).toBe(b.stdout);
    },
  );

  it.each([
    [["--help"], "TRAINFORMER_THREADS"],
    [["train", "--help"], "--min-lr N"],
    [["generate", "-h"], "--top-p N"],
    [["info", "--help"], "--json"],
    [["--version"], "0."],
  ])("%j explains itself", async (args, expected) => {
    const { code, stdout, stderr } = await trainformer(args);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(expected);
  });

  it.concurrent.each([
    ["", "a command is needed: train, generate, info"],
    ["fly", "unknown command fly"],
    ["train", "--data is required"],
    ["train --data book.txt --bogus", "unknown option --bogus"],
    ["train book.txt", "unexpected argument book.txt"],
    ["train --data", "--data needs a value"],
    ["train --data book.txt --json=1", "--json takes no value"],
    ["train --data book.txt --steps many", '--steps must be an integer of at least 1; got "many"'],
    ["train --data book.txt --lr=-1", "--lr must be a number from 0"],
    ["train --data book.txt --activation tanh", "--activation must be one of gelu, geluTanh, relu, silu"],
    ["train --data book.txt --min-lr 1", "--min-lr must be at most --lr; got 1 and 0.001"],
    ["train --data book.txt --heads 3", "--width must be a multiple of --heads; got 128 and 3"],
    ["train --data book.txt --context 4000", "book.txt: is too short: --context 4000 needs more than 4000"],
    ["train --data book.txt --out book.txt", "--out book.txt: cannot be written to"],
    ["train --data none.txt", "none.txt: there is no such file"],
    ["train --data .", ".: is a folder, not a file"],
    ["train --data empty.txt", "empty.txt: is empty"],
    ["train --data latin1.txt", "latin1.txt: is not UTF-8 at byte 7"],
    ["train --data book.txt --held-out empty.txt", "empty.txt: is empty"],
    ["generate --model none --prompt x", "none/config.json: cannot be read"],
  ])("trainformer %s: one line, exit code 1", async (line, expected) => {
    const { code, stdout, stderr } = await trainformer(line.split(" ").filter(Boolean));
    expect(stderr).toContain(expected);
    expect(stderr).toMatch(/^trainformer[^\n]*: [^\n]+\n$/);
    expect([code, stdout]).toEqual([1, ""]);
  });
});

it("the example trains, writes and saves", async () => {
  const { code, stdout, stderr } = await node([path.join(root, "examples/train.mjs"), "book.txt", "20"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^step 0 loss [\d.]+\nheld-out loss [\d.]+\n/);
  expect((await GPT.fromPretrained(inFolder("run"))).config.numLayers).toBe(4);
});
