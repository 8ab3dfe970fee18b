import type { Logs, TrainerCallback, TrainerEvent } from "../callback.ts";
import { formatNumber } from "./formats.ts";
import { labelOf } from "./names.ts";
import { print, type Screen } from "./screen.ts";

export interface ConsoleOptions {
  /** Where to print, `process.stdout` by default. */
  stream?: Screen;
}

/**
 * A line for everything that is logged, as Hugging Face's PrinterCallback:
 *
 *     500/2000  loss 1.712  learning rate 3.8e-5  grad norm 0.483  epoch 0.500
 */
export class ConsoleLines implements TrainerCallback {
  readonly #screen: Screen;

  constructor({ stream = process.stdout }: ConsoleOptions = {}) {
    this.#screen = stream;
  }

  onLog({ state, logs }: TrainerEvent & { logs: Logs }): void {
    const values = Object.entries(logs).map(([name, value]) => `${labelOf(name)} ${formatNumber(value)}`);
    print(this.#screen, [[`${state.globalStep}/${state.maxSteps}`, ...values].join("  ")]);
  }
}
