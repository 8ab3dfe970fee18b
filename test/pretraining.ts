import { expect } from "vitest";
import { brownDocuments } from "../scripts/brown.mjs";

/** An error of this package with this in its message. */
export const error = (message: string, code = "ERR_ARGUMENT") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
/** `n` integers from `from` on. */
export const upTo = (n: number, from = 0) => Int32Array.from({ length: n }, (_, i) => from + i);

/** Five standard deviations of a binomial count: a right program fails once in a million. */
export function expectShare(count: number, of: number, p: number): void {
  expect(Math.abs(count - of * p), `${count} of ${of} for ${p}`).toBeLessThanOrEqual(
    5 * Math.sqrt(of * p * (1 - p)),
  );
}

/** The sentences of Brown as ids: words by rank of first sight, from 5 on. */
const vocabulary = new Map<string, number>();
export const documents = brownDocuments()
  .slice(0, 40)
  .map(({ text }) =>
    text.split("\n").map((line) =>
      line.split(" ").map((word) => {
        if (!vocabulary.has(word)) vocabulary.set(word, 5 + vocabulary.size);
        return vocabulary.get(word)!;
      }),
    ),
  );
