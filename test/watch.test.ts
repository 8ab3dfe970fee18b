import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { AdamW, GPT, Linear, Module, step, sum, type Tensor, tensor } from "../src/index.ts";
import {
  History,
  type HistoryData,
  type Point,
  thinned,
  type WatchLine,
} from "../src/inspect/watch/history.ts";
import { WatchReporter } from "../src/inspect/watch/index.ts";
import { LayerMonitor } from "../src/inspect/watch/layer-norms.ts";
import { repeatedTokens, shares } from "../src/inspect/watch/probe.ts";
import { RunFile } from "../src/inspect/watch/run-file.ts";
import { ask } from "./http.ts";
import { alphabet, trainWatched } from "./watch-run.ts";

const root = mkdtempSync(path.join(tmpdir(), "trainformer-watch-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newFolder = () => path.join(root, String(folders++));
const linesOf = (folder: string) =>
  readFileSync(path.join(folder, "watch.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as WatchLine);

describe("thinning", () => {
  test("keeps spikes, order and the last point, and has a bound", () => {
    const points = Array.from({ length: 50_000 }, (_, i): Point => [i, Math.sin(i / 700)]);
    points[12_345] = [12_345, 90];
    points[40_001] = [40_001, -90];
    const few = thinned(points, 2000);
    expect(few.length).toBeLessThanOrEqual(2000);
    expect(few).toContainEqual([12_345, 90]);
    expect(few).toContainEqual([40_001, -90]);
    expect(few.at(-1)).toEqual([49_999, Math.sin(49_999 / 700)]);
    expect(few.map(([at]) => at)).toEqual(few.map(([at]) => at).sort((a, b) => a - b));
    expect(thinned(points.slice(0, 1500), 2000)).toEqual(points.slice(0, 1500));
  });

  test("a history of 100,000 steps stays small, its extremes stay", () => {
    const history = new History();
    for (let at = 1; at <= 100_000; at++) {
      history.add({
        kind: "log",
        step: at,
        time: at,
        values: { loss: at === 77_777 ? 500 : 3, grad_norm: "NaN" },
      });
      if (at % 10 === 0)
        history.add({ kind: "layers", step: at, gradients: [at === 50_000 ? 9 : 1, 1], ratios: [0, 0] });
    }
    const data = history.data();
    expect(data.series.loss!.length).toBeLessThanOrEqual(2000);
    expect(data.series.loss).toContainEqual([77_777, 500]);
    expect(data.rows.length).toBeLessThanOrEqual(1000);
    expect(Math.max(...data.rows.map(({ gradients }) => gradients[0]!))).toBe(9);
    const back = History.from(JSON.parse(JSON.stringify(data)) as HistoryData);
    expect(back.data().rows).toEqual(data.rows);
    expect(back.step).toBe(100_000);
  });
});

describe("the file of a run", () => {
  const log = (at: number): WatchLine => ({ kind: "log", step: at, time: 1, values: { loss: at } });

  test("is read from an offset, without a line that is not whole", async () => {
    const folder = newFolder();
    const file = new RunFile(folder);
    await file.resume(0);
    await Promise.all([1, 2, 3].map((at) => file.append(log(at))));
    const { lines, end } = await file.read(0);
    expect(lines).toEqual([log(1), log(2), log(3)]);
    expect(end).toBe(await file.size());
    appendFileSync(file.path, '{"kind":"lo');
    expect(await file.read(end)).toEqual({ lines: [], end });
    appendFileSync(file.path, 'g","step":4,"time":1,"values":{}}\n');
    expect((await file.read(end)).lines.map(({ step }) => step)).toEqual([4]);
    await expect(file.read(10_000)).rejects.toThrow(/has \d+ bytes, not 10000/);
  });

  test("goes on behind the step that a run resumes from, and begins anew at step 0", async () => {
    const folder = newFolder();
    const file = new RunFile(folder);
    await file.resume(0);
    for (const at of [10, 20, 30]) await file.append(log(at));
    await file.append({ kind: "end", step: 30, time: 2 });
    await file.resume(20);
    expect(linesOf(folder)).toEqual([log(10), log(20)]);
    await file.resume(0);
    expect(readFileSync(file.path, "utf8")).toBe("");
  });
});

describe("the norms of layers", () => {
  class Stack extends Module {
    head = new Linear(3, 3);
    blocks = [new Linear(3, 3), new Linear(3, 3)];
    forward(x: Tensor): Tensor {
      return this.head(this.blocks.reduce((y, block) => block(y), x));
    }
  }

  test("are those of gradients and of the update's step", async () => {
    const model = new Stack();
    const optimizer = new AdamW(model.parameters(), { learningRate: 0.01, weightDecay: 0 });
    const monitor = new LayerMonitor(model);
    expect(monitor.labels).toEqual(["outside", "layer 1", "layer 2"]);
    const x = tensor([[0.5, -1, 2]]);
    const before = await Promise.all(model.blocks.map((block) => block.weight.toTypedArray()));
    const gradients: Promise<Iterable<number>>[][] = [];
    step(() => {
      const y = model(x);
      sum(y).backward();
      for (const layer of [model.head, ...model.blocks]) {
        gradients.push(
          [...layer.parameters()].map((p) => p.grad!.toTypedArray() as Promise<Iterable<number>>),
        );
      }
      monitor.beforeUpdate();
      optimizer.step();
    });
    const found = (await monitor.afterUpdate())!;
    const length = (values: Iterable<number>) => Math.hypot(...values);
    for (const [k, layer] of gradients.entries()) {
      const parts = await Promise.all(layer);
      expect(found.gradients[k]).toBeCloseTo(Math.hypot(...parts.map(length)), 4);
    }
    for (const [k, block] of model.blocks.entries()) {
      const after = (await block.weight.toTypedArray()) as Float32Array;
      const moved = after.map((value, i) => value - before[k]![i]!);
      expect(found.ratios[k + 1]).toBeCloseTo(length(moved) / length(after), 5);
    }
    expect(await monitor.afterUpdate()).toBeUndefined();
  });
});

test("shares of attention on the probe", () => {
  const ids = [4, 9, 4, 9];
  const weights = Float32Array.from([1, 0, 0, 0, 0.75, 0.25, 0, 0, 0.5, 0.25, 0.25, 0, 0, 0.125, 0.5, 0.375]);
  // token 2 copies 0, so what follows it is 1; token 3 copies 1, what follows it is 2
  expect(shares(weights, ids)).toEqual([(0.75 + 0.25 + 0.5) / 3, (0.25 + 0.5) / 2]);
  const probe = repeatedTokens(17, 32);
  expect(probe).toHaveLength(32);
  expect(new Set(probe.slice(0, 16)).size).toBe(16);
  expect(probe.slice(16)).toEqual(probe.slice(0, 16));
});

describe("a watched training", () => {
  test("tells everything, writes the page, and disturbs nothing", async () => {
    const [plain, watched] = [newFolder(), newFolder()];
    const urls: string[] = [];
    const bodies: string[] = [];
    const listen = { onEvaluate: async () => void bodies.push((await ask(urls[0]!)).body) };
    const options = { port: 0, onListen: (url: string) => urls.push(url) } as const;
    const { model, watch } = await trainWatched({ folder: watched, steps: 40, options, callbacks: [listen] });
    expect(urls).toHaveLength(1);
    expect(bodies[0]).toContain("Is it learning?");
    expect(watch.url).toBeUndefined(); // it is over
    await expect(ask(urls[0]!)).rejects.toThrow(/ECONNREFUSED/);

    const lines = linesOf(watched);
    const count = (kind: string) => lines.filter((line) => line.kind === kind).length;
    expect([count("begin"), count("end"), count("layers"), count("sample"), count("probe")]).toEqual([
      1, 1, 8, 8, 8,
    ]);
    expect(lines[0]).toMatchObject({
      kind: "begin",
      maxSteps: 40,
      layers: ["outside", "layer 1", "layer 2"],
    });
    const probes = lines.filter((line) => line.kind === "probe");
    expect(probes[0]!.heads).toHaveLength(8);
    expect(probes.every(({ loss }) => Number(loss) > 0)).toBe(true);
    const page = readFileSync(path.join(watched, "train.html"), "utf8");
    expect(page).not.toContain("connect-src");
    expect(page).toContain('"isLive":false');

    const other = await trainWatched({
      folder: plain,
      steps: 40,
      options: { everySteps: 1000, probe: false },
    });
    const weights = async (of: GPT) =>
      Promise.all([...of.parameters()].map(async (p) => [...(await p.toTypedArray())]));
    expect(await weights(model)).toEqual(await weights(other.model));
  });

  test("costs little", async () => {
    const model = new GPT({
      vocabSize: 512,
      contextLength: 64,
      numLayers: 4,
      numHeads: 4,
      hiddenSize: 128,
      seed: 1,
    });
    const optimizer = new AdamW(model.parameters(), { learningRate: 1e-4 });
    const monitor = new LayerMonitor(model);
    const ids = tensor(
      Int32Array.from({ length: 512 }, (_, i) => (i * 37) % 512),
      [8, 64],
    );
    const update = async (isWatched: boolean) => {
      const begin = performance.now();
      const loss = step(() => {
        const { loss } = model(ids, { targets: ids });
        loss.backward();
        if (isWatched) monitor.beforeUpdate();
        optimizer.step();
        return loss;
      });
      if (isWatched) await monitor.afterUpdate();
      await loss.item();
      loss.dispose();
      return performance.now() - begin;
    };
    const times: [number[], number[]] = [[], []];
    for (let k = 0; k < 24; k++) times[k % 2]!.push(await update(k % 2 === 1));
    const [plain, watched] = times.map((list) => Math.min(...list.slice(2))) as [number, number];
    const share = (watched - plain) / plain / 10;
    console.info(
      `a watched update ${watched.toFixed(1)} ms, another ${plain.toFixed(1)} ms: ${(100 * share).toFixed(2)} % at every tenth (aim: 1 %)`,
    );
  });

  test("refuses what it cannot do", async () => {
    expect(() => new WatchReporter({ prompt: "a" })).toThrow(/prompt needs a tokenizer/);
    expect(() => new WatchReporter({ everySteps: 0 })).toThrow(
      /everySteps must be an integer of at least 1; got 0/,
    );
    const options = { probe: [1, 2, alphabet.vocabulary.length] };
    await expect(trainWatched({ folder: newFolder(), steps: 8, options })).rejects.toThrow(/ERR_INDEX|17/);
  });
});
