import { checkInteger } from "./errors.ts";

/** Where the stream of random numbers stands: saved and restored, it gives the same numbers again. */
export interface GeneratorState {
  seed: number;
  /** Blocks of four numbers used so far. */
  position: number;
}

let state: GeneratorState = { seed: 0, position: 0 };

/** Starts the random numbers of this thread anew: initial weights, dropout. Two runs with one seed are identical. */
export function manualSeed(seed: number): void {
  state = { seed: checkInteger("manualSeed: seed", seed, 0), position: 0 };
}

export const generatorState = (): GeneratorState => ({ ...state });

export function setGeneratorState({ seed, position }: GeneratorState): void {
  state = { seed: checkInteger("seed", seed, 0), position: checkInteger("position", position, 0) };
}

/** @internal Reserves `count` random numbers and returns where they start, as a kernel wants to know it. */
export function reserveRandom(count: number): GeneratorState {
  const reserved = { ...state };
  state.position += Math.ceil(count / 4);
  return reserved;
}
