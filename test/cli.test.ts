import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { CharTokenizer, GPT, TokenDataset } from "../src/index.ts";
import { Random } from "../src/random.ts";
import { root } from "./child.ts";
import { cli, failure, lastLine } from "./cli-run.ts";

const { inFolder, node, trainformer } = cli("cli");
const small = "--layers 1 --heads 2 --width 32 --context 16 --batch 4".split(" ");
const onEmulatedCuda = (args: readonly string[]) =>
  trainformer(args, { env: { TRAINFORMER_CUDA: "emulated" } });
const train = (out: string, ...args: string[]) =>
  trainformer(["train", "--data", "book.txt", "--out", out, ...small, "--json", ...args]);

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
  writeFileSync(inFolder("book.txt"), text);
  writeFileSync(inFolder("other.txt"), `${book(5000)} ß`);
  writeFileSync(inFolder("empty.txt"), "");
  writeFileSync(inFolder("list.json"), "[1]");
  writeFileSync(inFolder("typo.json"), '{ "data": "book.txt", "min-lrr": 1 }');
  writeFileSync(inFolder("latin1.txt"), Buffer.from("ein Caf\xe9", "latin1"));
});

describe("trainformer train", () => {
  it("leaves a checkpoint with the held-out loss that it reports", async () => {
    const { code, stdout, stderr } = await train("run", "--steps", "150", "--lr", "1e-2", "--sample", "20");
    expect(code, stderr).toBe(0);
    expect(stdout.trimEnd().split("\n").length).toBe(1);
    const result = lastLine(stdout);
    expect(stderr).toMatch(
      /^trainformer \S+ · cpu \S+ · \d+ threads? · 0.01 M parameters · \d+ KB text, \d+ /,
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
    const { code, stdout, stderr } = await trainformer(["train", ...args], {
      onStderr(_, child) {
        if (!signalled) [1, 2].forEach(() => child.kill(signal)); // npm passes a Ctrl-C on once more
        signalled = true;
      },
    });
    expect(code, stderr).toBe(130);
    const { steps, interrupted } = lastLine(stdout);
    expect(interrupted).toBe(true);
    expect(stderr).toContain(`interrupted after step ${steps}: saved in ${signal}`);
    expect((await GPT.fromPretrained(inFolder(signal))).config.hiddenSize).toBe(32);
  });

  it("goes on after Ctrl-C as if it had never stopped", async () => {
    const sizes =
      "--steps 500 --save-every 20 --dropout 0.1 --eval-every 250 --optim lion --lr 1e-3 --sample 0";
    const options = sizes.split(" ");
    const whole = await train("whole", ...options);
    expect(whole.code, whole.stderr).toBe(0);
    const args = ["train", "--data", "book.txt", "--out", "parts", ...small, "--json", ...options];
    const first = await trainformer(args, {
      onStart(child) {
        const timer = setInterval(() => {
          if (!existsSync(inFolder("parts/checkpoint-20"))) return;
          clearInterval(timer);
          child.kill("SIGINT");
        }, 5).unref();
      },
    });
    expect([first.code, lastLine(first.stdout).interrupted]).toEqual([130, true]);
    expect(lastLine(first.stdout).steps).toBeGreaterThanOrEqual(20);
    expect(lastLine(first.stdout).steps).toBeLessThan(500);

    const refused = await trainformer(args);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(
      /--out parts holds checkpoints of another run, up to step \d+: --resume goes on/,
    );
    const rest = await trainformer([...args, "--resume"]);
    expect([rest.code, lastLine(rest.stdout).steps], rest.stderr).toEqual([0, 500]);
    expect(lastLine(rest.stdout).firstLoss).not.toBe(lastLine(whole.stdout).firstLoss);
    const [expected, got] = ["whole", "parts"].map((name) =>
      readFileSync(inFolder(`${name}/model.safetensors`)),
    );
    expect(got!.equals(expected!)).toBe(true);
    expect(lastLine(rest.stdout).heldOutLoss).toBe(lastLine(whole.stdout).heldOutLoss);
  });

  it("takes schedules, accumulation, averages, patience and reports", async () => {
    const more = "--accumulate 2 --schedule linear --ema 0.9 --checkpointing --report-to jsonl --log-every 5";
    const options = "--steps 400 --lr 0 --eval-every 5 --patience 2";
    const { code, stdout, stderr } = await train("more", ...more.split(" "), ...options.split(" "));
    expect(code, stderr).toBe(0);
    expect(lastLine(stdout).steps).toBe(15); // nothing is learnt at a rate of 0
    const lines = readFileSync(inFolder("more/metrics.jsonl"), "utf8").trim().split("\n");
    const logged = lines.map((line) => JSON.parse(line)).filter(({ loss }) => loss !== undefined);
    expect(logged.map(({ step }) => step)).toEqual([5, 10, 15]);
    const checkpoints = readdirSync(inFolder("more")).filter((name) => name.startsWith("checkpoint-"));
    expect(checkpoints.length).toBeLessThanOrEqual(2);
  });

  it("stops at a loss that is not finite and keeps the checkpoint from before", async () => {
    await train("diverged", "--steps", "1", "--sample", "0");
    const before = readFileSync(inFolder("diverged/model.safetensors"));
    const diverging = ["--lr", "1e38", "--warmup", "0", "--steps", "50", "--force"];
    const { code, stderr } = await train("diverged", ...diverging);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(
      /^trainformer train: step \d+: the loss is .*; a lower --lr, a longer --warmup or a smaller --grad-clip/,
    );
    expect(readFileSync(inFolder("diverged/model.safetensors"))).toEqual(before);
  });
});

describe("trainformer generate", () => {
  const generate = (...args: string[]) =>
    trainformer(["generate", "--model", "run", "--prompt", "the ", "--max-new-tokens", "50", ...args]);

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
      expect(human.stdout).toMatch(/cuda +.*\(emulated\),\s+compute\s+capability\s+8\.0/);
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
      const generate = ["generate", "--model", "there", "--prompt", "the ", "--max-new-tokens", "5"];
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

  it.each([
    ["", 2, "a command is needed: train, "],
    ["fly", 2, "unknown command fly; the nearest is "],
    ["tokenizer", 2, "tokenizer must be followed by what to do: tokenizer train, "],
    ["generat --model run", 2, "unknown command generat; the nearest is generate"],
    ["train", 2, "--data is required"],
    ["train --data book.txt --dorpout 0", 2, "unknown option --dorpout; the nearest is --dropout"],
    ["train --data book.txt --noBias", 2, "unknown option --noBias; the nearest is --no-bias"],
    ["train book.txt", 2, "unexpected argument book.txt"],
    ["train --data", 2, "--data needs a value"],
    ["train --data --json", 2, "--data needs a value"],
    ["train --data book.txt --json=1", 2, "--json takes no value"],
    ["train --data book.txt --steps many", 2, '--steps must be an integer of at least 1; got "many"'],
    ["train --data book.txt --lr=-1", 2, "--lr must be a number from 0"],
    ["train --data book.txt --activation tanh", 2, "--activation must be one of gelu, geluTanh, relu, silu"],
    ["train --data book.txt --device tpu", 2, "--device must be cpu, cuda or cuda:<number>"],
    ["train --data book.txt --min-lr 1", 2, "--min-lr must be at most --lr; got 1 and 0.001"],
    ["train --data book.txt --schedule linear --min-lr 0", 2, "--min-lr needs --schedule cosine"],
    ["train --data book.txt --report-to wandb", 2, "--report-to must be jsonl or tensorboard"],
    ["train --data book.txt --resume --force", 2, "--resume excludes --force; got both"],
    ["train --data book.txt --out none --resume", 1, "--resume: --out none must hold a checkpoint"],
    ["train --data book.txt --heads 3", 2, "--width must be a multiple of --heads; got 128 and 3"],
    [
      "train --data book.txt --context 4000",
      1,
      "book.txt: is too short: --context 4000 needs more than 4000",
    ],
    ["train --data book.txt --out book.txt", 1, "--out book.txt: cannot be written to"],
    ["train --data none.txt", 1, "none.txt: there is no such file"],
    ["train --data .", 1, ".: is a folder, not a file"],
    ["train --data empty.txt", 1, "empty.txt: is empty"],
    ["train --data latin1.txt", 1, "latin1.txt: is not UTF-8 at byte 7"],
    ["train --data book.txt --held-out empty.txt", 1, "empty.txt: is empty"],
    ["train --config none.json", 2, "--config none.json: cannot be read"],
    ["train --config book.txt", 2, "--config book.txt: is no JSON"],
    ["train --config list.json", 2, "--config list.json: must be an object of options; got [1]"],
    ["train --config typo.json", 2, 'typo.json: no option is called "min-lrr"; the nearest is "minLr"'],
    ["generate --model none --prompt x", 1, "none/config.json: cannot be read"],
  ])("trainformer %s: one line, exit code %i", async (line, exitCode, expected) => {
    const { message, ...rest } = await failure(line);
    expect(message).toContain(expected);
    expect(message).toMatch(/^trainformer[^\n]*: [^\n]+$/);
    expect(rest.exitCode).toBe(exitCode);
  });

  it("exits with 1 on a failure and 2 on a wrong command line, with a line on stderr", async () => {
    const [failed, wrong] = await Promise.all([
      trainformer(["train", "--data", "none.txt"]),
      trainformer(["train", "--data"]),
    ]);
    expect(failed).toMatchObject({
      code: 1,
      stdout: "",
      stderr: "trainformer train: none.txt: there is no such file\n",
    });
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toMatch(/^trainformer train: --data needs a value; [^\n]+\n$/);
  });

  it("ends well when nobody reads on", async () => {
    const args = ["generate", "--model", "run", "--prompt", "the ", "--max-new-tokens", "100000"];
    const { code, stderr } = await trainformer(args, { onStdout: (_, child) => child.hangUp() });
    expect([code, stderr]).toEqual([0, ""]);
  });
});

it("the example trains, writes and saves", async () => {
  const { code, stdout, stderr } = await node([path.join(root, "examples/train.mjs"), "book.txt", "20"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^step 0 loss [\d.]+\nheld-out loss [\d.]+\n/);
  expect((await GPT.fromPretrained(inFolder("run"))).config.numLayers).toBe(4);
});
