import { describe, expect, test } from "vitest";
import { symmetricBeta } from "../src/data/beta.ts";
import {
  type AugmentationStep,
  augmentation,
  backTranslation,
  crossEntropy,
  Embedding,
  easyDataAugmentation,
  embeddingNeighbors,
  mixup,
  randomDeletion,
  randomInsertion,
  randomMasking,
  randomSwap,
  synonymReplacement,
  type Tensor,
  tensor,
} from "../src/index.ts";
import { Random } from "../src/random.ts";

const sentence = "the quick brown fox jumps over the lazy dog near the old river bank at dawn today".split(
  " ",
);
const synonyms = new Map([
  ["quick", ["fast", "swift"]],
  ["lazy", ["idle"]],
  ["old", ["ancient", "aged", "elderly"]],
  ["dawn", ["daybreak"]],
]);
const isArticle = (word: string) => word === "the";
const count = 400;

/** What a step makes of the sentence, as so many examples. */
const outcomes = (step: AugmentationStep<string>, keep?: (word: string) => boolean): string[][] => {
  const augment = augmentation([step], { seed: 7, ...(keep && { keep }) });
  return Array.from({ length: count }, (_, index) => augment(sentence, { index, epoch: 0 }));
};
const changed = (words: string[]) => words.filter((word, i) => word !== sentence[i]).length;
/** Within 5 standard deviations of a binomial distribution. */
const expectShare = (hits: number, trials: number, p: number) =>
  expect(Math.abs(hits - trials * p)).toBeLessThan(5 * Math.sqrt(trials * p * (1 - p)));
const sorted = (words: readonly string[]) => [...words].sort();

describe("steps", () => {
  test("synonym replacement: a share of the words, by their synonyms only", () => {
    for (const [rate, expected] of [
      [0.01, 1],
      [0.12, 2],
      [0.2, 3],
      [1, 4], // no more have synonyms
      [0, 0],
    ] as const) {
      const all = outcomes(synonymReplacement(rate, synonyms));
      for (const words of all) {
        expect(words).toHaveLength(sentence.length);
        expect(changed(words)).toBe(expected);
        words.forEach((word, i) => {
          if (word !== sentence[i]) expect(synonyms.get(sentence[i]!)).toContain(word);
        });
      }
      if (rate === 0.01) {
        expectShare(all.filter((words) => words[1] !== "quick").length, count, 1 / 4);
        expectShare(all.filter((words) => words[11] === "aged").length, count, 1 / 12);
      }
    }
  });

  test("random insertion: synonyms of its words, which stay", () => {
    const allSynonyms = [...synonyms.values()].flat();
    const ends = outcomes(randomInsertion(0.12, synonyms)).map((words) => {
      expect(words).toHaveLength(sentence.length + 2);
      expect(words.filter((word) => !allSynonyms.includes(word))).toEqual(sentence);
      return [words[0]!, words.at(-1)!].map((word) => allSynonyms.includes(word));
    });
    for (const end of [0, 1])
      expectShare(ends.filter((both) => both[end]).length, count, 2 / (sentence.length + 2));
    expect(outcomes(randomInsertion(0.5, new Map()))[0]).toEqual(sentence);
  });

  test("random swap: the same words, two of them in other places", () => {
    let ends = 0;
    for (const words of outcomes(randomSwap(0.1))) {
      expect(sorted(words)).toEqual(sorted(sentence));
      expect([0, 2]).toContain(changed(words)); // 0: one "the" for another
      ends += Number(words.at(-1) !== sentence.at(-1));
    }
    expectShare(ends, count, 2 / sentence.length);
    const swap = augmentation([randomSwap<number>(0.3)], { seed: 1 });
    for (let index = 0; index < 200; index++) {
      const [a, b] = swap([0, 1, 2], { index, epoch: 0 }).flatMap((n, i) => (n === i ? [] : [n]));
      expect(a).not.toBe(b);
      expect(b).toBeDefined(); // always two that are not one
    }
    expect(augmentation([randomSwap(1)], { seed: 1 })(["one"], { index: 0, epoch: 0 })).toEqual(["one"]);
  });

  test("random deletion: each word with the probability, and never all", () => {
    for (const p of [0.1, 0.5]) {
      const lost = outcomes(randomDeletion(p)).reduce(
        (sum, words) => sum + sentence.length - words.length,
        0,
      );
      expectShare(lost, count * sentence.length, p);
    }
    for (const words of outcomes(randomDeletion(1))) expect(words).toHaveLength(1);
    const first = outcomes(randomDeletion(1)).filter(([word]) => word === "fox").length;
    expectShare(first, count, 1 / sentence.length);
    expect(outcomes(randomDeletion(0))[0]).toEqual(sentence);
  });

  test("random masking: each word with the probability", () => {
    const masked = outcomes(randomMasking(0.15, "[MASK]")).reduce((sum, words) => sum + changed(words), 0);
    expectShare(masked, count * sentence.length, 0.15);
    const ids = augmentation([randomMasking(1, 103)], { seed: 1, keep: (id) => id === 101 });
    expect(ids(Int32Array.of(101, 5, 6), { index: 0, epoch: 0 })).toEqual([101, 103, 103]);
  });

  test("leave alone what is to be kept, in its place", () => {
    const withThe = new Map([...synonyms, ["the", ["a"]]]);
    const keeping: AugmentationStep<string>[] = [
      synonymReplacement(1, withThe),
      randomSwap(0.5),
      randomMasking(1, "x"),
    ];
    for (const step of keeping) {
      for (const words of outcomes(step, isArticle)) {
        expect(words.flatMap((word, i) => (word === "the" ? [i] : []))).toEqual([0, 6, 10]);
      }
    }
    for (const words of outcomes(randomDeletion(1), isArticle)) expect(words).toEqual(["the", "the", "the"]);
    for (const words of outcomes(randomInsertion(1, withThe), isArticle)) expect(words).not.toContain("a");
  });
});

