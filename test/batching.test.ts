import { describe, expect, it } from "vitest";
import { brownDocuments } from "../scripts/brown.mjs";
import { bucketedBatches } from "../src/data/bucketed-batches.ts";
import { padExamples, padRows } from "../src/data/padding.ts";
import { seq2seqBatch, shiftRight } from "../src/data/seq2seq.ts";
import { Random } from "../src/random.ts";

const error = (message: string, code = "ERR_ARGUMENT") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

describe("bucketedBatches", () => {
  /** Words of the sentences of Brown. */
  const lengths = brownDocuments()
    .slice(0, 100)
    .flatMap(({ text }) => text.split("\n").map((line) => line.split(" ").length));
  const paddingOf = (batches: Iterable<{ indices: ArrayLike<number> }>) => {
    let [places, tokens] = [0, 0];
    for (const { indices } of batches) {
      const rows = Array.from(indices, (i) => lengths[i]!);
      places += rows.length * Math.max(...rows);
      tokens += rows.reduce((a, b) => a + b);
    }
    return 1 - tokens / places;
  };

  it("holds every example once, the longest first, and pads little", () => {
    const batches = bucketedBatches(lengths, { batchSize: 32, seed: 1 });
    const all = [...batches];
    expect(batches.steps).toBe(Math.ceil(lengths.length / 32));
    expect(all.map(({ step }) => step)).toEqual(upTo(batches.steps));
    expect(all.flatMap(({ indices }) => [...indices]).sort((a, b) => a - b)).toEqual(upTo(lengths.length));
    for (const { indices, length } of all)
      expect(length).toBe(Math.max(...Array.from(indices, (i) => lengths[i]!)));
    expect(all[0]!.length).toBe(Math.max(...lengths));
    expect(batches.padding).toBeCloseTo(paddingOf(all), 12);
    const shuffled = new Random(1).shuffle(upTo(lengths.length));
    const inOrder = upTo(batches.steps).map((b) => ({ indices: shuffled.slice(32 * b, 32 * b + 32) }));
    expect(paddingOf(inOrder)).toBeGreaterThan(0.5);
    expect(batches.padding).toBeLessThan(0.06);
    const means = all.map(({ length }) => length);
    const rising = means.filter((length, i) => i > 0 && length > means[i - 1]!).length;
    expect(Math.abs(rising / means.length - 0.5)).toBeLessThan(0.1); // no order of lengths in time
  });

  it("repeats by seed and epoch, and resumes by step", () => {
    const options = { batchSize: 16, seed: 7, epoch: 2 };
    const whole = [...bucketedBatches(lengths, options)];
    const batches = bucketedBatches(lengths, { ...options, start: 5 });
    expect([...batches]).toEqual(whole.slice(5));
    expect([...batches]).toEqual(whole.slice(5));
    expect(batches.steps).toBe(whole.length);
    expect([...bucketedBatches(lengths, { ...options, epoch: 3 })]).not.toEqual(whole);
    expect([...bucketedBatches(lengths, { ...options, seed: 8 })]).not.toEqual(whole);
    expect([...bucketedBatches(lengths, { ...options, start: whole.length })]).toEqual([]);
  });

  it("keeps to a number of tokens", () => {
    const batches = bucketedBatches(lengths, { maxTokens: 1024, seed: 1, padToMultipleOf: 8 });
    const all = [...batches];
    expect(all.flatMap(({ indices }) => [...indices]).sort((a, b) => a - b)).toEqual(upTo(lengths.length));
    for (const { indices, length } of all) {
      expect(length % 8).toBe(0);
      expect(indices.length * length).toBeLessThanOrEqual(1024);
    }
    const full = all.filter(({ indices, length }) => (indices.length + 1) * length > 1024).length;
    expect(full / all.length).toBeGreaterThan(0.9);
    expect(batches.padding).toBeLessThan(0.25);
  });

  it("has tiny cases as they must be", () => {
    expect([...bucketedBatches([5], { batchSize: 4, seed: 1 })]).toEqual([
      { step: 0, indices: Int32Array.of(0), length: 5 },
    ]);
    const exact = bucketedBatches([1, 3, 2, 4], { batchSize: 4, seed: 1, padToMultipleOf: 4 });
    expect([...exact]).toEqual([{ step: 0, indices: Int32Array.of(3, 1, 2, 0), length: 4 }]);
    expect(exact.padding).toBe(6 / 16);
    const dropped = bucketedBatches(
      upTo(10).map(() => 3),
      { batchSize: 4, seed: 1, dropLast: true },
    );
    expect([...dropped].map(({ indices }) => indices.length)).toEqual([4, 4]);
    expect(dropped.padding).toBe(0);
    expect(bucketedBatches([1, 2], { batchSize: 4, seed: 1, dropLast: true }).steps).toBe(0);
  });

  it("refuses bad options", () => {
    const seed = 1;
    expect(() => bucketedBatches([1], { seed })).toThrow(error("either batchSize or maxTokens; got neither"));
    expect(() => bucketedBatches([1], { seed, batchSize: 1, maxTokens: 1 })).toThrow(error("got both"));
    expect(() => bucketedBatches([], { seed, batchSize: 1 })).toThrow(
      error("bucketedBatches: lengths.length"),
    );
    expect(() => bucketedBatches([1, 0], { seed, batchSize: 1 })).toThrow(
      error("bucketedBatches: lengths[1]"),
    );
    expect(() => bucketedBatches([1], { seed, batchSize: 0 })).toThrow(error("bucketedBatches: batchSize"));
    expect(() => bucketedBatches([1, 9], { seed, maxTokens: 8 })).toThrow(
      error("9 with its padding (index 1); got 8"),
    );
    expect(() => bucketedBatches([1], { seed, maxTokens: 8, dropLast: true })).toThrow(
      error("dropLast needs batchSize"),
    );
    expect(() => bucketedBatches([1], { seed, batchSize: 1, start: 2 })).toThrow(error("start"));
    expect(() => bucketedBatches([1], { seed: -1, batchSize: 1 })).toThrow(error("seed"));
  });
});

