import { ArgumentError, DataError } from "../errors.ts";
import { Dataset } from "./dataset.ts";
import { lineBlocks, openSources, type TextSource, type TextSourceOptions, withoutReturn } from "./lines.ts";

export interface ReadTextOptions extends TextSourceOptions {
  /**
   * What a record is: a line (empty ones too), a paragraph (lines between empty lines, joined by `\n`) or a file. Default
   * "line".
   */
  sampleBy?: "line" | "paragraph" | "document";
}

/**
 * The lines, paragraphs or documents of text files, without line ends. One record is in memory at a time.
 *
 * @throws ArgumentError on a bad argument; while it is iterated, DataError on what cannot be read or decoded, with file
 *   and line
 */
export function readText(source: TextSource, options: ReadTextOptions = {}): Dataset<string> {
  const sources = openSources("readText", source, options);
  const { sampleBy = "line", maxRecordLength = 2 ** 26 } = options;
  if (sampleBy === "line") {
    return Dataset.from(async function* () {
      for await (const { lines } of lineBlocks(sources, options)) {
        for (const line of lines) yield withoutReturn(line);
      }
    });
  }
  if (sampleBy !== "paragraph" && sampleBy !== "document") {
    throw new ArgumentError(
      `readText: sampleBy must be "line", "paragraph" or "document"; got ${String(sampleBy)}`,
    );
  }
  return Dataset.from(async function* () {
    let record: string[] = [];
    let length = 0;
    for await (const { name, first, lines, isLast } of lineBlocks(sources, options)) {
      for (const [i, line] of lines.entries()) {
        if (sampleBy === "document" || line.trim() !== "") {
          record.push(withoutReturn(line));
          length += line.length + 1;
          if (length > maxRecordLength) {
            throw new DataError(`${name}:${first + i}: a ${sampleBy} of more than ${maxRecordLength} units`);
          }
        } else if (record.length > 0) {
          yield record.join("\n");
          [record, length] = [[], 0];
        }
      }
      if (isLast) {
        if (sampleBy === "document" || record.length > 0) yield record.join("\n");
        [record, length] = [[], 0];
      }
    }
  });
}

/**
 * The values of a JSON Lines file (NDJSON): one JSON value a line. Empty lines are skipped.
 *
 * @typeParam T what the caller knows of the records; it is not checked
 * @throws ArgumentError on a bad argument; while it is iterated, DataError with file and line
 * @see https://jsonlines.org
 */
export function readJSONLines<T = Record<string, unknown>>(
  source: TextSource,
  options: TextSourceOptions = {},
): Dataset<T> {
  const sources = openSources("readJSONLines", source, options);
  return Dataset.from(async function* () {
    for await (const { name, first, lines } of lineBlocks(sources, options)) {
      for (const [i, line] of lines.entries()) {
        if (line.trim() !== "") yield parse(line, name, first + i) as T;
      }
    }
  });
}

function parse(line: string, name: string, number: number): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new DataError(`${name}:${number}: not a JSON value: ${(cause as Error).message}`, { cause });
  }
}
