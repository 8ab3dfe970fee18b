import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Linear } from "../src/index.ts";
import { showBytes } from "../src/print.ts";
import type { Logs, TrainerEvent, TrainerState } from "../src/train/callback.ts";
import { ConsoleLines } from "../src/train/report/console-lines.ts";
import { ConsoleTable } from "../src/train/report/console-table.ts";
import { formatNumber } from "../src/train/report/formats.ts";
import { measurePeakFlops } from "../src/train/report/peak-flops.ts";
import { ProgressBar } from "../src/train/report/progress-bar.ts";
import { reporters } from "../src/train/report/reporters.ts";
import { Screen } from "./screen.ts";

beforeEach(() => void vi.stubEnv("TERM", "xterm-256color").stubEnv("NO_COLOR", ""));
afterEach(() => void vi.unstubAllEnvs());

const model = new Linear(2, 2);
const control = {
  shouldTrainingStop: false,
  shouldEpochStop: false,
  shouldEvaluate: false,
  shouldSave: false,
  shouldLog: false,
};

/** Events of a run of 100 updates. */
function run(overrides: Partial<TrainerState> = {}) {
  const state: TrainerState = {
    globalStep: 0,
    maxSteps: 100,
    epoch: 0,
    numTrainEpochs: 2,
    logHistory: [],
    numInputTokensSeen: 0,
    totalFlos: 0,
    ...overrides,
  };
  return { state, event: { model, state, control } as TrainerEvent };
}

function setUpBar({ columns = 200, isTTY = true, hasColors = false, peakFlops = 0 } = {}) {
  const screen = new Screen(isTTY, columns, hasColors);
  const clock = { ms: 0 };
  const bar = new ProgressBar({ stream: screen, now: () => clock.ms, ...(peakFlops && { peakFlops }) });
  const { state, event } = run();
  const step = (ms: number, values: { loss?: number; gradNorm?: number } = {}) => {
    clock.ms += ms;
    state.globalStep++;
    state.numInputTokensSeen += 500;
    state.totalFlos += 2e9;
    bar.onStepEnd({ ...event, ...values });
  };
  return { screen, clock, bar, state, event, step };
}

