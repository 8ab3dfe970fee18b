import { appendFile, mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { CheckpointError, DataError } from "../../errors.ts";
import { writeAtomically } from "../../io/files.ts";
import { reasonOf } from "./reason.ts";

/**
 * A line of `metrics.jsonl`: `step`, `epoch`, `time` (seconds since 1970) and what was logged, by Hugging Face's names.
 * JSON has no NaN and no infinities; they stand there as the strings "NaN", "Infinity" and "-Infinity", which `Number`
 * reads.
 */
export type MetricsLine = Readonly<Record<string, number | string>> & { readonly step: number };

const newline = 0x0a;

interface Stored {
  readonly line: MetricsLine;
  readonly bytes: Uint8Array;
}

/** The lines of a file, without a last one that was not written to its end; none if there is no file. */
async function readLines(path: string): Promise<{ lines: Stored[]; isWhole: boolean }> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return { lines: [], isWhole: true };
    throw new DataError(`${path}: cannot be read: ${reasonOf(cause)}`, { cause });
  }
  const lines: Stored[] = [];
  let start = 0;
  for (let end = content.indexOf(newline); end >= 0; end = content.indexOf(newline, start)) {
    const bytes = content.subarray(start, end + 1);
    lines.push({ line: parse(bytes, `${path}:${lines.length + 1}`), bytes });
    start = end + 1;
  }
  return { lines, isWhole: start === content.length };
}

function parse(bytes: Buffer, place: string): MetricsLine {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch (cause) {
    throw new DataError(`${place}: must be a JSON object; ${reasonOf(cause)}`, { cause });
  }
  const step = (value as { step?: unknown } | null)?.step;
  if (!Number.isSafeInteger(step))
    throw new DataError(`${place}: must be a JSON object with an integer "step"; got ${String(step)}`);
  return value as MetricsLine;
}

/**
 * The lines of `metrics.jsonl`, also while it is being written: a last line that is not complete is left out.
 *
 * @throws ERR_DATA if the file cannot be read, or another line is malformed: the line is named
 */
export async function readMetrics(path: string): Promise<MetricsLine[]> {
  return (await readLines(path)).lines.map(({ line }) => line);
}

/** Makes a folder unless it is there. @throws ERR_CHECKPOINT */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new CheckpointError(`${path}: cannot be made: ${reasonOf(cause)}`, { cause });
  }
}

/** Appends to a `metrics.jsonl`, whole lines at a time. */
export class MetricsFile {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens the file, with its folder. A line that a killed process left half is removed. With `step`, the run goes on
   * after so many updates: lines of later ones are removed, which will be made again; at step 0 that is all of them.
   *
   * @throws ERR_DATA if the file is malformed, ERR_CHECKPOINT if it cannot be written
   */
  static async open(path: string, step = Number.POSITIVE_INFINITY): Promise<MetricsFile> {
    await makeFolder(dirname(path));
    const { lines, isWhole } = await readLines(path);
    const kept = lines.filter(({ line }) => line.step <= step && step > 0);
    if (kept.length < lines.length || !isWhole) {
      await writeAtomically(
        path,
        kept.map(({ bytes }) => bytes),
      );
    }
    return new MetricsFile(path);
  }

  /** Appends one line, in one write. @throws ERR_CHECKPOINT if it cannot be written */
  async append(line: MetricsLine): Promise<void> {
    const text = JSON.stringify(line, (_, value) =>
      typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
    );
    try {
      await appendFile(this.path, `${text}\n`);
    } catch (cause) {
      throw new CheckpointError(`${this.path}: cannot be written: ${reasonOf(cause)}`, { cause });
    }
  }
}
