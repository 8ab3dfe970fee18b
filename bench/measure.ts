/**
 * Times of enqueued work.
 *
 * What is compared takes turns, a few milliseconds each, so that all of it meets the same disturbances, and each result
 * is a median. A turn enqueues the work several times and waits once: the cost of a call in JavaScript is hidden behind
 * the work of the call before.
 */
import { allocate, callKernel, kernelNamed, read } from "../src/native.ts";

/** Something to time. */
export interface Contestant {
  /** Enqueues the work once. */
  run(): void;
  /** Called before each turn: settings. */
  begin?(): void;
}

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

const turnMs = 4;
const warmUps = 2;
const fewestTurns = 3;
const mostRepetitions = 512;

const fence = { handle: allocate("f32", 1), offset: 0, shape: [1], strides: [1] };
const fill = kernelNamed("fill32");

/** Resolves when everything enqueued has run. */
export async function finished(): Promise<void> {
  callKernel(fill, "f32", [fence, 0]);
  await read(fence.handle, 0, 1, "copy");
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Milliseconds of one turn. */
async function turn(contestant: Contestant, repetitions: number): Promise<number> {
  contestant.begin?.();
  const start = now();
  for (let i = 0; i < repetitions; i++) contestant.run();
  await finished();
  return now() - start;
}

/** The median time of each contestant for one run, in milliseconds; each gets `budgetMs`, and at least a few turns. */
export async function timesOf(contestants: readonly Contestant[], budgetMs: number): Promise<number[]> {
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
      const ms = await turn(state.contestant, state.repetitions);
      state.samples.push(ms / state.repetitions);
      state.spent += ms;
    }
  }
  return states.map(({ samples }) => median(samples));
}
