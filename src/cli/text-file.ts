import { constants, isUtf8 } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import { DataError } from "../errors.ts";

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file",
  EISDIR: "is a folder, not a file",
  EACCES: "may not be read",
};

/** The first byte that is no part of a well-formed character. */
function firstInvalidByte(bytes: Uint8Array): number {
  const repaired = Buffer.from(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
  return repaired.findIndex((byte, i) => byte !== bytes[i]);
}

async function readBytes(file: string): Promise<Buffer> {
  try {
    const { size } = await stat(file);
    if (size <= constants.MAX_STRING_LENGTH) return await readFile(file);
    throw new DataError(`${file}: must be at most ${constants.MAX_STRING_LENGTH} bytes; got ${size} bytes`);
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new DataError(`${file}: ${reasons[code ?? ""] ?? `cannot be read: ${message}`}`, { cause });
  }
}

/** A file of text. @throws DataError on one that is not there, is not UTF-8 or is empty */
export async function readTextFile(file: string): Promise<{ text: string; bytes: number }> {
  const bytes = await readBytes(file);
  if (!isUtf8(bytes)) throw new DataError(`${file}: is not UTF-8 at byte ${firstInvalidByte(bytes)}`);
  const text = new TextDecoder().decode(bytes);
  if (text === "") throw new DataError(`${file}: is empty`);
  return { text, bytes: bytes.length };
}
