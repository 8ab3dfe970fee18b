import { checkInteger } from "../errors.ts";
import { attention } from "../ops/attention.ts";
import { ones, randn, zeros } from "../ops/creation.ts";
import { scale } from "../ops/elementwise.ts";
import { rmsNorm } from "../ops/rmsnorm.ts";
import { expand, reshape } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import { Module, type Parameter, parameter } from "./module.ts";

/** The largest head size up to 128 that divides C. */
function headSizeOf(C: number): number {
  for (let D = Math.min(C, 128); ; D--) if (C % D === 0) return D;
}

/** Attention of one query `[H, D]` to the positions of each row: `[B, T, C]` → `[B, C]`. */
function attendOnce(query: Tensor, x: Tensor, lengths: Tensor | undefined): Tensor {
  const [B, T, C] = x.shape as [number, number, number];
  const [H, D] = query.shape as [number, number];
  const positions = reshape(x, [B, T, H, D]);
  return reshape(attention(expand(query, [B, 1, H, D]), positions, positions, { lengths }), [B, C]);
}

/**
 * The mean over the positions of each row that count: `[B, T, C]` → `[B, C]`. (It is attention with a query of zeros,
 * which sees all of them alike.)
 *
 * @param lengths `[B]` i32: how many positions count. Default all
 */
export function meanPooling(x: Tensor, lengths?: Tensor): Tensor {
  const C = x.shape[2]!;
  const D = headSizeOf(C);
  return attendOnce(zeros([C / D, D], { dtype: x.dtype, device: x.device }), x, lengths);
}

/**
 * A weighted mean over the positions of each row, whose weights a learned query decides: `[B, T, C]` → `[B, C]`.
 *
 * @see Lee et al. 2019, "Set Transformer" (pooling by multihead attention)
 */
export class AttentionPooling extends Module<[x: Tensor, lengths?: Tensor], Tensor> {
  /** `[H, D]` */
  query: Parameter;

  constructor(hiddenSize: number, options: { numHeads?: number; std?: number } = {}) {
    super();
    checkInteger("AttentionPooling: hiddenSize", hiddenSize, 1);
    const { numHeads = hiddenSize / headSizeOf(hiddenSize), std = 0.02 } = options;
    const shape = [
      numHeads,
      checkInteger("AttentionPooling: hiddenSize / numHeads", hiddenSize / numHeads, 1),
    ];
    this.query = parameter(() => randn(shape, { std }), shape);
  }

  forward(x: Tensor, lengths?: Tensor): Tensor {
    return attendOnce(this.query.dtype === x.dtype ? this.query : this.query.to(x.dtype), x, lengths);
  }
}

/** Rows of length 1: `x / ‖x‖₂` over the last axis. A row of zeros stays one. */
export function l2Normalize(x: Tensor): Tensor {
  const C = x.shape.at(-1)!;
  return scale(rmsNorm(x, ones([C], { device: x.device }), 1e-24), 1 / Math.sqrt(C));
}
