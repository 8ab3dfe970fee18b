import { spawn } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AdamW, Linear, step, sum, tensor } from "../src/index.ts";
import type { Logs, TrainerEvent, TrainerState } from "../src/train/callback.ts";
import { JSONLReporter } from "../src/train/report/jsonl-reporter.ts";
import { MetricsFile, readMetrics } from "../src/train/report/metrics-file.ts";
import { TensorBoardReporter } from "../src/train/report/tensorboard-reporter.ts";
import { program, run } from "./child.ts";
import { events, fields, records, scalarOf, tagOf } from "./event-files.ts";

let outputDir: string;
let file: string;
beforeEach(() => {
  outputDir = mkdtempSync(path.join(tmpdir(), "reporters-"));
  file = path.join(outputDir, "metrics.jsonl");
});
afterEach(() => rmSync(outputDir, { recursive: true }));

function eventAt(globalStep: number, model = new Linear(2, 2)) {
  const state: TrainerState = {
    globalStep,
    maxSteps: 100,
    epoch: globalStep / 10,
    numTrainEpochs: 10,
    logHistory: [],
    numInputTokensSeen: 0,
    totalFlos: 0,
  };
  return { model, state, control: {} } as unknown as TrainerEvent;
}

const lines = (...steps: number[]) => steps.map((step) => `{"step":${step},"loss":${step / 2}}\n`).join("");

