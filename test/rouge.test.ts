import { expect, test } from "vitest";
import { rouge } from "../src/index.ts";

const near = (precision: number, recall: number, f1 = (2 * precision * recall) / (precision + recall)) => ({
  precision: expect.closeTo(precision, 12),
  recall: expect.closeTo(recall, 12),
  f1: expect.closeTo(f1, 12),
});
const nothing = { precision: 0, recall: 0, f1: 0 };

test("the example of Lin 2004, 3.1", () => {
  const reference = "police killed the gunman";
  expect(rouge(["police kill the gunman"], [reference])).toEqual({
    rouge1: near(3 / 4, 3 / 4),
    rouge2: near(1 / 3, 1 / 3),
    rougeL: near(3 / 4, 3 / 4),
  });
  expect(rouge(["the gunman kill police"], [reference])).toEqual({
    rouge1: near(3 / 4, 3 / 4),
    rouge2: near(1 / 3, 1 / 3),
    rougeL: near(2 / 4, 2 / 4),
  });
  expect(rouge(["the gunman police killed"], [reference]).rougeL).toEqual(near(2 / 4, 2 / 4));
});

test("words are runs of a-z and 0-9 in lower case, and repeated ones count as often as both have them", () => {
  const { rouge1, rouge2, rougeL } = rouge(["The-the, THE 10.5 é!"], ["the the: 5 10"]);
  expect(rouge1).toEqual(near(4 / 5, 4 / 4));
  expect(rouge2).toEqual(near(1 / 4, 1 / 3));
  expect(rougeL).toEqual(near(3 / 5, 3 / 4));
});

test("scores are means over the texts, of which those without words have 0", () => {
  expect(rouge(["a b", "", "c"], ["a b", "a", ""])).toEqual({
    rouge1: near(1 / 3, 1 / 3, 1 / 3),
    rouge2: near(1 / 3, 1 / 3, 1 / 3),
    rougeL: near(1 / 3, 1 / 3, 1 / 3),
  });
  expect(rouge(["…"], ["日本"])).toEqual({ rouge1: nothing, rouge2: nothing, rougeL: nothing });
});

test("the longest common subsequence is that of a search through all", () => {
  const longest = (a: string[], b: string[]): number => {
    const [x, ...rest] = a;
    if (x === undefined) return 0;
    const at = b.indexOf(x);
    return Math.max(longest(rest, b), at < 0 ? 0 : 1 + longest(rest, b.slice(at + 1)));
  };
  for (let seed = 1; seed <= 50; seed++) {
    const draw = (length: number, step: number) =>
      Array.from({ length }, (_, i) => "abc"[((seed * step + i * i * step) % 7) % 3]!);
    const [a, b] = [draw(9, 3), draw(7, 5 + seed)];
    const common = longest(a, b);
    expect(rouge([a.join(" ")], [b.join(" ")]).rougeL).toEqual(near(common / 9, common / 7));
  }
});

test("bad arguments are named", () => {
  expect(() => rouge(["a"], ["b", "c"])).toThrow(
    "rouge: predictions and references must be of one length; got 1 and 2",
  );
  expect(() => rouge([null as never], ["b"])).toThrow("rouge: predictions[0] must be a string; got null");
});
