import { scope } from "../memory.ts";

/**
 * One step of training: runs `body` and frees every tensor that it made, except those it returns.
 *
 * ```ts
 * const loss = step(() => {
 *   const { loss } = model(inputs, { targets });
 *   loss.backward();
 *   optimizer.step();
 *   return loss;
 * });
 * ```
 *
 * The work is enqueued and runs beside the event loop; awaiting what is returned waits for it.
 */
export const step: <T>(body: () => T) => T = scope;
