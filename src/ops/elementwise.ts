import { record } from "../autograd.ts";
import { checkNumber, DtypeError } from "../errors.ts";
import { type Kernel, kernelNamed } from "../native.ts";
import { commonDevice, runAligned, runKernel } from "../op.ts";
import { broadcastShapes, type Shape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { broadcastTo, giveSummed } from "./views.ts";

const addKernel = kernelNamed("add_forward");
const subKernel = kernelNamed("sub_forward");
const mulKernel = kernelNamed("mul_forward");
const scaleKernel = kernelNamed("scale_forward");

/** kernel(a, b) with NumPy's broadcasting, off the tape. */
function combine(op: string, kernel: Kernel, a: Tensor, b: Tensor): Tensor {
  a.storage.check();
  b.storage.check();
  if (a.dtype !== b.dtype || a.dtype === "i32") {
    const wanted = a.dtype === "i32" ? "f32 or bf16" : a.dtype;
    throw new DtypeError(
      `${op}: b must be ${wanted}, as a is; got a ${a.dtype}, b ${b.dtype} (cast with .to())`,
    );
  }
  commonDevice(op, { a, b });
  const shape: Shape = broadcastShapes(op, a.shape, b.shape);
  const y = Tensor.empty(shape, a.dtype, a.device);
  runAligned(kernel, a.dtype, [broadcastTo(a, shape), broadcastTo(b, shape), y]);
  return y;
}

/** `a + b`, with broadcasting; `b` may be a number. */
export function add(a: Tensor, b: Tensor | number): Tensor {
  if (typeof b === "number") return addNumber(a, b);
  const y = combine("add", addKernel, a, b);
  record("add", [a, b], [y], {
    backward(pass, [dy]) {
      giveSummed(pass, a, dy!);
      giveSummed(pass, b, dy!);
    },
  });
  return y;
}

/** `a − b`, with broadcasting; `b` may be a number. */
export function sub(a: Tensor, b: Tensor | number): Tensor {
  if (typeof b === "number") return add(a, -b);
  const y = combine("sub", subKernel, a, b);
  record("sub", [a, b], [y], {
    backward(pass, [dy]) {
      giveSummed(pass, a, dy!);
      if (pass.wants(b)) giveSummed(pass, b, scaled(dy!, -1));
    },
  });
  return y;
}

/** `a · b`, element by element, with broadcasting; `b` may be a number. */
export function mul(a: Tensor, b: Tensor | number): Tensor {
  if (typeof b === "number") return scale(a, b);
  const y = combine("mul", mulKernel, a, b);
  record("mul", [a, b], [y], {
    backward(pass, [dy]) {
      if (pass.wants(a)) giveSummed(pass, a, combine("mul", mulKernel, dy!, b));
      if (pass.wants(b)) giveSummed(pass, b, combine("mul", mulKernel, dy!, a));
    },
  });
  return y;
}

function scaled(x: Tensor, factor: number): Tensor {
  const y = Tensor.empty(x.shape, x.dtype, x.device);
  runKernel(scaleKernel, x.dtype, { x, y, factor });
  return y;
}

/** `x · factor`, for a number. */
export function scale(x: Tensor, factor: number): Tensor {
  checkNumber("scale: factor", factor);
  x.storage.check();
  if (x.dtype === "i32") throw new DtypeError("scale: x must be f32 or bf16; got i32");
  const y = scaled(x, factor);
  record("scale", [x], [y], { backward: (pass, [dy]) => pass.give(x, scaled(dy!, factor)) });
  return y;
}

const fillKernels = { f32: kernelNamed("fill32"), bf16: kernelNamed("fill") } as const;

function addNumber(x: Tensor, value: number): Tensor {
  checkNumber("add: b", value);
  x.storage.check();
  const dtype = x.dtype === "bf16" ? "bf16" : "f32";
  const number = Tensor.empty([], dtype, x.device);
  runKernel(fillKernels[dtype], dtype, { y: number, value });
  const y = combine("add", addKernel, x, number);
  number.dispose();
  record("add", [x], [y], { backward: (pass, [dy]) => pass.give(x, dy!) });
  return y;
}
