import { describe, expect, it } from "vitest";
import { maskedLanguageModeling, wordIdsFromOffsets } from "../src/data/masked-language-modeling.ts";
import { Random } from "../src/random.ts";
import { error, expectShare } from "./pretraining.ts";

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
