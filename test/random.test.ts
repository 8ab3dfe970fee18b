import { describe, expect, it } from "vitest";
import { philox4x32, Random } from "../src/random.ts";

describe("philox4x32", () => {
  // kat_vectors of Random123, philox4x32 10
  it.each([
    ["00000000 00000000", "00000000 00000000 00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    ["ffffffff ffffffff", "ffffffff ffffffff ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"],
    ["a4093822 299f31d0", "243f6a88 85a308d3 13198a2e 03707344", "d16cfe09 94fdcceb 5001e420 24126ea1"],
  ])("of key %s and counter %s is %s", (key, counter, expected) => {
    const [k0, k1, c0, c1, c2, c3] = `${key} ${counter}`.split(" ").map((hex) => Number.parseInt(hex, 16));
    const out = new Uint32Array(4);
    philox4x32(k0!, k1!, c0!, c1!, c2!, c3!, out);
    expect([...out].map((word) => word.toString(16).padStart(8, "0")).join(" ")).toBe(expected);
  });
});

describe("Random", () => {
  it("reads the words of its block in order and goes on to the next", () => {
    const seed = 2 ** 53 - 1;
    const stream = 2 ** 32 + 5;
    const random = new Random(seed, 4 * (2 ** 32 + 1) + 2, stream);
    const words = new Uint32Array(8);
    philox4x32(0xffffffff, 0x1fffff, 1, 1, 5, 1, words.subarray(0, 4));
    philox4x32(0xffffffff, 0x1fffff, 2, 1, 5, 1, words.subarray(4));
    const expected = [...words.subarray(2, 8)].map((word) => (word >>> 8) / 2 ** 24);
    expect(Array.from({ length: 6 }, () => random.uniform())).toEqual(expected);
    expect(random.position).toBe(4 * (2 ** 32 + 1) + 8);
  });

  it("goes on from a saved position, whatever was drawn", () => {
    const draw = (r: Random) => [r.uniform(), r.integer(1000), r.normal(), ...r.shuffle([1, 2, 3, 4, 5])];
    const random = new Random(7, 0, 3);
    for (let i = 0; i < 5; i++) {
      random.uniform();
      const restored = new Random(random.seed, random.position, random.stream);
      expect(draw(restored)).toEqual(draw(random));
    }
  });

  it("differs by seed and by stream", () => {
    const firsts = [
      new Random(0),
      new Random(1),
      new Random(2 ** 32),
      new Random(0, 0, 1),
      new Random(0, 0, 2 ** 32),
    ];
    expect(new Set(firsts.map((r) => r.uniform())).size).toBe(firsts.length);
  });

  it("has the moments of its distributions", () => {
    const random = new Random(1337);
    const count = 100_000;
    const mean = (draw: () => number) => {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += draw();
      return sum / count;
    };
    expect(mean(() => random.uniform())).toBeCloseTo(0.5, 2);
    expect(mean(() => random.uniform() ** 2)).toBeCloseTo(1 / 3, 2);
    expect(mean(() => random.normal())).toBeCloseTo(0, 1.5);
    expect(mean(() => random.normal() ** 2)).toBeCloseTo(1, 1.5);
    expect(mean(() => random.normal() ** 4)).toBeCloseTo(3, 0.7);
    const counts = [0, 0, 0, 0, 0, 0, 0];
    for (let i = 0; i < count; i++) counts[random.integer(7)]!++;
    for (const n of counts) expect(Math.abs(n - count / 7)).toBeLessThan(5 * Math.sqrt(count / 7));
  });

  it("draws integers below any safe integer", () => {
    const random = new Random(5);
    for (const below of [1, 2, 3, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) {
      for (let i = 0; i < 200; i++) {
        const n = random.integer(below);
        expect(Number.isSafeInteger(n) && n >= 0 && n < below).toBe(true);
      }
    }
    expect(Math.max(...Array.from({ length: 50 }, () => random.integer(2 ** 53 - 1)))).toBeGreaterThan(
      2 ** 52,
    );
  });

  it("uses all bits of its words", () => {
    // the words of seed 0: 6627e8d5 e169c58d bc57ac4c 9b00dbd8
    const bits = ((0x6627e8d5n >> 5n) << 26n) | (0xe169c58dn >> 6n);
    expect(new Random(0).integer(2 ** 53 - 1)).toBe(Number((bits * (2n ** 53n - 1n)) >> 53n));
    expect(new Random(0).integer(1000)).toBe(399);
    expect(new Random(0).normal()).toBeCloseTo(0.9911376790966604, 14);
  });

  it("shuffles into each order equally often", () => {
    const random = new Random(11);
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = random.shuffle(new Int32Array([0, 1, 2])).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const n of counts.values()) expect(Math.abs(n - 1000)).toBeLessThan(150);
  });

  it("refuses what is not an integer in range", () => {
    expect(() => new Random(-1)).toThrow("Random: seed must be an integer of at least 0; got -1");
    expect(() => new Random(2 ** 53)).toThrow("Random: seed");
    expect(() => new Random(0, 0.5)).toThrow("Random: position");
    expect(() => new Random(0, 0, Number.NaN)).toThrow("Random: stream");
    expect(() => new Random(0).integer(0)).toThrow(
      "Random.integer: below must be an integer of at least 1; got 0",
    );
  });
});
