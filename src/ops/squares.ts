import { filled } from "../autograd.ts";
import type { Device } from "../device.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import { Tensor } from "../tensor.ts";

const squareNorm = kernelNamed("square_norm");

/**
 * Adds the squares of all elements of `x` to `square`, and writes the root of what that is then to `norm`: both of one
 * element. `x` is contiguous, all are f32. No gradient.
 */
export function addSquares(x: Tensor, square: Tensor, norm: Tensor): void {
  runKernel(squareNorm, "f32", { x: new Tensor(x.storage, [x.size], undefined, x.offset), square, norm });
}

/** `[groups.length]` f32: the sum of the squares of all elements of each group, 0 where it is empty. */
export function sumsOfSquares(groups: readonly (readonly Tensor[])[], device: Device): Tensor {
  const sums = filled(Tensor.empty([groups.length], "f32", device), 0);
  const norm = Tensor.empty([1], "f32", device);
  groups.forEach((tensors, i) => {
    const square = new Tensor(sums.storage, [1], undefined, i);
    for (const t of tensors) addSquares(t, square, norm);
  });
  norm.dispose();
  return sums;
}
