import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import type { Schedule } from "./schedule.ts";

export interface SchedulerOptions {
  /** What the schedule scales. For "noam" its `factor`, usually 1. */
  learningRate: number;
  /** Updates until the full rate, W below. Default 0, for "noam" 4000. */
  numWarmupSteps?: number;
  /** Updates of the whole run, N below: for all but the constant ones, "inverse_sqrt" and "noam". */
  numTrainingSteps?: number;
  /** Of cosines: waves, default 0.5; of "cosine_with_restarts": starts, default 1. */
  numCycles?: number;
  /** Of "polynomial". Default 1. */
  power?: number;
  /** Of "polynomial": the rate at the end. Default 1e-7. */
  lrEnd?: number;
  /** Of "inverse_sqrt". Default W, or 10 000 without a warmup. */
  timescale?: number;
  /** Of those with a least rate: that rate; or `minLrRate`, its ratio to the learning rate. One of them. */
  minLr?: number;
  minLrRate?: number;
  /** Of "cosine_warmup_with_min_lr": the ratio with which the warmup begins. */
  warmupLrRate?: number;
  /** Of "warmup_stable_decay": updates of the decay, which must be given. */
  numDecaySteps?: number;
  /** Of "warmup_stable_decay": updates at the full rate. Default what is left of N. */
  numStableSteps?: number;
  /** Of "warmup_stable_decay": the ratio at the beginning and at the end. Default 0. */
  minLrRatio?: number;
  /** Of "warmup_stable_decay". Default "linear". */
  warmupType?: RampName;
  /** Of "warmup_stable_decay". Default "cosine". */
  decayType?: RampName;
  /** Of "noam": the width of the model. */
  hiddenSize?: number;
}

type RampName = "linear" | "cosine" | "1-sqrt";

/** The part of the learning rate at update t, from 0. */
type Multiplier = (t: number) => number;

/** Options by which a schedule is made, checked: W and N as above. */
class Options {
  readonly name: string;
  readonly given: SchedulerOptions;
  readonly W: number;

  constructor(name: string, given: SchedulerOptions) {
    this.name = `getScheduler("${name}")`;
    this.given = given;
    this.W = checkInteger(`${this.name}: numWarmupSteps`, given.numWarmupSteps ?? 0, 0);
    checkNumber(`${this.name}: learningRate`, given.learningRate, 0);
  }

  get N(): number {
    return checkInteger(`${this.name}: numTrainingSteps`, this.given.numTrainingSteps, 1);
  }

  number(
    option: {
      [K in keyof SchedulerOptions]-?: SchedulerOptions[K] extends number | undefined ? K : never;
    }[keyof SchedulerOptions],
    fallback: number | undefined,
    min: number,
  ): number {
    return checkNumber(`${this.name}: ${option}`, this.given[option] ?? fallback, min);
  }

  /** The ratio of the least rate to the learning rate. */
  get least(): number {
    const { minLr, minLrRate, learningRate } = this.given;
    if ((minLr === undefined) === (minLrRate === undefined)) {
      throw new ArgumentError(
        `${this.name}: either minLr or minLrRate must be given; got ${String(minLr)}, ${String(minLrRate)}`,
      );
    }
    if (minLrRate !== undefined) return checkNumber(`${this.name}: minLrRate`, minLrRate, 0, 1);
    return checkNumber(`${this.name}: minLr`, minLr, 0, learningRate) / learningRate;
  }

  ramp<T>(option: "warmupType" | "decayType", fallback: RampName, table: Readonly<Record<RampName, T>>): T {
    const type = this.given[option] ?? fallback;
    if (Object.hasOwn(table, type)) return table[type];
    const names = Object.keys(table).join(", ");
    throw new ArgumentError(`${this.name}: ${option} must be one of ${names}; got ${String(type)}`);
  }

  /** `after` behind a straight line from 0. */
  warmedUp(after: Multiplier): Multiplier {
    const { W } = this;
    return (t) => (t < W ? t / W : after(t));
  }

  /** How far t is on the way from W to N. */
  get progress(): Multiplier {
    const { W, N } = this;
    return (t) => (t - W) / Math.max(1, N - W);
  }
}

const wave = (cycles: number, u: number): number => (1 + Math.cos(Math.PI * cycles * 2 * u)) / 2;

function cosine(o: Options, least: number): Multiplier {
  const u = o.progress;
  const cycles = o.number("numCycles", 0.5, 0);
  return o.warmedUp((t) => Math.max(0, wave(cycles, u(t)) * (1 - least) + least));
}

function warmupStableDecay(o: Options): Multiplier {
  const { W } = o;
  const D = checkInteger(`${o.name}: numDecaySteps`, o.given.numDecaySteps, 0);
  const S = checkInteger(`${o.name}: numStableSteps`, o.given.numStableSteps ?? o.N - W - D, 0);
  const least = checkNumber(`${o.name}: minLrRatio`, o.given.minLrRatio ?? 0, 0, 1);
  const cycles = o.number("numCycles", 0.5, 0);
  const up = o.ramp("warmupType", "linear", {
    linear: (x: number) => x,
    cosine: (x: number) => (1 - Math.cos(Math.PI * x)) / 2,
    "1-sqrt": (x: number) => 1 - Math.sqrt(1 - x),
  });
  const down = o.ramp("decayType", "cosine", {
    linear: (v: number) => 1 - v,
    cosine: (v: number) => wave(cycles, v),
    "1-sqrt": (v: number) => 1 - Math.sqrt(v),
  });
  return (t) => {
    if (t < W) return up(t / W) * (1 - least) + least;
    if (t < W + S) return 1;
    if (t < W + S + D) return Math.max(0, down((t - W - S) / D) * (1 - least) + least);
    return least;
  };
}

