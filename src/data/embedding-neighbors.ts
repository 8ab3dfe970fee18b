import { ArgumentError, checkInteger, checkNumber, ShapeError } from "../errors.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

export interface NeighborOptions {
  /** The most neighbours of an id. Default 10. */
  count?: number;
  /** Cosine that a neighbour has at least, from -1 to 1. Default 0.5. */
  minSimilarity?: number;
  /** Which ids may be neighbours: no special tokens, only whole words. Default all. */
  filter?: (id: number) => boolean;
}

/**
 * The ids whose vectors point the most in the direction of an id's, nearest first, as synonyms of token ids.
 *
 * ```ts
 * const synonyms = await embeddingNeighbors(model.bert.embeddings.words.weight);
 * const augment = augmentation([synonymReplacement(0.1, synonyms)], { seed: 1 });
 * ```
 *
 * The table is copied as it is now. An id's neighbours are looked for when they are first asked for, in a time of V · C,
 * and kept. A vector of zeros has none.
 *
 * @param weight `[V, C]`
 * @throws ERR_SHAPE on another shape; ERR_ARGUMENT on a bad option
 */
export async function embeddingNeighbors(
  weight: Tensor,
  { count = 10, minSimilarity = 0.5, filter = () => true }: NeighborOptions = {},
): Promise<(id: number) => readonly number[]> {
  const name = "embeddingNeighbors";
  checkInteger(`${name}: count`, count, 1);
  checkNumber(`${name}: minSimilarity`, minSimilarity, -1, 1);
  if (weight.rank !== 2)
    throw new ShapeError(`${name}: weight must be [V, C]; got ${showShape(weight.shape)}`);
  if (weight.dtype === "i32") throw new ArgumentError(`${name}: weight must be floating; got i32`);
  const [V, C] = weight.shape as [number, number];
  const vectors = (await weight.toTypedArray()) as Float32Array;
  for (let v = 0; v < V; v++) {
    const vector = vectors.subarray(v * C, (v + 1) * C);
    const length = Math.sqrt(product(vectors, v, v, C));
    if (length > 0) for (let c = 0; c < C; c++) vector[c]! /= length;
  }
  const known = new Map<number, readonly number[]>();
  const search = (id: number): readonly number[] => {
    const vector = vectors.subarray(id * C, (id + 1) * C);
    if (vector.every((x) => x === 0)) return [];
    const near: { other: number; similarity: number }[] = [];
    for (let other = 0; other < V; other++) {
      if (other === id) continue;
      const similarity = product(vectors, id, other, C);
      if (similarity < minSimilarity || (near.length === count && similarity <= near.at(-1)!.similarity))
        continue;
      if (!filter(other)) continue;
      const place = near.findIndex((n) => n.similarity < similarity);
      near.splice(place < 0 ? near.length : place, 0, { other, similarity });
      if (near.length > count) near.pop();
    }
    return near.map(({ other }) => other);
  };
  return (id) => {
    checkInteger(`${name}: id`, id, 0, V - 1);
    let neighbors = known.get(id);
    if (neighbors === undefined) known.set(id, (neighbors = search(id)));
    return neighbors;
  };
}

/** `x[a] · x[b]`, in four sums, which do not wait for each other. */
function product(x: Float32Array, a: number, b: number, C: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let [i, j] = [a * C, b * C];
  const end = i + C;
  for (; i + 4 <= end; i += 4, j += 4) {
    s0 += x[i]! * x[j]!;
    s1 += x[i + 1]! * x[j + 1]!;
    s2 += x[i + 2]! * x[j + 2]!;
    s3 += x[i + 3]! * x[j + 3]!;
  }
  for (; i < end; i++, j++) s0 += x[i]! * x[j]!;
  return s0 + s1 + s2 + s3;
}
