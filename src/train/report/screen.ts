import type { Writable } from "node:stream";

/** Where text goes: `process.stdout`, `process.stderr`, or anything like them. */
export type Screen = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  hasColors?(): boolean;
};

/** Whether a line there can be redrawn in place. */
export const isTerminal = (screen: Screen): boolean => screen.isTTY === true && process.env.TERM !== "dumb";

/** Characters that fit into a line: without the last column, after which some terminals wrap. */
export const widthOf = (screen: Screen): number =>
  isTerminal(screen) ? (screen.columns || 80) - 1 : Number.POSITIVE_INFINITY;

/** Sequences for `text`, where the screen has colours and NO_COLOR doesn't forbid them. */
export function styled(screen: Screen, style: "bold" | "dim" | "cyan", text: string): string {
  if (text === "" || !isTerminal(screen) || process.env.NO_COLOR || !screen.hasColors?.()) return text;
  const [on, off] = { bold: [1, 22], dim: [2, 22], cyan: [36, 39] }[style];
  return `\x1b[${on}m${text}\x1b[${off}m`;
}

const clear = "\r\x1b[K";

/** Lines that stand on a terminal, to be moved out of the way of what is printed, and ended when the process ends:
 * also before the error is printed of which it dies. */
const standing = new Set<StatusLine>();
const endAll = () => {
  for (const line of [...standing]) line.end();
};

/**
 * The last line of a terminal, redrawn in place. The cursor stays visible and behind it, so that nothing is left to
 * restore when the process is killed; when it exits or dies of an error, the cursor is put on a line of its own first.
 */
export class StatusLine {
  readonly screen: Screen;
  #text = "";

  constructor(screen: Screen) {
    this.screen = screen;
  }

  draw(text: string): void {
    this.#text = text;
    this.screen.write(`\r${text}\x1b[K`);
    if (standing.size === 0) process.on("exit", endAll);
    standing.add(this);
  }

  /** Leaves the line where it is and the cursor at the start of the next one. */
  end(): void {
    if (!standing.delete(this)) return;
    if (standing.size === 0) process.off("exit", endAll);
    this.screen.write("\n");
  }

  /** @internal */
  erase(): void {
    this.screen.write(clear);
  }

  /** @internal */
  redraw(): void {
    this.draw(this.#text);
  }
}

/** Writes lines to a screen, above the status line that may stand on it or on the same terminal. */
export function print(screen: Screen, lines: readonly string[]): void {
  const onTerminal = isTerminal(screen);
  const moved = [...standing].filter((line) => onTerminal || line.screen === screen);
  for (const line of moved) line.erase();
  screen.write(`${lines.join("\n")}\n`);
  for (const line of moved) line.redraw();
}
