import { acceleratorNumbers } from "../device.ts";
import { scope } from "../memory.ts";
import { markStep } from "../native.ts";

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
export function step<T>(body: () => T): T {
  const devices = acceleratorNumbers();
  for (const device of devices) markStep(device, true);
  try {
    return scope(body);
  } finally {
    for (const device of devices) markStep(device, false);
  }
}