describe("augmentation", () => {
  const steps = [randomSwap<string>(0.2), randomDeletion<string>(0.2)];

  test("is decided by the seed, the epoch and the index", () => {
    const make = (seed: number) => augmentation(steps, { seed });
    const one = make(1)(sentence, { index: 3, epoch: 2 });
    expect(make(1)(sentence, { index: 3, epoch: 2 })).toEqual(one);
    const others = [
      make(2)(sentence, { index: 3, epoch: 2 }),
      make(1)(sentence, { index: 4, epoch: 2 }),
      make(1)(sentence, { index: 3, epoch: 3 }),
    ];
    for (const other of others) expect(other).not.toEqual(one);
  });

  test("does not touch what it is given, and moves labels of items with them", () => {
    const before = [...sentence];
    augmentation(steps, { seed: 1 })(sentence, { index: 0, epoch: 0 });
    expect(sentence).toEqual(before);
    const tagged = sentence.map((token, i) => ({ token, label: i }));
    const result = augmentation<(typeof tagged)[0]>([randomSwap(0.5), randomDeletion(0.3)], { seed: 1 })(
      tagged,
      {
        index: 0,
        epoch: 0,
      },
    );
    for (const { token, label } of result) expect(sentence[label]).toBe(token);
    expect(result.length).toBeLessThan(sentence.length);
  });

  test("takes one step, or all", () => {
    const marks = ["a", "b", "c", "d"].map(
      (mark): AugmentationStep<string> =>
        (words) => [...words, mark],
    );
    const one = augmentation(marks, { seed: 1, pick: "one" });
    const picked = Array.from({ length: 1000 }, (_, index) => one([], { index, epoch: 0 }));
    for (const mark of ["a", "b", "c", "d"]) {
      expectShare(picked.filter(([first, more]) => first === mark && more === undefined).length, 1000, 0.25);
    }
    expect(augmentation(marks, { seed: 1 })([], { index: 0, epoch: 0 })).toEqual(["a", "b", "c", "d"]);
  });

  test("EDA does one of its four things", () => {
    const eda = easyDataAugmentation({ synonyms, seed: 5, keep: isArticle });
    const all = Array.from({ length: 1000 }, (_, index) => eda(sentence, { index, epoch: 0 }));
    const kinds = all.map((words) => {
      if (words.length > sentence.length) return "inserted";
      if (words.length < sentence.length) return "deleted";
      if (changed(words) === 2 && sorted(words).join() === sorted(sentence).join()) return "swapped";
      return changed(words) === 1 ? "replaced" : "same";
    });
    const share = (kind: string) => kinds.filter((k) => k === kind).length;
    for (const kind of ["inserted", "swapped", "replaced"]) expectShare(share(kind), 1000, 0.25);
    const noneLost = 0.9 ** 14;
    expectShare(share("deleted"), 1000, 0.25 * (1 - noneLost));
    expectShare(share("same"), 1000, 0.25 * noneLost);
  });

  test("bad options", () => {
    expect(() => augmentation([], { seed: 1 })).toThrow(
      /steps must be an array of at least one step; got none/,
    );
    expect(() => augmentation(steps, { seed: -1 })).toThrow(/seed must be .* got -1/);
    expect(() => augmentation(steps, { seed: 1, pick: "two" as "one" })).toThrow(
      /pick must be all or one; got two/,
    );
    expect(() => augmentation(steps, { seed: 1 })("a text" as never, { index: 0, epoch: 0 })).toThrow(
      /items must be an array .* got string/,
    );
    expect(() => augmentation(steps, { seed: 1 })(sentence, { index: -1, epoch: 0 })).toThrow(
      /index must be/,
    );
    expect(() => randomSwap(2)).toThrow(/randomSwap: rate must be a number from 0 to 1; got 2/);
    expect(() => randomDeletion(NaN)).toThrow(/randomDeletion: probability must be .* got NaN/);
    expect(() => synonymReplacement(0.1, { a: ["b"] } as never)).toThrow(
      /synonyms must be a Map or a function/,
    );
    expect(() => easyDataAugmentation({ synonyms, seed: 1, alpha: -1 })).toThrow(/alpha must be/);
  });
});

