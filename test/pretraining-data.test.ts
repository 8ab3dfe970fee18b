import { describe, expect, it } from "vitest";
import { brownDocuments } from "../scripts/brown.mjs";
import { maskedLanguageModeling, wordIdsFromOffsets } from "../src/data/masked-language-modeling.ts";
import { type PackedWindow, packTokens } from "../src/data/packing.ts";
import { nextSentencePairs, type SentencePair } from "../src/data/sentence-pairs.ts";
import { spanCorruption, spanCorruptionLengths } from "../src/data/span-corruption.ts";
import { Random } from "../src/random.ts";

const error = (message: string, code = "ERR_ARGUMENT") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
const upTo = (n: number, from = 0) => Int32Array.from({ length: n }, (_, i) => from + i);

/** Five standard deviations of a binomial count: a right program fails once in a million. */
function expectShare(count: number, of: number, p: number): void {
  expect(Math.abs(count - of * p), `${count} of ${of} for ${p}`).toBeLessThanOrEqual(
    5 * Math.sqrt(of * p * (1 - p)),
  );
}

/** The sentences of Brown as ids: words by rank of first sight, from 5 on. */
const vocabulary = new Map<string, number>();
const documents = brownDocuments()
  .slice(0, 40)
  .map(({ text }) =>
    text.split("\n").map((line) =>
      line.split(" ").map((word) => {
        if (!vocabulary.has(word)) vocabulary.set(word, 5 + vocabulary.size);
        return vocabulary.get(word)!;
      }),
    ),
  );

