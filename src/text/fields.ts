import { CheckpointError, show } from "../errors.ts";

/** The most levels of components inside of components that a file may have. */
const deepest = 32;

/** The fields of a parsed JSON object that nobody vouches for. What is missing or wrong is named by its path. */
export class Fields {
  /** Where the object stands, such as `tokenizer.json: model`. */
  readonly path: string;
  readonly #depth: number;
  readonly #values: Record<string, unknown>;

  /** @throws CheckpointError unless `value` is an object */
  constructor(value: unknown, path: string, depth = 0) {
    this.path = path;
    this.#depth = depth;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new CheckpointError(`${path} must be an object; got ${show(value)}`);
    }
    if (depth > deepest) throw new CheckpointError(`${path} is more than ${deepest} levels deep`);
    this.#values = value as Record<string, unknown>;
  }

  /** The error that the value at `key` is not `expected`. */
  error(key: string, expected: string, came: unknown = this.get(key)): CheckpointError {
    return new CheckpointError(`${this.#pathOf(key)} must be ${expected}; got ${show(came)}`);
  }

  /** The value, `undefined` where it is null or missing. */
  get(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? (this.#values[key] ?? undefined) : undefined;
  }

  string(key: string, fallback?: string): string {
    const value = this.get(key) ?? fallback;
    if (typeof value !== "string" || /\p{Surrogate}/u.test(value))
      throw this.error(key, "a well-formed string");
    return value;
  }

  optionalString(key: string): string | undefined {
    return this.get(key) === undefined ? undefined : this.string(key);
  }

  /** A string of one character. */
  character(key: string, fallback?: string): string {
    const value = this.string(key, fallback);
    if ([...value].length !== 1) throw this.error(key, "one character");
    return value;
  }

  boolean(key: string, fallback?: boolean): boolean {
    const value = this.get(key) ?? fallback;
    if (typeof value !== "boolean") throw this.error(key, "a boolean");
    return value;
  }

  integer(
    key: string,
    { min = 0, max = 0x7fff_ffff, fallback = undefined as number | undefined } = {},
  ): number {
    const value = this.get(key) ?? fallback;
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      throw this.error(key, `an integer from ${min} to ${max}`);
    }
    return value as number;
  }

  list(key: string): unknown[] {
    const value = this.get(key);
    if (!Array.isArray(value)) throw this.error(key, "a list");
    return value;
  }

  /** The objects of a list. */
  objects(key: string): Fields[] {
    const path = this.#pathOf(key);
    return Array.from(this.list(key), (item, i) => new Fields(item, `${path}[${i}]`, this.#depth + 1));
  }

  object(key: string): Fields {
    return new Fields(this.get(key), this.#pathOf(key), this.#depth + 1);
  }

  optionalObject(key: string): Fields | undefined {
    return this.get(key) === undefined ? undefined : this.object(key);
  }

  /** The entry of `choices` that the value names. */
  choice<T>(key: string, choices: Record<string, T>, fallback?: string): T {
    const value = this.get(key) ?? fallback;
    if (typeof value !== "string" || !Object.hasOwn(choices, value)) {
      throw this.error(key, `one of ${Object.keys(choices).join(", ")}`);
    }
    return choices[value]!;
  }

  /** Names and values of all fields. */
  entries(): [string, unknown][] {
    return Object.entries(this.#values);
  }

  #pathOf(key: string): string {
    return this.path.endsWith(".json") ? `${this.path}: ${key}` : `${this.path}.${key}`;
  }
}
