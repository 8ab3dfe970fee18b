import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { fileURLToPath } from "node:url";
import { createGunzip } from "node:zlib";
import { ArgumentError, checkInteger, DataError } from "../errors.ts";

/**
 * Where text comes from: a file, several files one after the other, or what a stream brings (an HTTP response, a
 * decompressor). Files whose name ends in `.gz` are decompressed.
 */
export type TextSource = string | URL | readonly (string | URL)[] | AsyncIterable<Uint8Array | string>;

export interface TextSourceOptions {
  /** A label of the Encoding Standard. Default "utf-8". */
  encoding?: string;
  /** The longest record that is taken, in UTF-16 units: what bounds the memory. Default 2²⁶. */
  maxRecordLength?: number;
}

/** A line of a source, without its `\n`. */
export interface Line {
  /** Name of the file, or "stream". */
  readonly name: string;
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

/** One file or stream. */
export interface NamedSource {
  readonly name: string;
  readonly chunks: () => AsyncIterable<Uint8Array | string>;
}

/** Checks the source and the options of `caller` when they are given, and gives the files that are to be opened. */
export function openSources(caller: string, source: TextSource, options: TextSourceOptions): NamedSource[] {
  checkInteger(`${caller}: maxRecordLength`, options.maxRecordLength ?? 1, 1);
  try {
    new TextDecoder(options.encoding ?? "utf-8");
  } catch {
    throw new ArgumentError(
      `${caller}: encoding must be a label like "utf-8" or "latin1"; got ${String(options.encoding)}`,
    );
  }
  const isFile = (each: unknown): each is string | URL => typeof each === "string" || each instanceof URL;
  if (isFile(source)) return [fileSource(caller, source)];
  if (Array.isArray(source) && source.length > 0 && source.every(isFile)) {
    return source.map((each) => fileSource(caller, each));
  }
  if (typeof source === "object" && source !== null && Symbol.asyncIterator in source) {
    return [{ name: "stream", chunks: () => source }];
  }
  throw new ArgumentError(
    `${caller}: source must be a path, a file URL, several of them, or an async iterable of bytes or strings; got ${String(source)}`,
  );
}

/** The path of a file URL. */
export function pathOf(caller: string, file: string | URL): string {
  if (typeof file === "string") return file;
  if (file.protocol !== "file:")
    throw new ArgumentError(`${caller}: a URL must be of a file; got ${file.href}`);
  return fileURLToPath(file);
}

function fileSource(caller: string, file: string | URL): NamedSource {
  const path = pathOf(caller, file);
  const open = () => createReadStream(path, { highWaterMark: 2 ** 18 });
  // Errors of both streams arrive where the last of them is iterated.
  const inflated = () => pipeline(open(), createGunzip(), () => {});
  return { name: path, chunks: path.endsWith(".gz") ? inflated : open };
}

/**
 * The lines of all sources, those of one chunk at a time. Only `\n` ends a line: a `\r` before it is left to the caller.
 * A byte order mark is dropped. What follows the last `\n` is a line unless it is empty.
 *
 * @throws DataError on what cannot be read or decoded and on a line that is too long, with its number
 */
export async function* lineBlocks(
  sources: readonly NamedSource[],
  { encoding = "utf-8", maxRecordLength = 2 ** 26 }: TextSourceOptions,
): AsyncGenerator<{ name: string; first: number; lines: string[]; isLast: boolean }> {
  for (const { name, chunks } of sources) {
    const decoder = new TextDecoder(encoding, { fatal: true });
    let rest = "";
    let first = 1;
    const decode = (chunk?: Uint8Array | string): string => {
      if (typeof chunk === "string") return chunk;
      try {
        return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
      } catch (cause) {
        throw new DataError(`${name}: not ${encoding}, at or after line ${first}`, { cause });
      }
    };
    for await (const chunk of readable(name, chunks)) {
      const lines = decode(chunk).split("\n");
      lines[0] = rest + lines[0]!;
      rest = lines.pop()!;
      const long = rest.length > maxRecordLength ? lines.length : lines.findIndex(isLong);
      if (long >= 0) {
        const advice = "is that file text? maxRecordLength says what is allowed";
        throw new DataError(
          `${name}:${first + long}: a line of more than ${maxRecordLength} units; ${advice}`,
        );
      }
      if (lines.length > 0) yield { name, first, lines, isLast: false };
      first += lines.length;
    }
    rest += decode();
    yield { name, first, lines: rest === "" ? [] : [rest], isLast: true };
  }

  function isLong(line: string): boolean {
    return line.length > maxRecordLength;
  }
}

async function* readable(
  name: string,
  chunks: NamedSource["chunks"],
): AsyncGenerator<Uint8Array | string, void, undefined> {
  const isText = (chunk: unknown) => typeof chunk === "string" || chunk instanceof Uint8Array;
  try {
    for await (const chunk of chunks()) {
      if (!isText(chunk)) throw new TypeError(`a chunk must be bytes or a string; got ${String(chunk)}`);
      yield chunk;
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${name}: cannot be read: ${reason}`, { cause });
  }
}

/** `line` without the `\r` of a Windows line end. */
export function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
