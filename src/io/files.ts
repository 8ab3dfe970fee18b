import { randomUUID } from "node:crypto";
import { access, open, rename, rm, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { CheckpointError } from "../errors.ts";

/** Whether there is a file, or a folder, of that name. */
export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Makes the entries of a folder durable. Windows has no such call and needs none. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Writes `chunks`, one after the other, to the file `path`, which afterwards holds all of them or what it held before:
 * a temporary file beside it is written, synced and renamed.
 *
 * The bytes must not change until the promise settles.
 *
 * @throws CheckpointError with the cause (a full disk, no permission, an error of `chunks`); the temporary file is removed
 */
export async function writeAtomically(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const target = resolve(path);
  const temporary = `${target}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      await writeFile(file, chunks);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    await syncFolder(dirname(target));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError(`${path}: cannot be written: ${reason}`, { cause });
  }
}
