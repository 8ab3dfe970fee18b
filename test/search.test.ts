import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { AdamW, GPT, hyperparameterSearch, step, TokenDataset, type Trial } from "../src/index.ts";

const numbers = <T extends { number: number }>(trials: readonly T[]) => trials.map(({ number }) => number);

describe("what is tried", () => {
  const space = {
    uniform: { low: -1, high: 3 },
    rate: { low: 1e-5, high: 1e-1, log: true },
    layers: { low: 1, high: 4, integer: true },
    width: { low: 1, high: 1000, integer: true, log: true },
    kind: ["a", "b"],
  };

  test("random values lie where they should, each as likely as it should be", async () => {
    const { trials } = await hyperparameterSearch(() => 0, { space, maxTrials: 2000, seed: 3 });
    const all = trials.map(({ values }) => values);
    /** That of a mean of 2,000 with a probability of p is within 5 standard deviations. */
    const share = (p: number, isIn: (values: (typeof all)[0]) => boolean) => {
      const count = all.filter(isIn).length;
      expect(Math.abs(count - 2000 * p)).toBeLessThan(5 * Math.sqrt(2000 * p * (1 - p)));
    };
    expect(all.every(({ uniform }) => uniform >= -1 && uniform <= 3)).toBe(true);
    share(0.25, ({ uniform }) => uniform < 0);
    expect(all.every(({ rate }) => rate >= 1e-5 && rate <= 1e-1)).toBe(true);
    share(0.25, ({ rate }) => rate < 1e-4);
    share(0.25, ({ rate }) => rate > 1e-2);
    for (const layers of [1, 2, 3, 4]) share(0.25, (values) => values.layers === layers);
    expect(all.every(({ width }) => Number.isInteger(width) && width >= 1 && width <= 1000)).toBe(true);
    share(Math.log(10) / Math.log(1001), ({ width }) => width < 10);
    share(0.5, ({ kind }) => kind === "a");
    expect(new Set(all.map(({ uniform }) => uniform)).size).toBeGreaterThan(1990);
  });

  test("the seed and the number of a trial decide its values", async () => {
    const draw = async (seed: number, maxTrials: number) => {
      const { trials } = await hyperparameterSearch(() => 0, { space, maxTrials, seed });
      return trials.map(({ values }) => values);
    };
    const long = await draw(1, 8);
    expect(await draw(1, 5)).toEqual(long.slice(0, 5));
    expect(await draw(2, 8)).not.toEqual(long);
  });

  test("a grid has every combination once", async () => {
    const grid = { a: [1, 2], b: { low: 3, high: 5, integer: true }, c: ["x"] };
    const seen: unknown[] = [];
    const objective = ({ values }: Trial<{ a: number; b: number; c: string }>) => seen.push(values);
    await hyperparameterSearch(objective, { space: grid, sampler: "grid" });
    expect(seen).toEqual([1, 2].flatMap((a) => [3, 4, 5].map((b) => ({ a, b, c: "x" }))));
    seen.length = 0;
    await hyperparameterSearch(objective, { space: grid, sampler: "grid", maxTrials: 4 });
    expect(seen).toHaveLength(4);
  });
});

