import { appendFile, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import {
  type Configuration,
  checkSpace,
  gridSampler,
  randomSampler,
  type SearchSpace,
} from "./search-space.ts";
import { type Objective, type TrialResult, TrialRun } from "./trial.ts";

/** After how many steps the worse trials end. */
export interface HalvingOptions {
  /** Steps, as trials report them, after which the first are compared. */
  minResource: number;
  /** η: of those compared one in so many goes on, to η times as many steps. Default 3. */
  reductionFactor?: number;
}

export interface SearchOptions<S extends SearchSpace> {
  /** What each hyper-parameter may be: `{ learningRate: { low: 1e-5, high: 1e-2, log: true }, numLayers: [2, 4] }`. */
  space: S;
  /** "random", or "grid": every combination of lists and ranges of integers. Default "random". */
  sampler?: "random" | "grid";
  /** Default: all of the grid; needed with "random". */
  maxTrials?: number;
  /** No trial begins later, and `report` tells those that run to end. Default: no limit. */
  maxSeconds?: number;
  /** Whether the least or the greatest value is best. Default "minimize". */
  direction?: "minimize" | "maximize";
  /** Ends the trials early that are worse than others at the same step. */
  halving?: HalvingOptions;
  /** Of random sampling, integer from 0 to 2⁵³ - 1. Default 0. */
  seed?: number;
  /** Ends the search: it gives what it has. */
  signal?: AbortSignal;
  /** Gets one line of JSON for each trial when it ends; what is there is replaced. */
  file?: string;
  /** What a trial that throws does: it ends the search, which throws it, or counts as failed. Default "throw". */
  onError?: "throw" | "continue";
}

export interface SearchResult<C> {
  /** The best of those that came to their end, if any did. */
  readonly best: TrialResult<C> | undefined;
  /** The best first; then those that were pruned, those that came furthest first; then the rest. */
  readonly trials: readonly TrialResult<C>[];
  /** Why there are no more. */
  readonly stopReason: "trials" | "seconds" | "signal";
}

/**
 * Looks for the hyper-parameters with which `objective` is best, on a budget of trials or seconds.
 *
 * ```ts
 * const { best } = await hyperparameterSearch(
 *   async ({ values, report }) => {
 *     const model = new GPT({ ...size, numLayers: values.numLayers });
 *     for (let step = 100; step <= 1000; step += 100) {
 *       await train(model, 100, values.learningRate);
 *       if (!(await report(step, await model.evaluate(heldOut)))) break;
 *     }
 *     return model.evaluate(heldOut);
 *   },
 *   {
 *     space: { learningRate: { low: 1e-4, high: 1e-2, log: true }, numLayers: [2, 4, 6] },
 *     ...{ maxTrials: 27, halving: { minResource: 100 } },
 *   },
 * );
 * ```
 *
 * One trial runs at a time. With `halving` each runs until it reports step `minResource` or a later one, and waits there;
 * when all have come so far, the best third goes on to three times as many steps, and so on until one is left. So n
 * trials of up to R steps cost about n · minResource · (1 + log₃ n) steps instead of n · R, and waiting trials keep
 * their models in memory. A trial that has ended by itself is compared by its value.
 *
 * Everything is decided by the space, the seed and the values, not by the time that trials take, unless `maxSeconds` or
 * `signal` ends them.
 *
 * @param objective trains and gives the value that counts, such as the loss on held-out data; NaN is the worst of all
 * @throws ERR_ARGUMENT on a bad option; and what a trial throws
 * @see Bergstra & Bengio 2012, "Random Search for Hyper-Parameter Optimization"; Jamieson & Talwalkar 2016,
 *   "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (successive halving)
 */
export async function hyperparameterSearch<const S extends SearchSpace>(
  objective: Objective<Configuration<S>>,
  options: SearchOptions<S>,
): Promise<SearchResult<Configuration<S>>> {
  type C = Configuration<S>;
  const { sampler, maxTrials, deadline, sign, halving, signal, file, onError } = resolved(objective, options);
  if (file !== undefined) {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, "");
  }
  const stopReason = (): "seconds" | "signal" | undefined =>
    signal?.aborted ? "signal" : performance.now() >= deadline ? "seconds" : undefined;
  const isBetter = (a: number, b: number): number => {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return sign * (a - b);
  };

  const runs: TrialRun<C>[] = [];
  /** Goes on with a trial until it waits or ends; then writes it down. */
  const advance = async (run: TrialRun<C>, goOn: boolean): Promise<void> => {
    await run.advance(goOn);
    if (!run.hasEnded) return;
    if (file !== undefined) await appendFile(file, `${JSON.stringify(run.result())}\n`);
    if (run.state === "failed" && onError === "throw") throw run.error;
  };

  try {
    while (runs.length < maxTrials && stopReason() === undefined) {
      const context = { shouldStop: () => stopReason() !== undefined, signal };
      const run = new TrialRun<C>(objective, runs.length, sampler.at(runs.length), context);
      if (halving !== undefined && maxTrials > 1) run.waitAt = halving.minResource;
      runs.push(run);
      await advance(run, true);
    }
    let compared = [...runs];
    for (let resource = halving?.minResource ?? 0; compared.some((run) => run.isWaiting); ) {
      if (stopReason() !== undefined) break;
      const factor = halving!.reductionFactor;
      resource *= factor;
      const ranked = compared
        .filter((run) => run.isWaiting || run.state === "complete")
        .sort((a, b) => isBetter(a.value, b.value) || a.number - b.number);
      compared = ranked.slice(0, Math.max(1, Math.floor(ranked.length / factor)));
      for (const run of ranked.slice(compared.length)) if (run.isWaiting) await advance(run, false);
      for (const run of compared) {
        run.waitAt = compared.length > 1 ? resource : Infinity;
        if (run.isWaiting && stopReason() === undefined) await advance(run, true);
      }
    }
  } finally {
    for (const run of runs) {
      if (!run.isWaiting) continue;
      run.isStopped = true;
      await run.advance(false);
      if (file !== undefined) await appendFile(file, `${JSON.stringify(run.result())}\n`);
    }
  }

  const rank = { complete: 0, pruned: 1, stopped: 2, failed: 3 };
  const trials = runs
    .map((run) => run.result())
    .sort(
      (a, b) =>
        rank[a.state] - rank[b.state] ||
        (a.state === "pruned" ? lastStep(b) - lastStep(a) : 0) ||
        isBetter(a.value, b.value) ||
        a.number - b.number,
    );
  const best = trials.find(({ state, value }) => state === "complete" && !Number.isNaN(value));
  const isCut = runs.length < maxTrials || runs.some((run) => run.state === "stopped");
  return { best, trials, stopReason: isCut ? (signal?.aborted ? "signal" : "seconds") : "trials" };
}

