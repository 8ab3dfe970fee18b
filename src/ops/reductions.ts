import { isRecording, record } from "../autograd.ts";
import { DtypeError, ShapeError } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import { resolveAxis, type Shape, showShape, sizeOf } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { scale } from "./elementwise.ts";
import { broadcastTo, contiguous } from "./views.ts";

const sumForward = kernelNamed("sum_forward");
const maxForward = kernelNamed("max_forward");
const maxBackward = kernelNamed("max_backward");

export interface ReductionOptions {
  /** Leave the reduced axis in the shape, with size 1. Default false. */
  keepDim?: boolean;
}

/** How a reduction of `x` over `axis` (all axes if undefined) looks: [O, R, I] → [O, I] for the kernel. */
interface Plan {
  x3: Tensor;
  y2: Shape;
  shape: number[];
  kept: number[];
  count: number;
}

function plan(op: string, x: Tensor, axis: number | undefined, keepDim: boolean): Plan {
  x.storage.check();
  if (x.dtype === "i32") throw new DtypeError(`${op}: x must be f32 or bf16; got i32`);
  const dense = contiguous(x.detach());
  const at = axis === undefined ? undefined : resolveAxis(`${op}: axis`, axis, x.rank);
  const outer = at === undefined ? 1 : sizeOf(x.shape.slice(0, at));
  const inner = at === undefined ? 1 : sizeOf(x.shape.slice(at + 1));
  const count = at === undefined ? x.size : x.shape[at]!;
  const kept = x.shape.map((n, i) => (at === undefined || i === at ? 1 : n));
  const shape = keepDim ? kept : at === undefined ? [] : x.shape.filter((_, i) => i !== at);
  return {
    x3: new Tensor(dense.storage, [outer, count, inner], undefined, dense.offset),
    y2: [outer, inner],
    shape,
    kept,
    count,
  };
}

const as = (t: Tensor, shape: Shape): Tensor => new Tensor(t.storage, shape, undefined, t.offset);

function reduced(
  op: string,
  x: Tensor,
  axis: number | undefined,
  keepDim: boolean,
  factor: (count: number) => number,
): Tensor {
  const { x3, y2, shape, kept, count } = plan(op, x, axis, keepDim);
  const f = factor(count);
  const y = Tensor.empty(shape, x.dtype, x.device);
  runKernel(sumForward, x.dtype, { x: x3, y: as(y, y2), factor: f });
  record(op, [x], [y], {
    backward(pass, [dy]) {
      const each = f === 1 ? dy! : scale(dy!.detach(), f);
      pass.give(x, broadcastTo(as(contiguous(each), kept), x.shape));
    },
  });
  return y;
}

/** The sum over one axis, or over all. */
export function sum(x: Tensor, axis?: number, options: ReductionOptions = {}): Tensor {
  return reduced("sum", x, axis, options.keepDim ?? false, () => 1);
}

/** The mean over one axis, or over all. */
export function mean(x: Tensor, axis?: number, options: ReductionOptions = {}): Tensor {
  return reduced("mean", x, axis, options.keepDim ?? false, (count) => 1 / count);
}

function largest(
  op: string,
  x: Tensor,
  axis: number | undefined,
  keepDim: boolean,
): { y: Tensor; index: Tensor; p: Plan } {
  const p = plan(op, x, axis, keepDim);
  if (p.count === 0)
    throw new ShapeError(`${op}: the reduced axis must not be empty; got x ${showShape(x.shape)}`);
  const y = Tensor.empty(p.shape, x.dtype, x.device);
  const index = Tensor.empty(p.shape, "i32", x.device);
  runKernel(maxForward, x.dtype, { x: p.x3, y: as(y, p.y2), index: as(index, p.y2) });
  return { y, index, p };
}

/** The largest element along one axis, or of all; its gradient goes to the first of equals. */
export function max(x: Tensor, axis?: number, options: ReductionOptions = {}): Tensor {
  const { y, index, p } = largest("max", x, axis, options.keepDim ?? false);
  if (!isRecording([x])) index.storage.free();
  record("max", [x], [y], {
    privates: [index],
    backward(pass, [dy]) {
      const place = pass.place(x);
      const dx = place.isContiguous ? place : Tensor.empty(x.shape, x.dtype, x.device);
      runKernel(maxBackward, x.dtype, {
        dy: as(contiguous(dy!.detach()), p.y2),
        index: as(index, p.y2),
        dx: as(dx, p.x3.shape),
      });
      pass.give(x, dx);
    },
  });
  return y;
}

/** The position of the largest element along one axis, i32; the first of equals. Has no gradient. */
export function argmax(x: Tensor, axis: number): Tensor {
  const { y, index } = largest("argmax", x, axis, false);
  y.storage.free();
  return index;
}