describe("padding", () => {
  it("fills up on the right", () => {
    expect(padRows([[1, 2, 3], Int32Array.of(4)], 9)).toEqual({
      ids: Int32Array.of(1, 2, 3, 4, 9, 9),
      lengths: Int32Array.of(3, 1),
      shape: [2, 3],
    });
    expect(padRows([[1], []], 0, { padToMultipleOf: 4 }).shape).toEqual([2, 4]);
    expect(padRows([[1]], 0, { length: 3 }).ids).toEqual(Int32Array.of(1, 0, 0));
    const examples = [
      { inputIds: [1, 2], labels: [-100, 2], name: "x" },
      { inputIds: [3], labels: [3], name: "y" },
    ];
    expect(padExamples(examples, { inputIds: 0, labels: -100 })).toEqual({
      inputIds: Int32Array.of(1, 2, 3, 0),
      labels: Int32Array.of(-100, 2, 3, -100),
      lengths: Int32Array.of(2, 1),
      shape: [2, 2],
    });
  });

  it("refuses what does not fit", () => {
    expect(() => padRows([], 0)).toThrow(error("padRows: rows"));
    expect(() => padRows([null as never], 0)).toThrow(error("padRows: length of row 0"));
    expect(() => padRows([[1, 2]], 0, { length: 1 })).toThrow(error("at most 1 tokens; got 2 in row 0"));
    expect(() => padRows([[1], [0.5]], 0)).toThrow(error("got 0.5 at index 0 of row 1", "ERR_INDEX"));
    expect(() => padRows([[2 ** 31]], 0)).toThrow(error("got 2147483648", "ERR_INDEX"));
    expect(() => padRows([[1]], 0.5)).toThrow(error("padRows: padId"));
    expect(() => padExamples([{ a: [1], b: [1, 2] }], { a: 0, b: 0 })).toThrow(
      error("b must be as long as a; got 2 and 1 in example 0"),
    );
    expect(() => padExamples([{ shape: [1] }], { shape: 0 })).toThrow(error("other than lengths and shape"));
  });
});

