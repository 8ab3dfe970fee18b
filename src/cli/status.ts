import { isTerminal, StatusLine } from "../train/report/screen.ts";

/** Says on stderr how far something is: a line that is redrawn on a terminal, else nothing until it is done. */
export class Status {
  readonly #line = new StatusLine(process.stderr);
  #drawn_ms = -Infinity;

  update(what: string, done: string): void {
    if (!isTerminal(process.stderr) || performance.now() - this.#drawn_ms < 100) return;
    this.#drawn_ms = performance.now();
    this.#line.draw(`  ${what}  ${done}`);
  }

  end(): void {
    this.#line.end();
  }
}