function cosineWarmupWithMinLr(o: Options): Multiplier {
  const { W, N, least } = o;
  const cycles = o.number("numCycles", 0.5, 0);
  const q = o.given.warmupLrRate;
  if (q !== undefined) checkNumber(`${o.name}: warmupLrRate`, q, 0, 1);
  return (t) => {
    if (t < W) return q === undefined ? (t + 1) / W : q + ((1 - q) * t) / Math.max(1, W - 1);
    return Math.max(0, wave(cycles, (t - W + 1) / Math.max(1, N - W)) * (1 - least) + least);
  };
}

function polynomial(o: Options): Multiplier {
  const { W, N } = o;
  const { learningRate } = o.given;
  const power = o.number("power", 1, 0);
  const end = o.number("lrEnd", 1e-7, 0);
  if (learningRate <= end)
    throw new ArgumentError(`${o.name}: lrEnd must be below learningRate = ${learningRate}; got ${end}`);
  return o.warmedUp((t) =>
    t > N
      ? end / learningRate
      : ((learningRate - end) * (1 - (t - W) / Math.max(1, N - W)) ** power + end) / learningRate,
  );
}

function inverseSqrt(o: Options): Multiplier {
  const { W } = o;
  const s = o.number("timescale", W === 0 ? 10_000 : W, Number.MIN_VALUE);
  return o.warmedUp((t) => 1 / Math.sqrt((t + s - W) / s));
}

function noam(o: Options): Multiplier {
  const W = checkInteger(`${o.name}: numWarmupSteps`, o.given.numWarmupSteps ?? 4000, 1);
  const width = checkInteger(`${o.name}: hiddenSize`, o.given.hiddenSize, 1);
  return (t) => width ** -0.5 * Math.min((t + 1) ** -0.5, (t + 1) * W ** -1.5);
}

const schedules = {
  constant: () => () => 1,
  constant_with_warmup: (o) => o.warmedUp(() => 1),
  linear: (o) => {
    const { W, N } = o;
    return o.warmedUp((t) => Math.max(0, (N - t) / Math.max(1, N - W)));
  },
  cosine: (o) => cosine(o, 0),
  cosine_with_restarts: (o) => {
    const u = o.progress;
    const starts = o.number("numCycles", 1, 0);
    return o.warmedUp((t) => (u(t) >= 1 ? 0 : Math.max(0, wave(0.5, (starts * u(t)) % 1))));
  },
  polynomial,
  inverse_sqrt: inverseSqrt,
  cosine_with_min_lr: (o) => cosine(o, o.least),
  cosine_warmup_with_min_lr: cosineWarmupWithMinLr,
  warmup_stable_decay: warmupStableDecay,
  noam,
} satisfies Record<string, (o: Options) => Multiplier>;

export type SchedulerName = keyof typeof schedules;

/** All that `getScheduler` knows. */
export const schedulerNames = Object.keys(schedules) as readonly SchedulerName[];

/**
 * A schedule by Hugging Face's name and definition, of updates t from 0, with `w = t/W` before W updates and
 * `u = (t − W) / (N − W)` from there on; each is multiplied by the learning rate.
 *
 * | name | before W | from W on |
 * |---|---|---|
 * | constant | 1 | 1 |
 * | constant_with_warmup | w | 1 |
 * | linear | w | 1 − u, then 0 |
 * | cosine | w | ½ (1 + cos(2π · numCycles · u)) |
 * | cosine_with_restarts | w | ½ (1 + cos(π · (numCycles · u mod 1))), then 0 |
 * | polynomial | w | from 1 to lrEnd / learningRate, by (1 − u)^power |
 * | inverse_sqrt | w | √(timescale / (t + timescale − W)) |
 * | cosine_with_min_lr | w | the cosine, between 1 and the least ratio |
 * | cosine_warmup_with_min_lr | (t + 1)/W, or from warmupLrRate to 1 | the same, an update earlier |
 * | warmup_stable_decay | warmupType | 1 for numStableSteps, decayType for numDecaySteps, then minLrRatio |
 * | noam | | √(1/hiddenSize) · min(1/√(t+1), (t+1) / √W³) |
 *
 * Under most the first update has rate 0, as in Hugging Face; `cosineSchedule` and its neighbours begin above it.
 * What depends on a metric is ReduceLROnPlateau.
 *
 * @throws ERR_ARGUMENT for an unknown name, and for options that are missing or outside their range
 * @see Vaswani et al. 2017, section 5.3 (noam); Hu et al. 2024, "MiniCPM" (warmup_stable_decay)
 */
export function getScheduler(name: SchedulerName, options: SchedulerOptions): Schedule {
  if (!Object.hasOwn(schedules, name)) {
    throw new ArgumentError(
      `getScheduler: name must be one of ${schedulerNames.join(", ")}; got ${String(name)}`,
    );
  }
  const { learningRate } = options;
  const multiplier = schedules[name](new Options(name, options));
  return (step) => learningRate * multiplier(checkInteger(`getScheduler("${name}"): step`, step, 0));
}
