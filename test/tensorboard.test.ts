import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { inflateSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tensor } from "../src/index.ts";
import { crc32c } from "../src/train/report/crc32c.ts";
import { histogram } from "../src/train/report/histogram.ts";
import { SummaryWriter } from "../src/train/report/summary-writer.ts";
import { events, fields, type Read, records, scalarOf, slowCrc32c, tagOf } from "./event-files.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "tensorboard-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const now = () => 1700000000.25;
const golden = (name: string) => readFileSync(new URL(`golden/tensorboard/${name}`, import.meta.url));

describe("event files", () => {
  it("checksum as RFC 3720 does", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * i) % 256);
    expect(crc32c(bytes)).toBe(slowCrc32c(bytes));
  });

  it("are, byte for byte, those of torch's writer", async () => {
    const values = Array.from({ length: 300 }, (_, i) => (((37 * i) % 101) - 50) / 64);
    const wide = [0, 2 ** -60, -(2 ** -40), 1, -1, 1024, -(2 ** 30), 2 ** 50, 1e-12, -1e-12];
    const writer = new SummaryWriter(folder, { purgeStep: 7, now });
    writer.addScalar("train/loss", 1.7118, 7);
    writer.addScalar("train/loss", 0, 8);
    writer.addScalar("eval/perplexity", Infinity, 200);
    writer.addScalar("eval/läuft", -3.25e-20, 2 ** 40);
    await writer.addHistogram("weights/a", values, 8);
    await writer.addHistogram("weights/wide", wide, 8);
    await writer.addHistogram("weights/zeros", new Float32Array(5), 0);
    writer.addText("args", "| a | b |\n|---|---|\n| 1 | größer |", 0);
    writer.addHparams({ lr: 0.5 }, { "eval/loss": 2.5 }, { runName: "trial", globalStep: 9 });
    await writer.close();
    const [hparams] = readdirSync(path.join(folder, "trial"));
    for (const [file, name] of [
      [writer.path, "run.tfevents"],
      [path.join(folder, "trial", hparams!), "hparams.tfevents"],
    ] as const) {
      const [ours, theirs] = [records(readFileSync(file)).payloads, records(golden(name)).payloads];
      // The first one also names the program that wrote it.
      expect(fields(ours[0]!)).toMatchObject({ 1: fields(theirs[0]!)[1], 3: Buffer.from("brain.Event:2") });
      expect(ours.slice(1).map((bytes) => bytes.toString("hex"))).toEqual(
        theirs.slice(1).map((bytes) => bytes.toString("hex")),
      );
    }
  });

  it("have names that TensorBoard finds, and one each", async () => {
    const writers = [new SummaryWriter(folder, { now }), new SummaryWriter(folder, { now })];
    for (const [i, writer] of writers.entries()) writer.addScalar("a", i, i);
    await Promise.all(writers.map((writer) => writer.close()));
    const names = readdirSync(folder);
    expect(names.length).toBe(2);
    for (const name of names) expect(name).toMatch(/^events\.out\.tfevents\.1700000000\..+\.\d+\.\d+$/);
    expect(writers.map(({ path }) => events(path).map(scalarOf))).toEqual([[0], [1]]);
  });

  it("hold what was added in order, at the latest after flush, and only grow before", async () => {
    const writer = new SummaryWriter(folder);
    const before = Date.now() / 1000;
    const seen: Buffer[] = []; // a reader may come in the middle of a write
    for (let step = 0; step < 1000; step++) {
      writer.addScalar("a", 2 * step, step);
      if (step % 100 === 0) {
        await new Promise(setImmediate);
        seen.push(readFileSync(writer.path));
      }
    }
    await writer.flush();
    const flushed = readFileSync(writer.path);
    expect(records(flushed).rest).toBe(0);
    for (const bytes of seen) expect(flushed.subarray(0, bytes.length).equals(bytes)).toBe(true);
    const read = events(writer.path);
    expect(read.map(({ step }) => step)).toEqual([...Array(1000).keys()]);
    expect(read.map(scalarOf)).toEqual(Array.from({ length: 1000 }, (_, i) => 2 * i));
    for (const { wallTime } of read) expect(Math.abs(wallTime - before)).toBeLessThan(60);
    writer.addScalar("b", 1, 1, 12.5);
    await writer.close();
    expect(events(writer.path).at(-1)).toMatchObject({ step: 1, wallTime: 12.5 });
  });

  it("can be cut anywhere: records before the cut stay readable", () => {
    const file = golden("run.tfevents");
    const whole = records(file).payloads.length;
    expect(records(file.subarray(0, -1)).payloads.length).toBe(whole - 1);
  });

  it("are named in the error when they cannot be written", async () => {
    writeFileSync(path.join(folder, "file"), "");
    expect(() => new SummaryWriter(path.join(folder, "file"))).toThrow(/ERR_CHECKPOINT|cannot be written/);
    const writer = new SummaryWriter(path.join(folder, "gone"));
    rmSync(path.join(folder, "gone"), { recursive: true });
    writer.addScalar("a", 1);
    await expect(writer.flush()).rejects.toMatchObject({ code: "ERR_CHECKPOINT" });
    expect(() => writer.addScalar("a", 1)).toThrow(writer.path);
    await expect(writer.close()).rejects.toThrow("cannot be written: ENOENT");
  });
});

