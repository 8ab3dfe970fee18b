import { DataError, type Dataset, readCSV, readJSONLines, readParquet } from "../index.ts";
import { nearest } from "./nearest.ts";

/** The records of a file, whose name says how it is written. */
function open(file: string): Dataset<Record<string, unknown>> {
  const plain = file.replace(/\.gz$/, "");
  if (/\.(jsonl|ndjson)$/.test(plain)) return readJSONLines(file);
  if (plain.endsWith(".csv")) return readCSV(file);
  if (plain.endsWith(".tsv")) return readCSV(file, { delimiter: "\t", quote: false });
  if (plain.endsWith(".parquet")) return readParquet(file) as Dataset<Record<string, unknown>>;
  throw new DataError(`${file}: must be called .jsonl, .csv, .tsv or .parquet, for these have fields`);
}

/**
 * The fields `names` of each record of a JSONL, CSV, TSV or Parquet file.
 *
 * @throws DataError on a file that cannot be read, has no records, or a record that lacks one
 */
export async function readFields(
  file: string,
  names: readonly string[],
  limit = Infinity,
): Promise<unknown[][]> {
  const rows: unknown[][] = [];
  for await (const record of open(file)) {
    if (rows.length >= limit) break;
    const row = names.map((name) => {
      const value = Object.hasOwn(record, name) ? record[name] : undefined;
      if (value !== undefined && value !== null) return value;
      const near =
        Object.keys(record).length > 0 ? `; the nearest is ${nearest(name, Object.keys(record))}` : "";
      throw new DataError(`${file}: record ${rows.length + 1} has no field ${name}${near}`);
    });
    rows.push(row);
  }
  if (rows.length === 0) throw new DataError(`${file}: must have records; got none`);
  return rows;
}

/** @throws DataError unless it is a text */
export function textOf(file: string, value: unknown, row: number): string {
  if (typeof value === "string") return value;
  throw new DataError(`${file}: record ${row + 1}: must have a text; got ${JSON.stringify(value)}`);
}