describe("neighbours in a table of embeddings", () => {
  const rows = [
    [1, 0, 0],
    [3, 0.3, 0], // nearly that of 0
    [0, 2, 0],
    [0.9, 0.9, 0], // between 0 and 2
    [-1, 0, 0],
    [0, 0, 0],
    [5, 0, 0], // that of 0
  ];
  const table = new Embedding(7, 3);
  table.weight.assign(tensor(Float32Array.from(rows.flat()), [7, 3]));

  test("are those in the same direction, nearest first", async () => {
    const near = await embeddingNeighbors(table.weight);
    expect(near(0)).toEqual([6, 1, 3]);
    expect(near(2)).toEqual([3]);
    expect(near(4)).toEqual([]);
    expect(near(5)).toEqual([]);
    expect((await embeddingNeighbors(table.weight, { count: 2 }))(0)).toEqual([6, 1]);
    expect(
      (await embeddingNeighbors(table.weight, { minSimilarity: -1, filter: (id) => id !== 5 }))(0),
    ).toEqual([6, 1, 3, 2, 4]);
    expect(near(0)).toBe(near(0));
  });

  test("are synonyms of ids", async () => {
    const step = synonymReplacement(0.5, await embeddingNeighbors(table.weight, { count: 1 }));
    const augment = augmentation([step], { seed: 1 });
    expect(augment([0, 0, 4, 4], { index: 0, epoch: 0 })).toEqual([6, 6, 4, 4]);
  });

  test("bad input", async () => {
    await expect(embeddingNeighbors(tensor([1, 2], [2]))).rejects.toThrow(
      /weight must be \[V, C\]; got \[2\]/,
    );
    await expect(embeddingNeighbors(table.weight, { count: 0 })).rejects.toThrow(/count must be/);
    const near = await embeddingNeighbors(table.weight);
    expect(() => near(7)).toThrow(/id must be an integer from 0 to 6; got 7/);
  });
});

