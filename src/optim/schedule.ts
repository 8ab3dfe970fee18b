import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";

/** The learning rate of the update `step`, which counts from 0. */
export type Schedule = (step: number) => number;

export interface ConstantScheduleOptions {
  /** The learning rate after the warmup. */
  peak: number;
  /** Updates below the peak, 0 by default. */
  warmupSteps?: number;
}

export interface DecayScheduleOptions extends ConstantScheduleOptions {
  /** The learning rate from `steps` on, 0 by default. */
  floor?: number;
  /** The update at which the rate has come down to the floor. */
  steps: number;
}

function warmedUp(
  name: string,
  { peak, warmupSteps = 0 }: ConstantScheduleOptions,
  after: Schedule,
): Schedule {
  checkNumber(`${name}: peak`, peak, 0);
  checkInteger(`${name}: warmupSteps`, warmupSteps, 0);
  return (step) => {
    checkInteger(`${name}: step`, step, 0);
    return step < warmupSteps ? (peak * (step + 1)) / (warmupSteps + 1) : after(step);
  };
}

/** Warms up, then goes from peak to floor by `weight`, which maps the part of the way done to the weight of the peak. */
function decaying(name: string, options: DecayScheduleOptions, weight: (done: number) => number): Schedule {
  const { peak, floor = 0, warmupSteps = 0, steps } = options;
  const schedule = warmedUp(name, options, (step) =>
    step >= steps ? floor : floor + (peak - floor) * weight((step - warmupSteps) / (steps - warmupSteps)),
  );
  checkNumber(`${name}: floor`, floor, 0);
  if (floor > peak) throw new ArgumentError(`${name}: floor must be at most peak = ${peak}; got ${floor}`);
  checkInteger(`${name}: steps`, steps, Math.max(1, warmupSteps));
  return schedule;
}

/**
 * Linear warmup, then half a cosine down to the floor, then the floor:
 *
 * - `step < warmupSteps`: `peak · (step + 1) / (warmupSteps + 1)`
 * - `step < steps`: `floor + (peak - floor) · ½ (1 + cos(π u))`, `u = (step - warmupSteps) / (steps - warmupSteps)`
 * - else: `floor`
 *
 * @throws ArgumentError unless 0 <= floor <= peak and warmupSteps <= steps; the schedule throws on a step below 0
 * @see Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts"; the warmup is nanoGPT's
 */
export function cosineSchedule(options: DecayScheduleOptions): Schedule {
  return decaying("cosineSchedule", options, (done) => (1 + Math.cos(Math.PI * done)) / 2);
}

/**
 * Linear warmup, then a straight line down to the floor, then the floor:
 *
 * - `step < warmupSteps`: `peak · (step + 1) / (warmupSteps + 1)`
 * - `step < steps`: `floor + (peak - floor) · (steps - step) / (steps - warmupSteps)`
 * - else: `floor`
 *
 * @throws ArgumentError unless 0 <= floor <= peak and warmupSteps <= steps; the schedule throws on a step below 0
 */
export function linearSchedule(options: DecayScheduleOptions): Schedule {
  return decaying("linearSchedule", options, (done) => 1 - done);
}

/**
 * Linear warmup, then the peak:
 *
 * - `step < warmupSteps`: `peak · (step + 1) / (warmupSteps + 1)`
 * - else: `peak`
 *
 * @throws ArgumentError unless peak and warmupSteps are at least 0; the schedule throws on a step below 0
 */
export function constantSchedule(options: ConstantScheduleOptions): Schedule {
  const { peak } = options;
  return warmedUp("constantSchedule", options, () => peak);
}
