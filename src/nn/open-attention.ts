import { isWanted, send } from "../messages.ts";
import { type AttentionOptions, attention } from "../ops/attention.ts";
import { attentionScores, scoresSoftmax, weightedValues } from "../ops/attention-scores.ts";
import { dropout } from "../ops/dropout.ts";
import { add } from "../ops/elementwise.ts";
import { matmul } from "../ops/products.ts";
import { sum } from "../ops/reductions.ts";
import { cast, reshape, transpose } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import type { Linear } from "./layers.ts";

/** `attention`, which goes by its scores and weights, matrices `[B, H, T, S]`, where somebody asks for those. */
export function sentAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  if (!isWanted("scores") && !isWanted("weights")) return attention(q, k, v, options);
  const weights = cast(scoresSoftmax(send("scores", attentionScores(q, k, options))), q.dtype);
  const { dropout: p = 0 } = options;
  return weightedValues(dropout(send("weights", weights), p, p > 0), v);
}

/**
 * The output projection of `y [B, T, H, D]`, head by head where somebody asks for what each writes.
 *
 * @param residual `[B, T, C]`, added to the result
 */
export function sentHeads(y: Tensor, output: Linear, residual: Tensor | undefined): Tensor {
  const [B, T, H, D] = y.shape as [number, number, number, number];
  if (!isWanted("heads")) return output(reshape(y, [B, T, H * D]), residual);
  const weight = cast(output.weight, y.dtype);
  const C = weight.shape[0]!;
  const slices = transpose(transpose(reshape(weight, [C, H, D]), 0, 1), 1, 2); // [H, D, C]
  const written = matmul(transpose(reshape(y, [B * T, H, D]), 0, 1), slices); // [H, B·T, C]
  const heads = send("heads", reshape(transpose(written, 0, 1), [B, T, H, C]));
  const all = sum(heads, 2);
  const out = output.bias ? add(all, cast(output.bias, y.dtype)) : all;
  return residual ? add(residual, out) : out;
}
