import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { CheckpointError } from "../errors.ts";
import { exists, syncFolder } from "../io/files.ts";

// In the folder of a run:
//
//   checkpoint-{step}             whole: it appears by a rename, after all that is in it is on the disk
//   checkpoint-{step}.replaced    what was there before, while another one of that step takes its place
//   .checkpoint-{step}.*.tmp      being written or being removed

export interface CheckpointFolder {
  readonly step: number;
  readonly folder: string;
  /** When it was written, in ms. */
  readonly modified: number;
}

export const checkpointName = (step: number): string => `checkpoint-${step}`;

const whole = /^checkpoint-(\d+)$/;
const replaced = /^(checkpoint-(\d+))\.replaced$/;
const temporary = /^\.checkpoint-\d+(\.replaced)?\.[0-9a-f-]{36}\.tmp$/;

const temporaryFor = (folder: string): string =>
  path.join(path.dirname(folder), `.${path.basename(folder)}.${randomUUID()}.tmp`);

const failure = (folder: string, what: string, cause: unknown): CheckpointError =>
  new CheckpointError(`${folder}: ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
    cause,
  });

async function namesIn(outputDir: string): Promise<string[]> {
  try {
    return await readdir(outputDir);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw failure(outputDir, "cannot be read", cause);
  }
}

/** The checkpoints in the folder of a run, by step. */
export async function listCheckpoints(outputDir: string): Promise<CheckpointFolder[]> {
  const found: CheckpointFolder[] = [];
  for (const name of await namesIn(outputDir)) {
    const step = whole.exec(name)?.[1];
    if (step === undefined) continue;
    const folder = path.join(outputDir, name);
    found.push({ step: Number(step), folder, modified: (await stat(folder)).mtimeMs });
  }
  return found.sort((a, b) => a.step - b.step);
}

/**
 * The checkpoint of the latest step in the folder of a run, or undefined if there is none. Each that is there is whole,
 * however the run ended.
 */
export async function latestCheckpoint(outputDir: string): Promise<string | undefined> {
  const names = await namesIn(outputDir);
  const stepOf = (name: string) => Number(whole.exec(name)?.[1] ?? replaced.exec(name)?.[2] ?? -1);
  const isShadowed = (name: string) => names.includes(replaced.exec(name)?.[1] ?? "");
  const candidates = names.filter((name) => stepOf(name) >= 0 && !isShadowed(name));
  candidates.sort((a, b) => stepOf(b) - stepOf(a));
  return candidates[0] === undefined ? undefined : path.join(outputDir, candidates[0]);
}

/** Removes a checkpoint such that it never is there in parts. */
export async function removeCheckpoint(folder: string): Promise<void> {
  const aside = temporaryFor(folder);
  await rename(folder, aside);
  await rm(aside, { recursive: true, force: true });
}

/** Puts right what a run left behind that ended while it saved. */
export async function tidyCheckpoints(outputDir: string): Promise<void> {
  try {
    for (const name of await namesIn(outputDir)) {
      const place = path.join(outputDir, name);
      if (temporary.test(name)) await rm(place, { recursive: true, force: true });
      const original = replaced.exec(name)?.[1];
      if (original === undefined) continue;
      if (await exists(path.join(outputDir, original))) await rm(place, { recursive: true, force: true });
      else await rename(place, path.join(outputDir, original));
    }
  } catch (cause) {
    throw failure(outputDir, "cannot be tidied up", cause);
  }
}

/** Makes every file under a folder durable, and the folder itself. */
async function syncAll(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const place = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      await syncAll(place);
      continue;
    }
    const file = await open(place, "r+");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await syncFolder(folder);
}

/**
 * Makes `folder` of what `write` puts into the folder that it is given: afterwards it holds all of it, or what it held
 * before. Both hold if the machine loses its power at any time.
 *
 * @throws ERR_CHECKPOINT with the cause: a full disk, no permission
 */
export async function writeFolder(folder: string, write: (into: string) => Promise<void>): Promise<void> {
  const into = temporaryFor(folder);
  const before = `${folder}.replaced`;
  let isReplaced = false;
  try {
    const parent = path.dirname(folder);
    if (!(await exists(parent))) await mkdir(parent, { recursive: true });
    await mkdir(into);
    await write(into);
    await syncAll(into);
    isReplaced = await exists(folder);
    if (isReplaced) {
      if (await exists(before)) await removeCheckpoint(before);
      await rename(folder, before);
    }
    await rename(into, folder);
    await syncFolder(parent);
    if (isReplaced) await removeCheckpoint(before);
  } catch (cause) {
    if (isReplaced && !(await exists(folder))) await rename(before, folder).catch(() => {});
    await rm(into, { recursive: true, force: true }).catch(() => {});
    throw failure(folder, "cannot be saved; what was saved before is still there", cause);
  }
}

/**
 * Removes the oldest checkpoints until `limit` are left. Those in `kept` stay.
 *
 * @throws ERR_CHECKPOINT
 */
export async function pruneCheckpoints(
  outputDir: string,
  limit: number,
  kept: ReadonlySet<string>,
): Promise<void> {
  const all = await listCheckpoints(outputDir);
  const times = all.map(({ modified }) => modified);
  const areTold = Math.max(...times) - Math.min(...times) >= 1000;
  if (areTold) all.sort((a, b) => a.modified - b.modified || a.step - b.step);
  let excess = all.length - limit;
  for (const { folder } of all) {
    if (excess <= 0) return;
    if (kept.has(path.resolve(folder))) continue;
    await removeCheckpoint(folder).catch((cause) => {
      throw failure(folder, "cannot be removed", cause);
    });
    excess--;
  }
}
