import { readFileSync } from "node:fs";
import { camelCase } from "../letter-case.ts";
import { nearest } from "./nearest.ts";
import type { Option, Options } from "./options.ts";
import { UsageError } from "./usage-error.ts";

/** The name of an option: `--min-lr` and `min-lr` are `minLr`. */
export const optionName = (given: string): string => camelCase(given.replace(/^--/, ""));

function readObject(file: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    const problem = cause instanceof SyntaxError ? "is no JSON" : "cannot be read";
    throw new UsageError(`--config ${file}: ${problem}: ${(cause as Error).message}`);
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) {
    return json as Record<string, unknown>;
  }
  throw new UsageError(`--config ${file}: must be an object of options; got ${JSON.stringify(json)}`);
}

/** What a value of JSON would be on the command line. */
function given(value: unknown, { json, isRepeatable }: Option<unknown>, key: string): string[] {
  const items = isRepeatable && Array.isArray(value) ? value : [value];
  return items.flatMap((item) => {
    if (typeof item !== json) {
      const expected = isRepeatable ? `a ${json} or a list of them` : `a ${json}`;
      throw new UsageError(`${key} must be ${expected}; got ${JSON.stringify(value)}`);
    }
    return item === false ? [] : String(item);
  });
}

/**
 * The options in a JSON file, by name, in camelCase or as on the command line.
 *
 * @throws UsageError on a file that is no JSON object, a key that is no option, one given twice and a value of another
 *   type
 */
export function readConfigFile(file: string, options: Options): Map<string, string[]> {
  const values = new Map<string, string[]>();
  for (const [key, value] of Object.entries(readObject(file))) {
    const name = optionName(key);
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    if (option === undefined) {
      const closest = nearest(name, Object.keys(options));
      throw new UsageError(
        `${file}: no option is called ${JSON.stringify(key)}; the nearest is "${closest}"`,
      );
    }
    if (values.has(name)) throw new UsageError(`${file}: ${name} must be there once; got ${key} too`);
    values.set(name, given(value, option, `${file}: ${key}`));
  }
  return values;
}