describe("ProgressBar as a callback", () => {
  it("shows what the trainer tells, speed and time left at the recent pace, and memory", () => {
    const { screen, bar, event, step } = setUpBar();
    bar.onTrainBegin(event);
    expect(screen.line).toMatch(/^ {2}░{24} {2}0\/100 {2}\d+ B$/);
    for (let i = 0; i < 10; i++) step(250, { loss: 3 - i / 10, gradNorm: 0.5 });
    bar.onLog({ ...event, logs: { loss: 2, learningRate: 3e-4, gradNorm: 0.7, epoch: 0.2 } });
    bar.onLog({ ...event, logs: { evalLoss: 2.5, evalRuntime: 3 } });
    step(250, { loss: 1.25 });
    expect(screen.line).toMatch(
      / 11\/100 {2}loss 1\.250 {2}held-out 2\.500 {2}lr 3\.0e-4 {2}\|g\| 0\.50 {2}2\.0k tok\/s {2}\d+ B {2}0:22 left$/,
    );
  });

  it("knows utilization only with a peak", () => {
    const [without, given] = [setUpBar(), setUpBar({ peakFlops: 20e9 })];
    for (const { bar, event, step } of [without, given]) {
      bar.onTrainBegin(event);
      for (let i = 0; i < 5; i++) step(500);
    }
    expect(without.screen.line).not.toContain("mfu");
    expect(given.screen.line).toContain("mfu 20%"); // 2e9 / 0.5 s of 20e9
  });

  it("leaves evaluations and checkpoints out of the speed, not out of the time left", () => {
    const { screen, clock, bar, event, step } = setUpBar();
    bar.onTrainBegin(event);
    for (let i = 0; i < 10; i++) {
      for (let j = 0; j < 5; j++) step(100);
      clock.ms += 400;
      bar.onEvaluate();
      clock.ms += 100;
      bar.onSave();
    }
    expect(screen.line).toContain("5.0k tok/s");
    const left = Number(/0:(\d+) left/.exec(screen.line)![1]);
    expect(left).toBeGreaterThan(9);
    expect(left).toBeLessThan(11);
  });

  it("counts from the step of a run that is resumed", () => {
    const screen = new Screen(true, 200);
    const clock = { ms: 0 };
    const bar = new ProgressBar({ stream: screen, now: () => clock.ms });
    const { state, event } = run({ globalStep: 90, numInputTokensSeen: 1e9, totalFlos: 1e18 });
    bar.onTrainBegin(event);
    for (let i = 0; i < 5; i++) {
      clock.ms += 1000;
      state.globalStep++;
      state.numInputTokensSeen += 700;
      bar.onStepEnd(event);
    }
    expect(screen.line).toMatch(/95\/100 {2}700 tok\/s .* 0:05 left$/);
  });

  it("ends the line when training ends, early or not, and can be used again", () => {
    const { screen, bar, event, state, step } = setUpBar();
    for (const steps of [100, 3]) {
      state.globalStep = 0;
      bar.onTrainBegin(event);
      for (let i = 0; i < steps; i++) step(1);
      bar.onLog({ ...event, logs: { evalLoss: 1 } });
      expect(screen.text.endsWith("\n")).toBe(false);
      bar.onTrainEnd();
      expect(screen.line).toMatch(`${steps}/100  held-out 1.000`);
      expect(screen.text.endsWith("\x1b[K\n")).toBe(true);
    }
    expect(screen.listenerCount("resize")).toBe(0);
  });

  it("draws anew when the window changes", () => {
    const { screen, bar, event, step } = setUpBar({ columns: 200 });
    bar.onTrainBegin(event);
    for (let i = 0; i < 10; i++) step(250, { loss: 3 });
    expect(screen.line.length).toBeGreaterThan(60);
    screen.columns = 40;
    screen.emit("resize");
    expect(screen.line.length).toBeLessThan(40);
    expect(screen.line).toContain("10/100  loss 3.000");
    bar.finish();
    const { writes } = screen;
    screen.emit("resize");
    expect(screen.writes).toBe(writes);
  });

  it("colours the bar where colours are wanted, in as many columns", () => {
    const draw = (hasColors: boolean) => {
      const { screen, bar } = setUpBar({ columns: 60, hasColors });
      bar.update({ step: 30, steps: 100, loss: 1 });
      return screen.writes.at(-1)!;
    };
    const plain = draw(false);
    expect(plain).toBe(`\r  ${"█".repeat(7)}${"░".repeat(17)}  30/100  loss 1.000\x1b[K`);
    expect(draw(true)).toBe(
      `\r  \x1b[36m${"█".repeat(7)}\x1b[39m\x1b[2m${"░".repeat(17)}\x1b[22m  30/100  loss 1.000\x1b[K`,
    );
    vi.stubEnv("NO_COLOR", "1");
    expect(draw(true)).toBe(plain);
  });

  it("writes plain lines to a terminal that cannot move", () => {
    vi.stubEnv("TERM", "dumb");
    const { screen, bar } = setUpBar();
    bar.update({ step: 30, steps: 100, loss: 1 });
    bar.finish();
    expect(screen.writes).toEqual(["30/100  loss 1.000\n"]);
  });

  it("writes plain lines elsewhere, the last of them once", () => {
    const { screen, bar, event, step, state } = setUpBar({ isTTY: false });
    bar.onTrainBegin(event);
    for (let i = 0; i < 100; i++) step(200, { loss: 1 });
    bar.onLog({ ...event, logs: { loss: 0.5, evalLoss: 2 } });
    bar.onTrainEnd();
    const shown = screen.text.replaceAll(/\d+ B\b/g, "- B").split("\n");
    expect(shown).toEqual([
      "0/100  - B",
      "25/100  loss 1.000  2.5k tok/s  - B  0:15 left",
      "50/100  loss 1.000  2.5k tok/s  - B  0:10 left",
      "75/100  loss 1.000  2.5k tok/s  - B  0:05 left",
      "100/100  loss 1.000  2.5k tok/s  - B  in 0:20",
      "100/100  loss 1.000  held-out 2.000  2.5k tok/s  - B  in 0:20",
      "",
    ]);
    expect(state.globalStep).toBe(100);
  });

  it("refuses a peak that is none", () => {
    expect(() => new ProgressBar({ peakFlops: 0 })).toThrow("ProgressBar: peakFlops must be");
    expect(() => new ProgressBar({ peakFlops: Number.NaN })).toThrow("got NaN");
  });
});

function evaluate(table: ConsoleTable, step: number, metrics: Logs, loss?: number) {
  const { event } = run({ globalStep: step, epoch: step / 50 });
  if (loss !== undefined) table.onLog({ ...event, logs: { loss, epoch: step / 50 } });
  table.onEvaluate({ ...event, metrics });
}