describe("metrics.jsonl", () => {
  const log = (reporter: JSONLReporter, step: number, logs: Logs) =>
    reporter.onLog({ ...eventAt(step), logs });

  it("has a line for everything that is logged, by Hugging Face's names", async () => {
    const reporter = new JSONLReporter({ outputDir: path.join(outputDir, "deep", "er") });
    await reporter.onTrainBegin(eventAt(0));
    await log(reporter, 5, { loss: 1.712, learningRate: 3.8e-5, gradNorm: 0.483, epoch: 0.5 });
    await log(reporter, 5, { evalLoss: Number.NaN, evalF1: Number.POSITIVE_INFINITY, evalRougeL: 12 });
    const read = readFileSync(path.join(outputDir, "deep", "er", "metrics.jsonl"), "utf8");
    const [first, second] = read
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(Math.abs(first.time - Date.now() / 1000)).toBeLessThan(60);
    expect({ ...first, time: 0 }).toEqual({
      ...{ step: 5, epoch: 0.5, time: 0 },
      ...{ loss: 1.712, learning_rate: 3.8e-5, grad_norm: 0.483 },
    });
    expect({ ...second, time: 0 }).toEqual({
      ...{ step: 5, epoch: 0.5, time: 0 },
      ...{ eval_loss: "NaN", eval_f1: "Infinity", eval_rouge_l: 12 },
    });
  });

  it("goes on after the step that is resumed, and begins anew with a new run", async () => {
    const reporter = new JSONLReporter({ outputDir });
    const steps = async () => (await readMetrics(file)).map((line) => line.step);
    await reporter.onTrainBegin(eventAt(0));
    for (const step of [5, 10, 15, 20]) await log(reporter, step, { loss: 1 });
    await log(reporter, 20, { evalLoss: 2 });
    appendFileSync(file, '{"step":25,"loss":');
    const resumed = new JSONLReporter({ outputDir });
    await resumed.onTrainBegin(eventAt(10));
    expect(await steps()).toEqual([5, 10]);
    for (const step of [15, 20, 25]) await log(resumed, step, { loss: 1 });
    expect(await steps()).toEqual([5, 10, 15, 20, 25]);
    await new JSONLReporter({ outputDir }).onTrainBegin(eventAt(0));
    expect(await steps()).toEqual([]);
  });

  it("keeps what is there when an evaluation is logged without training", async () => {
    writeFileSync(file, lines(5, 10));
    await log(new JSONLReporter({ outputDir }), 0, { evalLoss: 1 });
    expect((await readMetrics(file)).map((line) => line.step)).toEqual([5, 10, 0]);
  });

  it("loses no whole line to a cut at any byte", async () => {
    const whole = lines(5, 10, 15);
    for (let length = 0; length <= whole.length; length++) {
      writeFileSync(file, whole.slice(0, length));
      const complete = whole.slice(0, length).split("\n").length - 1;
      expect((await readMetrics(file)).length).toBe(complete);
      const metrics = await MetricsFile.open(file, 100);
      await metrics.append({ step: 20, loss: 10 });
      expect(readFileSync(file, "utf8")).toBe(lines(...[5, 10, 15].slice(0, complete), 20));
    }
  });

  it("is whole, save a last line, when the process is killed", async () => {
    const child = spawn(process.execPath, [program("reporting.mjs"), "kill", file]);
    await new Promise((ready) => child.stdout.once("data", ready));
    child.kill("SIGKILL");
    await new Promise((exit) => child.once("exit", exit));
    const steps = (await readMetrics(file)).map(({ step }) => step);
    expect(steps.length).toBeGreaterThanOrEqual(200);
    expect(steps).toEqual(steps.map((_, i) => i + 1));
  });

  it("is left alone when nothing has to go", async () => {
    writeFileSync(file, lines(5, 10));
    appendFileSync(file, '{ "step": 10,   "eval_loss": 2 }\n');
    const before = readFileSync(file, "utf8");
    await MetricsFile.open(file, 10);
    expect(readFileSync(file, "utf8")).toBe(before);
    expect(readdirSync(outputDir)).toEqual(["metrics.jsonl"]);
  });

  it.each([
    ["{]\n", /metrics\.jsonl:2: must be a JSON object;/],
    ["[]\n", 'metrics.jsonl:2: must be a JSON object with an integer "step"; got undefined'],
    ["null\n", 'an integer "step"'],
    ['{"step":"1"}\n', 'an integer "step"; got 1'],
    ["\n", "must be a JSON object"],
  ])("names a line that is malformed: %j", async (line, message) => {
    const text = lines(5) + line + lines(10);
    writeFileSync(file, text);
    await expect(readMetrics(file)).rejects.toMatchObject({ code: "ERR_DATA" });
    await expect(MetricsFile.open(file, 5)).rejects.toThrow(message);
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  it("says what cannot be read or written", async () => {
    expect(await readMetrics(file)).toEqual([]);
    mkdirSync(file);
    await expect(readMetrics(file)).rejects.toMatchObject({ code: "ERR_DATA" });
    const blocked = path.join(outputDir, "blocked");
    writeFileSync(blocked, "");
    await expect(MetricsFile.open(path.join(blocked, "a.jsonl"))).rejects.toMatchObject({
      code: "ERR_CHECKPOINT",
    });
    const metrics = await MetricsFile.open(path.join(outputDir, "a", "b.jsonl"));
    rmSync(path.join(outputDir, "a"), { recursive: true });
    await expect(metrics.append({ step: 1 })).rejects.toThrow("b.jsonl: cannot be written");
  });
});

describe("TensorBoardReporter", () => {
  const runs = () => path.join(outputDir, "runs");
  const files = () => readdirSync(runs()).map((name) => path.join(runs(), name));
  const read = () => files().flatMap(events);

  it("writes Hugging Face's tags, and another file when a run is resumed", async () => {
    const reporter = new TensorBoardReporter({ outputDir });
    await reporter.onTrainBegin(eventAt(0));
    await reporter.onLog({ ...eventAt(5), logs: { loss: 1, learningRate: 2, gradNorm: 3, trainRuntime: 4 } });
    await reporter.onLog({ ...eventAt(5), logs: { evalLoss: 1, evalF1: 2, testAccuracy: 3 } });
    await reporter.onTrainEnd();
    expect(
      read()
        .slice(2)
        .map((event) => [tagOf(event), event.step, scalarOf(event)]),
    ).toEqual([
      ["train/loss", 5, 1],
      ["train/learning_rate", 5, 2],
      ["train/grad_norm", 5, 3],
      ["train/train_runtime", 5, 4],
      ["eval/loss", 5, 1],
      ["eval/f1", 5, 2],
      ["test/accuracy", 5, 3],
    ]);
    const [first] = files();
    const before = readFileSync(first!);
    const resumed = new TensorBoardReporter({ outputDir });
    await resumed.onTrainBegin(eventAt(5));
    await resumed.onTrainEnd();
    const [second] = files().filter((name) => name !== first);
    expect(readFileSync(first!)).toEqual(before);
    // Event.session_log.status = START: what earlier files have from this step on is hidden.
    const { payloads } = records(readFileSync(second!));
    expect(fields(payloads.at(-1)!)).toMatchObject({ 2: 6, 7: Buffer.of(0x08, 0x01) });
  });

  it("writes the configuration of a model that has one", async () => {
    const reporter = new TensorBoardReporter({ outputDir });
    const model = Object.assign(new Linear(2, 2), { config: { hiddenSize: 64 } });
    await reporter.onTrainBegin(eventAt(0, model));
    await reporter.onTrainEnd();
    const { 1: tag, 8: content } = read().at(-1)!.value;
    expect(String(tag)).toBe("model_config/text_summary");
    expect(String(fields(content as Buffer)[8])).toBe('```json\n{\n  "hiddenSize": 64\n}\n```');
  });

  it("writes histograms of weights, and of the gradients of the update that follows", async () => {
    const model = new Linear(2, 2);
    const optimizer = new AdamW(model.parameters());
    const reporter = new TensorBoardReporter({ outputDir, histogramEvery: 2 });
    await reporter.onTrainBegin(eventAt(0, model));
    const update = async (globalStep: number) => {
      const event = eventAt(globalStep, model);
      step(() => {
        sum(model(tensor([1, 2, 3, 4], [2, 2]))).backward();
        reporter.onPreOptimizerStep(event);
        optimizer.step();
      });
      await reporter.onStepEnd(event);
    };
    for (let i = 1; i <= 4; i++) {
      await update(i);
      await reporter.onEvaluate(eventAt(i, model));
    }
    await reporter.onTrainEnd();
    const histograms = read().filter(({ value }) => value[5]);
    expect(histograms.map((event) => `${event.step} ${tagOf(event)}`)).toEqual([
      ...["2 weights/weight", "2 weights/bias", "3 gradients/weight", "3 gradients/bias"],
      ...["4 weights/weight", "4 weights/bias"],
    ]);
    // Sums over the rows of x, which the optimizer overwrote.
    const numbers = (i: number) => {
      const {
        1: min,
        2: max,
        3: count,
      } = fields(histograms[i]!.value[5] as Buffer) as Record<number, Buffer>;
      return [min, max, count].map((bytes) => bytes!.readDoubleLE());
    };
    expect(numbers(2)).toEqual([4, 6, 4]);
    expect(numbers(3)).toEqual([2, 2, 2]);
  });

  it("counts what is not finite", async () => {
    const model = new Linear(2, 2);
    const reporter = new TensorBoardReporter({ outputDir, histogramEvery: 1 });
    model.weight.set([1, Number.NaN, Number.NEGATIVE_INFINITY, 2]);
    model.bias!.set([Number.NaN, Number.NaN]);
    await reporter.onEvaluate(eventAt(3, model));
    await reporter.onTrainEnd();
    expect(read().map(tagOf)).toEqual([
      "weights/weight",
      "nonfinite/weights/weight",
      "nonfinite/weights/bias",
    ]);
    expect(read().slice(1).map(scalarOf)).toEqual([2, 2]);
  });

  it("refuses what is no number of evaluations", () => {
    expect(() => new TensorBoardReporter({ outputDir, histogramEvery: -1 })).toThrow(
      "TensorBoardReporter: histogramEvery must be an integer of at least 0; got -1",
    );
  });
});

describe("the cursor", () => {
  it.each([
    ["throw", 1],
    ["reject", 1],
    ["exit", 3],
    ["return", 0],
  ])("is on a line of its own when the process ends: %s", async (ending, status) => {
    const env = { ...process.env, TERM: "xterm", NO_COLOR: "1" };
    const { status: ended, stderr } = await run(process.execPath, [program("reporting.mjs"), ending], {
      env,
    });
    expect(ended).toBe(status);
    const [bar, rest] = stderr.split("\x1b[K");
    expect(bar).toMatch(/^\r {2}█+░+ {2}3\/10$/);
    expect(rest!.startsWith("\n")).toBe(true);
    if (status === 1) expect(rest).toContain("out of luck");
    else expect(rest).toBe("\n");
  });
});
