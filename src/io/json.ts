import { CheckpointError, show } from "../errors.ts";
import { writeAtomically } from "./files.ts";
import { readJSON } from "./json-text.ts";

export { readJSON };

/** Writes JSON that appears whole or not at all. @throws ERR_CHECKPOINT */
export function writeJSON(file: string, json: unknown): Promise<void> {
  return writeAtomically(file, [Buffer.from(`${JSON.stringify(json, null, 2)}\n`)]);
}

/** The object in a JSON file of settings, read key by key: what is missing or out of place is named. */
export class Settings {
  readonly source: string;
  readonly values: Readonly<Record<string, unknown>>;

  constructor(json: unknown, source: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new CheckpointError(`${source}: must hold a JSON object; got ${show(json)}`);
    }
    this.source = source;
    this.values = json as Record<string, unknown>;
  }

  static async read(file: string): Promise<Settings> {
    return new Settings(await readJSON(file), file);
  }

  /** @throws ERR_CHECKPOINT: `key` must be `expected` */
  fail(key: string, expected: string): never {
    throw new CheckpointError(`${this.source}: ${key} must be ${expected}; got ${show(this.values[key])}`);
  }

  /** Whether the key has a value other than null. */
  has(key: string): boolean {
    return Object.hasOwn(this.values, key) && this.values[key] != null;
  }

  private read<T>(
    key: string,
    fallback: T | undefined,
    expected: string,
    fits: (value: unknown) => boolean,
  ): T {
    const value = this.has(key) ? this.values[key] : fallback;
    if (!fits(value)) this.fail(key, expected);
    return value as T;
  }

  /** An integer from `min` to 2³¹ − 1. */
  integer(key: string, fallback?: number, min = 1): number {
    const fits = (n: unknown) => Number.isInteger(n) && (n as number) >= min && (n as number) < 2 ** 31;
    return this.read(key, fallback, `an integer from ${min} to ${2 ** 31 - 1}`, fits);
  }

  /** A finite number of at least `min`. */
  number(key: string, fallback?: number, min = 0): number {
    const fits = (n: unknown) => Number.isFinite(n) && (n as number) >= min;
    return this.read(key, fallback, `a number of at least ${min}`, fits);
  }

  boolean(key: string, fallback?: boolean): boolean {
    return this.read(key, fallback, "true or false", (value) => typeof value === "boolean");
  }

  string(key: string, fallback?: string): string {
    return this.read(key, fallback, "a string", (value) => typeof value === "string");
  }

  /** One of the keys of `table`, as what it stands for there. */
  oneOf<T>(key: string, table: Readonly<Record<string, T>>, fallback?: string): T {
    const expected = `one of ${Object.keys(table).join(", ")}`;
    const name = this.read<string>(key, fallback, expected, (value) => Object.hasOwn(table, String(value)));
    return table[name]!;
  }

  /** A list of finite numbers. */
  numbers(key: string): number[] {
    const fits = (list: unknown) => Array.isArray(list) && list.every((n) => Number.isFinite(n));
    return this.read<number[]>(key, undefined, "a list of numbers", fits);
  }

  /** Throws unless the key is absent or has this value: anything else is a model that this library does not build. */
  only(key: string, value: unknown): void {
    if (this.has(key) && this.values[key] !== value) this.fail(key, show(value));
  }

  /** The object at a key as settings of its own, or undefined if there is none. */
  object(key: string): Settings | undefined {
    return this.has(key) ? new Settings(this.values[key], `${this.source}: ${key}`) : undefined;
  }
}
