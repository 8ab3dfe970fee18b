import { parseArgs } from "node:util";
import { optionName, readConfigFile } from "./config-file.ts";
import { nearest } from "./nearest.ts";
import type { Option, Options, Values } from "./options.ts";
import { UsageError } from "./usage-error.ts";

/** minLr → --min-lr */
export const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** By which errors and the help call an option. */
export const labelOf = (name: string, option: Option<unknown>): string =>
  option.isPositional ? option.placeholder! : flagOf(name);

/** `--json` undoes a flag of a config file as `--no-json`, `--no-bias` as `--bias`. */
const negationOf = (name: string): string =>
  /^no[A-Z]/.test(name)
    ? name[2]!.toLowerCase() + name.slice(3)
    : `no${name[0]!.toUpperCase()}${name.slice(1)}`;

/**
 * The values of a command's options: of the command line, else of the JSON file that `--config` names.
 *
 * @throws UsageError on an option that is unknown, lacks its value or has one out of its range
 */
export function parseOptions<O extends Options>(options: O, args: readonly string[]): Values<O> {
  const { given, config } = readArguments(options, args);
  const fromFile = config === undefined ? new Map<string, string[]>() : readConfigFile(config, options);
  const values = Object.entries(options).map(([name, option]) => {
    const onLine = given.get(name);
    const label = onLine === undefined && fromFile.has(name) ? `${config}: ${name}` : labelOf(name, option);
    return [name, option.parse(onLine ?? fromFile.get(name) ?? [], label)];
  });
  return Object.fromEntries(values) as Values<O>;
}

/** What the command line gives for each option that it names; nothing for a flag that it undoes. */
function readArguments(options: Options, args: readonly string[]) {
  const isFlag = (option: Option<unknown>) => option.placeholder === undefined;
  const named = Object.entries(options).filter(([, option]) => !option.isPositional);
  const flags = named.filter(([, option]) => isFlag(option)).map(([name]) => name);
  const negations = new Map(flags.map((name) => [negationOf(name), name]));
  const types = [
    ...[...negations.keys()].map((name) => [name, "boolean"] as const),
    ...named.map(([name, option]) => [name, isFlag(option) ? "boolean" : "string"] as const),
    ["config", "string"] as const,
  ].map(([name, type]) => [flagOf(name).slice(2), { type }] as const);
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(types),
    strict: false,
    tokens: true,
  });

  const given = new Map<string, string[]>();
  const places = Object.entries(options).filter(([, option]) => option.isPositional);
  const add = (name: string, value: string) => given.set(name, [...(given.get(name) ?? []), value]);
  let config: string | undefined;
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      const [name, option] = places[0] ?? [];
      if (name === undefined) throw new UsageError(`unexpected argument ${token.value}`);
      add(name, token.value);
      if (!option!.isRepeatable) places.shift();
      continue;
    }
    const name = optionName(token.name);
    const isOption = name === "config" || named.some(([known]) => known === name);
    const undone = isOption ? undefined : negations.get(name);
    if ((!isOption && undone === undefined) || flagOf(name) !== token.rawName) {
      const known = [...named.map(([each]) => flagOf(each)), "--config", "--help"];
      throw new UsageError(
        `unknown option ${token.rawName}; the nearest is ${nearest(token.rawName, known)}`,
      );
    }
    if (undone !== undefined || flags.includes(name)) {
      if (token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`);
      given.set(undone ?? name, undone === undefined ? [""] : []);
      continue;
    }
    const { value, inlineValue } = token;
    if (value === undefined || (!inlineValue && /^-./.test(value))) {
      const how = `one that begins with a dash is given as ${token.rawName}=-VALUE`;
      throw new UsageError(`${token.rawName} needs a value; ${how}`);
    }
    if (name === "config") config = value;
    else add(name, value);
  }
  return { given, config };
}
