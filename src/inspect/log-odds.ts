import { noGrad } from "../autograd.ts";
import { checkInteger } from "../errors.ts";
import { scope } from "../memory.ts";
import { gatherRows } from "../ops/cache.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { add, sub } from "../ops/elementwise.ts";
import { argmax, max } from "../ops/reductions.ts";
import { softmax } from "../ops/softmax.ts";
import { asF32, reshape, slice } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";

/** Far below every logit: takes a token out of a softmax. */
const never = -1e30;

/**
 * The log-odds `ln p − ln(1 − p)` of a token, whose gradient doesn't vanish as p nears 1. Differentiable.
 *
 * With z the logits and u any other token: z[t] − (cross entropy of u without t) − z[u].
 *
 * @param logits `[1, V]`
 * @returns      `[]` f32
 */
export function logOdds(logits: Tensor, token: number): Tensor {
  const z = asF32(logits);
  const V = z.shape[1]!;
  const other = (token + 1) % V;
  const mask = new Float32Array(V);
  mask[token] = never;
  const { device } = z;
  const without = add(z, tensor(mask, [1, V], { device }));
  const rest = crossEntropy(without, tensor(Int32Array.of(other), [1], { device }));
  const at = (id: number) => reshape(slice(z, 1, id, id + 1), []);
  return sub(sub(at(token), at(other)), rest);
}

/**
 * The log-odds of a token in each row. `logits [N, V]`, N tokens (−1 gives NaN). No gradient.
 *
 * The largest other logit m has probability q among the others: the sum of their exponentials is e^m / q.
 */
export async function logOddsOf(logits: Tensor, tokens: ArrayLike<number>): Promise<Float32Array> {
  const [N, V] = logits.shape as [number, number];
  const { device } = logits;
  const { own, largest, share } = scope(() =>
    noGrad(() => {
      const z = asF32(logits);
      const places = Int32Array.from({ length: N }, (_, n) => n * V + Math.max(0, tokens[n]!));
      const own = gatherRows(reshape(z, [N * V, 1]), tensor(places, [N], { device }));
      const mask = new Float32Array(N * V);
      for (const place of places) mask[place] = never;
      const without = add(z, tensor(mask, [N, V], { device }));
      return { own, largest: max(without, 1), share: max(softmax(without), 1) };
    }),
  );
  const [z, m, q] = await Promise.all([own, largest, share].map((t) => t.toTypedArray()));
  for (const t of [own, largest, share]) t.dispose();
  return Float32Array.from(z!, (value, n) => (tokens[n]! < 0 ? NaN : value - m![n]! + Math.log(q![n]!)));
}

/** The token of the largest logit, `[1, V]`; waits for it. */
export const likeliest = (logits: Tensor): number => argmax(asF32(logits.detach()), 1).toTypedArraySync()[0]!;

/** A position of T, counted from the end if negative. */
export const positionOf = (name: string, at: number, T: number): number =>
  checkInteger(`trace: ${name}`, at < 0 ? T + at : at, 0, T - 1);
