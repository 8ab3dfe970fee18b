import { fileURLToPath } from "node:url";
import { describe, expect, it, test } from "vitest";
import { readSafetensors } from "../src/io/safetensors.ts";
import { ReduceLROnPlateau, type ReduceLROnPlateauOptions } from "../src/optim/reduce-lr-on-plateau.ts";
import { constantSchedule, cosineSchedule, linearSchedule, type Schedule } from "../src/optim/schedule.ts";
import { getScheduler, type SchedulerName, schedulerNames } from "../src/optim/scheduler.ts";

const values = (schedule: Schedule, steps: number[]) =>
  steps.map((step) => Number(schedule(step).toFixed(12)));

describe("schedules", () => {
  // warmup: peak · 1/4, 2/4, 3/4, then the peak itself at step 3
  it("cosine: by hand", () => {
    const schedule = cosineSchedule({ peak: 1, floor: 0.2, warmupSteps: 3, steps: 11 });
    // u = 0, 1/4, 1/2, 3/4, 1: the cosine term is 1, (1 + √½)/2, ½, (1 - √½)/2, 0
    const quarter = 0.2 + (0.8 * (1 + Math.SQRT1_2)) / 2;
    const threeQuarters = 0.2 + (0.8 * (1 - Math.SQRT1_2)) / 2;
    expect(values(schedule, [0, 1, 2, 3])).toEqual([0.25, 0.5, 0.75, 1]);
    expect(schedule(5)).toBeCloseTo(quarter, 12);
    expect(values(schedule, [7, 11, 12, 1e9])).toEqual([0.6, 0.2, 0.2, 0.2]);
    expect(schedule(9)).toBeCloseTo(threeQuarters, 12);
  });

  it("linear: by hand", () => {
    const schedule = linearSchedule({ peak: 2, warmupSteps: 1, steps: 5 });
    expect(values(schedule, [0, 1, 2, 3, 4, 5, 6])).toEqual([1, 2, 1.5, 1, 0.5, 0, 0]);
    expect(values(linearSchedule({ peak: 2, floor: 1, steps: 4 }), [0, 1, 3, 4])).toEqual([2, 1.75, 1.25, 1]);
  });

  it("constant: by hand", () => {
    expect(values(constantSchedule({ peak: 3, warmupSteps: 2 }), [0, 1, 2, 1000])).toEqual([1, 2, 3, 3]);
    expect(constantSchedule({ peak: 3 })(0)).toBe(3);
  });

  it("may warm up to the end", () => {
    expect(values(cosineSchedule({ peak: 1, warmupSteps: 2, steps: 2 }), [0, 1, 2])).toEqual([
      0.333333333333, 0.666666666667, 0,
    ]);
  });

  it("refuses what makes no schedule", () => {
    const bad = { code: "ERR_ARGUMENT" };
    expect(() => cosineSchedule({ peak: 1, floor: 2, steps: 5 })).toThrow(
      "cosineSchedule: floor must be at most peak = 1; got 2",
    );
    expect(() => linearSchedule({ peak: 1, warmupSteps: 6, steps: 5 })).toThrow(
      "linearSchedule: steps must be an integer of at least 6; got 5",
    );
    expect(() => cosineSchedule({ peak: 1, steps: 0 })).toThrow(expect.objectContaining(bad));
    expect(() => cosineSchedule({ peak: Number.NaN, steps: 5 })).toThrow("cosineSchedule: peak");
    expect(() => cosineSchedule({ peak: 1, floor: -1, steps: 5 })).toThrow("cosineSchedule: floor");
    expect(() => constantSchedule({ peak: 1, warmupSteps: 0.5 })).toThrow("constantSchedule: warmupSteps");
    expect(() => cosineSchedule({ peak: 1, steps: 5 })(-1)).toThrow(
      "cosineSchedule: step must be an integer of at least 0; got -1",
    );
  });
});

/** Learning rates of PyTorch and Transformers, from test/golden/make_optim.py. */
const { tensors, metadata } = await readSafetensors(
  fileURLToPath(new URL("golden/optim.safetensors", import.meta.url)),
);
interface Case {
  name: SchedulerName;
  warmup: number;
  steps: number | null;
  rate: number;
  kwargs: Record<string, number | string>;
}
const cases: { schedules: Record<string, Case>; plateau: Record<string, Case["kwargs"]> } = JSON.parse(
  metadata.cases!,
);
/** Python's names as ours. */
const camelCased = (kwargs: Case["kwargs"]) =>
  Object.fromEntries(
    Object.entries(kwargs).map(([name, value]) => [name.replace(/_(.)/g, (_, c) => c.toUpperCase()), value]),
  );

/** To 1e-7 of the value, and of the rounding of the file. */
function expectRates(got: readonly number[], expected: ArrayLike<number>): void {
  expect(got.length).toBe(expected.length);
  got.forEach((rate, t) => {
    const error = Math.abs(rate - expected[t]!);
    if (error > 1e-7 * Math.abs(expected[t]!) + 1e-18) expect(rate, `step ${t}`).toBe(expected[t]!);
  });
}

