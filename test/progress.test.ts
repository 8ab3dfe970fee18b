import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ProgressBar } from "../src/train/report/progress-bar.ts";
import type { ProgressFields } from "../src/train/report/progress-line.ts";
import { Screen } from "./screen.ts";

beforeAll(() => void vi.stubEnv("TERM", "xterm-256color"));
afterAll(() => void vi.unstubAllEnvs());

function setUp({
  isTTY = true,
  columns = 200,
  everySteps,
}: {
  isTTY?: boolean;
  columns?: number;
  everySteps?: number;
} = {}) {
  const screen = new Screen(isTTY, columns);
  const clock = { ms: 1000 };
  const now = () => clock.ms;
  const progress = new ProgressBar(
    everySteps ? { stream: screen, now, everySteps } : { stream: screen, now },
  );
  return { screen, clock, progress };
}

const fields: ProgressFields = {
  step: 1240,
  steps: 2000,
  loss: 1.7118,
  heldOutLoss: 1.934,
  learningRate: 6.1e-4,
  gradNorm: 0.483,
  tokensPerSecond: 10_240,
};
const full =
  "  ███████████████░░░░░░░░░  1240/2000  loss 1.712  held-out 1.934  lr 6.1e-4  |g| 0.48  10.2k tok/s  0:58 left";

describe("ProgressBar on a terminal", () => {
  it("draws the whole line in place", () => {
    const { screen, clock, progress } = setUp();
    progress.update({ ...fields, step: 480 });
    clock.ms += 58_000;
    progress.update(fields);
    expect(screen.writes.at(-1)).toBe(`\r${full}\x1b[K`);
    progress.finish();
    expect(screen.writes.slice(2)).toEqual(["\n"]);
  });

  it("shrinks the bar, then drops the least of the fields, and never wraps", () => {
    const texts = new Set<string>();
    for (let columns = 1; columns <= 130; columns++) {
      const { screen, clock, progress } = setUp({ columns });
      progress.update({ ...fields, step: 480 });
      clock.ms += 58_000;
      progress.update(fields);
      const line = screen.writes.at(-1)!.slice(1, -3);
      expect(line.length).toBeLessThanOrEqual(columns - 1);
      if (columns > 130 - 20) expect(line).toBe(full);
      if (columns === full.length) expect(line).toBe(full.replace("█", ""));
      if (columns === full.length - 15) expect(line).toMatch(/^ {2}█{5}░{3} {2}1240\/2000 .* left$/);
      if (columns > 21) texts.add(line.replace(/^ {2}[█░]{8,24} {2}/, ""));
    }
    expect([...texts]).toEqual([
      "1240/2000",
      "1240/2000  loss 1.712",
      "1240/2000  loss 1.712  0:58 left",
      "1240/2000  loss 1.712  held-out 1.934  0:58 left",
      "1240/2000  loss 1.712  held-out 1.934  10.2k tok/s  0:58 left",
      "1240/2000  loss 1.712  held-out 1.934  lr 6.1e-4  10.2k tok/s  0:58 left",
      full.slice(28),
    ]);
  });

  it("draws at most ten times a second, and always the end", () => {
    const { screen, clock, progress } = setUp();
    for (let step = 1; step <= 1000; step++) {
      clock.ms += 1;
      progress.update({ step, steps: 1000 });
    }
    expect(screen.writes.length).toBe(11);
    expect(screen.writes.at(-1)).toBe(`\r  ${"█".repeat(24)}  1000/1000  in 0:01\x1b[K`);
    progress.finish();
    progress.finish();
    expect(screen.writes.slice(11)).toEqual(["\n"]);
  });

  it("draws the last state when it is finished early", () => {
    const { screen, clock, progress } = setUp();
    progress.update({ step: 1, steps: 10 });
    clock.ms += 1;
    progress.update({ step: 2, steps: 10, loss: 3 });
    expect(screen.writes.length).toBe(1);
    progress.finish();
    expect(screen.writes[1]).toContain("2/10  loss 3.000");
    expect(screen.writes[2]).toBe("\n");
  });

  it("writes nothing when nothing happened", () => {
    const { screen, progress } = setUp();
    progress.finish();
    expect(screen.writes).toEqual([]);
  });

  it("keeps a field until it is given again", () => {
    const { screen, clock, progress } = setUp();
    progress.update({ step: 1, steps: 10, heldOutLoss: 2, loss: 5 });
    clock.ms += 100;
    progress.update({ step: 2, steps: 10, heldOutLoss: undefined as never, loss: Number.NaN });
    expect(screen.writes.at(-1)).toContain("2/10  loss NaN  held-out 2.000  0:01 left");
  });

  it("smooths the time left over the recent pace", () => {
    const { screen, clock, progress } = setUp();
    const left = () => / (\S+) left/.exec(screen.writes.at(-1)!)?.[1];
    const run = (from: number, to: number, msPerStep: number) => {
      for (let step = from; step <= to; step++) {
        clock.ms += msPerStep;
        progress.update({ step, steps: 10_000 });
      }
    };
    run(1, 101, 1000);
    expect(left()).toBe("2:44:59");
    run(102, 103, 4000);
    expect(left()).not.toBe("2:44:57");
    expect(left()! < "4:00:00").toBe(true);
    run(104, 300, 4000);
    expect(left()).toBe("10:46:40");
  });

  it("writes counts and times shortly", () => {
    const { screen, clock, progress } = setUp();
    for (const [tokensPerSecond, text] of [
      [950.4, "950 tok/s"],
      [999.6, "1.0k tok/s"],
      [999_960, "1.0M tok/s"],
      [3.14e6, "3.1M tok/s"],
      [2e9, "2.0G tok/s"],
    ] as const) {
      clock.ms += 100;
      progress.update({ step: 1, steps: 10, tokensPerSecond });
      expect(screen.writes.at(-1)).toContain(`  ${text}`);
    }
  });

  it("refuses steps that go back or beyond", () => {
    const { progress } = setUp();
    progress.update({ step: 5, steps: 10 });
    expect(() => progress.update({ step: 4, steps: 10 })).toThrow(
      "ProgressBar.update: step must be an integer from 5 to 10; got 4",
    );
    expect(() => progress.update({ step: 11, steps: 10 })).toThrow("got 11");
    expect(() => progress.update({ step: 0, steps: 0 })).toThrow("ProgressBar.update: steps");
    expect(() => new ProgressBar({ everySteps: 0 })).toThrow("ProgressBar: everySteps");
  });
});

describe("ProgressBar elsewhere", () => {
  it("writes a plain line every 5 s and at the end", () => {
    const { screen, clock, progress } = setUp({ isTTY: false });
    for (let step = 1; step <= 12; step++) {
      clock.ms += 1000;
      progress.update({ step, steps: 12, loss: step });
    }
    progress.finish();
    expect(screen.writes).toEqual([
      "1/12  loss 1.000\n",
      "6/12  loss 6.000  0:06 left\n",
      "11/12  loss 11.000  0:01 left\n",
      "12/12  loss 12.000  in 0:12\n",
    ]);
  });

  it("writes a plain line every so many steps", () => {
    const { screen, progress } = setUp({ isTTY: false, everySteps: 10 });
    for (let step = 3; step <= 24; step += 3) progress.update({ step, steps: 30 });
    progress.finish();
    expect(screen.writes.map((line) => line.split(/\s/)[0])).toEqual(["12/30", "21/30", "24/30"]);
  });
});