describe("maskedLanguageModeling", () => {
  const [CLS, SEP, MASK, PAD] = [0, 1, 2, 3];
  const vocabSize = 1000;
  const options = { maskTokenId: MASK, vocabSize, specialTokenIds: [CLS, SEP, PAD], seed: 1 };
  /** 500 examples of 120 tokens, special ones at both ends and as padding. */
  const random = new Random(9);
  const examples = Array.from({ length: 500 }, () =>
    Int32Array.from({ length: 120 }, (_, t) =>
      t === 0 ? CLS : t < 110 ? 5 + random.integer(995) : t === 110 ? SEP : PAD,
    ),
  );

  it("predicts 15 % of the tokens: 80 % masked, 10 % random, 10 % as they are", () => {
    const mask = maskedLanguageModeling(options);
    let [chosen, masked, kept, randoms, specialRandoms, all] = [0, 0, 0, 0, 0, 0];
    let untouched = true;
    examples.forEach((ids, index) => {
      const before = ids.slice();
      const { inputIds, labels } = mask(ids, { index, epoch: 0 });
      expect(ids).toEqual(before);
      expect(labels).toEqual(ids.map((id, t) => (labels[t] === -100 ? -100 : id)));
      for (let t = 0; t < ids.length; t++) {
        if (ids[t]! < 5 || labels[t] === -100) {
          untouched &&= inputIds[t] === ids[t] && labels[t] === -100;
          all += Number(ids[t]! >= 5);
          continue;
        }
        all++;
        chosen++;
        if (inputIds[t] === MASK) masked++;
        else if (inputIds[t] === ids[t]) kept++;
        else randoms++;
        if (inputIds[t]! < 5 && inputIds[t] !== MASK) specialRandoms++;
      }
    });
    expect(untouched).toBe(true);
    expectShare(chosen, all, 0.15);
    expectShare(masked, chosen, 0.8 + 0.1 / vocabSize);
    expectShare(kept, chosen, 0.1 + 0.1 / vocabSize);
    expectShare(randoms, chosen, 0.1 * (1 - 2 / vocabSize));
    expectShare(specialRandoms, chosen, (0.1 * 4) / vocabSize); // drawn from the whole vocabulary
  });

  it("draws random tokens from the whole vocabulary, special ones included", () => {
    const few = { maskTokenId: 2, vocabSize: 8, specialTokenIds: [0, 1], seed: 1, mlmProbability: 1 };
    const mask = maskedLanguageModeling({ ...few, maskReplaceProb: 0, randomReplaceProb: 1 });
    const counts = new Array(8).fill(0);
    for (const id of mask(new Int32Array(8000).fill(5), { index: 0, epoch: 0 }).inputIds) counts[id]++;
    for (const count of counts) expectShare(count, 8000, 1 / 8);
  });

  it("takes other shares", () => {
    const ids = examples[0]!;
    const place = { index: 0, epoch: 0 };
    const all = maskedLanguageModeling({
      ...options,
      mlmProbability: 1,
      maskReplaceProb: 1,
      randomReplaceProb: 0,
    });
    const { inputIds, labels } = all(ids, place);
    expect(inputIds).toEqual(ids.map((id) => (id < 5 ? id : MASK)));
    expect(labels).toEqual(ids.map((id) => (id < 5 ? -100 : id)));
    const none = maskedLanguageModeling({ ...options, mlmProbability: 0 })(ids, place);
    expect(none).toEqual({ inputIds: ids, labels: ids.map(() => -100) });
    const kept = maskedLanguageModeling({
      ...options,
      mlmProbability: 1,
      maskReplaceProb: 0,
      randomReplaceProb: 0,
    });
    expect(kept(ids, place).inputIds).toEqual(ids);
    const specialTokensMask = ids.map((_, t) => Number(t < 60));
    expect(all(ids, { ...place, specialTokensMask }).labels.findIndex((label) => label !== -100)).toBe(60);
  });

  it("is a function of seed, epoch and index", () => {
    const mask = maskedLanguageModeling(options);
    const ids = examples[0]!;
    const first = mask(ids, { index: 3, epoch: 4 });
    expect(maskedLanguageModeling(options)(ids, { index: 3, epoch: 4 })).toEqual(first);
    expect(mask(ids, { index: 4, epoch: 4 })).not.toEqual(first);
    expect(mask(ids, { index: 3, epoch: 5 })).not.toEqual(first);
    expect(maskedLanguageModeling({ ...options, seed: 2 })(ids, { index: 3, epoch: 4 })).not.toEqual(first);
    // every place has its turn
    const seen = new Set<number>();
    for (let epoch = 0; epoch < 100; epoch++) {
      mask(ids, { index: 0, epoch }).labels.forEach((label, t) => label !== -100 && seen.add(t));
    }
    expect(seen.size).toBe(109);
  });

  it("chooses whole words", () => {
    const isContinuation = (id: number) => id >= 600; // two in five tokens
    const byId = maskedLanguageModeling({ ...options, wholeWordMask: true, isContinuation });
    const byWord = maskedLanguageModeling({ ...options, wholeWordMask: true });
    let [words, chosen, long] = [0, 0, 0];
    let [isMasked, isWhole] = [true, true];
    examples.forEach((ids, index) => {
      let word = -1;
      const wordIds = Array.from(ids, (id, t) => {
        if (id < 5) return null;
        if (!isContinuation(id) || ids[t - 1]! < 5) word++;
        return word;
      });
      const masked = byId(ids, { index, epoch: 0 });
      expect(byWord(ids, { index, epoch: 0, wordIds })).toEqual(masked);
      const { inputIds, labels } = masked;
      for (let t = 1; t < 110; t++) {
        const isChosen = labels[t] !== -100;
        isMasked &&= inputIds[t] === (isChosen ? MASK : ids[t]); // as Transformers: no random tokens
        if (wordIds[t] === wordIds[t - 1]) isWhole &&= isChosen === (labels[t - 1] !== -100);
        else {
          words++;
          chosen += Number(isChosen);
          if (isChosen && wordIds[t + 1] === wordIds[t]) long++;
        }
      }
    });
    expectShare(chosen, words, 0.15);
    expect(long).toBeGreaterThan(500);
    expect([isMasked, isWhole]).toEqual([true, true]);
    const shares = maskedLanguageModeling({
      ...{ ...options, wholeWordMask: true, isContinuation },
      ...{ maskReplaceProb: 0.8, randomReplaceProb: 0.1 },
    });
    const inputs = examples.map((ids, index) => shares(ids, { index, epoch: 0 }));
    const predicted = inputs.flatMap(({ inputIds, labels }) =>
      [...inputIds].filter((_, t) => labels[t] !== -100),
    );
    expectShare(predicted.filter((id) => id === MASK).length, predicted.length, 0.8 + 0.1 / vocabSize);
  });

  it("finds words by offsets", () => {
    // [CLS] em ##bed ##ding s , (at the comma a word goes on, as in Transformers) _ x [SEP]
    const offsets = [
      [0, 0],
      [0, 2],
      [2, 5],
      [5, 9],
      [9, 10],
      [11, 12],
      [0, 0],
    ] as const;
    expect(wordIdsFromOffsets(offsets)).toEqual(Int32Array.of(0, 1, 1, 1, 1, 2, 3));
    expect(wordIdsFromOffsets([])).toEqual(new Int32Array(0));
  });

  it("refuses bad options and ids", () => {
    const mask = maskedLanguageModeling(options);
    const place = { index: 0, epoch: 0 };
    expect(() => mask([5, 1000], place)).toThrow(
      error("integers from 0 to 999; got 1000 at index 1", "ERR_INDEX"),
    );
    expect(() => mask([5.5], place)).toThrow(error("got 5.5", "ERR_INDEX"));
    expect(() => mask([5], { index: -1, epoch: 0 })).toThrow(error("index"));
    expect(() => mask([5], { index: 0, epoch: 0.5 })).toThrow(error("epoch"));
    expect(() => mask([5], { ...place, specialTokensMask: [] })).toThrow(
      error("specialTokensMask must be as long as ids, 1"),
    );
    expect(() => maskedLanguageModeling({ ...options, wholeWordMask: true })([5], place)).toThrow(
      error("wholeWordMask needs"),
    );
    expect(() => maskedLanguageModeling({ ...options, maskReplaceProb: 0.95 })).toThrow(
      error("add up to at most 1"),
    );
    expect(() => maskedLanguageModeling({ ...options, mlmProbability: 2 })).toThrow(error("mlmProbability"));
    expect(() => maskedLanguageModeling({ ...options, maskTokenId: 1000 })).toThrow(error("maskTokenId"));
  });
});

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

