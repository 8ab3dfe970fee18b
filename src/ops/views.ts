import { type BackwardPass, castTo, filled, record } from "../autograd.ts";
import { type Device, device } from "../device.ts";
import type { Dtype } from "../dtype.ts";
import { DtypeError, ShapeError } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { commonDevice, contiguousCopy, copyInto, runAligned, runKernel, transferred } from "../op.ts";
import { contiguousStrides, resolveAxis, type Shape, showShape, sizeOf } from "../shape.ts";
import { checkShape, Tensor } from "../tensor.ts";

const accumulate = kernelNamed("accumulate");
const sumForward = kernelNamed("sum_forward");

/** A tensor on the memory of `x` as `lay` lays it out; its gradient goes back through `back`. */
function view(op: string, x: Tensor, lay: (t: Tensor) => Tensor, back: (dy: Tensor) => Tensor): Tensor {
  x.storage.check();
  const y = lay(x);
  record(op, [x], [y], { asView: lay, backward: (pass, [dy]) => pass.give(x, back(dy!)) });
  return y;
}

/**
 * The strides with which the memory of a tensor has another shape, or undefined if no strides do: neighbouring axes
 * are merged where they are evenly spaced, and what results is cut anew.
 */
function stridesFor(t: Tensor, shape: Shape): number[] | undefined {
  if (t.isContiguous) return contiguousStrides(shape);
  const strides: number[] = [];
  let to = shape.length - 1;
  for (let from = t.rank - 1; from >= 0; ) {
    let size = t.shape[from]!;
    let step = t.strides[from]!;
    const base = step;
    for (
      from--;
      from >= 0 && (t.shape[from] === 1 || t.strides[from] === step * t.shape[from + 1]!);
      from--
    ) {
      if (t.shape[from] !== 1) step = t.strides[from]!;
      size *= t.shape[from]!;
    }
    let covered = 1;
    for (; to >= 0 && covered * shape[to]! <= size; to--) {
      strides[to] = base * covered;
      covered *= shape[to]!;
    }
    if (covered !== size) return undefined;
  }
  return to < 0 ? strides : undefined;
}

const reshaped = (t: Tensor, shape: Shape): Tensor => {
  const strides = stridesFor(t, shape);
  if (strides !== undefined) return new Tensor(t.storage, shape, strides, t.offset);
  const dense = contiguousCopy(t);
  return new Tensor(dense.storage, shape);
};

/** The same elements in another shape; one size may be -1. Copies only if no view of `x` has that shape. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.filter((n) => n !== -1);
  const rest = x.size / sizeOf(known);
  const target = known.length === shape.length - 1 ? shape.map((n) => (n === -1 ? rest : n)) : [...shape];
  if (!target.every((n) => Number.isInteger(n) && n >= 0) || sizeOf(target) !== x.size) {
    throw new ShapeError(
      `reshape: shape ${showShape(shape)} must hold the ${x.size} elements of x ${showShape(x.shape)}`,
    );
  }
  const source = stridesFor(x, target) === undefined ? clone(x) : x;
  return view(
    "reshape",
    source,
    (t) => reshaped(t, target),
    (dy) => reshaped(dy, x.shape),
  );
}

/** The same elements without gaps, in row-major order: `x` itself if it has them so, else a copy. */
export function contiguous(x: Tensor): Tensor {
  return x.isContiguous ? x : clone(x);
}

/** A copy in memory of its own. */
export function clone(x: Tensor): Tensor {
  x.storage.check();
  const y = contiguousCopy(x);
  record("clone", [x], [y], { backward: (pass, [dy]) => pass.give(x, dy!) });
  return y;
}

const swapped = (list: Shape, i: number, j: number): number[] => {
  const result = [...list];
  [result[i], result[j]] = [result[j]!, result[i]!];
  return result;
};

/** Two axes swapped; no element moves. */
export function transpose(x: Tensor, axis0: number, axis1: number): Tensor {
  const i = resolveAxis("transpose: axis0", axis0, x.rank);
  const j = resolveAxis("transpose: axis1", axis1, x.rank);
  const swap = (t: Tensor) =>
    new Tensor(t.storage, swapped(t.shape, i, j), swapped(t.strides, i, j), t.offset);
  return view("transpose", x, swap, swap);
}

