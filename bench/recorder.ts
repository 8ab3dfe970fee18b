/**
 * Stands between the library and its addon, and times the calls of kernels. Import it before anything of the library.
 */
import { createRequire } from "node:module";

/** One call: the numbers of the kernel and of its dtype, the words that describe its arguments, and its milliseconds. */
export interface RecordedCall {
  readonly kernel: number;
  readonly dtype: number;
  readonly words: Float64Array;
  readonly ms: number;
}

type Addon = Record<string, (...args: unknown[]) => unknown>;

const require = createRequire(import.meta.url);
const file = process.env.TRAINFORMER_ADDON!;
const addon: Addon = require(file);
const { words } = addon.info!() as { words: Float64Array };

let clock: (() => number) | undefined;
let calls: RecordedCall[] = [];
let leavesOut = false;

function call(kernel: number, dtype: number, count: number): void {
  if (leavesOut) return;
  if (clock === undefined) {
    addon.call!(kernel, dtype, count);
    return;
  }
  const given = words.slice(0, count);
  const start = clock();
  addon.call!(kernel, dtype, count);
  calls.push({ kernel, dtype, words: given, ms: clock() - start });
}

const functions = Object.getOwnPropertyNames(addon).map(
  (name) => [name, (...args: unknown[]) => addon[name]!(...args)] as const,
);
require.cache[require.resolve(file)]!.exports = { ...Object.fromEntries(functions), call };

/** The calls that `body` makes, in synchronous mode. */
export function recordCalls(now: () => number, body: () => void): RecordedCall[] {
  calls = [];
  clock = now;
  try {
    body();
  } finally {
    clock = undefined;
  }
  return calls;
}

/** Runs `body` without the kernels: what is left is what JavaScript costs. */
export function withoutKernels(body: () => void): void {
  leavesOut = true;
  try {
    body();
  } finally {
    leavesOut = false;
  }
}