describe("packTokens", () => {
  const windowOf = (inputs: number[], targets: number[], starts: number[]): PackedWindow => ({
    inputs: Int32Array.from(inputs),
    targets: Int32Array.from(targets),
    starts: Int32Array.from(starts),
    positionIds: Int32Array.from(starts, (start, t) => t - start),
  });

  it("joins documents with ends between them", () => {
    const packed = packTokens([[11, 12], [], [21, 22, 23, 24, 25], [31]], {
      contextLength: 4,
      eosTokenId: 0,
    });
    const windows = [
      windowOf([11, 12, 0, 21], [12, 0, -100, 22], [0, 0, 0, 3]),
      windowOf([22, 23, 24, 25], [23, 24, 25, 0], [0, 0, 0, 0]),
    ];
    expect([...packed]).toEqual(windows);
    expect([...packed]).toEqual(windows);
    const filled = packTokens([[11, 12], [21, 22, 23, 24, 25], [31]], {
      contextLength: 4,
      eosTokenId: 0,
      dropLast: false,
      padTokenId: 9,
    });
    expect([...filled][2]).toEqual(windowOf([0, 31, 0, 9], [-100, 0, -100, -100], [0, 1, 1, 3]));
    expect([
      ...packTokens(
        [
          [1, 2],
          [3, 4],
        ],
        { contextLength: 3 },
      ),
    ]).toEqual([windowOf([1, 2, 3], [2, -100, 4], [0, 0, 2])]);
    expect([...packTokens([], { contextLength: 3 })]).toEqual([]);
  });

  it("holds every token once, and none sees or predicts another document", async () => {
    const eos = 0;
    const T = 50;
    const flat = documents
      .map((sentences) => sentences.flat())
      .flatMap((ids, d) => [ids.slice(0, 1 + (d % 7)), ids]);
    const options = { contextLength: T, eosTokenId: eos, dropLast: false };
    const windows = [...packTokens(flat, options)];
    const stream = flat.flatMap((ids, d) =>
      [...ids, eos].map((id, i) => ({ id, d, i, next: i < ids.length ? (ids[i + 1] ?? eos) : -100 })),
    );
    expect(windows.length).toBe(Math.ceil(stream.length / T));
    windows.forEach(({ inputs, targets, starts, positionIds }, w) => {
      const tokens = Array.from(
        { length: T },
        (_, t) => stream[w * T + t] ?? { id: eos, d: -1 - t, i: 0, next: -100 },
      );
      expect([...inputs]).toEqual(tokens.map(({ id }) => id));
      expect([...targets]).toEqual(tokens.map(({ next }) => next));
      expect([...starts]).toEqual(tokens.map(({ d }) => tokens.findIndex((other) => other.d === d)));
      expect([...positionIds]).toEqual(tokens.map((_, t) => t - starts[t]!));
    });
    async function* asynchronous() {
      yield* flat;
    }
    const later: PackedWindow[] = [];
    for await (const window of packTokens(asynchronous(), options)) later.push(window);
    expect(later).toEqual(windows);
  });

  it("refuses bad options and ids", () => {
    expect(() => packTokens([[1]], { contextLength: 0 })).toThrow(error("packTokens: contextLength"));
    expect(() => packTokens([[1]], { contextLength: 4, eosTokenId: -1 })).toThrow(
      error("packTokens: eosTokenId"),
    );
    expect(() => packTokens([[1]], { contextLength: 4, dropLast: false })).toThrow(error("needs padTokenId"));
    expect(() => packTokens(5 as never, { contextLength: 4 })).toThrow(error("packTokens: documents"));
    expect(() => [...packTokens([[1], [2, -1]], { contextLength: 4 })]).toThrow(
      error("packTokens: documents[1] must be integers from 0 to 2147483647; got -1 at index 1", "ERR_INDEX"),
    );
  });
});

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
