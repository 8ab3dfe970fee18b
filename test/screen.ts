import { Writable } from "node:stream";

/** A stream that keeps what is written to it, and says that it is a terminal if told so. */
export class Screen extends Writable {
  writes: string[] = [];
  readonly isTTY: boolean;
  columns: number | undefined;
  readonly #hasColors: boolean;

  constructor(isTTY: boolean, columns?: number, hasColors = false) {
    super();
    this.isTTY = isTTY;
    this.columns = columns;
    this.#hasColors = hasColors;
  }

  hasColors(): boolean {
    return this.#hasColors;
  }

  /** Everything that was written. */
  get text(): string {
    return this.writes.join("");
  }

  /** The line that was drawn last, as it stands. */
  get line(): string {
    return this.text.split("\r").at(-1)!.split("\x1b[K")[0]!;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes.push(chunk.toString());
    done();
  }
}
