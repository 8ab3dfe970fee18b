import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { open } from "node:fs/promises";
import { CheckpointError } from "../errors.ts";
import { mapFile } from "../native.ts";

export interface ReadOptions {
  /**
   * Whether tensors are views of the file mapped into memory; false reads what is asked for into memory of its own.
   * Mapping is not there on Windows, in Electron, and for single tensors above 4 GiB: there the bytes are read.
   *
   * Mapped pages are copied when they are written to, so that no write reaches the file. Replacing or deleting the file
   * is safe, as this library and others do by renaming; changing its content in place shows in the tensors, and making
   * it shorter ends the process when they are next used (SIGBUS). Default true.
   */
  map?: boolean;
}

/** The largest whole file to map: more is no Uint8Array in every Node.js. */
const maxMappedBytes = 2 ** 32 - 1;

const isSame = (a: Stats, b: Stats): boolean =>
  a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeMs === b.mtimeMs;

/** A regular file whose bytes are looked at in place, or read when they are asked for. No file stays open. */
export class FileBytes {
  readonly path: string;
  readonly size: number;
  private readonly stats: Stats;
  private readonly isMapped: boolean;
  private readonly whole: Uint8Array | undefined;

  private constructor(path: string, stats: Stats, isMapped: boolean, whole: Uint8Array | undefined) {
    this.path = path;
    this.size = stats.size;
    this.stats = stats;
    this.isMapped = isMapped;
    this.whole = whole;
  }

  /** @throws CheckpointError with the cause when the file cannot be read */
  static async open(path: string, { map = true }: ReadOptions = {}): Promise<FileBytes> {
    try {
      // Without O_NONBLOCK, opening a pipe would wait for a writer.
      const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
      try {
        const stats = await file.stat();
        if (!stats.isFile()) throw new Error("it must be a regular file");
        const isWhole = map && stats.size > 0 && stats.size <= maxMappedBytes;
        const buffer = isWhole ? mapFile(file.fd, 0, stats.size) : undefined;
        return new FileBytes(path, stats, map, buffer && new Uint8Array(buffer));
      } finally {
        await file.close();
      }
    } catch (cause) {
      throw unreadable(path, cause);
    }
  }

  /**
   * The bytes in [begin, end), which the file must have.
   *
   * @throws CheckpointError with the cause when they cannot be read, and when another file has taken the place of the
   *   one that was opened
   */
  bytes(begin: number, end: number): Uint8Array {
    if (this.whole) return this.whole.subarray(begin, end);
    if (begin === end) return new Uint8Array(0);
    try {
      const file = openSync(this.path, "r");
      try {
        if (!isSame(fstatSync(file), this.stats)) throw new Error("it has changed since it was opened");
        const buffer = this.isMapped ? mapFile(file, begin, end - begin) : undefined;
        return buffer ? new Uint8Array(buffer) : readExactly(file, begin, end - begin);
      } finally {
        closeSync(file);
      }
    } catch (cause) {
      throw unreadable(this.path, cause);
    }
  }
}

const unreadable = (path: string, cause: unknown): CheckpointError =>
  new CheckpointError(`${path}: cannot be read: ${(cause as Error).message}`, { cause });

/** `size` bytes of the file from `position` on. */
function readExactly(file: number, position: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size; ) {
    const count = readSync(file, bytes, done, Math.min(size - done, 2 ** 30), position + done);
    if (count === 0) throw new Error(`it ends at byte ${position + done} while it is read`);
    done += count;
  }
  return bytes;
}
