import { exampleRandom } from "../data/example-random.ts";
import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";

/** Numbers from `low` to `high`, both included where they are integers. */
export interface SearchRange {
  low: number;
  high: number;
  /** Integers only. Default false. */
  integer?: boolean;
  /** Drawn so that each order of magnitude is as likely as another; `low` must be above 0. Default false. */
  log?: boolean;
}

/** What each hyper-parameter may be: one of a list, or a number in a range. */
export type SearchSpace = Readonly<Record<string, readonly unknown[] | SearchRange>>;

/** One choice for each hyper-parameter. */
export type Configuration<S extends SearchSpace> = {
  -readonly [K in keyof S]: S[K] extends readonly (infer T)[] ? T : number;
};

/** The configurations that a search tries, by the number of the trial. */
export interface Sampler<S extends SearchSpace> {
  /** How many there are. */
  readonly count: number;
  at(trial: number): Configuration<S>;
}

const isList = (dimension: readonly unknown[] | SearchRange): dimension is readonly unknown[] =>
  Array.isArray(dimension);

/** @throws ERR_ARGUMENT naming the hyper-parameter */
export function checkSpace(name: string, space: SearchSpace): void {
  if (typeof space !== "object" || space === null || Object.keys(space).length === 0) {
    throw new ArgumentError(
      `${name}: space must name at least one hyper-parameter, as { learningRate: { low: 1e-5, high: 1e-2, log: true }, numLayers: [2, 4] }; got ${space === null || typeof space !== "object" ? String(space) : "none"}`,
    );
  }
  for (const [key, dimension] of Object.entries(space)) {
    const what = `${name}: space.${key}`;
    if (isList(dimension)) {
      if (dimension.length === 0) throw new ArgumentError(`${what} must list at least one value; got none`);
      continue;
    }
    if (typeof dimension !== "object" || dimension === null) {
      throw new ArgumentError(
        `${what} must be an array of values or { low, high }; got ${String(dimension)}`,
      );
    }
    const { low, high, integer = false, log = false } = dimension;
    const check = integer
      ? (end: string, value: number) => checkInteger(`${what}.${end}`, value, Number.MIN_SAFE_INTEGER)
      : (end: string, value: number) => checkNumber(`${what}.${end}`, value);
    check("low", low);
    check("high", high);
    if (low > high) throw new ArgumentError(`${what}: low must be at most high; got ${low} and ${high}`);
    if (log && low <= 0) throw new ArgumentError(`${what}: low must be above 0, for log is set; got ${low}`);
  }
}

/** Each trial draws its own; what it draws depends on the seed and its number alone. */
export function randomSampler<S extends SearchSpace>(space: S, seed: number, count: number): Sampler<S> {
  return {
    count,
    at(trial) {
      const random = exampleRandom("trials", seed, 0, trial);
      const draw = (dimension: readonly unknown[] | SearchRange): unknown => {
        if (isList(dimension)) return dimension[random.integer(dimension.length)];
        const { low, high, integer = false, log = false } = dimension;
        const end = integer ? high + 1 : high;
        if (integer && !log) return low + random.integer(end - low);
        const u = random.uniform();
        const value = log
          ? Math.exp(Math.log(low) + u * (Math.log(end) - Math.log(low)))
          : low + u * (end - low);
        return Math.min(Math.max(integer ? Math.floor(value) : value, low), high);
      };
      const entries = Object.entries(space).map(([key, dimension]) => [key, draw(dimension)]);
      return Object.fromEntries(entries) as Configuration<S>;
    },
  };
}

/**
 * Every combination, that of the last hyper-parameter changing first.
 *
 * @throws ERR_ARGUMENT on a range that is not of integers
 */
export function gridSampler<S extends SearchSpace>(name: string, space: S): Sampler<S> {
  const dimensions = Object.entries(space).map(([key, dimension]) => {
    if (isList(dimension)) return { key, size: dimension.length, at: (i: number) => dimension[i] };
    if (!dimension.integer) {
      throw new ArgumentError(
        `${name}: space.${key} must be an array of values or a range of integers, for a grid has an end; got a range`,
      );
    }
    const { low, high } = dimension;
    return { key, size: high - low + 1, at: (i: number) => low + i };
  });
  const count = dimensions.reduce((product, { size }) => product * size, 1);
  checkInteger(`${name}: combinations in space`, count, 1, 2 ** 32 - 1);
  return {
    count,
    at(trial) {
      let rest = trial;
      const values = dimensions.toReversed().map(({ key, size, at }) => {
        const i = rest % size;
        rest = Math.floor(rest / size);
        return [key, at(i)] as const;
      });
      return Object.fromEntries(values.reverse()) as Configuration<S>;
    },
  };
}
