import { mkdirSync } from "node:fs";
import { appendFile, open, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { CheckpointError, DataError } from "../../errors.ts";
import { writeAtomically } from "../../io/files.ts";
import type { WatchLine } from "./history.ts";

const reason = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** JSON has no NaN and no infinities: they are strings, which `Number` reads. */
export const lineText = (line: WatchLine): string =>
  JSON.stringify(line, (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );

/** `watch.jsonl` of a run: one JSON object a line, only ever added to. A place in it is an offset in bytes. */
export class RunFile {
  readonly path: string;
  private queue: Promise<void> = Promise.resolve();

  constructor(folder: string) {
    this.path = path.join(folder, "watch.jsonl");
  }

  /** Keeps the lines up to `step` and goes on behind them; at step 0 the file begins anew. */
  async resume(step: number): Promise<void> {
    mkdirSync(path.dirname(this.path), { recursive: true });
    const { lines } = step === 0 ? { lines: [] } : await this.read(0);
    const kept = lines.filter((line) => line.step <= step && line.kind !== "end");
    await writeAtomically(this.path, [Buffer.from(kept.map((line) => `${lineText(line)}\n`).join(""))]);
  }

  /** Appends a line, behind those before it. @throws ERR_CHECKPOINT if it cannot be written */
  append(line: WatchLine): Promise<void> {
    this.queue = this.queue.then(async () => {
      try {
        await appendFile(this.path, `${lineText(line)}\n`);
      } catch (cause) {
        throw new CheckpointError(`${this.path}: cannot be written: ${reason(cause)}`, { cause });
      }
    });
    return this.queue;
  }

  /** Bytes so far; 0 without a file. */
  async size(): Promise<number> {
    return stat(this.path).then(
      ({ size }) => size,
      () => 0,
    );
  }

  /**
   * The whole lines behind an offset, and the offset behind them. A last line that is still being written waits.
   *
   * @throws ERR_DATA for a line that is no JSON, or an offset that is not in the file
   */
  async read(from: number): Promise<{ lines: WatchLine[]; end: number }> {
    const bytes = await this.bytes(from);
    const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
    const texts = whole.toString().split("\n").slice(0, -1);
    const lines = texts.map((text, k) => {
      try {
        return JSON.parse(text) as WatchLine;
      } catch (cause) {
        throw new DataError(`${this.path}: line ${k + 1} behind byte ${from}: ${reason(cause)}`, { cause });
      }
    });
    return { lines, end: from + whole.length };
  }

  private async bytes(from: number): Promise<Buffer> {
    if (from === 0) return readFile(this.path).catch(() => Buffer.alloc(0));
    const size = await this.size();
    if (from > size) throw new DataError(`${this.path}: has ${size} bytes, not ${from}`);
    const file = await open(this.path, "r");
    try {
      const bytes = Buffer.alloc(size - from);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  }
}
