import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import * as zlib from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { readCSV } from "../src/data/csv.ts";
import { Dataset } from "../src/data/dataset.ts";
import { readParquet } from "../src/data/parquet.ts";
import { readJSONLines, readText } from "../src/data/text-files.ts";
import { Random } from "../src/random.ts";

const folder = mkdtempSync(path.join(tmpdir(), "trainformer-data-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileOf(content: string | Uint8Array, extension = ".txt"): string {
  const file = path.join(folder, `${files++}${extension}`);
  writeFileSync(file, content);
  return file;
}

/** A stream whose chunks end anywhere, in the middle of characters too. */
async function* chunked(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

const dataError = (message: string) =>
  expect.objectContaining({ code: "ERR_DATA", message: expect.stringContaining(message) });
const argumentError = (message: string) =>
  expect.objectContaining({ code: "ERR_ARGUMENT", message: expect.stringContaining(message) });

describe("readText", () => {
  const text = "\ufeffOne\r\nzwei – drei\n\n\n 第四 😀\nfive";

  it("gives lines, paragraphs or documents, however the bytes come", async () => {
    const file = fileOf(text);
    const lines = ["One", "zwei – drei", "", "", " 第四 😀", "five"];
    expect(await readText(file).toArray()).toEqual(lines);
    expect(await readText(pathToFileURL(file)).toArray()).toEqual(lines);
    for (const size of [1, 2, 3, 5, 100]) {
      expect(await readText(chunked(text, size)).toArray()).toEqual(lines);
      expect(await readText(chunked(text, size), { sampleBy: "paragraph" }).toArray()).toEqual([
        "One\nzwei – drei",
        " 第四 😀\nfive",
      ]);
    }
    expect(await readText([file, fileOf("six\n")]).toArray()).toEqual([...lines, "six"]);
    expect(await readText([file, file], { sampleBy: "document" }).toArray()).toEqual([
      lines.join("\n"),
      lines.join("\n"),
    ]);
    expect(await readText(fileOf(zlib.gzipSync(text), ".gz")).toArray()).toEqual(lines);
    expect(await readText(fileOf("")).toArray()).toEqual([]);
    expect(
      await readText(fileOf(Buffer.from("d\xe9j\xe0", "latin1")), { encoding: "latin1" }).toArray(),
    ).toEqual(["déjà"]);
  });

  it("can be iterated again, and closes the file when its consumer stops", async () => {
    const dataset = readText(fileOf("a\nb\nc\n".repeat(100_000)));
    for (let epoch = 0; epoch < 20; epoch++) {
      for await (const line of dataset) {
        expect(line).toBe("a");
        break;
      }
    }
    expect((await dataset.take(4).toArray()).join("")).toBe("abca");
  });

  it("names file and line of what is wrong", async () => {
    await expect(readText("nowhere.txt").toArray()).rejects.toThrow(
      dataError("nowhere.txt: cannot be read: ENOENT"),
    );
    await expect(readText(folder).toArray()).rejects.toThrow(dataError("cannot be read: EISDIR"));
    const bad = fileOf(Buffer.from([0x61, 0x0a, 0x62, 0x0a, 0xff, 0x0a]));
    await expect(readText(bad).toArray()).rejects.toThrow(dataError(`${bad}: not utf-8, at or after line 1`));
    await expect(readText(fileOf(Buffer.from([0x61, 0xe9]))).toArray()).rejects.toThrow(
      dataError("not utf-8"),
    );
    await expect(readText(fileOf(zlib.gzipSync(text).subarray(0, 30), ".gz")).toArray()).rejects.toThrow(
      dataError("unexpected end of file"),
    );
    const long = fileOf(`a\n${"x".repeat(1000)}\nb\n`);
    await expect(readText(long, { maxRecordLength: 999 }).toArray()).rejects.toThrow(
      dataError(`${long}:2: a line of more than 999 units`),
    );
    expect(await readText(long, { maxRecordLength: 1000 }).toArray()).toHaveLength(3);
    async function* endless() {
      for (;;) yield "x".repeat(1000);
    }
    await expect(readText(endless(), { maxRecordLength: 1e5 }).toArray()).rejects.toThrow(
      dataError("stream:1: a line"),
    );
    await expect(
      readText(fileOf("a\n".repeat(60)), { sampleBy: "document", maxRecordLength: 100 }).toArray(),
    ).rejects.toThrow(dataError(":51: a document of more than 100 units"));
    async function* numbers() {
      yield 1;
    }
    await expect(readText(numbers() as never).toArray()).rejects.toThrow(
      dataError("stream: cannot be read: a chunk"),
    );
    expect(() => readText(3 as never)).toThrow(argumentError("readText: source must be"));
    expect(() => readText([])).toThrow(argumentError("readText: source must be"));
    expect(() => readText(new URL("http://example.com/x"))).toThrow(argumentError("a URL must be of a file"));
    expect(() => readText("x", { encoding: "utf-99" })).toThrow(argumentError("readText: encoding"));
    expect(() => readText("x", { sampleBy: "word" as never })).toThrow(argumentError("readText: sampleBy"));
    expect(() => readText("x", { maxRecordLength: 0 })).toThrow(argumentError("readText: maxRecordLength"));
  });

  it("holds a record, not the file", async () => {
    async function* large() {
      const chunk = Buffer.from(`${"x".repeat(1023)}\n`.repeat(1024));
      for (let i = 0; i < 120; i++) yield chunk;
    }
    let most = 0;
    let count = 0;
    for await (const _ of readText(large())) {
      if (count++ % 20_000 === 0) {
        global.gc?.();
        most = Math.max(most, process.memoryUsage().heapUsed);
      }
    }
    expect(count).toBe(120 * 1024);
    expect(most).toBeLessThan(100e6); // of 120 MB
  });
});

describe("readJSONLines", () => {
  it("gives the values", async () => {
    const file = fileOf('{"a": 1}\r\n\n  {"a": "\\n\\u00e9"}  \n[1]', ".jsonl");
    expect(await readJSONLines(file).toArray()).toEqual([{ a: 1 }, { a: "\né" }, [1]]);
  });

  it("names file and line of what is wrong", async () => {
    const file = fileOf('{"a": 1}\n\n{"a": \n', ".jsonl");
    await expect(readJSONLines(file).toArray()).rejects.toThrow(dataError(`${file}:3: not a JSON value: `));
  });
});

describe("readCSV", () => {
  const csv = (content: string, options = {}) => readCSV(fileOf(content, ".csv"), options).toArray();

  it("reads RFC 4180", async () => {
    const content =
      'id,text,"a, b"\r\n1,plain,\r\n2,"with, comma","""quoted"""\r\n\r\n3,"two\r\nlines\n",  spaces \r\n4,"",""';
    const records = [
      { id: "1", text: "plain", "a, b": "" },
      { id: "2", text: "with, comma", "a, b": '"quoted"' },
      { id: "3", text: "two\r\nlines\n", "a, b": "  spaces " },
      { id: "4", text: "", "a, b": "" },
    ];
    expect(await csv(content)).toEqual(records);
    for (const size of [1, 2, 7]) expect(await readCSV(chunked(content, size)).toArray()).toEqual(records);
    expect(await csv('a\n\n""\n1')).toEqual([{ a: "" }, { a: "1" }]);
    expect(await csv("1\t2\n", { delimiter: "\t", columns: ["x", "y"] })).toEqual([{ x: "1", y: "2" }]);
    expect(await csv('a,b\nsay "hi",2\n', { quote: false })).toEqual([{ a: 'say "hi"', b: "2" }]);
    expect(await csv("a;b\n'x;y';2\n", { delimiter: ";", quote: "'" })).toEqual([{ a: "x;y", b: "2" }]);
    expect(await readCSV([fileOf("a,b\n1,2"), fileOf("b,a\n3,4")]).toArray()).toEqual([
      { a: "1", b: "2" },
      { b: "3", a: "4" },
    ]);
    const [record] = await csv("__proto__,constructor\nx,y\n");
    expect(Object.entries(record!)).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
    expect(await csv("a,b\n")).toEqual([]);
  });

  it("reads what is written, whatever is in it", async () => {
    const random = new Random(3);
    const pieces = ['"', ",", "\n", "\r\n", "a", "é", "😀", " ", '""', "\r"];
    const field = () =>
      Array.from({ length: random.integer(6) }, () => pieces[random.integer(pieces.length)]).join("");
    const rows = Array.from({ length: 500 }, () => [field(), field(), `x${field()}`]);
    const written = (text: string) =>
      /[",\r\n]/.test(text) || text === "" ? `"${text.replaceAll('"', '""')}"` : text;
    const content = ["a,b,c", ...rows.map((row) => row.map(written).join(","))].join("\r\n");
    const read = await readCSV(chunked(content, 11)).toArray();
    expect(read.map(({ a, b, c }) => [a, b, c])).toEqual(rows);
  });

  it("names file and line of what is wrong", async () => {
    await expect(csv("a,b\n1,2\n3\n")).rejects.toThrow(
      dataError(".csv:3: a record must have 2 fields, a,b; got 1"),
    );
    await expect(csv('a,b\n"1\n2",2,3\n')).rejects.toThrow(dataError(".csv:2: a record must have 2 fields"));
    await expect(csv('a,b\n1,x"y"\n')).rejects.toThrow(
      dataError('.csv:2: a field with a " must be in quotes'),
    );
    await expect(csv('a,b\n"1"x,2\n')).rejects.toThrow(
      dataError('.csv:2: a closing " must be followed by ","'),
    );
    await expect(csv('a,b\n1,"open\n')).rejects.toThrow(
      dataError(".csv:2: the file ends in a field that no quote closes"),
    );
    await expect(csv("a,a\n1,2\n")).rejects.toThrow(dataError('must differ; got "a" twice'));
    await expect(csv(`a,b\n1,"${"open\n".repeat(100)}`, { maxRecordLength: 50 })).rejects.toThrow(
      dataError(".csv:2: a record of more than 50 units; is a quote open?"),
    );
    expect(() => readCSV("x", { delimiter: ",," })).toThrow(argumentError("readCSV: delimiter"));
    expect(() => readCSV("x", { delimiter: '"' })).toThrow(
      argumentError("readCSV: delimiter and quote must differ"),
    );
    expect(() => readCSV("x", { quote: "\n" })).toThrow(argumentError("readCSV: quote"));
    expect(() => readCSV("x", { columns: ["a", "a"] })).toThrow(argumentError("readCSV: columns"));
  });
});

describe("readParquet", () => {
  const golden = (name: string) => new URL(`./golden/parquet/${name}.parquet`, import.meta.url);
  const rows = ["plain", "", "déjà vu", "😀 and 東京", null, "a\nb", "plain"].map((text, i) => ({
    text,
    label: i - 3,
    score: 0.5 * i,
    kind: "xy"[i % 2],
    tokens: Array.from({ length: i }, (_, n) => n),
    source: { id: i, name: `n${i}` },
    when: new Date(Date.UTC(2024, 0, i + 1)),
    flag: i % 2 === 0,
  }));
  const hasZstd = "zstdDecompressSync" in zlib;

  it.each(["none", "snappy", "gzip", "brotli", ...(hasZstd ? ["zstd"] : [])])(
    "reads what pyarrow wrote: %s",
    async (codec) => {
      expect(await readParquet(golden(codec)).toArray()).toEqual(rows);
    },
  );

  it("reads several files, some columns, and 64-bit integers as asked", async () => {
    const columns = ["label", "text"];
    const both = await readParquet([golden("snappy"), golden("gzip")], { columns }).toArray();
    expect(both).toEqual([...rows, ...rows].map(({ label, text }) => ({ label, text })));
    expect(
      await readParquet(golden("snappy"), { columns: ["label"], bigints: true })
        .take(1)
        .toArray(),
    ).toEqual([{ label: -3n }]);
    expect(await readParquet(golden("large-integer"), { bigints: true }).toArray()).toEqual([
      { id: 1n },
      { id: 2n ** 53n - 1n },
      { id: 2n ** 53n },
    ]);
    await expect(readParquet(golden("large-integer")).toArray()).rejects.toThrow(
      dataError(
        "row 2: cannot be read as Parquet: the integer 9007199254740992 is no exact number; ask for { bigints",
      ),
    );
  });

  it("says what it cannot read", async () => {
    await expect(readParquet("nowhere.parquet").toArray()).rejects.toThrow(
      dataError("nowhere.parquet: cannot be read as Parquet: ENOENT"),
    );
    await expect(readParquet(golden("lz4")).toArray()).rejects.toThrow(
      dataError("lz4.parquet, rows 0 to 2: cannot be read"),
    );
    if (!hasZstd)
      await expect(readParquet(golden("zstd")).toArray()).rejects.toThrow(dataError("needs Node.js 22.15"));
    await expect(readParquet(golden("snappy"), { columns: ["nosuch"] }).toArray()).rejects.toThrow(
      argumentError("which has text, label, score, kind, tokens, source, when, flag; got nosuch"),
    );
    await expect(readParquet(fileOf("no parquet, but long enough")).toArray()).rejects.toThrow(
      dataError("PAR1"),
    );
    await expect(readParquet(fileOf("short")).toArray()).rejects.toThrow(dataError("too short"));
    expect(() => readParquet([])).toThrow(argumentError("readParquet: source"));
    expect(() => readParquet("x", { columns: [] })).toThrow(argumentError("readParquet: columns"));
  });

  it("answers files with wrong bytes with rows or a coded error", async () => {
    const whole = readFileSync(golden("snappy"));
    const random = new Random(4);
    let errors = 0;
    for (let i = 0; i < 300; i++) {
      const bytes = Buffer.from(whole.subarray(0, i % 3 === 0 ? random.integer(whole.length) : whole.length));
      for (let n = random.integer(8); n >= 0 && bytes.length > 0; n--) {
        bytes[random.integer(bytes.length)] = random.integer(256);
      }
      const file = path.join(folder, "fuzz.parquet");
      writeFileSync(file, bytes);
      try {
        await readParquet(file).toArray();
      } catch (error) {
        expect(error).toMatchObject({ code: "ERR_DATA" });
        errors++;
      }
    }
    expect(errors).toBeGreaterThan(100);
  });
});

describe("Dataset", () => {
  it("maps, filters, takes and skips without reading more than is asked for", async () => {
    let read = 0;
    const numbers = Dataset.from(function* () {
      for (;;) yield read++;
    });
    const odd = numbers
      .map(async (x) => x + 1)
      .filter((x) => x % 2 === 1)
      .skip(2)
      .take(3);
    expect(await odd.toArray()).toEqual([5, 7, 9]);
    expect(read).toBe(9);
    expect(await numbers.take(0).toArray()).toEqual([]);
    expect(read).toBe(9);
    expect(
      await Dataset.from(["a", "b"])
        .map((letter, i) => `${letter}${i}`)
        .toArray(),
    ).toEqual(["a0", "b1"]);
    await expect(
      Dataset.from([1])
        .map(() => {
          throw new RangeError("mine");
        })
        .toArray(),
    ).rejects.toThrow("mine");
  });

  it("shuffles by seed and epoch, and loses nothing", async () => {
    const numbers = Array.from({ length: 500 }, (_, i) => i);
    const order = (options: { seed: number; epoch?: number; bufferSize?: number }) =>
      Dataset.from(numbers).shuffle(options).toArray();
    const first = await order({ seed: 1 });
    expect(first).not.toEqual(numbers);
    expect([...first].sort((a, b) => a - b)).toEqual(numbers);
    expect(await order({ seed: 1 })).toEqual(first);
    expect(await order({ seed: 2 })).not.toEqual(first);
    expect(await order({ seed: 1, epoch: 1 })).not.toEqual(first);
    const near = await order({ seed: 1, bufferSize: 10 });
    expect([...near].sort((a, b) => a - b)).toEqual(numbers);
    near.forEach((x, i) => expect(x - i).toBeLessThan(10));
    expect(await order({ seed: 1, bufferSize: 1 })).toEqual(numbers);

    const firsts = new Array(4).fill(0);
    for (let seed = 0; seed < 4000; seed++)
      firsts[(await Dataset.from([0, 1, 2, 3]).shuffle({ seed }).toArray())[0]!]++;
    for (const count of firsts)
      expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(4000 * 0.25 * 0.75));
  });

  it("refuses bad arguments, and a second pass over what was used up", async () => {
    const once = Dataset.from(
      (function* () {
        yield 1;
      })(),
    );
    expect(await once.toArray()).toEqual([1]);
    await expect(once.toArray()).rejects.toThrow(argumentError("a second pass needs"));
    expect(() => Dataset.from("text" as never)).toThrow(argumentError("Dataset.from: source"));
    expect(() => Dataset.from([1]).take(-1)).toThrow(argumentError("Dataset.take: count"));
    expect(() => Dataset.from([1]).skip(0.5)).toThrow(argumentError("Dataset.skip: count"));
    expect(() => Dataset.from([1]).shuffle({ seed: -1 })).toThrow(argumentError("seed must be"));
    expect(() => Dataset.from([1]).shuffle({ seed: 1, bufferSize: 0 })).toThrow(
      argumentError("Dataset.shuffle: bufferSize"),
    );
  });
});