describe("ConsoleTable", () => {
  it("writes a row for each evaluation", () => {
    const screen = new Screen(false);
    const table = new ConsoleTable({ stream: screen });
    const machine = { evalRuntime: 3.1, evalSamplesPerSecond: 3, evalStepsPerSecond: 9, epoch: 1 };
    evaluate(table, 25, { evalLoss: 1.934, evalAccuracy: 0.813, evalRougeL: 72.31, ...machine });
    evaluate(table, 50, { evalLoss: Number.NaN, evalAccuracy: 1, evalRougeL: 1234.5, ...machine }, 1.6041);
    expect(screen.text).toBe(
      [
        "   step    epoch  training loss  validation loss  accuracy  rouge l",
        "───────────────────────────────────────────────────────────────────",
        "     25     0.50              –            1.934     0.813    72.31",
        "     50     1.00          1.604              NaN         1     1235",
        "",
      ].join("\n"),
    );
  });

  it("leaves out columns that do not fit, and says so", () => {
    for (const [columns, header] of [
      [80, "   step    epoch  training loss  validation loss  accuracy  rouge l"],
      [67, "   step  training loss  validation loss  accuracy  rouge l …"],
      [60, "   step  validation loss  accuracy  rouge l …"],
      [40, "   step  validation loss  accuracy …"],
      [30, "   step  validation loss …"],
      [5, "   step …"],
    ] as const) {
      const screen = new Screen(true, columns);
      evaluate(new ConsoleTable({ stream: screen }), 25, { evalLoss: 1, evalAccuracy: 0.8, evalRougeL: 72 });
      const lines = screen.text.split("\n");
      expect(lines[0]).toBe(header);
      if (columns > 10) for (const line of lines) expect(line.length).toBeLessThan(columns);
    }
  });

  it("begins anew with other measures, and with each run", () => {
    const screen = new Screen(false);
    const table = new ConsoleTable({ stream: screen });
    const headers = () => screen.text.split("\n").filter((line) => line.includes("step")).length;
    evaluate(table, 25, { evalLoss: 1 }, 2);
    evaluate(table, 50, { evalLoss: 1 });
    expect(headers()).toBe(1);
    evaluate(table, 50, { evalLoss: 1, evalF1: 0.5 });
    expect(headers()).toBe(2);
    table.onTrainBegin();
    evaluate(table, 25, { evalLoss: 1, evalF1: 0.5 });
    expect(headers()).toBe(3);
    expect(screen.text.split("\n").at(-2)).toContain("–");
  });
});

describe("what is printed while a bar stands", () => {
  it("comes above it", () => {
    const { screen, bar, event, step } = setUpBar({ columns: 60 });
    const lines = new ConsoleLines({ stream: screen });
    bar.onTrainBegin(event);
    step(250);
    const standing = screen.line;
    screen.writes = [];
    lines.onLog({ ...event, logs: { loss: 1.7118, learningRate: 3.8e-5, gradNorm: 0.48312, epoch: 0.5 } });
    expect(screen.writes).toEqual([
      "\r\x1b[K",
      "1/100  loss 1.712  learning rate 3.8e-5  grad norm 0.483  epoch 0.500\n",
      `\r${standing}\x1b[K`,
    ]);
    bar.finish();
  });

  it("leaves it alone when it goes elsewhere", () => {
    const { screen, bar, event } = setUpBar();
    bar.onTrainBegin(event);
    const file = new Screen(false);
    const { length } = screen.writes;
    new ConsoleLines({ stream: file }).onLog({ ...event, logs: { loss: 1 } });
    expect(file.text).toBe("0/100  loss 1\n");
    expect(screen.writes.length).toBe(length);
    bar.finish();
  });
});

describe("measurePeakFlops", () => {
  it("is that of a processor, and much the same again", async () => {
    const [one, two] = [await measurePeakFlops(), await measurePeakFlops()];
    expect(one).toBeGreaterThan(1e8);
    expect(one).toBeLessThan(1e14);
    expect(Math.max(one, two) / Math.min(one, two)).toBeLessThan(10);
  });
});

describe("formats", () => {
  it("writes numbers with four figures or less", () => {
    const values = [
      0,
      1,
      0.05,
      0.5,
      1.71184,
      23.456,
      231.12,
      1234.5,
      87654.3,
      0.0061,
      1e12,
      1.5e9,
      -2.5,
      NaN,
      -Infinity,
    ];
    expect(values.map(formatNumber)).toEqual(
      "0 1 0.050 0.500 1.712 23.46 231.1 1235 87654 6.1e-3 1.0e+12 1.5e+9 -2.500 NaN -Infinity".split(" "),
    );
    expect([0, 512e3, 3.14e6, 312.4e6, 999.6e6, 24.13e9].map(showBytes)).toEqual([
      "0 B",
      "512 KB",
      "3.1 MB",
      "312 MB",
      "1.0 GB",
      "24.1 GB",
    ]);
  });
});

describe("reporters", () => {
  it("makes them by name, each once", () => {
    const made = reporters(["progress", "jsonl", "tensorboard", "table", "console", "jsonl"], {
      outputDir: "x",
    });
    expect(made.map((reporter) => reporter.constructor.name)).toEqual([
      "ProgressBar",
      "JSONLReporter",
      "TensorBoardReporter",
      "ConsoleTable",
      "ConsoleLines",
    ]);
    expect(reporters([], { outputDir: "x" })).toEqual([]);
  });

  it("names those that there are", () => {
    expect(() => reporters(["wandb"], { outputDir: "x" })).toThrow(
      'reportTo: names must be of progress, table, console, jsonl, tensorboard; got "wandb"',
    );
    expect(() => reporters(["constructor"], { outputDir: "x" })).toThrow("reportTo");
  });
});
