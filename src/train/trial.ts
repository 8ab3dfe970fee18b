import { ArgumentError, checkNumber } from "../errors.ts";

/** What an objective is told of its trial. */
export interface Trial<C> {
  /** From 0, in the order in which trials begin. */
  readonly number: number;
  /** The hyper-parameters to try. */
  readonly values: C;
  /** That of the search, to be handed on to what can be aborted. */
  readonly signal: AbortSignal | undefined;
  /**
   * Says what the value is after so many steps: more than reported before. With halving it may wait for other trials.
   *
   * @returns whether to go on. If not, the objective should return what it has; its value no longer counts
   */
  readonly report: (step: number, value: number) => Promise<boolean>;
}

/** Trains with the values of a trial and gives the number that is to be least, or greatest. */
export type Objective<C> = (trial: Trial<C>) => number | Promise<number>;

export interface TrialResult<C> {
  readonly number: number;
  readonly values: C;
  /** What the objective gave; if it did not come to its end, what it last reported, or NaN. */
  readonly value: number;
  /** "pruned" by halving; "stopped" with the search. */
  readonly state: "complete" | "pruned" | "stopped" | "failed";
  /** In which it ran, without waiting. */
  readonly seconds: number;
  readonly reports: readonly (readonly [step: number, value: number])[];
  /** Of one that failed. */
  readonly error?: string;
}

type State = TrialResult<unknown>["state"] | "new" | "running" | "waiting";

interface Context {
  /** Whether the search is over. */
  readonly shouldStop: () => boolean;
  readonly signal: AbortSignal | undefined;
}

/** A trial that runs until it waits, and goes on when told to. */
export class TrialRun<C> {
  readonly number: number;
  readonly values: C;
  /** The step from which on a report waits. */
  waitAt = Infinity;
  /** Whether it ends because the search does. */
  isStopped = false;
  error: unknown;
  #state: State = "new";
  #wasToldToEnd = false;
  #value: number | undefined;
  readonly #reports: (readonly [step: number, value: number])[] = [];
  readonly #objective: Objective<C>;
  readonly #context: Context;
  #goOn: ((goOn: boolean) => void) | undefined;
  #pause: (() => void) | undefined;
  #milliseconds = 0;

  constructor(objective: Objective<C>, number: number, values: C, context: Context) {
    this.#objective = objective;
    this.number = number;
    this.values = values;
    this.#context = context;
  }

  get state(): State {
    return this.#state;
  }

  get isWaiting(): boolean {
    return this.#state === "waiting";
  }

  get hasEnded(): boolean {
    return !["new", "running", "waiting"].includes(this.#state);
  }

  /** What it gave, or last reported. */
  get value(): number {
    return this.#value ?? this.#reports.at(-1)?.[1] ?? NaN;
  }

  /** Begins, or goes on where it waits, until it waits again or has ended. */
  async advance(goOn: boolean): Promise<void> {
    const begin = performance.now();
    await new Promise<void>((pause) => {
      this.#pause = pause;
      if (this.#state === "new") {
        this.#state = "running";
        void this.#run();
      } else {
        this.#state = "running";
        this.#wasToldToEnd ||= !goOn;
        this.#goOn!(goOn);
      }
    });
    this.#milliseconds += performance.now() - begin;
  }

  async #run(): Promise<void> {
    const { number, values } = this;
    const report = (step: number, value: number) => this.#report(step, value);
    try {
      const value = await this.#objective({ number, values, signal: this.#context.signal, report });
      if (typeof value !== "number") {
        throw new ArgumentError(`hyperparameterSearch: objective must give a number; got ${String(value)}`);
      }
      this.isStopped ||= this.#context.signal?.aborted === true;
      this.#state = this.isStopped ? "stopped" : this.#wasToldToEnd ? "pruned" : "complete";
      if (this.#state === "complete") this.#value = value;
    } catch (error) {
      this.error = error;
      this.#state = this.#context.signal?.aborted ? "stopped" : "failed";
    }
    this.#pause!();
  }

  async #report(step: number, value: number): Promise<boolean> {
    const last = this.#reports.at(-1)?.[0] ?? 0;
    checkNumber("report: step", step, 0);
    if (step < last || (step === last && this.#reports.length > 0)) {
      throw new ArgumentError(`report: step must be more than before, ${last}; got ${step}`);
    }
    if (typeof value !== "number") {
      throw new ArgumentError(`report: value must be a number; got ${String(value)}`);
    }
    if (this.#state !== "running") {
      throw new ArgumentError("report: the report before must be awaited; got another while it waits");
    }
    this.#reports.push([step, value]);
    if (this.#wasToldToEnd || this.isStopped) return false;
    if (this.#context.shouldStop()) {
      this.isStopped = true;
      return false;
    }
    if (step < this.waitAt) return true;
    return new Promise((goOn) => {
      this.#state = "waiting";
      this.#goOn = goOn;
      this.#pause!();
    });
  }

  result(): TrialResult<C> {
    const { number, values, value, error } = this;
    return {
      number,
      values,
      value,
      state: this.#state as TrialResult<C>["state"],
      seconds: this.#milliseconds / 1000,
      reports: this.#reports,
      ...(error !== undefined && { error: String(error) }),
    };
  }
}
