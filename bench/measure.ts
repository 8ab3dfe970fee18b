/**
 * Times of enqueued work.
 *
 * What is compared takes turns, a few milliseconds each, so that all of it meets the same disturbances, and each result
 * is a median. A turn enqueues the work several times and waits once: the cost of a call in JavaScript is hidden behind
 * the work of the call before.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Device, defaultDevice, deviceNumber } from "../src/device.ts";
import { allocate, callKernel, type KernelView, kernelNamed, read } from "../src/native.ts";

/** Work of this process to time. */
export interface Enqueued {
  /** Enqueues the work once. */
  run(): void;
  /** Called before each turn: settings. */
  begin?(): void;
  /** Where the work runs. Default `defaultDevice()`. */
  readonly device?: Device;
}

/** Work of another process, which times it. */
export interface Elsewhere {
  /** Does the work so often, and answers with the milliseconds of all of it. */
  turn(repetitions: number): Promise<number>;
}

/** Something to time. */
export type Contestant = Enqueued | Elsewhere;

/** Elapsed time, or the CPU time of all threads: what counts on a busy machine, if only one thread computes. */
export type Clock = "wall" | "cpu";

/** Milliseconds. */
export const clocks: Readonly<Record<Clock, () => number>> = {
  wall: () => performance.now(),
  cpu() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
};
let now = clocks.wall;
export function setClock(clock: Clock): void {
  now = clocks[clock];
}

export interface TurnOptions {
  /** How long a turn shall take. Default 4. */
  turnMs?: number;
  /**
   * Before each turn, after which the work is done once without being timed: for contestants in several processes, whose
   * threads go on spinning for some milliseconds after their work, and must be woken. Default 0: neither.
   */
  pauseMs?: number;
}

const warmUps = 2;
const fewestTurns = 3;
const mostRepetitions = 512;

const fences = new Map<Device, KernelView>();
const fill = kernelNamed("fill32");

function fenceOf(device: Device): KernelView {
  let fence = fences.get(device);
  if (fence === undefined) {
    fence = { handle: allocate("f32", 1, deviceNumber(device)), offset: 0, shape: [1], strides: [1] };
    fences.set(device, fence);
  }
  return fence;
}

/** Resolves when everything enqueued on a device has run. */
export async function finished(device: Device = defaultDevice()): Promise<void> {
  const fence = fenceOf(device);
  callKernel(fill, "f32", [fence, 0]);
  await read(fence.handle, 0, 1, "copy");
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, x) => sum + Math.log(x), 0) / values.length);

/** Milliseconds of one turn. */
async function turn(contestant: Contestant, repetitions: number): Promise<number> {
  if ("turn" in contestant) return contestant.turn(repetitions);
  contestant.begin?.();
  const start = now();
  for (let i = 0; i < repetitions; i++) contestant.run();
  await finished(contestant.device);
  return now() - start;
}

/** The median time of each contestant for one run, in milliseconds; each gets `budgetMs`, and at least a few turns. */
export async function timesOf(
  contestants: readonly Contestant[],
  budgetMs: number,
  { turnMs = 4, pauseMs = 0 }: TurnOptions = {},
): Promise<number[]> {
  const states: { contestant: Contestant; repetitions: number; samples: number[]; spent: number }[] = [];
  for (const contestant of contestants) {
    let once = 0;
    for (let i = 0; i < warmUps; i++) once = await turn(contestant, 1);
    const repetitions = Math.max(1, Math.min(mostRepetitions, Math.round(turnMs / Math.max(once, 1e-3))));
    states.push({ contestant, repetitions, samples: [], spent: 0 });
  }
  const open = () => states.filter((s) => s.spent < budgetMs || s.samples.length < fewestTurns);
  for (let group = open(); group.length > 0; group = open()) {
    for (const state of group) {
      if (pauseMs > 0) await sleep(pauseMs);
      if (pauseMs > 0 && state.repetitions > 1) await turn(state.contestant, 1);
      const ms = await turn(state.contestant, state.repetitions);
      state.samples.push(ms / state.repetitions);
      state.spent += ms;
    }
  }
  return states.map(({ samples }) => median(samples));
}
