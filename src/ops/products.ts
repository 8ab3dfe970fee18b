import { type BackwardPass, isRecording, record } from "../autograd.ts";
import { isProcessor } from "../device.ts";
import { ArgumentError, DtypeError, ShapeError } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { commonDevice, contiguousCopy, foldTo, type OpValues, runKernel } from "../op.ts";
import { broadcastShapes, showShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { keepsPacked, type Orientation, packedWeight } from "./packed-weight.ts";
import { asF32, broadcastTo, giveSummed } from "./views.ts";

const product = kernelNamed("matmul");
const productPacked = kernelNamed("matmul_packed");
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

function checkDtypes(op: string, tensors: Record<string, Tensor | undefined>): void {
  commonDevice(op, tensors);
  let first: string | undefined;
  for (const name in tensors) {
    const t = tensors[name];
    if (t === undefined) continue;
    t.storage.check();
    first ??= name;
    const wanted = tensors[first]!.dtype;
    if (t.dtype === wanted && wanted !== "i32") continue;
    const rule = wanted === "i32" ? "f32 or bf16" : `${wanted}, as ${first} is`;
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
      if (pass.wants(a)) giveSummed(pass, a, batchedProduct(dy!, b.transposed()));
      if (pass.wants(b)) giveSummed(pass, b, batchedProduct(a.transposed(), dy!));
    },
  });
  return y;
}

function batchedProduct(a: Tensor, b: Tensor): Tensor {
  const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const y = Tensor.empty([...batch, a.shape.at(-2)!, b.shape.at(-1)!], a.dtype, a.device);
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

/** From how many elements on a weight in f32 is not kept, on the processor, in panels: reading it twice costs more than packing it. */
const largestPackedF32 = 2 ** 19;

/** `a [M, K] · b`, where b is `weight [N, K]` transposed (forward) or as it is (backward). */
function weightProduct(a: Tensor, weight: Tensor, orientation: Orientation, values: OpValues): void {
  const real = a.dtype;
  const packs =
    real === "bf16" || !isProcessor(a.device) || (weight.size <= largestPackedF32 && keepsPacked(weight));
  if (weight.dtype === "f32" && packs) {
    runKernel(productPacked, real, { a, b: packedWeight(weight, orientation, real), ...values });
  } else {
    runKernel(product, real, { a, b: orientation === "forward" ? weight.transposed() : weight, ...values });
  }
}

function checkLinear(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  residual: Tensor | undefined,
): void {
  const [N, K] = weight.shape;
  const fits = weight.rank === 2 && x.rank >= 1 && x.shape.at(-1) === K;
  const given = () =>
    Object.entries({ x, weight, bias, residual })
      .flatMap(([name, t]) => (t ? [`${name} ${showShape(t.shape)}`] : []))
      .join(", ");
  if (!fits || (bias && (bias.rank !== 1 || bias.shape[0] !== N))) {
    throw new ShapeError(`linear: x must be [..., K], weight [N, K] and bias [N]; got ${given()}`);
  }
  const last = x.rank - 1;
  if (
    residual &&
    (residual.rank !== x.rank || residual.shape.some((n, i) => n !== (i < last ? x.shape[i] : N)))
  ) {
    throw new ShapeError(
      `linear: residual must be ${showShape([...x.shape.slice(0, -1), N!])}; got ${given()}`,
    );
  }
  if (x.dtype !== "bf16") return checkDtypes("linear", { x, weight, residual, bias });
  checkDtypes("linear", { x, residual });
  commonDevice("linear", { x, weight, bias });
  if (weight.dtype === "i32") throw new DtypeError("linear: weight must be f32 or bf16; got i32");
  if (bias?.dtype === "i32") throw new DtypeError("linear: bias must be f32 or bf16; got i32");
}

/**
 * Affine map of the last axis, with what follows it in the same pass:
 * `y = activation(x · weightᵀ + bias)` or `y = x · weightᵀ + bias + residual`.
 *
 * With `x` in bf16 a weight in f32 is rounded to bf16, once for each change of its values, and its gradient is f32:
 * mixed precision.
 *
 * @param x        `[..., K]`
 * @param weight   `[N, K]`
 * @param bias     `[N]`, or undefined for none
 * @param residual `[..., N]`, or undefined for none; not together with an activation
 * @returns        `[..., N]`, in the dtype of `x`
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  activation?: Activation,
  residual?: Tensor,
): Tensor {
  checkLinear(x, weight, bias, residual);
  if (activation !== undefined && !(activation in activationNumber)) {
    throw new ArgumentError(
      `linear: activation must be one of ${Object.keys(activationNumber).join(", ")}; got ${activation}`,
    );
  }
  if (activation !== undefined && residual !== undefined) {
    throw new ArgumentError(
      "linear: activation and residual cannot be combined: add the residual afterwards",
    );
  }
  const shape = [...x.shape.slice(0, -1), weight.shape[0]!];
  const y = Tensor.empty(shape, x.dtype, x.device);
  const inputs = [x, weight, bias, residual];
  const pre =
    activation !== undefined && isRecording(inputs) ? Tensor.empty(shape, x.dtype, x.device) : undefined;
  const a = matrix(x);
  weightProduct(a, weight, "forward", {
    bias: bias && asF32(bias.detach()),
    residual: residual && matrix(residual),
    pre: pre && matrix(pre),
    y: matrix(y),
    activation: activation === undefined ? 0 : activationNumber[activation],
  });
  record("linear", inputs, [pre ?? y], {
    backward(pass, [dy]) {
      const dpre = matrix(dy!);
      if (residual !== undefined) pass.give(residual, dy!);
      if (pass.wants(x)) giveInput(pass, x, dpre, weight);
      if (pass.wants(weight)) {
        const { into, add } = pass.sink(weight);
        runKernel(productAccumulate, x.dtype, { a: dpre.transposed(), b: a, y: into, add });
      }
      if (bias !== undefined && pass.wants(bias))
        runKernel(sumRows, x.dtype, { x: dpre, y: pass.accumulator(bias) });
    },
  });
  if (pre !== undefined) recordActivation(activation!, pre, y);
  return y;
}

/** The gradient of `x`; where an activation made `x`, the one of what it was made from, in the same pass. */
function giveInput(pass: BackwardPass, x: Tensor, dy: Tensor, weight: Tensor): void {
  const slope = x.node?.slope;
  const target = slope?.pre ?? x;
  const place = pass.place(target);
  const dx = matrixView(place) ? place : Tensor.empty(target.shape, x.dtype, x.device);
  weightProduct(dy, weight, "backward", {
    slope: slope && matrix(slope.pre),
    y: matrix(dx),
    activation: slope?.activation ?? 0,
  });
  pass.give(target, dx);
}

/** `y` is the activation of `pre`, which the product before has left there. */
function recordActivation(activation: Activation, pre: Tensor, y: Tensor): void {
  record(activation, [pre], [y], {
    privates: [pre],
    slope: { pre, activation: activationNumber[activation] },
    backward(pass, [dy]) {
      const place = pass.place(pre);
      runKernel(slopeKernels[activation], y.dtype, { dy, x: pre, dx: place });
      pass.give(pre, place);
    },
  });
}