describe("back-translation", () => {
  const texts = Array.from({ length: 300 }, (_, i) => `text ${i}`);
  const indices = Int32Array.from(texts, (_, i) => i + 1000);
  const make = (seed = 1, calls: number[] = []) =>
    backTranslation({
      translate: async (batch) => {
        calls.push(batch.length);
        return batch.map((text) => text.replace("text", "Text"));
      },
      translateBack: async (batch) => batch.map((text) => `${text} again`),
      probability: 0.3,
      seed,
    });

  test("rephrases a share of the texts, all at once", async () => {
    const calls: number[] = [];
    const result = await make(1, calls)(texts, { indices, epoch: 0 });
    const isChanged = result.map((text, i) => {
      if (text !== texts[i]) expect(text).toBe(`Text ${i} again`);
      return text !== texts[i];
    });
    expect(calls).toEqual([isChanged.filter(Boolean).length]);
    expectShare(calls[0]!, 300, 0.3);
  });

  test("is decided by the seed, the epoch and the index, not by the batch", async () => {
    const whole = await make()(texts, { indices, epoch: 4 });
    const part = await make()(texts.slice(100), { indices: indices.slice(100), epoch: 4 });
    expect(part).toEqual(whole.slice(100));
    expect(await make(2)(texts, { indices, epoch: 4 })).not.toEqual(whole);
    expect(await make()(texts, { indices, epoch: 5 })).not.toEqual(whole);
  });

  test("asks for no translation of nothing, and for as many as there are texts", async () => {
    const never = async () => Promise.reject(new Error("called"));
    const none = backTranslation({ translate: never, translateBack: never, probability: 0, seed: 1 });
    expect(await none(texts, { indices, epoch: 0 })).toEqual(texts);
    const giving = (given: unknown) =>
      backTranslation({
        translate: async () => given as string[],
        translateBack: never,
        probability: 1,
        seed: 1,
      })(["a", "b"], { indices: [0, 1], epoch: 0 });
    await expect(giving(["x"])).rejects.toThrow(/translate must give 2 texts, one for each; got 1/);
    await expect(giving(["x", 3])).rejects.toThrow(/translate must give texts; got 3 at index 1/);
    await expect(giving(undefined)).rejects.toMatchObject({ code: "ERR_DATA" });
    await expect(giving(["x", "y"])).rejects.toThrow("called");
    await expect(make()(["a"], { indices: [], epoch: 0 })).rejects.toThrow(
      /indices must be as many as texts, 1; got 0/,
    );
    expect(() => backTranslation({ translate: 1 as never, translateBack: never, seed: 1 })).toThrow(
      /translate must be a function; got 1/,
    );
  });
});

