import { type FileHandle, open } from "node:fs/promises";
import * as zlib from "node:zlib";
import type { AsyncBuffer, Compressors, FileMetaData, SchemaTree } from "hyparquet";
import { ArgumentError, DataError } from "../errors.ts";
import { Dataset } from "./dataset.ts";
import { pathOf } from "./lines.ts";

export interface ReadParquetOptions {
  /** The columns to read; the others are not read from the disk. Default all. */
  columns?: readonly string[];
  /**
   * Give 64-bit integers as bigints. By default they are numbers, and one beyond ±(2⁵³ - 1) is an error.
   */
  bigints?: boolean;
}

/**
 * The rows of Parquet files. A row group of the chosen columns is in memory at a time; the writer of the file chose its
 * size. Compression may be Snappy, gzip, Brotli or, where Node.js has it (≥ 22.15), Zstandard.
 *
 * Strings come as strings, timestamps and dates as `Date`, lists as arrays, structs as objects, missing values as null.
 *
 * @param source a path, a file URL, or several, read one after the other
 * @throws ArgumentError on a bad argument or a column that the file does not have; while it is iterated, DataError with
 *   the file and, in its data, the rows
 * @see https://parquet.apache.org; it is read by the package `hyparquet`
 */
export function readParquet<T = Record<string, unknown>>(
  source: string | URL | readonly (string | URL)[],
  { columns, bigints = false }: ReadParquetOptions = {},
): Dataset<T> {
  const files = Array.isArray(source) ? source : [source];
  const isFile = (each: unknown) => typeof each === "string" || each instanceof URL;
  if (files.length === 0 || !files.every(isFile)) {
    throw new ArgumentError(
      `readParquet: source must be a path, a file URL or several of them; got ${String(source)}`,
    );
  }
  if (columns !== undefined && (!Array.isArray(columns) || columns.length === 0)) {
    throw new ArgumentError(`readParquet: columns must be names, at least one; got ${String(columns)}`);
  }
  const paths = files.map((file) => pathOf("readParquet", file));
  return Dataset.from(async function* () {
    for (const path of paths) yield* readRows(path, columns, bigints) as AsyncGenerator<T>;
  });
}

async function* readRows(path: string, columns: readonly string[] | undefined, bigints: boolean) {
  const { parquetReadObjects, parquetSchema } = await import("hyparquet");
  const handle = await attempt(path, () => open(path, "r"));
  try {
    const file = await attempt(path, () => bufferOf(handle));
    const metadata = await attempt(path, () => metadataOf(file));
    const names = parquetSchema(metadata).children.map(({ element }) => element.name);
    const missing = columns?.find((column) => !names.includes(column));
    if (missing !== undefined) {
      throw new ArgumentError(
        `readParquet: columns must be of ${path}, which has ${names.join(", ")}; got ${missing}`,
      );
    }
    let rowStart = 0;
    for (const { num_rows } of metadata.row_groups) {
      const rowEnd = rowStart + Number(num_rows);
      const range = { rowStart, rowEnd, ...(columns && { columns: [...columns] }) };
      const place = `${path}, rows ${rowStart} to ${rowEnd - 1}`;
      const rows = await attempt(place, () => {
        return parquetReadObjects({ file, metadata, compressors, geoparquet: false, ...range });
      });
      if (rows.length !== rowEnd - rowStart) {
        throw new DataError(`${place}: the file says ${rowEnd - rowStart} rows and has ${rows.length}`);
      }
      for (const [i, row] of rows.entries()) {
        yield bigints ? row : await attempt(`${path}, row ${rowStart + i}`, () => withNumbers(row));
      }
      rowStart = rowEnd;
    }
  } finally {
    await handle.close();
  }
}

async function attempt<T>(place: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${place}: cannot be read as Parquet: ${reason}`, { cause });
  }
}

/**
 * The metadata, if every row group has the columns of the schema, in its order: `hyparquet` begins to read the columns
 * before it looks for their names, and what fails then would end the process.
 */
async function metadataOf(file: AsyncBuffer): Promise<FileMetaData> {
  const { parquetMetadataAsync, parquetSchema } = await import("hyparquet");
  if (file.byteLength < 12) throw new Error(`a file of ${file.byteLength} bytes is too short`);
  const metadata = await parquetMetadataAsync(file, { geoparquet: false });
  const { children } = parquetSchema(metadata);
  if (new Set(children.map(({ element }) => element.name)).size < children.length) {
    throw new Error(`columns must differ; got ${children.map(({ element }) => element.name).join(", ")}`);
  }
  const leavesOf = (tree: SchemaTree): SchemaTree[] =>
    tree.children.length === 0 ? [tree] : tree.children.flatMap(leavesOf);
  const paths = children.flatMap(leavesOf).map((leaf) => JSON.stringify(leaf.path));
  metadata.row_groups.forEach(({ num_rows, columns }, g) => {
    if (!(num_rows >= 0n && num_rows < 2n ** 31n)) throw new Error(`row group ${g} has ${num_rows} rows`);
    if (columns.length !== paths.length) {
      throw new Error(`row group ${g} has ${columns.length} columns; the schema has ${paths.length}`);
    }
    columns.forEach(({ meta_data, file_path }, c) => {
      if (file_path) throw new Error(`a column is in another file, ${file_path}`);
      const path = JSON.stringify(meta_data?.path_in_schema);
      if (path !== paths[c]) throw new Error(`row group ${g}: column ${c} must be ${paths[c]}; got ${path}`);
    });
  });
  return metadata;
}

/** Parts of the open file. A part that is not in the file is an error, not memory. */
async function bufferOf(handle: FileHandle): Promise<AsyncBuffer> {
  const { size } = await handle.stat();
  const read = async (start: number, end: number): Promise<ArrayBuffer> => {
    if (!(start >= 0 && start <= end && end <= size)) {
      throw new Error(`bytes ${start} to ${end} are asked for, of a file of ${size}`);
    }
    const bytes = new Uint8Array(end - start);
    for (let filled = 0; filled < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
      if (bytesRead === 0) throw new Error("the file became shorter while it was read");
      filled += bytesRead;
    }
    return bytes.buffer;
  };
  return {
    byteLength: size,
    slice(start: number, end = size) {
      const part = read(start, end);
      part.catch(() => {}); // it may be asked for ahead, and not awaited if another part fails
      return part;
    },
  };
}

/** What Node.js decompresses, beside Snappy, which `hyparquet` does. */
const compressors: Compressors = {
  GZIP: (input, maxOutputLength) => zlib.gunzipSync(input, { maxOutputLength }),
  BROTLI: (input, maxOutputLength) => zlib.brotliDecompressSync(input, { maxOutputLength }),
  ZSTD: (input, maxOutputLength) => {
    const { zstdDecompressSync } = zlib as { zstdDecompressSync?: typeof zlib.gunzipSync };
    if (!zstdDecompressSync) {
      throw new Error(`Zstandard needs Node.js 22.15 or newer; this is ${process.version}`);
    }
    return zstdDecompressSync(input, { maxOutputLength });
  },
};

/** `value` with numbers for its bigints, in place. */
function withNumbers(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) {
      throw new Error(`the integer ${value} is no exact number; ask for { bigints: true }`);
    }
    return number;
  }
  if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && !(value instanceof Date)) {
    const record = value as Record<string, unknown>;
    for (const key of Object.keys(record)) record[key] = withNumbers(record[key]);
  } else if (value instanceof BigInt64Array || value instanceof BigUint64Array) {
    return Array.from(value, withNumbers);
  }
  return value;
}
