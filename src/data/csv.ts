import { ArgumentError, DataError } from "../errors.ts";
import { Dataset } from "./dataset.ts";
import { lineBlocks, openSources, type TextSource, type TextSourceOptions, withoutReturn } from "./lines.ts";

export interface ReadCSVOptions extends TextSourceOptions {
  /** What separates fields, one character: "\t" reads TSV. Default ",". */
  delimiter?: string;
  /** What encloses a field, doubled inside it; false if fields are never enclosed. Default `"`. */
  quote?: string | false;
  /** The names of the fields, of a file that does not begin with them. */
  columns?: readonly string[];
}

/**
 * The records of a CSV file, as RFC 4180 has it: the first line names the fields, a field in quotes may hold delimiters,
 * doubled quotes and line breaks, and every record has the same fields. All values are strings, white space included.
 * Line ends are `\n` or `\r\n`. Empty lines are skipped, so an empty field alone on its line is written `""`.
 *
 * @throws ArgumentError on a bad argument; while it is iterated, DataError with file and line: a quote in the middle of a
 *   field, text after a closing quote, a quote that is never closed, too few or too many fields, a name twice
 * @see RFC 4180
 */
export function readCSV(source: TextSource, options: ReadCSVOptions = {}): Dataset<Record<string, string>> {
  const sources = openSources("readCSV", source, options);
  const { delimiter = ",", quote = '"', columns, maxRecordLength = 2 ** 26 } = options;
  for (const [name, mark] of [["delimiter", delimiter] as const, ["quote", quote || '"'] as const]) {
    if (typeof mark !== "string" || mark.length !== 1 || /[\r\n]/.test(mark)) {
      throw new ArgumentError(
        `readCSV: ${name} must be one character that ends no line; got ${JSON.stringify(mark)}`,
      );
    }
  }
  if (delimiter === quote) throw new ArgumentError(`readCSV: delimiter and quote must differ; got ${quote}`);
  const repeated = columns && repetition(columns);
  if (repeated !== undefined) throw new ArgumentError(`readCSV: columns must differ; got ${repeated} twice`);

  return Dataset.from(async function* () {
    const parser = new RecordParser(delimiter, quote, maxRecordLength);
    let names = columns;
    for await (const { name, first, lines, isLast } of lineBlocks(sources, options)) {
      for (const [i, line] of lines.entries()) {
        const fields = parser.push(line, name, first + i);
        if (fields === undefined) continue;
        if (names === undefined) {
          names = fields;
          const twice = repetition(names);
          if (twice !== undefined) {
            throw new DataError(
              `${name}:${parser.firstLine}: the names of the fields must differ; got ${twice} twice`,
            );
          }
          continue;
        }
        if (fields.length !== names.length) {
          const expected = `${names.length} fields, ${names.join(delimiter)}`;
          throw new DataError(
            `${name}:${parser.firstLine}: a record must have ${expected}; got ${fields.length}`,
          );
        }
        yield Object.fromEntries(names.map((field, n) => [field, fields[n]!]));
      }
      if (isLast) {
        parser.end(name);
        names = columns;
      }
    }
  });
}

function repetition(names: readonly string[]): string | undefined {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  return twice === undefined ? undefined : JSON.stringify(twice);
}

/** Lines in, records out. A record in quotes may take several lines. */
class RecordParser {
  /** The line on which the last record begins. */
  firstLine = 1;
  #fields: string[] = [];
  /** The pieces of the field whose closing quote is still to come. */
  #open: string[] | undefined;
  #length = 0;
  readonly #delimiter: string;
  readonly #quote: string | false;
  readonly #maxLength: number;

  constructor(delimiter: string, quote: string | false, maxLength: number) {
    this.#delimiter = delimiter;
    this.#quote = quote;
    this.#maxLength = maxLength;
  }

  /** The fields of the record that ends with this line, if one does. */
  push(line: string, name: string, number: number): string[] | undefined {
    if (this.#open === undefined) {
      this.firstLine = number;
      this.#length = 0;
      const text = withoutReturn(line);
      if (text === "") return undefined;
      if (this.#quote === false || !text.includes(this.#quote)) return text.split(this.#delimiter);
    }
    this.#length += line.length + 1;
    if (this.#length > this.#maxLength) {
      throw new DataError(
        `${name}:${this.firstLine}: a record of more than ${this.#maxLength} units; is a quote open?`,
      );
    }
    return this.#parse(line, this.#quote as string, `${name}:${number}`);
  }

  /** Throws if a quote is open at the end of the file. */
  end(name: string): void {
    if (this.#open !== undefined) {
      throw new DataError(`${name}:${this.firstLine}: the file ends in a field that no quote closes`);
    }
  }

  #parse(line: string, quote: string, place: string): string[] | undefined {
    const delimiter = this.#delimiter;
    let i = 0;
    for (;;) {
      if (this.#open === undefined && line[i] === quote) {
        this.#open = [];
        i++;
      }
      if (this.#open === undefined) {
        const next = line.indexOf(delimiter, i);
        const field = next < 0 ? withoutReturn(line.slice(i)) : line.slice(i, next);
        if (field.includes(quote)) {
          const expected = `a field with a ${quote} must be in quotes`;
          throw new DataError(`${place}: ${expected}; got ${JSON.stringify(field.slice(0, 80))}`);
        }
        this.#fields.push(field);
        if (next < 0) return this.#take();
        i = next + 1;
        continue;
      }
      const close = line.indexOf(quote, i);
      if (close < 0) {
        this.#open.push(line.slice(i), "\n"); // a \r before it is of the field
        return undefined;
      }
      this.#open.push(line.slice(i, close));
      i = close + 1;
      if (line[i] === quote) {
        this.#open.push(quote);
        i++;
        continue;
      }
      this.#fields.push(this.#open.join(""));
      this.#open = undefined;
      if (i === line.length || (line[i] === "\r" && i + 1 === line.length)) return this.#take();
      if (line[i] !== delimiter) {
        const came = JSON.stringify(line.slice(i, i + 20));
        throw new DataError(
          `${place}: a closing ${quote} must be followed by ${JSON.stringify(delimiter)} or the end of the line; got ${came}`,
        );
      }
      i++;
    }
  }

  #take(): string[] {
    const fields = this.#fields;
    this.#fields = [];
    return fields;
  }
}