describe("SummaryWriter", () => {
  it("reads tensors, as they are when they are added", async () => {
    const writer = new SummaryWriter(folder);
    const weights = tensor([1, 2, 2, 4]);
    const added = writer.addHistogram("w", weights, 3);
    weights.set([9, 9, 9, 9]);
    await added;
    await writer.flush();
    const [{ step, value }] = events(writer.path) as [Read];
    const { 1: min, 2: max, 3: count, 4: sum } = fields(value[5] as Buffer) as Record<number, Buffer>;
    expect(step).toBe(3);
    expect([min, max, count, sum].map((bytes) => bytes!.readDoubleLE())).toEqual([1, 4, 4, 9]);
  });

  it("flushes what still reads a tensor", async () => {
    const writer = new SummaryWriter(folder);
    void writer.addHistogram("w", tensor([1, 2]), 0);
    await writer.close();
    expect(events(writer.path).map(tagOf)).toEqual(["w"]);
  });

  it.each([
    ["CHW", [3, 4, 5]],
    ["HWC", [4, 5, 3]],
    ["HWC", [4, 5, 1]],
    ["CHW", [2, 4, 5]],
    ["CHW", [4, 4, 5]],
    ["HW", [4, 5]],
  ] as const)("encodes images of %s %j as PNG", async (dataformats, shape: readonly number[]) => {
    const writer = new SummaryWriter(folder);
    const data = Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i * i * 31) % 256);
    await writer.addImage("bytes", { data, shape }, 1, { dataformats });
    await writer.addImage(
      "floats",
      tensor(
        Float32Array.from(data, (x) => (x + 0.5) / 255),
        shape,
      ),
      1,
      {
        dataformats,
      },
    );
    await writer.close();
    const channels = dataformats === "HW" ? 1 : shape[dataformats.indexOf("C")]!;
    const at = (y: number, x: number, c: number) =>
      dataformats === "CHW" ? data[(c * 4 + y) * 5 + x]! : data[(y * 5 + x) * channels + c]!;
    const expected = Array.from({ length: 4 * 5 * channels }, (_, i) => {
      const [pixel, c] = [Math.floor(i / channels), i % channels];
      return at(Math.floor(pixel / 5), pixel % 5, c);
    });
    for (const read of events(writer.path)) {
      const image = fields(read.value[4] as Buffer);
      expect([image[1], image[2], image[3]]).toEqual([4, 5, channels]);
      expect(decodePNG(image[4] as Buffer)).toEqual({ width: 5, height: 4, channels, samples: expected });
    }
  });

  it("cuts floats to 0 … 1", async () => {
    const writer = new SummaryWriter(folder);
    const data = Float32Array.of(-1, 0, 0.999, 1, 7, Number.NaN);
    await writer.addImage("a", { data, shape: [2, 3] }, 0, { dataformats: "HW" });
    await writer.close();
    const { value } = events(writer.path)[0]!;
    expect(decodePNG(fields(value[4] as Buffer)[4] as Buffer).samples).toEqual([0, 0, 254, 255, 255, 0]);
  });

  it("writes a run for each of several curves", async () => {
    const writer = new SummaryWriter(folder);
    writer.addScalars("a/b", { train: 1, eval: 2 }, 4);
    writer.addScalars("a/b", { train: 3 }, 5);
    await writer.close();
    const curve = (name: string) => {
      const [file] = readdirSync(path.join(folder, name));
      return events(path.join(folder, name, file!)).map((e) => [tagOf(e), e.step, scalarOf(e)]);
    };
    expect(curve("a_b_train")).toEqual([
      ["a/b", 4, 1],
      ["a/b", 5, 3],
    ]);
    expect(curve("a_b_eval")).toEqual([["a/b", 4, 2]]);
  });

  it("says what is wrong", async () => {
    const writer = new SummaryWriter(folder);
    expect(() => writer.addScalar("a", 1, -1)).toThrow(
      "addScalar: globalStep must be an integer of at least 0; got -1",
    );
    expect(() => writer.addScalar("", 1)).toThrow("addScalar: tag must be");
    expect(() => writer.addScalar("a", "1" as never)).toThrow("addScalar: value must be a number; got 1");
    expect(() => writer.addText("a", 1 as never)).toThrow("addText: text must be");
    expect(() => writer.addHparams({ a: {} as never }, {})).toThrow("addHparams: a must be a finite number");
    expect(() => new SummaryWriter(folder, { purgeStep: 0.5 })).toThrow("SummaryWriter: purgeStep");
    await expect(writer.addHistogram("a", [])).rejects.toThrow("values must not be empty");
    await expect(writer.addHistogram("a", [0, Number.NaN])).rejects.toThrow("got NaN at index 1");
    const data = new Uint8Array(6);
    await expect(writer.addImage("a", { data, shape: [2, 3] })).rejects.toThrow(
      "addImage: the image must be CHW",
    );
    await expect(writer.addImage("a", { data, shape: [6, 1, 1] })).rejects.toMatchObject({
      code: "ERR_SHAPE",
    });
    await expect(
      writer.addImage("a", { data, shape: [2, 3] }, 0, { dataformats: "WH" as never }),
    ).rejects.toThrow('dataformats must be "CHW", "HWC" or "HW"; got WH');
    await writer.close();
    expect(() => writer.addScalar("a", 1)).toThrow("addScalar: the writer of");
    expect(events(writer.path)).toEqual([]);
  });
});

