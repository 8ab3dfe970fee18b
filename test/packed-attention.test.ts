import { expect, it } from "vitest";
import { packTokens } from "../src/data/packing.ts";
import { attention } from "../src/functional.ts";
import { Random } from "../src/random.ts";
import { tensor } from "../src/tensor.ts";

it("documents of a window attend as if each were alone", async () => {
  const [T, H, D] = [24, 2, 4];
  const lengths = [7, 1, 9, 12];
  const [window] = packTokens(
    lengths.map((length) => new Int32Array(length).fill(5)),
    { contextLength: T },
  );
  const random = new Random(1);
  const values = () => Float32Array.from({ length: T * H * D }, () => random.normal());
  const [q, k, v] = [values(), values(), values()];
  const attend = (begin: number, end: number, starts?: Int32Array) => {
    const part = (x: Float32Array) => tensor(x.slice(begin * H * D, end * H * D), [1, end - begin, H, D]);
    const options = { causal: true, ...(starts && { starts: tensor(starts, [1, T]) }) };
    return attention(part(q), part(k), part(v), options).data();
  };
  const packed = await attend(0, T, window!.starts);
  let begin = 0;
  for (const length of lengths) {
    const end = Math.min(T, begin + length);
    const alone = await attend(begin, end);
    alone.forEach((y, i) => expect(packed[begin * H * D + i]!).toBeCloseTo(y, 5));
    begin = end;
  }
  const mixed = await attend(0, T);
  expect(Math.max(...mixed.map((y, i) => Math.abs(y - packed[i]!)))).toBeGreaterThan(0.1);
});