describe("what is found", () => {
  const space = { x: { low: -5, high: 5 } };
  const parabola = ({ values: { x } }: Trial<{ x: number }>) => (x - 1) ** 2;

  test("the least, or the greatest", async () => {
    const { best, trials, stopReason } = await hyperparameterSearch(parabola, {
      space,
      maxTrials: 100,
      seed: 1,
    });
    expect(Math.abs(best!.values.x - 1)).toBeLessThan(0.3);
    expect(trials).toHaveLength(100);
    expect(trials[0]).toBe(best);
    const values = trials.map(({ value }) => value);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(stopReason).toBe("trials");
    const most = await hyperparameterSearch(parabola, {
      space,
      maxTrials: 100,
      seed: 1,
      direction: "maximize",
    });
    expect(most.best!.value).toBe(values.at(-1));
  });

  test("NaN is the worst in both directions", async () => {
    for (const direction of ["minimize", "maximize"] as const) {
      const objective = ({ number }: Trial<unknown>) => [NaN, 2, 1, NaN][number]!;
      const { best, trials } = await hyperparameterSearch(objective, { space, maxTrials: 4, direction });
      expect(best!.number).toBe(direction === "minimize" ? 2 : 1);
      expect(numbers(trials).slice(2)).toEqual([0, 3]);
    }
    const { best } = await hyperparameterSearch(() => NaN, { space, maxTrials: 2 });
    expect(best).toBeUndefined();
  });

  test("a file has a line for each trial", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "search-"));
    const file = path.join(folder, "deep", "trials.jsonl");
    const { trials } = await hyperparameterSearch(
      async (trial) => {
        if (trial.number === 1) throw new Error("no luck");
        await trial.report(10, 5);
        return parabola(trial);
      },
      { space, maxTrials: 3, file, onError: "continue" },
    );
    const lines = (await readFile(file, "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(numbers(lines)).toEqual([0, 1, 2]);
    expect(lines[1]).toMatchObject({ state: "failed", value: null, error: "Error: no luck" });
    const second = trials.find(({ number }) => number === 2)!;
    expect(lines[2]).toEqual({ ...second, reports: [[10, 5]] });
    expect(numbers(trials).at(-1)).toBe(1);
    await rm(folder, { recursive: true });
  });
});

describe("successive halving", () => {
  const space = { quality: { low: 0, high: 1 } };

  /** Counts steps; the loss after `step` is better the smaller `quality` is. */
  const run = async (maxTrials: number, maxSteps: number, options: { seed?: number; lie?: boolean } = {}) => {
    const log: [number, number][] = [];
    const result = await hyperparameterSearch(
      async ({ number, values, report }) => {
        const loss = (step: number) => (options.lie ? -1 : 1) * values.quality + 1 / step;
        for (let step = 1; step <= maxSteps; step++) {
          log.push([number, step]);
          if (await report(step, loss(step))) continue;
          expect(await report(step + 0.5, loss(step))).toBe(false); // and stays so
          return NaN;
        }
        return loss(maxSteps);
      },
      { space, maxTrials, seed: options.seed ?? 0, halving: { minResource: 2 } },
    );
    return { ...result, log };
  };

  test("compares all at each rung, and the best third goes on", async () => {
    const { best, trials, log } = await run(9, 20);
    const byQuality = [...trials].sort((a, b) => a.values.quality - b.values.quality);
    expect(trials).toEqual(byQuality.slice(0, 3).concat(trials.slice(3)));
    expect(best).toBe(byQuality[0]);
    const steps = byQuality.map(({ number }) => log.filter(([n]) => n === number).length);
    expect(steps).toEqual([20, 6, 6, 2, 2, 2, 2, 2, 2]);
    expect(trials.map(({ state }) => state)).toEqual(["complete", ...new Array(8).fill("pruned")]);
    expect(log.slice(0, 18).map(([n]) => n)).toEqual(Array.from({ length: 18 }, (_, i) => Math.floor(i / 2)));
    expect(trials[8]!.reports).toHaveLength(3);
    expect(trials[8]!.value).toBe(trials[8]!.reports[1]![1]);
  });

  test("is decided by the seed", async () => {
    const timeless = ({ trials }: Awaited<ReturnType<typeof run>>) =>
      trials.map(({ seconds, ...trial }) => trial);
    expect(timeless(await run(10, 20, { seed: 4 }))).toEqual(timeless(await run(10, 20, { seed: 4 })));
  });

  test("saves most of the steps", async () => {
    const { log } = await run(27, 54);
    expect(log.length).toBe(27 * 2 + 9 * 4 + 3 * 12 + 36);
  });

  test("a trial that ends before is compared by its value", async () => {
    const values = [5, 1, 3, 4];
    const { trials, best } = await hyperparameterSearch(
      async ({ number, report }) => {
        if (number === 1) return values[number]!;
        for (let step = 1; step < 9; step++) if (!(await report(step, values[number]!))) return 0;
        return 2;
      },
      { space, maxTrials: 4, halving: { minResource: 3, reductionFactor: 2 } },
    );
    expect(trials.map(({ number, state }) => [number, state])).toEqual([
      [1, "complete"],
      [2, "pruned"], // came to step 6, where 1 was still better
      [3, "pruned"],
      [0, "pruned"],
    ]);
    expect(best!.number).toBe(1);
  });
});