const lastStep = ({ reports }: TrialResult<unknown>): number => reports.at(-1)?.[0] ?? 0;

function resolved<S extends SearchSpace>(objective: unknown, options: SearchOptions<S>) {
  const name = "hyperparameterSearch";
  const oneOf = <T extends string>(argument: string, value: T, known: readonly T[]): T => {
    if (known.includes(value)) return value;
    throw new ArgumentError(`${name}: ${argument} must be ${known.join(" or ")}; got ${String(value)}`);
  };
  if (typeof objective !== "function") {
    throw new ArgumentError(`${name}: objective must be a function; got ${String(objective)}`);
  }
  const { space, seed = 0, maxSeconds, halving, signal, file } = options;
  checkSpace(name, space);
  checkInteger(`${name}: seed`, seed, 0);
  const kind = oneOf("sampler", options.sampler ?? "random", ["random", "grid"]);
  const direction = oneOf("direction", options.direction ?? "minimize", ["minimize", "maximize"]);
  const onError = oneOf("onError", options.onError ?? "throw", ["throw", "continue"]);
  if (options.maxTrials !== undefined || kind === "random") {
    checkInteger(`${name}: maxTrials`, options.maxTrials, 1);
  }
  if (maxSeconds !== undefined) checkNumber(`${name}: maxSeconds`, maxSeconds, 0);
  const sampler = kind === "grid" ? gridSampler(name, space) : randomSampler(space, seed, options.maxTrials!);
  return {
    sampler,
    maxTrials: Math.min(options.maxTrials ?? Infinity, sampler.count),
    deadline: performance.now() + (maxSeconds ?? Infinity) * 1000,
    sign: direction === "minimize" ? 1 : -1,
    halving: halving && {
      minResource: checkNumber(`${name}: halving.minResource`, halving.minResource, Number.MIN_VALUE),
      reductionFactor: checkNumber(
        `${name}: halving.reductionFactor`,
        halving.reductionFactor ?? 3,
        1.5,
        1e6,
      ),
    },
    signal,
    file,
    onError,
  };
}
