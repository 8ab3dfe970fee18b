import { record } from "../autograd.ts";
import { ArgumentError, DtypeError, ShapeError } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { contiguousCopy, foldTo, runKernel } from "../op.ts";
import { broadcastShapes, showShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { broadcastTo, giveSummed } from "./views.ts";

const product = kernelNamed("matmul");
const productAccumulate = kernelNamed("matmul_accumulate");
const sumRows = kernelNamed("sum_rows");

/** What follows a product in the same pass over its result. */
export type Activation = "gelu" | "geluTanh" | "relu" | "silu";

const activationNumber: Readonly<Record<Activation, number>> = { gelu: 1, geluTanh: 2, relu: 3, silu: 4 };
const slopeKernels = {
  gelu: kernelNamed("gelu_backward"),
  geluTanh: kernelNamed("gelutanh_backward"),
  relu: kernelNamed("relu_backward"),
  silu: kernelNamed("silu_backward"),
} as const;

const transposed = (t: Tensor): Tensor => {
  const swap = (list: readonly number[]) => [...list.slice(0, -2), list.at(-1)!, list.at(-2)!];
  return new Tensor(t.storage, swap(t.shape), swap(t.strides), t.offset);
};

function checkDtypes(op: string, tensors: Record<string, Tensor | undefined>): void {
  const entries = Object.entries(tensors).filter(
    (entry): entry is [string, Tensor] => entry[1] !== undefined,
  );
  const wanted = entries[0]![1].dtype;
  for (const [name, t] of entries) {
    t.storage.check();
    if (t.dtype === wanted && wanted !== "i32") continue;
    const rule = wanted === "i32" ? "f32 or bf16" : `${wanted}, as ${entries[0]![0]} is`;
    throw new DtypeError(`${op}: ${name} must be ${rule}; got ${t.dtype} (cast with .to())`);
  }
}

/**
 * Matrix product over the last two axes: `[..., M, K] · [..., K, N] → [..., M, N]`. Leading axes broadcast.
 * Transposed views (`b.T`) are multiplied as they are, without a copy.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  if (a.rank < 2 || b.rank < 2 || a.shape.at(-1) !== b.shape.at(-2)) {
    throw new ShapeError(
      `matmul: a must be [..., M, K] and b [..., K, N]; got a ${showShape(a.shape)}, b ${showShape(b.shape)}`,
    );
  }
  checkDtypes("matmul", { a, b });
  const y = batchedProduct(a, b);
  record("matmul", [a, b], [y], {
    backward(pass, [dy]) {
      if (pass.wants(a)) giveSummed(pass, a, batchedProduct(dy!, transposed(b)));
      if (pass.wants(b)) giveSummed(pass, b, batchedProduct(transposed(a), dy!));
    },
  });
  return y;
}

function batchedProduct(a: Tensor, b: Tensor): Tensor {
  const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const y = Tensor.empty([...batch, a.shape.at(-2)!, b.shape.at(-1)!], a.dtype);
  runKernel(product, a.dtype, {
    a: broadcastTo(a, [...batch, ...a.shape.slice(-2)]),
    b: broadcastTo(b, [...batch, ...b.shape.slice(-2)]),
    y,
    activation: 0,
  });
  return y;
}

/** `t [..., C]` as one matrix [N, C] on its memory, or undefined if its rows are not evenly spaced. */
function matrixView(t: Tensor): Tensor | undefined {
  const folded = foldTo(2, t);
  return folded && new Tensor(t.storage, folded.shape, folded.strides, folded.offset);
}

const matrix = (t: Tensor): Tensor => matrixView(t) ?? matrixView(contiguousCopy(t))!;

/**
 * Affine map of the last axis, with the activation in the same pass: `y = activation(x · weightᵀ + bias)`.
 *
 * @param x      `[..., K]`
 * @param weight `[N, K]`
 * @param bias   `[N]`, or undefined for none
 * @returns      `[..., N]`
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor, activation?: Activation): Tensor {
  const [N, K] = weight.shape;
  if (
    weight.rank !== 2 ||
    x.rank < 1 ||
    x.shape.at(-1) !== K ||
    (bias && (bias.rank !== 1 || bias.shape[0] !== N))
  ) {
    const given = `x ${showShape(x.shape)}, weight ${showShape(weight.shape)}${bias ? `, bias ${showShape(bias.shape)}` : ""}`;
    throw new ShapeError(`linear: x must be [..., K], weight [N, K] and bias [N]; got ${given}`);
  }
  if (activation !== undefined && !(activation in activationNumber)) {
    throw new ArgumentError(
      `linear: activation must be one of ${Object.keys(activationNumber).join(", ")}; got ${activation}`,
    );
  }
  checkDtypes("linear", { x, weight, bias });
  const a = matrix(x);
  const shape = [...x.shape.slice(0, -1), N!];
  const y = Tensor.empty(shape, x.dtype);
  const inputs = [x, weight, bias];
  const recorded = activation !== undefined && inputs.some((t) => t?.requiresGrad);
  const pre = recorded ? Tensor.empty(shape, x.dtype) : undefined;
  const number = activation === undefined ? 0 : activationNumber[activation];
  runKernel(product, x.dtype, {
    a,
    b: transposed(weight),
    bias,
    pre: pre && matrix(pre),
    y: matrix(y),
    activation: number,
  });
  record("linear", inputs, [y], {
    privates: pre ? [pre] : [],
    backward(pass, [dy]) {
      let dpre = matrix(dy!);
      if (pre !== undefined) {
        const dx = Tensor.empty(dpre.shape, x.dtype);
        runKernel(slopeKernels[activation!], x.dtype, { dy: dpre, x: pre, dx });
        dpre = dx;
      }
      if (pass.wants(x)) {
        const place = pass.place(x);
        const dx = matrixView(place) ? place : Tensor.empty(x.shape, x.dtype);
        runKernel(product, x.dtype, { a: dpre, b: weight, y: matrix(dx), activation: 0 });
        pass.give(x, dx);
      }
      if (pass.wants(weight)) {
        runKernel(productAccumulate, x.dtype, { a: transposed(dpre), b: a, y: pass.accumulator(weight) });
      }
      if (bias !== undefined && pass.wants(bias))
        runKernel(sumRows, x.dtype, { x: dpre, y: pass.accumulator(bias) });
      if (pre !== undefined) dpre.storage.free();
    },
  });
  return y;
}
