import { describe, expect, it } from "vitest";
import { duplicateKey, partOf, splitData } from "../src/data/split-data.ts";
import { Random } from "../src/random.ts";

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);
const error = (message: string) =>
  expect.objectContaining({ code: "ERR_ARGUMENT", message: expect.stringContaining(message) });

describe("splitData", () => {
  it("gives each item to one part, in sizes as asked", () => {
    const parts = splitData(upTo(103), { fractions: { train: 0.8, validation: 0.1, test: 0.1 }, seed: 1 });
    expect(Object.keys(parts)).toEqual(["train", "validation", "test"]);
    expect([parts.train.length, parts.validation.length, parts.test.length]).toEqual([83, 10, 10]);
    expect([...parts.train, ...parts.validation, ...parts.test].sort((a, b) => a - b)).toEqual(upTo(103));
    for (const part of Object.values(parts)) expect(part).toEqual([...part].sort((a, b) => a - b));
    const { heldOut, train } = splitData(upTo(50), { sizes: { heldOut: 7, train: Infinity }, seed: 1 });
    expect([heldOut.length, train.length]).toEqual([7, 43]);
    expect(splitData([1, 2], { sizes: { all: 2, none: 0 }, seed: 1 })).toEqual({ all: [1, 2], none: [] });
  });

  it("is decided by the seed, and as likely to hold out one item as another", () => {
    const heldOut = (seed: number) =>
      splitData(upTo(20), { fractions: { train: 0.75, heldOut: 0.25 }, seed }).heldOut;
    expect(heldOut(1)).toEqual(heldOut(1));
    expect(heldOut(1)).not.toEqual(heldOut(2));
    const counts = new Array(20).fill(0);
    for (let seed = 0; seed < 4000; seed++) for (const item of heldOut(seed)) counts[item]++;
    for (const count of counts)
      expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(4000 * 0.25 * 0.75));
  });

  it("keeps what shares a key together, also through others", () => {
    const random = new Random(5);
    const items = upTo(2000).map((id) => ({
      id,
      author: `a${random.integer(300)}`,
      text: `t${random.integer(5000)}`,
    }));
    const parts = splitData(items, {
      fractions: { train: 0.8, validation: 0.1, test: 0.1 },
      seed: 3,
      groupBy: ({ author, text }) => [author, text],
    });
    const sideOf = new Map<string, string>();
    let count = 0;
    for (const [part, members] of Object.entries(parts)) {
      count += members.length;
      for (const { author, text } of members) {
        for (const key of [author, text]) {
          expect(sideOf.get(key) ?? part).toBe(part);
          sideOf.set(key, part);
        }
      }
    }
    expect(count).toBe(2000);
    // 1-2 and 2-3 share a key, 1 and 3 do not
    const chain = splitData([["a"], ["a", "b"], ["b"], ["c"]], {
      sizes: { x: 3, y: 1 },
      seed: 1,
      groupBy: (keys) => keys,
    });
    expect(chain).toEqual({ x: [["a"], ["a", "b"], ["b"]], y: [["c"]] });
  });

  it("meets the sizes as nearly as groups allow, and leaves no part empty", () => {
    for (let seed = 0; seed < 50; seed++) {
      const random = new Random(seed);
      const items = upTo(1000).map(() => random.integer(100));
      const { train, test } = splitData(items, {
        fractions: { train: 0.9, test: 0.1 },
        seed,
        groupBy: (group) => group,
      });
      expect(Math.abs(test.length - 100)).toBeLessThan(25);
      expect(train.length + test.length).toBe(1000);
      const few = splitData(upTo(300), {
        fractions: { a: 0.98, b: 0.01, c: 0.01 },
        seed,
        groupBy: (i) => i % 3,
      });
      expect([few.a.length, few.b.length, few.c.length]).toEqual([100, 100, 100]);
    }
  });

  it("refuses what does not add up", () => {
    const items = upTo(10);
    expect(() => splitData(items, { fractions: { a: 0.5, b: 0.4 }, seed: 1 })).toThrow(
      error("fractions must add up to 1; got 0.9"),
    );
    expect(() => splitData(items, { fractions: { a: 1.5, b: -0.5 }, seed: 1 })).toThrow(
      error("splitData: fractions.a"),
    );
    expect(() => splitData(items, { sizes: { a: 5, b: 4 }, seed: 1 })).toThrow(
      error("sizes must add up to the 10 items"),
    );
    expect(() => splitData(items, { sizes: { a: Infinity, b: Infinity }, seed: 1 })).toThrow(
      error("sizes must add up"),
    );
    expect(() => splitData(items, { sizes: { a: 2.5, b: Infinity }, seed: 1 })).toThrow(
      error("splitData: sizes.a"),
    );
    expect(() => splitData(items, { seed: 1 })).toThrow(error("either fractions or sizes; got neither"));
    expect(() => splitData(items, { fractions: { a: 0.5, b: 0.5 }, seed: 0.5 })).toThrow(
      error("splitData: seed"),
    );
    expect(() => splitData(items, { fractions: { a: 0.5, b: 0.5 }, seed: 1, groupBy: () => 1 })).toThrow(
      error("2 parts need as many groups; got 1, of 10 items"),
    );
    expect(() =>
      splitData(items, { fractions: { a: 0.5, b: 0.5 }, seed: 1, groupBy: () => undefined as never }),
    ).toThrow(error("groupBy must give strings or numbers; got undefined for item 0"));
    expect(() => splitData("text" as never, { fractions: { a: 1 }, seed: 1 })).toThrow(
      error("splitData: items"),
    );
  });
});

