import type { Attention } from "../nn/attention.ts";
import { matmul } from "../ops/products.ts";
import { cast, expand, reshape, transpose } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";

type AnyAttention = Attention<never[]>;

/** Slices of W_o: `[H, D, C]` f32. */
function outputSlices({ output, numHeads: H, headSize: D }: AnyAttention): Tensor {
  const { weight } = output;
  return transpose(transpose(reshape(cast(weight, "f32"), [weight.shape[0]!, H, D]), 0, 1), 1, 2);
}

/** Values `v [1, S, G, D]` as query heads see them: `[H, S, D]` f32. */
function valuesByHead({ numHeads: H }: AnyAttention, v: Tensor): Tensor {
  const [, S, G, D] = v.shape as [number, number, number, number];
  const groups = reshape(transpose(cast(v, "f32"), 1, 2), [G, 1, S, D]);
  return reshape(expand(groups, [G, H / G, S, D]), [H, S, D]);
}

/** What every head would write for every key at weight 1, `v·W_o`: `[H, S, C]` f32. */
export const headWrites = (attention: AnyAttention, v: Tensor): Tensor =>
  matmul(valuesByHead(attention, v), outputSlices(attention));

/**
 * Gradient · message of every message of an attention: `[H, T, S]` f32.
 *
 * @param g `[1, T, C]`: the gradient by `attn.out`
 * @param v `[1, S, G, D]`
 */
export function messageSlopes(attention: AnyAttention, g: Tensor, v: Tensor): Tensor {
  const perHead = matmul(cast(g, "f32"), transpose(outputSlices(attention), 1, 2)); // [H, T, D]
  return matmul(perHead, transpose(valuesByHead(attention, v), 1, 2));
}