describe("ends", () => {
  const space = { x: [1] };

  test("by its signal: what waits may clean up, and nothing else begins", async () => {
    const controller = new AbortController();
    const cleaned: number[] = [];
    const { trials, stopReason, best } = await hyperparameterSearch(
      async ({ number, report, signal }) => {
        expect(signal).toBe(controller.signal);
        if (number === 2) controller.abort();
        while (await report(number + 1, 1)) await report(number + 2, 1);
        cleaned.push(number);
        return 1;
      },
      { space, maxTrials: 9, halving: { minResource: 1 }, signal: controller.signal },
    );
    expect(cleaned).toEqual([2, 0, 1]);
    expect(trials.map(({ state }) => state)).toEqual(["stopped", "stopped", "stopped"]);
    expect([stopReason, best]).toEqual(["signal", undefined]);
  });

  test("when its time is over", async () => {
    const { trials, stopReason } = await hyperparameterSearch(
      async ({ report }) => {
        for (let step = 1; ; step++) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          if (!(await report(step, step))) return -1;
        }
      },
      { space, maxTrials: 9, maxSeconds: 0.05 },
    );
    expect(trials).toHaveLength(1);
    expect(trials[0]).toMatchObject({ state: "stopped" });
    expect(trials[0]!.value).toBeGreaterThan(1);
    expect(trials[0]!.seconds).toBeGreaterThan(0.04);
    expect(stopReason).toBe("seconds");
  });

  test("when its time is over and trials wait", async () => {
    const { trials } = await hyperparameterSearch(
      async ({ number, report }) => {
        if (number === 2) await new Promise((resolve) => setTimeout(resolve, 60));
        return (await report(1, number)) ? 0 : 1;
      },
      { space, maxTrials: 9, maxSeconds: 0.05, halving: { minResource: 1 } },
    );
    expect(trials.map(({ number, state, value }) => [number, state, value])).toEqual([
      [0, "stopped", 0],
      [1, "stopped", 1],
      [2, "stopped", 2],
    ]);
  });

  test("with the error of a trial, after the others have ended", async () => {
    let ended = 0;
    const searching = hyperparameterSearch(
      async ({ number, report }) => {
        if (number === 2) throw new TypeError("broken");
        await report(1, 1);
        ended++;
        return 1;
      },
      { space, maxTrials: 9, halving: { minResource: 1 } },
    );
    await expect(searching).rejects.toThrow(new TypeError("broken"));
    expect(ended).toBe(2);
  });
});

test("finds how fast a GPT learns, and what is bad gets little of the budget", async () => {
  const text = Int32Array.from({ length: 2000 }, (_, i) => (i * i + (i >> 3)) % 17);
  const data = TokenDataset.fromTokens(text);
  let steps = 0;
  const search = () =>
    hyperparameterSearch(
      async ({ values: { learningRate }, report }) => {
        const model = new GPT({
          vocabSize: 17,
          contextLength: 8,
          numLayers: 1,
          numHeads: 2,
          hiddenSize: 16,
          seed: 1,
        });
        const optimizer = new AdamW(model.parameters(), { learningRate });
        let mean = NaN;
        for (const { step: i, inputs, targets } of data.batches({
          batchSize: 8,
          contextLength: 8,
          steps: 60,
          seed: 1,
        })) {
          const loss = step(() => {
            const { loss } = model(inputs, { targets });
            loss.backward();
            optimizer.step({ maxGradNorm: 1 });
            return loss;
          });
          steps++;
          const value = await loss.item();
          loss.dispose();
          mean = Number.isNaN(mean) ? value : 0.8 * mean + 0.2 * value;
          if (!(await report(i + 1, mean))) break;
        }
        return mean;
      },
      {
        space: { learningRate: [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2] },
        sampler: "grid",
        halving: { minResource: 10, reductionFactor: 2 },
      },
    );
  const { best, trials } = await search();
  expect(steps).toBe(6 * 10 + 3 * 10 + 40);
  expect(best!.values.learningRate).toBeGreaterThanOrEqual(1e-2);
  expect(best!.value).toBeLessThan(2.6);
  expect(trials.at(-1)!.values.learningRate).toBeLessThanOrEqual(1e-5);
  const again = await search();
  expect(again.trials.map(({ value }) => value)).toEqual(trials.map(({ value }) => value));
});

