import { defineOp } from "../autograd.ts";
import type { Tensor } from "../tensor.ts";

/**
 * Rows of a table: `y[n] = weight[ids[n]]`.
 *
 * @param ids    `[...]` i32, each in [0, V). One outside is reported by the next read (ERR_INDEX); its row is NaN.
 * @param weight `[V, C]`
 * @returns      `[..., C]`
 */
export const embedding = defineOp({
  name: "embedding",
  args: (ids: Tensor, weight: Tensor) => ({ ids, weight }),
  shapes: { ids: "[...]", weight: "[V, C]", y: "[..., C]" },
  output: "y",
});
