import { describe, expect, test } from "vitest";
import { collator, Dataset, type GPT, type Tensor, Trainer } from "../src/index.ts";
import {
  base,
  examples,
  type Options,
  type Row,
  tinyGPT,
  tokens,
  trained,
  vocabSize,
} from "./trainer-cases.ts";

describe("data", () => {
  const seen = async (more: Options): Promise<number[]> => {
    const ids: number[] = [];
    const collate = (rows: readonly Row[]) => {
      for (const { inputIds } of rows) ids.push(inputIds[0]!);
      return collator()(rows);
    };
    await trained({ ...more, collate });
    return ids;
  };
  const numbered = Array.from({ length: 12 }, (_, n) => ({
    ...examples(1)[0]!,
    inputIds: [n % vocabSize, 1, 2, 3, 4, 5, 6, 7],
  }));

  test("comes in its order, in another each pass, or in that of lengths", async () => {
    const rows = numbered.slice(0, 8);
    const options = { trainData: rows, maxSteps: 4 };
    const inOrder = await seen({ ...options, trainSamplingStrategy: "sequential" });
    expect(inOrder).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
    const shuffled = await seen(options);
    expect(shuffled.slice(0, 8)).not.toEqual(shuffled.slice(8));
    for (const pass of [shuffled.slice(0, 8), shuffled.slice(8)])
      expect(pass.sort()).toEqual(inOrder.slice(0, 8));
    const lengths = [3, 8, 5, 2, 7, 4, 6, 1];
    const unequal = lengths.map((length, n) => {
      const { inputIds, targets } = rows[n]!;
      return { inputIds: inputIds.slice(0, length), targets: targets.slice(0, length) };
    });
    const places: number[] = [];
    await trained({
      ...{
        trainData: unequal,
        trainSamplingStrategy: "group_by_length",
        maxTokens: 16,
        numTrainEpochs: 1,
        maxSteps: -1,
      },
      collate: (examples) => {
        places.push(examples.length * Math.max(...examples.map(({ inputIds }) => inputIds.length)));
        return collator({ padTokenId: 0 })(examples);
      },
    });
    expect(Math.max(...places)).toBeLessThanOrEqual(16);
  });

  test("can be a stream, a function of the pass, or an iterable that is used up", async () => {
    expect(
      await seen({ trainData: Dataset.from(numbered), trainSamplingStrategy: "sequential", maxSteps: 4 }),
    ).toEqual([...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 1, 2, 3]]);
    const passes: number[] = [];
    const byPass = (epoch: number) => {
      passes.push(epoch);
      return numbered.slice(epoch, epoch + 4);
    };
    expect(await seen({ trainData: byPass, trainSamplingStrategy: "sequential", maxSteps: 3 })).toEqual([
      ...[0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5],
    ]);
    expect(passes).toEqual([0, 1, 2]);
    await expect(trained({ trainData: Dataset.from(numbered), maxSteps: -1 })).rejects.toThrow(
      /give maxSteps/,
    );
    const once = Dataset.from(numbered.values());
    await expect(trained({ trainData: once, maxSteps: 9 })).rejects.toThrow(/second pass/);
    await expect(trained({ trainData: Dataset.from([] as Row[]) })).rejects.toThrow(/no example/);
  });

  test("windows of tokens: as many to a pass as fit", async () => {
    const trainer = new Trainer(tinyGPT(), {
      ...base({ maxSteps: -1, numTrainEpochs: 2 }),
      trainData: tokens(81),
    });
    await trainer.train();
    expect(trainer.state).toMatchObject({ globalStep: 6, epoch: 2 }); // 10 windows: 3 batches
  });

  test("a batch may hold the arguments, be made later, and have a loss of one's own", async () => {
    const asArguments = await trained({
      collate: (rows) => {
        const { inputIds, targets } = collator()(rows);
        return [inputIds, { targets }];
      },
    });
    const later = await trained({ collate: async (rows) => collator()(rows) });
    const own = await trained({
      computeLoss: (model: GPT, { inputIds, targets }: { inputIds: Tensor; targets: Tensor }) =>
        model(inputIds, { targets }).loss,
    });
    const { losses } = await trained();
    for (const other of [asArguments, later, own]) expect(other.losses).toEqual(losses);
  });
});

describe("collator", () => {
  test("stacks, pads and counts", async () => {
    const batch = collator({ padTokenId: 9, padToMultipleOf: 2 })([
      { inputIds: [1, 2, 3], labels: [1, 2, 3], tokenTypeIds: [0, 1, 1], text: "a", score: 1 },
      { inputIds: [4], labels: [5], tokenTypeIds: [1], text: "b", score: 0.5 },
    ]);
    const values = async (name: string) => [...(await batch[name]!.toTypedArray())];
    expect(Object.keys(batch)).toEqual(["inputIds", "lengths", "labels", "tokenTypeIds", "score"]);
    expect(await values("inputIds")).toEqual([1, 2, 3, 9, 4, 9, 9, 9]);
    expect(await values("labels")).toEqual([1, 2, 3, -100, 5, -100, -100, -100]);
    expect(await values("lengths")).toEqual([3, 1]);
    expect(batch.score!.dtype).toBe("f32");
    const single = collator()([
      { inputIds: [1], label: 2 },
      { inputIds: [3], label: 0 },
    ]);
    expect([single.labels!.dtype, single.labels!.shape]).toEqual(["i32", [2]]);
  });

  test.each<[unknown[], RegExp]>([
    [[{ inputIds: [1] }, { inputIds: [1, 2] }], /padTokenId must be given .* inputIds of 1, 2/],
    [[{ inputIds: [1] }, {}], /inputIds must be an array in every example; got undefined in 1/],
    [[{ label: 1 }, { label: "x" }], /label must be a number in every example/],
    [[{ inputIds: {} }], /inputIds must be a number or an array of numbers/],
    [["text"], /examples must be objects/],
  ])("%j is refused", (rows, message) => {
    expect(() => collator()(rows as never)).toThrow(message);
  });
});