describe("histogram", () => {
  it("counts every value where it belongs", () => {
    const random = Array.from({ length: 5000 }, (_, i) => Math.sin(i * i) * 10 ** (30 * Math.sin(i) - 5));
    const edges: number[] = [];
    for (let edge = 1e-12; edge < 1e20; edge *= 1.1) edges.push(edge, -edge);
    const beside = edges.flatMap((edge) => [edge, edge * (1 - 2 ** -53), edge * (1 + 2 ** -52)]);
    for (const values of [random, beside, [3], [-1e30, 1e30], [0], [1e-12 * 1.1, -1e-12 * 1.1], [1e-300]]) {
      const { limits, counts, count, min, max } = histogram(values);
      expect([count, min, max]).toEqual([values.length, Math.min(...values), Math.max(...values)]);
      expect(counts.length).toBe(limits.length);
      expect([counts[0], counts[1]! > 0, counts.at(-1)! > 0]).toEqual([0, true, true]);
      const [low, high] = [limits[0]!, limits.at(-1)!];
      const expected = Array.from(counts, () => 0);
      for (const value of values) {
        const inside = Math.max(low, Math.min(high, value));
        expected[inside === high ? limits.length - 1 : limits.findIndex((limit) => inside < limit)]!++;
      }
      expect([...counts]).toEqual(expected);
    }
  });
});

/** Samples of a PNG whose rows have filter 0 or 2; checksums are those of its chunks. */
function decodePNG(png: Buffer) {
  expect(png.subarray(0, 8)).toEqual(Buffer.from("\x89PNG\r\n\x1a\n", "latin1"));
  const chunks: Record<string, Buffer> = {};
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    chunks[png.toString("latin1", at + 4, at + 8)] = png.subarray(at + 8, at + 8 + length);
    at += 12 + length;
  }
  const [width, height] = [chunks.IHDR!.readUInt32BE(0), chunks.IHDR!.readUInt32BE(4)];
  const channels = { 0: 1, 4: 2, 2: 3, 6: 4 }[chunks.IHDR![9]!]!;
  const rows = inflateSync(chunks.IDAT!);
  const samples: number[] = [];
  const stride = width * channels;
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (stride + 1)]!;
    expect([0, 2]).toContain(filter);
    for (let x = 0; x < stride; x++) {
      const above = filter === 2 && y > 0 ? samples[(y - 1) * stride + x]! : 0;
      samples.push((rows[y * (stride + 1) + 1 + x]! + above) % 256);
    }
  }
  return { width, height, channels, samples };
}
