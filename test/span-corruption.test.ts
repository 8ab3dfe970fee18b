import { describe, expect, it } from "vitest";
import { spanCorruption, spanCorruptionLengths } from "../src/data/span-corruption.ts";
import { documents, error, expectShare, upTo } from "./pretraining.ts";

describe("spanCorruption", () => {
  const t5 = { firstSentinelId: 32099, eosTokenId: 1, seed: 3 };

  /** The text that inputs and labels are of, and the lengths of the spans that were taken out. */
  function restored(inputIds: Int32Array, labels: Int32Array) {
    const spans = new Map<number, number[]>();
    let current: number[] = [];
    for (const id of labels.subarray(0, -1)) {
      if (id > 32000) spans.set(id, (current = []));
      else current.push(id);
    }
    const text = [...inputIds.subarray(0, -1)].flatMap((id) => (id > 32000 ? spans.get(id)! : [id]));
    return { text, spans: [...spans.values()].map((span) => span.length), sentinels: [...spans.keys()] };
  }

  it("knows the lengths of T5", () => {
    expect(spanCorruptionLengths({ inputLength: 512 })).toEqual({ rawLength: 568, targetLength: 114 });
    for (let inputLength = 8; inputLength < 300; inputLength += 7) {
      const { rawLength, targetLength } = spanCorruptionLengths({ inputLength });
      const lengthsAt = (L: number) => {
        const { inputIds, labels } = spanCorruption(t5)(upTo(L), { index: 0, epoch: 0 });
        return [inputIds.length, labels.length];
      };
      expect(lengthsAt(rawLength)[0]).toBeLessThanOrEqual(inputLength);
      expect(lengthsAt(rawLength + 1)[0]).toBeGreaterThan(inputLength);
      expect(lengthsAt(rawLength)[1]).toBe(targetLength);
    }
  });

  it("takes spans out that its labels put back", () => {
    const corrupt = spanCorruption(t5);
    const flat = documents.flatMap((sentences) => sentences.flat()).map((id) => id % 32000);
    for (let index = 0; index < 100; index++) {
      const ids = Int32Array.from(flat.slice(568 * index, 568 * (index + 1)));
      const { inputIds, labels } = corrupt(ids, { index, epoch: 0 });
      expect([inputIds.length, labels.length]).toEqual([512, 114]);
      const { text, spans, sentinels } = restored(inputIds, labels);
      expect(text).toEqual([...ids]);
      expect(spans.reduce((a, b) => a + b)).toBe(85);
      expect(Math.min(...spans)).toBeGreaterThan(0);
      expect(sentinels).toEqual([...upTo(28)].map((i) => 32099 - i));
      expect([...inputIds].filter((id) => id > 32000)).toEqual(sentinels);
      expect([labels[0], inputIds.at(-1), labels.at(-1)]).toEqual([32099, 1, 1]);
      expect(inputIds[0]).toBe(ids[0]); // a text begins with what is left
      expect(inputIds.at(-2)).toBe(32099 - 27); // and ends with a span
    }
  });

  it("draws every way to cut with equal chance", () => {
    // Of 12 tokens 6 are taken out, in 2 spans: 5 ways to cut each half.
    const corrupt = spanCorruption({ ...t5, noiseDensity: 0.5 });
    const counts = new Map<string, number>();
    for (let index = 0; index < 5000; index++) {
      const { inputIds, labels } = corrupt(upTo(12, 5), { index, epoch: 0 });
      const way = `${inputIds.indexOf(32099)} ${restored(inputIds, labels).spans[0]}`;
      counts.set(way, (counts.get(way) ?? 0) + 1);
    }
    expect(counts.size).toBe(25);
    for (const count of counts.values()) expectShare(count, 5000, 1 / 25);
  });

  it("has tiny cases as they must be", () => {
    const corrupt = spanCorruption(t5);
    const place = { index: 0, epoch: 0 };
    expect(corrupt([7, 8], place)).toEqual({
      inputIds: Int32Array.of(7, 32099, 1),
      labels: Int32Array.of(32099, 8, 1),
    });
    expect(corrupt([7, 8, 9], place)).toEqual({
      inputIds: Int32Array.of(7, 8, 32099, 1),
      labels: Int32Array.of(32099, 9, 1),
    });
    // 1.5 and 2.5 round to the even 2, 3.5 to 4
    const taken = (noiseDensity: number) =>
      spanCorruption({ ...t5, noiseDensity })(upTo(10), place).labels.length - 2;
    expect([taken(0.15), taken(0.25), taken(0.35)]).toEqual([2, 2, 4]);
    // more spans than there are tokens between them
    const dense = spanCorruption({ ...t5, noiseDensity: 0.8, meanNoiseSpanLength: 1 })(upTo(10, 5), place);
    expect(restored(dense.inputIds, dense.labels).spans).toHaveLength(2);
    expect(spanCorruption({ ...t5, noiseDensity: 0.5, meanNoiseSpanLength: 1 })(upTo(6, 5), place)).toEqual({
      inputIds: Int32Array.of(5, 32099, 7, 32098, 9, 32097, 1),
      labels: Int32Array.of(32099, 6, 32098, 8, 32097, 10, 1),
    });
  });

  it("is a function of seed, epoch and index", () => {
    const corrupt = spanCorruption(t5);
    const first = corrupt(upTo(100), { index: 1, epoch: 2 });
    expect(spanCorruption(t5)(upTo(100), { index: 1, epoch: 2 })).toEqual(first);
    expect(corrupt(upTo(100), { index: 2, epoch: 2 })).not.toEqual(first);
    expect(corrupt(upTo(100), { index: 1, epoch: 3 })).not.toEqual(first);
    expect(spanCorruption({ ...t5, seed: 4 })(upTo(100), { index: 1, epoch: 2 })).not.toEqual(first);
  });

  it("refuses bad options and ids", () => {
    const place = { index: 0, epoch: 0 };
    expect(() => spanCorruption(t5)([1], place)).toThrow(error("ids.length"));
    expect(() => spanCorruption(t5)([1, -1], place)).toThrow(error("got -1", "ERR_INDEX"));
    expect(() => spanCorruption({ ...t5, sentinelCount: 5 })(upTo(568), place)).toThrow(
      error("568 tokens have 28 spans; there are 5 sentinels"),
    );
    expect(() => spanCorruption({ ...t5, noiseDensity: 1 })).toThrow(error("noiseDensity"));
    expect(() => spanCorruption({ ...t5, meanNoiseSpanLength: 0.5 })).toThrow(error("meanNoiseSpanLength"));
    expect(() => spanCorruption({ ...t5, firstSentinelId: 50 })).toThrow(error("firstSentinelId"));
    expect(() => spanCorruptionLengths({ inputLength: 2 })).toThrow(error("inputLength"));
  });
});
