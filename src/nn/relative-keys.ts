import { checkInteger } from "../errors.ts";
import { scale } from "../ops/elementwise.ts";
import { matmul } from "../ops/products.ts";
import { reshape, transpose } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { Embedding } from "./layers.ts";
import { Module } from "./module.ts";

/**
 * Relative positions as keys: a learned vector a for each distance between query and key, up to `maxDistance` either
 * way, which all heads share; `scale · q·a` is added to the score. Scores exist as a matrix then, and the vectors of all
 * pairs `[T, S, D]`.
 *
 * @see Shaw et al. 2018, "Self-Attention with Relative Position Representations", eq. 4. (Their second term, added to
 *      the values, made no difference in their table 3.)
 */
export class RelativeKeys extends Module<[q: Tensor, keys: number, factor: number], Tensor> {
  table: Embedding;
  readonly maxDistance: number;

  constructor(headSize: number, options: { maxDistance?: number; std?: number } = {}) {
    super();
    this.maxDistance = checkInteger("RelativeKeys: maxDistance", options.maxDistance ?? 16, 0);
    this.table = new Embedding(2 * this.maxDistance + 1, headSize, { std: options.std ?? headSize ** -0.5 });
  }

  /**
   * @param q      `[B, T, H, D]`; the last one stands at the last key
   * @param keys   S
   * @param factor of the products
   * @returns      `[B, H, T, S]`
   */
  forward(q: Tensor, keys: number, factor: number): Tensor {
    const [B, T, H, D] = q.shape as [number, number, number, number];
    const far = this.maxDistance;
    const ids = Int32Array.from({ length: T * keys }, (_, n) => {
      const distance = (n % keys) - (Math.floor(n / keys) + keys - T);
      return far + Math.max(-far, Math.min(far, distance));
    });
    const vectors = this.table(tensor(ids, [T, keys], { device: q.device }), q.dtype);
    const queries = reshape(transpose(q, 0, 1), [T, B * H, D]);
    const scores = reshape(matmul(queries, transpose(vectors, 1, 2)), [T, B, H, keys]);
    return scale(transpose(transpose(scores, 0, 1), 1, 2), factor);
  }
}