describe("bad options", () => {
  const good = { space: { x: [1, 2] }, maxTrials: 1 };
  const cases: [string, object, RegExp][] = [
    ["no space", { space: undefined }, /space must name at least one hyper-parameter.* got undefined/],
    ["an empty space", { space: {} }, /space must name at least one/],
    ["an empty list", { space: { x: [] } }, /space\.x must list at least one value; got none/],
    ["a number", { space: { x: 3 } }, /space\.x must be an array of values or \{ low, high \}; got 3/],
    ["no end", { space: { x: { low: 1 } } }, /space\.x\.high must be a finite number; got undefined/],
    ["a range that is empty", { space: { x: { low: 2, high: 1 } } }, /low must be at most high; got 2 and 1/],
    ["log of 0", { space: { x: { low: 0, high: 1, log: true } } }, /low must be above 0.* got 0/],
    [
      "fractions of integers",
      { space: { x: { low: 0.5, high: 1, integer: true } } },
      /space\.x\.low must be an int/,
    ],
    ["a grid of a range", { space: { x: { low: 0, high: 1 } }, sampler: "grid" }, /space\.x must be .* grid/],
    [
      "an endless search",
      { maxTrials: undefined },
      /maxTrials must be an integer of at least 1; got undefined/,
    ],
    ["a sampler", { sampler: "bayes" }, /sampler must be random or grid; got bayes/],
    ["a direction", { direction: "up" }, /direction must be minimize or maximize; got up/],
    ["no steps", { halving: {} }, /halving\.minResource must be .* got undefined/],
    ["a factor", { halving: { minResource: 1, reductionFactor: 1 } }, /reductionFactor must be .* got 1/],
    ["seconds", { maxSeconds: -1 }, /maxSeconds must be .* got -1/],
    ["a seed", { seed: 0.5 }, /seed must be .* got 0.5/],
  ];
  test.each(cases)("%s", async (_, options, message) => {
    const searching = hyperparameterSearch(() => 1, { ...good, ...options });
    await expect(searching).rejects.toThrow(message);
    await expect(searching).rejects.toMatchObject({ code: "ERR_ARGUMENT" });
  });

  test("of objectives and reports", async () => {
    await expect(hyperparameterSearch(3 as never, good)).rejects.toThrow(
      /objective must be a function; got 3/,
    );
    await expect(hyperparameterSearch((() => "1") as never, good)).rejects.toThrow(
      /must give a number; got 1/,
    );
    const reporting = (body: (trial: Trial<unknown>) => Promise<unknown>) =>
      hyperparameterSearch((trial) => body(trial).then(() => 1), { ...good, halving: { minResource: 1 } });
    const backwards = reporting(async ({ report }) => [await report(2, 1), await report(2, 1)]);
    await expect(backwards).rejects.toThrow(/step must be more than before, 2; got 2/);
    await expect(reporting(({ report }) => report(1, "1" as never))).rejects.toThrow(
      /value must be a number; got 1/,
    );
    const two = { ...good, maxTrials: 2, halving: { minResource: 1 } };
    const impatient = async ({ report }: Trial<unknown>) => {
      void report(1, 1);
      await report(2, 1);
      return 1;
    };
    await expect(hyperparameterSearch(impatient, two)).rejects.toThrow(/report before must be awaited/);
  });
});
