import type { Options, Values } from "./options.ts";

export interface Command<O extends Options = Options> {
  /** What follows the name of the command in the help. */
  readonly usage: string;
  /** More about it, for its help. */
  readonly notes?: string;
  /** By name in camelCase; `--min-lr` is `minLr`. */
  readonly options: O;
  /** Whether it deals with Ctrl-C itself: then its signal does not abort. */
  readonly ownsInterrupts?: boolean;
  /** @returns the exit code */
  run(values: Values<O>, signal: AbortSignal): Promise<number>;
}

export const defineCommand = <O extends Options>(command: Command<O>): Command<O> => command;

export const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;
