import { defineOp } from "../autograd.ts";
import type { Dtype } from "../dtype.ts";
import type { Tensor } from "../tensor.ts";
import { asF32 } from "./views.ts";

/**
 * Rows of a table: `y[n] = weight[ids[n]]`.
 *
 * @param ids    `[...]` i32, each in [0, V). One outside is reported by the next read (ERR_INDEX); its row is NaN.
 * @param weight `[V, C]`
 * @param dtype  of the result, f32 or bf16. Default: that of `weight`
 * @returns      `[..., C]`
 */
export const embedding = defineOp({
  name: "embedding",
  args: (ids: Tensor, weight: Tensor, dtype: Dtype = weight.dtype) => ({ ids, weight: asF32(weight), dtype }),
  shapes: { ids: "[...]", weight: "[V, C]", y: "[..., C]" },
  output: "y",
  real: ({ dtype }) => dtype as Dtype,
});
