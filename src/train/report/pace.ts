const memory_ms = 30_000;

/** How much of something is done in a time, over about the last 30 s: what is older weighs e-fold less each 30 s. */
export class Pace {
  #elapsed_ms = 0;
  #amount = 0;

  add(elapsed_ms: number, amount: number): void {
    const kept = Math.exp(-elapsed_ms / memory_ms);
    this.#elapsed_ms = this.#elapsed_ms * kept + elapsed_ms;
    this.#amount = this.#amount * kept + amount;
  }

  /** Amount per ms; undefined while there is none. */
  get perMs(): number | undefined {
    return this.#amount > 0 && this.#elapsed_ms > 0 ? this.#amount / this.#elapsed_ms : undefined;
  }
}
