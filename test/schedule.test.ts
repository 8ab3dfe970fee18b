import { describe, expect, it } from "vitest";
import { constantSchedule, cosineSchedule, linearSchedule, type Schedule } from "../src/optim/schedule.ts";

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
