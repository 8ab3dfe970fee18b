import { parseArgs } from "node:util";
import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";

export interface Option<T> {
  /** What stands for the value in the help; a flag has none. */
  readonly placeholder?: string;
  readonly help: string;
  /** The value from what was given, which is undefined if nothing was. */
  parse(given: string | undefined, flag: string): T;
}

export type Options = Readonly<Record<string, Option<unknown>>>;
export type Values<O extends Options> = { [K in keyof O]: O[K] extends Option<infer T> ? T : never };

export interface Command<O extends Options = Options> {
  /** What follows `trainformer <name>` in the help. */
  readonly usage: string;
  /** By name in camelCase; `--min-lr` is `minLr`. */
  readonly options: O;
  /** @returns the exit code */
  run(values: Values<O>, signal: AbortSignal): Promise<number>;
}

/** The exit code of a command that the user stopped. */
export const interrupted = 130;

export const defineCommand = <O extends Options>(command: Command<O>): Command<O> => command;

export const flag = (help: string): Option<boolean> => ({ help, parse: (given) => given !== undefined });

export const text = (placeholder: string, help: string): Option<string | undefined> => ({
  placeholder,
  help,
  parse: (given) => given,
});

const numeric =
  (check: (name: string, value: unknown, min: number, max?: number) => number) =>
  (min: number, help: string, max?: number): Option<number | undefined> => ({
    placeholder: "N",
    help,
    parse(given, flag) {
      if (given === undefined) return undefined;
      const isNumber = given.trim() !== "" && !Number.isNaN(Number(given));
      return check(flag, isNumber ? Number(given) : JSON.stringify(given), min, max);
    },
  });
export const integer = numeric(checkInteger);
export const number = numeric(checkNumber);

export const oneOf = <const T extends string>(
  choices: readonly T[],
  help: string,
): Option<T | undefined> => ({
  placeholder: "NAME",
  help: `${help}: ${choices.join(", ")}`,
  parse(given, flag) {
    const choice = choices.find((name) => name === given);
    if (given !== undefined && choice === undefined) {
      throw new ArgumentError(`${flag} must be one of ${choices.join(", ")}; got ${JSON.stringify(given)}`);
    }
    return choice;
  },
});

export const defaultsTo = <T>(value: T, option: Option<T | undefined>): Option<T> => ({
  ...option,
  help: `${option.help} (${JSON.stringify(value)})`,
  parse: (given, flag) => option.parse(given, flag) ?? value,
});

export const required = <T>(option: Option<T | undefined>): Option<T> => ({
  ...option,
  help: `${option.help} (required)`,
  parse(given, flag) {
    const value = option.parse(given, flag);
    if (value === undefined) throw new ArgumentError(`${flag} is required`);
    return value;
  },
});

const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** @throws ArgumentError on an option that is unknown, lacks its value or has one out of its range */
export function parseOptions<O extends Options>(options: O, args: readonly string[]): Values<O> {
  const config = Object.entries(options).map(([name, { placeholder }]) => [
    flagOf(name).slice(2),
    { type: placeholder === undefined ? ("boolean" as const) : ("string" as const) },
  ]);
  let given: Record<string, unknown>;
  try {
    given = parseArgs({ args: [...args], options: Object.fromEntries(config), strict: true }).values;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const culprit = /'(\S+?)[ ']/.exec(message)?.[1] ?? message;
    if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") throw new ArgumentError(`unknown option ${culprit}`);
    if (code === "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL")
      throw new ArgumentError(`unexpected argument ${culprit}`);
    if (/does not take/.test(message)) throw new ArgumentError(`${culprit} takes no value`);
    throw new ArgumentError(
      `${culprit} needs a value; one that begins with a dash is given as ${culprit}=-VALUE`,
    );
  }
  const values = Object.entries(options).map(([name, option]) => {
    const value = given[flagOf(name).slice(2)];
    return [name, option.parse(value === undefined ? undefined : String(value), flagOf(name))];
  });
  return Object.fromEntries(values) as Values<O>;
}

/** Lines of two columns, the first as wide as its longest cell. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}

export const helpOf = (options: Options): string =>
  columns(
    Object.entries(options).map(([name, { placeholder, help }]) => [
      placeholder === undefined ? flagOf(name) : `${flagOf(name)} ${placeholder}`,
      help,
    ]),
  );
