/** What a call of a kernel does at least, from its name and the shapes of its arguments. */
import type { Dtype } from "../dtype.ts";
import { bytesPerElement } from "../dtype.ts";
import type { KernelParameter } from "../native.ts";
import { type Shape, showShape, sizeOf } from "../shape.ts";

/** A tensor as a kernel got it. */
export interface TensorArgument {
  readonly name: string;
  readonly kind: KernelParameter["kind"];
  readonly dtype: Dtype;
  readonly shape: Shape;
  readonly strides: Shape;
}

/** The arguments of a call by name; optional tensors that were left out are not among them. */
export interface KernelArguments {
  readonly tensors: ReadonlyMap<string, TensorArgument>;
  readonly numbers: ReadonlyMap<string, number>;
}

type Count = (shapes: (name: string) => Shape, args: KernelArguments) => number;

/** y [B, M, N] over K, a multiplication and an addition for each. */
const productFlops: Count = (shapeOf) => 2 * sizeOf(shapeOf("y")) * shapeOf("a").at(-1)!;

/**
 * How many of S keys the T queries see together, the last query standing at the last key: with a window W > 0 those
 * less than W away, when causal none that come later.
 */
function seenKeys(T: number, S: number, isCausal: boolean, window: number): number {
  const reach = window > 0 ? window : Infinity;
  let seen = 0;
  for (let at = S - T; at < S; at++) {
    const last = isCausal ? Math.min(at, S - 1) : Math.min(S - 1, at + reach - 1);
    seen += Math.max(0, last - Math.max(0, at - reach + 1) + 1);
  }
  return seen;
}

/** So many products of every query with the keys that it sees: q [B, T, H, D], k [B, S, G, D]. */
const attentionFlops =
  (products: number): Count =>
  (shapeOf, { numbers }) => {
    const [B, T, H, D] = shapeOf("q") as [number, number, number, number];
    const seen = seenKeys(T, shapeOf("k")[1]!, numbers.get("causal") !== 0, numbers.get("window") ?? 0);
    return products * 2 * B * H * D * seen;
  };

/** Products of x [N, C] and weight [V, C], the logits among them. */
const lossFlops =
  (gradients: readonly string[]): Count =>
  (shapeOf, { tensors }) => {
    const [V, C] = shapeOf("weight") as [number, number];
    const products = 1 + gradients.filter((name) => tensors.has(name)).length;
    return products * 2 * shapeOf("x")[0]! * V * C;
  };

/**
 * Floating-point operations of the kernels that multiply matrices; the others are bound by memory. Attention is counted
 * as if no query were masked but by `causal` and `window`, and a loss as if no target were ignored: which are is data.
 * Backward passes count what they compute again.
 */
const flopsOfKernels: Readonly<Record<string, Count>> = {
  matmul: productFlops,
  matmul_packed: productFlops,
  matmul_accumulate: productFlops,
  attention_forward: attentionFlops(2),
  attention_backward: attentionFlops(5),
  linearcrossentropy_forward: lossFlops([]),
  linearcrossentropy_backward: lossFlops(["dx", "dweight"]),
};

/** Of these only so much is touched as of another argument. */
const touchedAs: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  embedding_forward: { weight: "y" },
  embedding_backward: { dweight: "dy" },
  gather_rows: { x: "y" },
  cache_write: { cache: "x" },
};

/** Floating-point operations of a call; 0 for kernels that do not multiply matrices. */
export function flopsOf(kernel: string, args: KernelArguments): number {
  const count = flopsOfKernels[kernel];
  return count === undefined ? 0 : count((name) => args.tensors.get(name)!.shape, args);
}

/** Elements in memory: those that are repeated along an axis, with stride 0, count once. */
const elementsIn = ({ shape, strides }: TensorArgument): number =>
  shape.reduce((size, n, axis) => (strides[axis] === 0 && n > 0 ? size : size * n), 1);

/** Bytes that a call reads and writes if it touches every element of its arguments once; what it adds to, twice. */
export function bytesOf(kernel: string, { tensors }: KernelArguments): number {
  let bytes = 0;
  for (const t of tensors.values()) {
    const other = touchedAs[kernel]?.[t.name];
    const elements = elementsIn(other === undefined ? t : tensors.get(other)!);
    bytes += (t.kind === "acc" ? 2 : 1) * elements * bytesPerElement[t.dtype];
  }
  return bytes;
}

/** The shapes of what a call reads, without axes of one element; a ᵀ marks a transposed view. */
export function showShapes({ tensors }: KernelArguments): string {
  const all = [...tensors.values()];
  const read = all.filter(({ kind }) => kind === "in");
  const shown = (read.length > 0 ? read : all).map(({ shape, strides }) => {
    const isTransposed = shape.length > 1 && strides.at(-1) !== 1 && strides.at(-2) === 1;
    const sizes = shape.filter((n, axis) => n !== 1 || axis === shape.length - 1);
    return `${showShape(sizes)}${isTransposed ? "ᵀ" : ""}`;
  });
  return shown.join(" ");
}
