import { mkdirSync, writeFileSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { CheckpointError } from "../../errors.ts";
import { maskedCrc32c } from "./crc32c.ts";
import { Message } from "./protobuf.ts";
import { reasonOf } from "./reason.ts";

/** A TFRecord: the length of `data` as u64, its masked CRC-32C, `data`, its masked CRC-32C. */
export function record(data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(8 + 4 + data.length + 4);
  bytes.writeBigUInt64LE(BigInt(data.length), 0);
  bytes.writeUInt32LE(maskedCrc32c(bytes.subarray(0, 8)), 8);
  bytes.set(data, 12);
  bytes.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return bytes;
}

/** tensorflow.Event without what happened: 1 wall_time, seconds since 1970, and 2 step. */
export const event = (wallTime: number, step: number): Message =>
  new Message().doubleUnless0(1, wallTime).integerUnless0(2, step);

/** What the first record of a file says; TensorBoard knows restarts (`purge_step`) only of this version. */
export const fileVersion = (wallTime: number, step = 0): Message =>
  event(wallTime, step).string(3, "brain.Event:2");

let files = 0;

/**
 * A new event file, `events.out.tfevents.<seconds>.<host>.<process>.<number>`, as TensorBoard looks for it. What is added
 * is written beside the event loop, in order and in whole records.
 */
export class EventFile {
  readonly path: string;
  #pending: Uint8Array[] = [];
  #writing: Promise<void> | undefined;
  #failure: CheckpointError | undefined;

  /**
   * Makes the folder, and the file with its first record.
   *
   * @throws CheckpointError if it cannot be written
   */
  constructor(folder: string, wallTime: number) {
    const seconds = String(Math.floor(wallTime)).padStart(10, "0");
    for (;;) {
      const name = `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${files++}`;
      const path = join(folder, name);
      try {
        mkdirSync(folder, { recursive: true });
        const first = fileVersion(wallTime).message(10, new Message().string(1, "trainformer")); // source_metadata.writer
        writeFileSync(path, record(first.finish()), { flag: "wx" });
        this.path = path;
        return;
      } catch (cause) {
        // Another thread of this process counts its files on its own.
        if (isTaken(cause, path)) continue;
        throw failedToWrite(path, cause);
      }
    }
  }

  /** @throws CheckpointError if something before could not be written */
  add(message: Message): void {
    if (this.#failure) throw this.#failure;
    this.#pending.push(record(message.finish()));
    this.#writing ??= this.#write();
  }

  /** Once everything is in the file. @throws CheckpointError if it could not be written */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#failure) throw this.#failure;
  }

  async #write(): Promise<void> {
    try {
      await undefined; // what is added until the next tick goes along
      while (this.#pending.length > 0) {
        const bytes = Buffer.concat(this.#pending);
        this.#pending = [];
        await appendFile(this.path, bytes);
      }
    } catch (cause) {
      this.#failure = failedToWrite(this.path, cause);
    }
    this.#writing = undefined;
  }
}

const failedToWrite = (path: string, cause: unknown): CheckpointError =>
  new CheckpointError(`${path}: cannot be written: ${reasonOf(cause)}`, { cause });

const isTaken = (error: unknown, path: string): boolean => {
  const { code, path: of } = error as NodeJS.ErrnoException;
  return code === "EEXIST" && of === path; // not a file in the place of the folder
};
