import { inspect } from "node:util";

/** What went wrong, as a stable string to branch on. The text of a message may change, its code does not. */
export type ErrorCode =
  | "ERR_ARGUMENT" // a value outside what the function takes
  | "ERR_SHAPE" // tensors whose shapes do not fit together
  | "ERR_DTYPE" // a dtype that the operation does not take
  | "ERR_DISPOSED" // a tensor used after it was freed
  | "ERR_INDEX" // a token id or target outside its table
  | "ERR_GRADIENT" // a gradient that does not exist
  | "ERR_NON_FINITE" // a loss or gradient that is infinite or no number
  | "ERR_OOM" // memory that the machine does not have
  | "ERR_NO_BINARY" // no native addon for this platform
  | "ERR_NO_DEVICE" // a device that is not there
  | "ERR_DEVICE" // tensors on different devices, or a device that failed
  | "ERR_CHECKPOINT" // a file that cannot be read or does not fit the model
  | "ERR_DATA" // a data file that cannot be read, or a record of it that is malformed
  | "ERR_CANCELLED"; // the engine was shut down while work was pending

/** Every error of this package. `code` is stable; the message says what was wrong, what is right and what came. */
export class TrainformerError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = `${new.target.name} [${code}]`;
  }
}

export class ShapeError extends TrainformerError {
  constructor(message: string) {
    super("ERR_SHAPE", message);
  }
}

export class DtypeError extends TrainformerError {
  constructor(message: string) {
    super("ERR_DTYPE", message);
  }
}

export class ArgumentError extends TrainformerError {
  constructor(message: string) {
    super("ERR_ARGUMENT", message);
  }
}

export class CheckpointError extends TrainformerError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_CHECKPOINT", message, options);
  }
}

export class DataError extends TrainformerError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_DATA", message, options);
  }
}

/** A value as a message shows it: short, on one line. */
export function show(value: unknown): string {
  const limits = { depth: 1, maxArrayLength: 8, maxStringLength: 80 };
  const text = inspect(value, { ...limits, compact: true, breakLength: Infinity });
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** Throws unless `value` is an integer in [min, max]. `name` reads like `batches: batchSize`. */
export function checkInteger(
  name: string,
  value: unknown,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    const range =
      max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`;
    throw new ArgumentError(`${name} must be ${range}; got ${String(value)}`);
  }
  return value as number;
}

/** Throws unless `value` is a finite number in [min, max]. */
export function checkNumber(name: string, value: unknown, min = -Infinity, max = Infinity): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value < min || value > max) {
    const range =
      min === -Infinity && max === Infinity ? "a finite number" : `a number from ${min} to ${max}`;
    throw new ArgumentError(`${name} must be ${range}; got ${String(value)}`);
  }
  return value;
}