describe("getScheduler", () => {
  test.each(Object.entries(cases.schedules))("equals Hugging Face's over 1,000 steps: %s", (key, golden) => {
    const { name, warmup, steps, rate, kwargs } = golden;
    const schedule = getScheduler(name, {
      learningRate: rate,
      numWarmupSteps: warmup,
      ...(steps === null ? {} : { numTrainingSteps: steps }),
      ...camelCased(kwargs),
    });
    const rates = Array.from({ length: 1000 }, (_, t) => schedule(t));
    expectRates(rates, tensors.get(`schedules.${key}`)!.data);
  });

  test("has all of Hugging Face's names that follow from the step, and noam", () => {
    const names = new Set(Object.values(cases.schedules).map(({ name }) => name));
    expect([...names, "noam"].sort()).toEqual([...schedulerNames].sort());
  });

  test("noam is that of the paper: its formula for steps from 1", () => {
    const schedule = getScheduler("noam", { learningRate: 1, hiddenSize: 512, numWarmupSteps: 4000 });
    for (const step of [1, 100, 3999, 4000, 4001, 100_000])
      expect(schedule(step - 1)).toBeCloseTo(512 ** -0.5 * Math.min(step ** -0.5, step * 4000 ** -1.5), 15);
    expect(schedule(3999)).toBeCloseTo(6.987712429686843e-4, 15); // 1 / √(512 · 4000), the peak
    const small = { learningRate: 2, hiddenSize: 512 };
    expect(getScheduler("noam", small)(0)).toBe(2 * schedule(0));
  });

  test("refuses what makes no schedule", () => {
    const common = { learningRate: 1, numWarmupSteps: 2, numTrainingSteps: 10 };
    expect(() => getScheduler("cubic" as SchedulerName, common)).toThrow(
      /getScheduler: name must be one of constant, .*noam; got cubic/,
    );
    expect(() => getScheduler("linear", { learningRate: 1 })).toThrow(
      'getScheduler("linear"): numTrainingSteps must be an integer of at least 1; got undefined',
    );
    expect(() => getScheduler("linear", { ...common, numWarmupSteps: 0.5 })).toThrow("numWarmupSteps");
    expect(() => getScheduler("cosine_with_min_lr", common)).toThrow(
      "either minLr or minLrRate must be given; got undefined, undefined",
    );
    expect(() => getScheduler("cosine_with_min_lr", { ...common, minLr: 2 })).toThrow(
      "minLr must be a number from 0 to 1",
    );
    expect(() => getScheduler("polynomial", { ...common, learningRate: 1e-8 })).toThrow(
      "lrEnd must be below",
    );
    expect(() => getScheduler("warmup_stable_decay", common)).toThrow("numDecaySteps");
    expect(() => getScheduler("warmup_stable_decay", { ...common, numDecaySteps: 9 })).toThrow(
      "numStableSteps must be an integer of at least 0; got -1",
    );
    expect(() =>
      getScheduler("warmup_stable_decay", { ...common, numDecaySteps: 1, decayType: "toString" as "linear" }),
    ).toThrow("decayType must be one of linear, cosine, 1-sqrt; got toString");
    expect(() => getScheduler("noam", { learningRate: 1 })).toThrow("hiddenSize");
    expect(() => getScheduler("linear", common)(-1)).toThrow("step must be an integer of at least 0; got -1");
  });
});

describe("ReduceLROnPlateau", () => {
  const metric = (t: number, sign: number) =>
    t === 100 ? Number.NaN : 2 + (sign * Math.log(1 + t)) / 3 + 0.2 * Math.sin(t * t);

  test.each(Object.entries(cases.plateau))(
    "equals PyTorch's over 300 metrics, resumed: %s",
    (key, kwargs) => {
      const options = camelCased(kwargs) as ReduceLROnPlateauOptions;
      const optimizer = { learningRate: 0.1 };
      let plateau = new ReduceLROnPlateau(optimizer, options);
      const rates = Array.from({ length: 300 }, (_, t) => {
        if (t === 150) {
          const state = JSON.parse(JSON.stringify(plateau.stateDict()));
          plateau = new ReduceLROnPlateau(optimizer, options);
          plateau.loadStateDict(state);
        }
        return plateau.step(metric(t, options.mode === "max" ? 1 : -1));
      });
      expectRates(rates, tensors.get(`plateau.${key}`)!.data);
      expect(new Set(rates).size).toBeGreaterThan(1);
    },
  );

  test("refuses what it cannot use", () => {
    const optimizer = { learningRate: 1 };
    expect(() => new ReduceLROnPlateau(optimizer, { factor: 1 })).toThrow("factor must be below 1; got 1");
    expect(() => new ReduceLROnPlateau(optimizer, { mode: "best" as "min" })).toThrow(
      "mode must be min or max; got best",
    );
    expect(() => new ReduceLROnPlateau(optimizer, { patience: -1 })).toThrow("patience");
    expect(() => new ReduceLROnPlateau(optimizer).step("1" as never)).toThrow(
      "metric must be a number; got string",
    );
    expect(() => new ReduceLROnPlateau(optimizer).loadStateDict({})).toThrow(
      expect.objectContaining({ code: "ERR_CHECKPOINT" }),
    );
  });
});