/** `x` repeated along axes of size 1 and along new leading axes, without a copy. */
export function expand(x: Tensor, shape: Shape): Tensor {
  checkShape("expand", shape);
  const missing = shape.length - x.rank;
  if (missing < 0 || x.shape.some((n, i) => n !== shape[i + missing] && n !== 1)) {
    throw new ShapeError(`expand: x ${showShape(x.shape)} does not expand to ${showShape(shape)}`);
  }
  const strides = shape.map((n, i) =>
    i < missing || x.shape[i - missing] !== n ? 0 : x.strides[i - missing]!,
  );
  const y = new Tensor(x.storage, [...shape], strides, x.offset);
  record("expand", [x], [y], { backward: (pass, [dy]) => giveSummed(pass, x, dy!) });
  return y;
}

/** @internal `x` broadcast to `shape`, off the tape. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  const missing = shape.length - x.rank;
  const strides = shape.map((n, i) =>
    i < missing || x.shape[i - missing] !== n ? 0 : x.strides[i - missing]!,
  );
  return new Tensor(x.storage, shape, strides, x.offset);
}

/** @internal Gives `x` the sum of `dy` over the axes along which `x` was broadcast. */
export function giveSummed(pass: BackwardPass, x: Tensor, dy: Tensor): void {
  if (!pass.wants(x)) return;
  if (showShape(x.shape) === showShape(dy.shape)) return pass.give(x, dy);
  const repeated = (axis: number) => (x.shape[axis - dy.rank + x.rank] ?? 1) !== dy.shape[axis];
  if (repeated(dy.rank - 1)) return giveSummed(pass, x, summedTail(dy, repeated));
  const real = dy.dtype === "bf16" ? "bf16" : "f32";
  runAligned(accumulate, real, [dy, broadcastTo(pass.accumulator(x), dy.shape)]);
}

/** The sum of `dy` over its last axes, as many in a row as are repeated; they stay, with size 1. */
function summedTail(dy: Tensor, repeated: (axis: number) => boolean): Tensor {
  let first = dy.rank;
  while (first > 0 && (repeated(first - 1) || dy.shape[first - 1] === 1)) first--;
  const kept = dy.shape.slice(0, first);
  const rows = sizeOf(kept);
  const y = Tensor.empty([...kept, ...new Array<number>(dy.rank - first).fill(1)], dy.dtype, dy.device);
  const as = (t: Tensor, shape: Shape) => new Tensor(t.storage, shape, undefined, t.offset);
  const dense = dy.isContiguous ? dy : contiguousCopy(dy);
  const columns = sizeOf(dy.shape.slice(first));
  runKernel(sumForward, dy.dtype, { x: as(dense, [rows, columns, 1]), y: as(y, [rows, 1]), factor: 1 });
  return y;
}

const partOf = (x: Tensor, axis: number, start: number, size: number): Tensor => {
  const shape = x.shape.map((n, i) => (i === axis ? size : n));
  return new Tensor(x.storage, shape, x.strides, x.offset + start * x.strides[axis]!);
};

/** The elements from `start` up to, not including, `end` along one axis; negative positions count from the end. */
export function slice(x: Tensor, axis: number, start: number, end?: number): Tensor {
  const at = resolveAxis("slice: axis", axis, x.rank);
  const size = x.shape[at]!;
  const from = start < 0 ? start + size : start;
  const to = end === undefined ? size : end < 0 ? end + size : end;
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to > size || from > to) {
    throw new ShapeError(
      `slice: start and end must lie within axis ${axis} of x ${showShape(x.shape)}; got ${start} to ${end}`,
    );
  }
  x.storage.check();
  const y = partOf(x, at, from, to - from);
  record("slice", [x], [y], {
    backward(pass, [dy]) {
      const dx = filled(Tensor.empty(x.shape, x.dtype, x.device), 0);
      copyInto(dy!, partOf(dx, at, from, to - from));
      pass.give(x, dx);
    },
  });
  return y;
}

/**
 * Consecutive parts along one axis, of the given sizes. No element moves, forward or backward: the gradients of the
 * parts are written where the gradient of `x` has them.
 */