describe("mixup", () => {
  /** P(λ < x) of Beta(α, α), the density summed over a million places; both ends of it are flat by λ = sin²(π/2 · t). */
  const distribution = (alpha: number, x: number) => {
    const [n, end] = [200_000, (Math.asin(Math.sqrt(x)) * 2) / Math.PI];
    let [below, all] = [0, 0];
    for (let i = 0; i < n; i++) {
      const t = (i + 0.5) / n;
      const density = Math.sin(Math.PI * t) ** (2 * alpha - 1);
      all += density;
      if (t < end) below += density;
    }
    return below / all;
  };

  test.each([0.1, 0.4, 1, 3])("λ is from Beta(α, α): α = %s", (alpha) => {
    const draws = 50_000;
    const random = new Random(9);
    const all = Array.from({ length: draws }, () => symmetricBeta(random, alpha));
    expect(all.every((lambda) => lambda >= 0 && lambda <= 1)).toBe(true);
    for (const x of [0.02, 0.1, 0.3, 0.5, 0.8]) {
      expectShare(all.filter((lambda) => lambda < x).length, draws, distribution(alpha, x));
    }
  });

  const [B, C, K] = [5, 6, 3];
  const numbers = (n: number, phase: number) =>
    Float32Array.from({ length: n }, (_, i) => Math.sin(i * 1.7 + phase));
  const labels = Int32Array.of(0, 2, -100, 1, 2);

  test("mixes examples and labels in the same way", async () => {
    const values = numbers(B * 2 * C, 0);
    const { inputs, lambda, partners, loss } = mixup(tensor(values.slice(), [B, 2, C]), {
      alpha: 1,
      seed: 2,
      step: 4,
    });
    expect(inputs.shape).toEqual([B, 2, C]);
    expect([...partners].sort()).toEqual([0, 1, 2, 3, 4]);
    expect(partners.some((partner, b) => partners[partner] !== b)).toBe(true); // not the inverse of itself
    (await inputs.toTypedArray()).forEach((mixed, i) => {
      const other = values[partners[Math.floor(i / (2 * C))]! * 2 * C + (i % (2 * C))]!;
      expect(mixed).toBeCloseTo(lambda * values[i]! + (1 - lambda) * other, 5);
    });
    const logits = tensor(numbers(B * K, 1), [B, K]);
    const swapped = tensor(
      Int32Array.from(partners, (b) => labels[b]!),
      [B],
    );
    const expected =
      lambda * (await crossEntropy(logits, tensor(labels.slice(), [B])).item()) +
      (1 - lambda) * (await crossEntropy(logits, swapped).item());
    expect(await loss(logits, tensor(labels.slice(), [B])).item()).toBeCloseTo(expected, 5);
  });

  test("its gradient is that of both", async () => {
    const values = numbers(B * K, 0);
    const value = (x: Float32Array): Tensor => {
      const { inputs, loss } = mixup(tensor(x, [B, K]), { alpha: 1, seed: 2, step: 4 });
      return loss(inputs, tensor(labels.slice(), [B]));
    };
    const x = tensor(values.slice(), [B, K], { requiresGrad: true });
    const { inputs, loss } = mixup(x, { alpha: 1, seed: 2, step: 4 });
    loss(inputs, tensor(labels.slice(), [B])).backward();
    const gradient = await x.grad!.toTypedArray();
    for (const i of values.keys()) {
      const moved = (d: number) => value(values.map((v, j) => (i === j ? v + d : v))).item();
      expect(gradient[i]).toBeCloseTo(((await moved(0.01)) - (await moved(-0.01))) / 0.02, 3);
    }
  });

  test("is decided by the seed and the step", () => {
    const make = (seed: number, step: number) => mixup(tensor(numbers(64, 0), [16, 4]), { seed, step });
    const one = make(1, 1);
    const again = make(1, 1);
    expect([again.lambda, again.partners]).toEqual([one.lambda, one.partners]);
    for (const other of [make(2, 1), make(1, 2)]) {
      expect(other.lambda).not.toBe(one.lambda);
      expect(other.partners).not.toEqual(one.partners);
    }
  });

  test("bad input", () => {
    const x = tensor(new Float32Array(4), [2, 2]);
    expect(() => mixup(x, { alpha: 0, seed: 1, step: 0 })).toThrow(/alpha must be .* got 0/);
    expect(() => mixup(tensor(new Int32Array(2), [2]), { seed: 1, step: 0 })).toThrow(
      /x must be f32 or bf16/,
    );
    expect(() => mixup(tensor(1), { seed: 1, step: 0 })).toThrow(/x must be \[B, \.\.\.\]; got \[\]/);
    const { loss } = mixup(x, { seed: 1, step: 0 });
    expect(() => loss(x, tensor(new Int32Array(3), [3]))).toThrow(
      /labels must be \[2\], as x has; got \[3\]/,
    );
    expect(() => loss(x, tensor(new Float32Array(2), [2]))).toThrow(/labels must be i32/);
    expect(() => loss(tensor(new Float32Array(3), [3, 1]), tensor(new Int32Array(2), [2]))).toThrow(
      /logits must be \[2, K\]; got \[3, 1\]/,
    );
  });
});
