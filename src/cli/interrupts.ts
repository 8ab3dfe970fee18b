import { exitCodes } from "./command.ts";

/** Under `npm run`, one Ctrl-C arrives twice: from the terminal and from npm. */
export const echo_ms = 300;

/** Aborts at the first SIGINT or SIGTERM; a second one, more than the echo of the first, ends the process; until `end`. */
export function interruptSignal(): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  let first_ms = Number.NaN;
  const interrupt = () => {
    if (performance.now() - first_ms > echo_ms) process.exit(exitCodes.interrupted);
    if (controller.signal.aborted) return;
    first_ms = performance.now();
    controller.abort();
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const end = () => void process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  return { signal: controller.signal, end };
}

/** Whether it was `signal` that made this error, perhaps within one that tells of a file. */
export function isInterruption(error: unknown, signal: AbortSignal): boolean {
  for (let cause = error; cause !== undefined; cause = (cause as Error | null)?.cause) {
    if (signal.aborted && cause === signal.reason) return true;
  }
  return false;
}

/** The result of `body`, or undefined if it was `signal` that ended it. */
export async function unlessAborted<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T | undefined> {
  try {
    return await body();
  } catch (error) {
    if (isInterruption(error, signal)) return undefined;
    throw error;
  }
}