describe("partOf", () => {
  const fractions = { train: 0.8, validation: 0.15, test: 0.05 };

  it("depends on nothing but the key and the seed", () => {
    const keys = upTo(20_000).map((i) => `document ${i}`);
    const counts = { train: 0, validation: 0, test: 0 };
    for (const key of keys) counts[partOf(key, { fractions, seed: 1 })]++;
    for (const part of ["train", "validation", "test"] as const) {
      const p = fractions[part];
      expect(Math.abs(counts[part] - 20_000 * p)).toBeLessThan(5 * Math.sqrt(20_000 * p * (1 - p)));
    }
    const moved = keys.filter(
      (key) => partOf(key, { fractions, seed: 1 }) !== partOf(key, { fractions, seed: 2 }),
    );
    expect(moved.length).toBeGreaterThan(4000);
    // The values of today, which must be those of tomorrow.
    expect(
      ["a", "b", "c", "d", 5, 6, 7].map((key) => partOf(key, { fractions, seed: 1 })),
    ).toMatchInlineSnapshot(`
      [
        "train",
        "train",
        "train",
        "train",
        "validation",
        "train",
        "validation",
      ]
    `);
  });

  it("refuses bad arguments", () => {
    expect(() => partOf("a", { fractions: { a: 0.5 }, seed: 1 })).toThrow(
      error("partOf: fractions must add up"),
    );
    expect(() => partOf("a", { fractions, seed: -1 })).toThrow(error("partOf: seed"));
    expect(() => partOf({} as never, { fractions, seed: 1 })).toThrow(error("partOf: key"));
    expect(partOf("a", { fractions: { never: 0, always: 1 }, seed: 1 })).toBe("always");
  });
});

it("duplicateKey is the same for texts that differ in form only", () => {
  expect(duplicateKey("Hello,  WORLD!")).toBe("hello world");
  expect(duplicateKey("“hello—world”\n")).toBe("hello world");
  expect(duplicateKey("cafe\u0301")).toBe(duplicateKey("CAF\u00c9"));
  expect(duplicateKey("ｆｕｌｌ １")).toBe("full 1");
  expect(duplicateKey("नमस्ते")).toBe("नमस्ते");
  expect(duplicateKey("a b")).not.toBe(duplicateKey("ab"));
  expect(duplicateKey("?!")).toBe("?!");
  expect(() => duplicateKey(1 as never)).toThrow(error("duplicateKey: text"));
});
