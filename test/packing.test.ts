import { describe, expect, it } from "vitest";
import { type PackedWindow, packTokens } from "../src/data/packing.ts";
import { documents, error } from "./pretraining.ts";

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
