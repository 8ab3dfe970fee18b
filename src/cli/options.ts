import { type Device, isDevice } from "../device.ts";
import { checkInteger, checkNumber } from "../errors.ts";
import { asUsage, UsageError } from "./usage-error.ts";

export interface Option<T> {
  /** What stands for the value in the help; a flag has none. */
  readonly placeholder?: string;
  readonly help: string;
  /** What a config file gives for it. */
  readonly json: "boolean" | "number" | "string";
  /** Whether it may be given several times; a config file then gives a list. */
  readonly isRepeatable?: boolean;
  /** Whether it stands in the command line without its name, in the order of the options. */
  readonly isPositional?: boolean;
  /**
   * The value from what was given: none, one, or of a repeatable option several.
   *
   * @param name by which errors call it
   * @throws UsageError
   */
  parse(given: readonly string[], name: string): T;
}

export type Options = Readonly<Record<string, Option<unknown>>>;
export type Values<O extends Options> = { [K in keyof O]: O[K] extends Option<infer T> ? T : never };

export const flag = (help: string): Option<boolean> => ({
  help,
  json: "boolean",
  parse: (given) => given.length > 0,
});

export const text = (placeholder: string, help: string): Option<string | undefined> => ({
  placeholder,
  help,
  json: "string",
  parse: (given) => given.at(-1),
});

/** A text that may be given several times. */
export const texts = (placeholder: string, help: string): Option<readonly string[]> => ({
  placeholder,
  help,
  json: "string",
  isRepeatable: true,
  parse: (given) => given,
});

const numeric =
  (check: (name: string, value: unknown, min: number, max?: number) => number) =>
  (min: number, help: string, max?: number): Option<number | undefined> => ({
    placeholder: "N",
    help,
    json: "number",
    parse(given, name) {
      const value = given.at(-1);
      if (value === undefined) return undefined;
      const isNumber = value.trim() !== "" && !Number.isNaN(Number(value));
      return asUsage(() => check(name, isNumber ? Number(value) : JSON.stringify(value), min, max));
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
  json: "string",
  parse(given, name) {
    const value = given.at(-1);
    const choice = choices.find((each) => each === value);
    if (value !== undefined && choice === undefined) {
      throw new UsageError(`${name} must be one of ${choices.join(", ")}; got ${JSON.stringify(value)}`);
    }
    return choice;
  },
});

/** A device that computes; whether it is there shows when it is used. */
export const device = (help: string): Option<Device | undefined> => ({
  placeholder: "NAME",
  help: `${help}: cpu, cuda, cuda:1 …`,
  json: "string",
  parse(given, name) {
    const value = given.at(-1);
    if (value === undefined || isDevice(value)) return value;
    throw new UsageError(`${name} must be cpu, cuda or cuda:<number>; got ${JSON.stringify(value)}`);
  },
});

export const defaultsTo = <T>(value: T, option: Option<T | undefined>): Option<T> => ({
  ...option,
  help: `${option.help} (${JSON.stringify(value)})`,
  parse: (given, name) => option.parse(given, name) ?? value,
});

/** An option that must be given, a repeatable one at least once. */
export const required = <T>(option: Option<T | undefined>): Option<T> => ({
  ...option,
  help: option.isPositional ? option.help : `${option.help} (required)`,
  parse(given, name) {
    const value = given.length > 0 ? option.parse(given, name) : undefined;
    if (value === undefined) throw new UsageError(`${name} is required`);
    return value;
  },
});

export const positional = <T>(option: Option<T>): Option<T> => ({ ...option, isPositional: true });