describe("seq2seqBatch", () => {
  const pairs = [
    { source: [10, 11, 12], target: [20, 21] },
    { source: Int32Array.of(13, 1), target: [22] },
  ];

  it("has the conventions of T5, Marian and BART", () => {
    const t5 = { padTokenId: 0, eosTokenId: 1, decoderStartTokenId: 0 };
    expect(seq2seqBatch(pairs, t5)).toEqual({
      inputIds: Int32Array.of(10, 11, 12, 1, 13, 1, 0, 0),
      inputLengths: Int32Array.of(4, 2),
      inputShape: [2, 4],
      decoderInputIds: Int32Array.of(0, 20, 21, 0, 22, 1),
      labels: Int32Array.of(20, 21, 1, 22, 1, -100),
      labelLengths: Int32Array.of(3, 2),
      labelShape: [2, 3],
    });
    const marian = seq2seqBatch([{ source: [5], target: [6, 7] }], {
      padTokenId: 99,
      eosTokenId: 0,
      decoderStartTokenId: 99,
    });
    expect([marian.inputIds, marian.decoderInputIds, marian.labels]).toEqual([
      Int32Array.of(5, 0),
      Int32Array.of(99, 6, 7),
      Int32Array.of(6, 7, 0),
    ]);
    // BART's targets begin with <s> (0); its decoder starts with </s> (2).
    const bart = seq2seqBatch([{ source: [0, 5, 2], target: [0, 6, 2] }], {
      padTokenId: 1,
      eosTokenId: 2,
      decoderStartTokenId: 2,
    });
    expect([bart.inputIds, bart.decoderInputIds, bart.labels]).toEqual([
      Int32Array.of(0, 5, 2),
      Int32Array.of(2, 0, 6),
      Int32Array.of(0, 6, 2),
    ]);
    expect(
      shiftRight(Int32Array.of(6, -100, -100), [1, 3], { padTokenId: 1, decoderStartTokenId: 2 }),
    ).toEqual(Int32Array.of(2, 6, 1));
  });

  it("cuts what is too long, and keeps its end", () => {
    const ids = { padTokenId: 0, eosTokenId: 1, decoderStartTokenId: 0 };
    const batch = seq2seqBatch(pairs, { ...ids, maxSourceLength: 3, maxTargetLength: 2, padToMultipleOf: 4 });
    expect(batch.inputIds).toEqual(Int32Array.of(10, 11, 1, 0, 13, 1, 0, 0));
    expect(batch.labels).toEqual(Int32Array.of(20, 1, -100, -100, 22, 1, -100, -100));
    expect([batch.inputShape, batch.labelShape]).toEqual([
      [2, 4],
      [2, 4],
    ]);
    expect(seq2seqBatch(pairs, { ...ids, maxSourceLength: 4 }).inputIds).toEqual(
      Int32Array.of(10, 11, 12, 1, 13, 1, 0, 0),
    );
  });

  it("refuses bad pairs and options", () => {
    const ids = { padTokenId: 0, eosTokenId: 1, decoderStartTokenId: 0 };
    expect(() => seq2seqBatch([], ids)).toThrow(error("seq2seqBatch: pairs"));
    expect(() => seq2seqBatch([{ source: [1] } as never], ids)).toThrow(
      error("seq2seqBatch: pairs[0].target"),
    );
    expect(() => seq2seqBatch([{ source: [1], target: [-1] }], ids)).toThrow(
      error("got -1 at index 0", "ERR_INDEX"),
    );
    expect(() => seq2seqBatch(pairs, { ...ids, eosTokenId: undefined as never })).toThrow(
      error("seq2seqBatch: eosTokenId"),
    );
    expect(() => seq2seqBatch(pairs, { ...ids, maxTargetLength: 0 })).toThrow(
      error("seq2seqBatch: maxTargetLength"),
    );
    expect(() => shiftRight(Int32Array.of(1), [1, 2], ids)).toThrow(error("shiftRight: labels"));
  });
});
