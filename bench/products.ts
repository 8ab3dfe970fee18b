/** Matrix products as this library computes them: the only place of the benchmarks that knows by which kernels. */
import type { Dtype } from "../src/dtype.ts";
import { kernelNamed } from "../src/native.ts";
import { runKernel } from "../src/op.ts";
import { rand } from "../src/ops/creation.ts";
import { packedWeight } from "../src/ops/packed-weight.ts";
import { Tensor } from "../src/tensor.ts";
import type { Enqueued } from "./measure.ts";

/**
 * How the factors lie in memory, row by row: T marks one that lies transposed.
 *
 *   NT   y [M, N] = a [M, K] · b [N, K]ᵀ     a linear map: b is its weight
 *   NN   y [M, N] = a [M, K] · b [K, N]      the gradient of its input
 *   TN   y [M, N] = a [K, M]ᵀ · b [K, N]     the gradient of its weight, in f32
 */
export type Layout = "NT" | "NN" | "TN";

export interface Product {
  readonly layout: Layout;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

export const flopsOf = ({ M, N, K }: Product): number => 2 * M * N * K;

const productPacked = kernelNamed("matmul_packed");
const accumulate = kernelNamed("matmul_accumulate");

export interface ProductJob extends Enqueued {
  dispose(): void;
}

const random = (shape: readonly number[], dtype: Dtype): Tensor => rand(shape, { low: -1, high: 1, dtype });

/** A product of random factors, to be computed again and again; weights are packed before, as in training. */
export function makeProduct({ layout, M, N, K }: Product, dtype: Dtype): ProductJob {
  const y = Tensor.empty([M, N], layout === "TN" ? "f32" : dtype, "cpu");
  if (layout === "TN") {
    const [a, b] = [random([K, M], dtype), random([K, N], dtype)];
    const aT = a.T;
    return { run: () => runKernel(accumulate, dtype, { a: aT, b, y, add: 0 }), dispose: disposer(a, b, y) };
  }
  const a = random([M, K], dtype);
  const weight = random(layout === "NT" ? [N, K] : [K, N], "f32");
  weight.requiresGrad = true;
  const b = packedWeight(weight, layout === "NT" ? "forward" : "backward", dtype);
  weight.dispose();
  return {
    run: () => runKernel(productPacked, dtype, { a, b, y, activation: 0 }),
    dispose: disposer(a, b, y),
  };
}

const disposer =
  (...tensors: Tensor[]) =>
  (): void => {
    for (const t of tensors) t.dispose();
  };