export function split(x: Tensor, sizes: readonly number[], axis = -1): Tensor[] {
  const at = resolveAxis("split: axis", axis, x.rank);
  checkShape("split", sizes);
  if (sizes.reduce((a, b) => a + b, 0) !== x.shape[at]) {
    throw new ShapeError(
      `split: sizes ${showShape(sizes)} must add up to axis ${axis} of x ${showShape(x.shape)}`,
    );
  }
  x.storage.check();
  const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
  const parts = (whole: Tensor) => sizes.map((size, i) => partOf(whole, at, starts[i]!, size));
  const outputs = parts(x);
  let places: Tensor[] | undefined;
  const gradientPlaces = (): Tensor[] => {
    if (places === undefined) {
      places = parts(Tensor.empty(x.shape, x.dtype, x.device));
      places[0]!.storage.gradientUses++; // until all parts have arrived
    }
    return places;
  };
  record("split", [x], outputs, {
    gradientPlace: (output) => gradientPlaces()[outputs.indexOf(output)],
    backward(pass, gradients) {
      gradientPlaces().forEach((place, i) => {
        const gradient = gradients[i];
        if (gradient === undefined)
          copyInto(broadcastTo(filled(Tensor.empty([], x.dtype, x.device), 0), place.shape), place);
        else if (gradient.storage !== place.storage || gradient.offset !== place.offset)
          copyInto(gradient, place);
      });
      const { storage } = places![0]!;
      places = undefined;
      const dx = new Tensor(storage, x.shape);
      storage.gradientUses--;
      pass.give(x, dx);
    },
  });
  return outputs;
}

/** Tensors one after the other along one axis; all other sizes must be equal. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors;
  if (first === undefined) throw new ShapeError("concat: at least one tensor is needed");
  const at = resolveAxis("concat: axis", axis, first.rank);
  for (const t of tensors) {
    if (t.rank !== first.rank || t.shape.some((n, i) => i !== at && n !== first.shape[i])) {
      const all = tensors.map((each) => showShape(each.shape)).join(", ");
      throw new ShapeError(`concat: all sizes but that of axis ${axis} must be equal; got ${all}`);
    }
    if (t.dtype !== first.dtype)
      throw new DtypeError(`concat: all dtypes must be equal; got ${first.dtype}, ${t.dtype}`);
    t.storage.check();
  }
  const sizes = tensors.map((t) => t.shape[at]!);
  const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
  const total = sizes.reduce((a, b) => a + b, 0);
  const y = Tensor.empty(
    first.shape.map((n, i) => (i === at ? total : n)),
    first.dtype,
    commonDevice("concat", { ...tensors }),
  );
  tensors.forEach((t, i) => copyInto(t, partOf(y, at, starts[i]!, sizes[i]!)));
  record("concat", tensors, [y], {
    backward(pass, [dy]) {
      tensors.forEach((t, i) => pass.give(t, partOf(dy!, at, starts[i]!, sizes[i]!)));
    },
  });
  return y;
}

/** `x` in another floating dtype, rounded to nearest even; `x` itself if it has that dtype. */
export function cast(x: Tensor, dtype: Dtype): Tensor {
  if (x.dtype === dtype) return x;
  if (x.dtype === "i32" || dtype === "i32") throw new DtypeError(`to: cannot cast ${x.dtype} to ${dtype}`);
  const y = castTo(contiguous(x.detach()), dtype);
  record("cast", [x], [y], { backward: (pass, [dy]) => pass.give(x, castTo(contiguous(dy!), x.dtype)) });
  return y;
}

/** `x` on another device; `x` itself if it is there. */
export function toDevice(x: Tensor, target: Device): Tensor {
  const place = device(target);
  if (x.device === place) return x;
  x.storage.check();
  const y = transferred(x, place);
  record("to", [x], [y], { backward: (pass, [dy]) => pass.give(x, transferred(dy!, x.device)) });
  return y;
}

/** @internal A parameter as kernels take it: in f32, whatever the activations are. */
export const asF32 = (t: Tensor): Tensor => (t?.dtype === "bf16" ? cast(t, "f32") : t);

const toF32 = kernelNamed("to_f32");
const fromF32 = kernelNamed("from_f32");

/** Copies the values of `values` into `target`, of the same shape, rounded to its dtype. Not recorded. */
export function assign(target: Tensor, values: Tensor): void {
  target.storage.check();
  values.storage.check();
  if (showShape(target.shape) !== showShape(values.shape)) {
    throw new ShapeError(`assign: values must be ${showShape(target.shape)}; got ${showShape(values.shape)}`);
  }
  if (values.device !== target.device) {
    const near = transferred(values, target.device);
    assign(target, near);
    return near.storage.free();
  }
  if (target.dtype === values.dtype) return copyInto(values, target);
  if (target.dtype === "i32" || values.dtype === "i32" || !target.isContiguous) {
    throw new DtypeError(`assign: values must be ${target.dtype}; got ${values.dtype}`);
  }
  runKernel(target.dtype === "f32" ? toF32 : fromF32, "bf16", { x: values, y: target });
}
