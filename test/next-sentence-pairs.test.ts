import { describe, expect, it } from "vitest";
import { nextSentencePairs, type SentencePair } from "../src/data/sentence-pairs.ts";
import { documents, error, expectShare, upTo } from "./pretraining.ts";

describe("nextSentencePairs", () => {
  const [CLS, SEP] = [1, 2];
  const options = { clsTokenId: CLS, sepTokenId: SEP, seed: 5, maxLength: 64 };
  const sides = ({ inputIds, tokenTypeIds }: SentencePair) => {
    const border = tokenTypeIds.indexOf(1);
    return { a: [...inputIds.subarray(1, border - 1)], b: [...inputIds.subarray(border, -1)] };
  };
  const flat = documents.map((sentences) => sentences.flat());
  const textOf = flat.map((ids) => ` ${ids.join(" ")} `);
  const isIn = (ids: number[], document: number) => textOf[document]!.includes(` ${ids.join(" ")} `);

  it("has examples whose labels are true", () => {
    const pairs = [...nextSentencePairs(documents, options)];
    expect(pairs.length).toBeGreaterThan(1000);
    let randoms = 0;
    for (const pair of pairs) {
      const { inputIds, tokenTypeIds, nextSentenceLabel } = pair;
      const [from, to] = pair.documents;
      const { a, b } = sides(pair);
      expect(inputIds.length).toBeLessThanOrEqual(64);
      expect(tokenTypeIds.length).toBe(inputIds.length);
      expect([inputIds[0], inputIds[a.length + 1], inputIds.at(-1)]).toEqual([CLS, SEP, SEP]);
      expect([...tokenTypeIds]).toEqual([...a.map(() => 0), 0, 0, ...b.map(() => 1), 1]);
      expect(Math.min(a.length, b.length)).toBeGreaterThan(0);
      expect(isIn(a, from)).toBe(true);
      expect(isIn(b, to)).toBe(true);
      expect(nextSentenceLabel).toBe(from === to ? 0 : 1);
      randoms += nextSentenceLabel;
      if (nextSentenceLabel === 0 && inputIds.length < 64) expect(isIn([...a, ...b], from)).toBe(true);
    }
    expect(randoms / pairs.length).toBeGreaterThan(0.5); // more than half, as chunks of one sentence have no next
    expect(pairs.map((pair) => pair.documents[0])).toEqual(
      pairs.map((pair) => pair.documents[0]).sort((a, b) => a - b),
    );
    expect(new Set(pairs.map((pair) => pair.documents[0])).size).toBe(documents.length);
    expect(new Set(pairs.map((pair) => pair.documents[1])).size).toBe(documents.length);
  });

  it("is half and half where every chunk has a next sentence, and cuts some documents shorter", () => {
    // 2000 documents of 20 sentences of 3 tokens, each unlike any other; 12 tokens an example
    const many = Array.from({ length: 2000 }, (_, d) =>
      Array.from({ length: 20 }, (_, s) => upTo(3, 3 + 60 * d + 3 * s)),
    );
    const pairs = [...nextSentencePairs(many, { ...options, maxLength: 15, shortSeqProb: 0 })];
    const withNext = pairs.filter(({ documents: [d], inputIds }) => inputIds[1]! < 3 + 60 * d + 57);
    expectShare(withNext.filter((pair) => pair.nextSentenceLabel === 1).length, withNext.length, 0.5);
    // What was not used is put back: the next A begins where the last chunk's used sentences end.
    for (let i = 1; i < pairs.length; i++) {
      const [before, pair] = [pairs[i - 1]!, pairs[i]!];
      if (before.documents[0] !== pair.documents[0]) continue;
      const { a, b } = sides(before);
      expect(pair.inputIds[1]).toBe((before.nextSentenceLabel === 1 ? a : b).at(-1)! + 1);
    }
    // A is 1, 2 or 3 of the 4 sentences of a chunk.
    const firsts = pairs.filter((pair, i) => pair.documents[0] !== pairs[i - 1]?.documents[0]);
    for (const count of [1, 2, 3]) {
      expectShare(firsts.filter((pair) => sides(pair).a.length === 3 * count).length, 2000, 1 / 3);
    }
    const isShort = (pairs: SentencePair[]) => {
      const first = new Map<number, number>();
      for (const {
        documents: [d],
        inputIds,
      } of pairs)
        first.set(d, Math.max(first.get(d) ?? 0, inputIds.length));
      return [...first.values()].filter((length) => length < 15).length;
    };
    expect(isShort(pairs)).toBe(0);
    const shorter = isShort([...nextSentencePairs(many, { ...options, maxLength: 15, shortSeqProb: 1 })]);
    // targets are uniform in 2 … 12, sentences have 3 tokens: only 10 … 12 fill 12
    expectShare(shorter, 2000, 8 / 11);
    expect(
      [...nextSentencePairs(many, { ...options, randomNextProb: 0, maxLength: 15, shortSeqProb: 0 })].every(
        (pair) => pair.nextSentenceLabel === 0,
      ),
    ).toBe(true);
    const others = new Array(3).fill(0);
    for (let seed = 0; seed < 3000; seed++) {
      const [pair] = nextSentencePairs([[[5]], [[6]], [[7]], [[8]]].slice(0, 4), { ...options, seed });
      others[pair!.documents[1] - 1]++;
    }
    for (const count of others) expectShare(count, 3000, 1 / 3);
  });

  it("cuts what is too long at either end, the longer side first", () => {
    const ends = { front: 0, back: 0 };
    for (let seed = 0; seed < 500; seed++) {
      const [pair] = nextSentencePairs([[upTo(40, 100)], [upTo(6, 200)]], {
        ...options,
        seed,
        maxLength: 20,
        shortSeqProb: 0,
      });
      const { a, b } = sides(pair!);
      expect(b).toEqual([...upTo(6, 200)]);
      expect(a).toEqual([...upTo(11, a[0])]);
      ends.front += a[0]! - 100;
      ends.back += 139 - a.at(-1)!;
    }
    expectShare(ends.front, ends.front + ends.back, 0.5);
  });

  it("is decided by seed and epoch", () => {
    const few = documents.slice(0, 10);
    const pairs = (more = {}) => [...nextSentencePairs(few, { ...options, ...more })];
    const iterable = nextSentencePairs(few, options);
    expect([...iterable]).toEqual([...iterable]);
    expect(pairs()).toEqual([...iterable]);
    expect(pairs({ epoch: 1 })).not.toEqual(pairs());
    expect(pairs({ seed: 6 })).not.toEqual(pairs());
  });

  it("refuses bad documents and options", () => {
    const good = [[[5, 6]], [[7]]];
    expect(() => nextSentencePairs([[[5]]], options)).toThrow(
      error("documents must be an array of at least two; got 1"),
    );
    expect(() => nextSentencePairs([...good, []], options)).toThrow(error("got none for documents[2]"));
    expect(() => nextSentencePairs([...good, [[1], []]], options)).toThrow(
      error("got none in documents[2][1]"),
    );
    expect(() => nextSentencePairs([...good, [[-1]]], options)).toThrow(
      error("got -1 at index 0", "ERR_INDEX"),
    );
    expect(() => nextSentencePairs([...good, [1 as never]], options)).toThrow(
      error("documents[2][0]: length"),
    );
    expect(() => nextSentencePairs(good, { ...options, maxLength: 4 })).toThrow(error("maxLength"));
    expect(() => nextSentencePairs(good, { ...options, shortSeqProb: -1 })).toThrow(error("shortSeqProb"));
    expect(() => nextSentencePairs(good, { ...options, sepTokenId: -1 })).toThrow(error("sepTokenId"));
  });
});
