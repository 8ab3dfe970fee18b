import { ShapeError } from "./errors.ts";

export type Shape = readonly number[];

export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

export const showShape = (shape: Shape): string => `[${shape.join(", ")}]`;

/** Strides, in elements, of a row-major tensor without gaps. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis]!;
  }
  return strides;
}

export function isContiguous(shape: Shape, strides: Shape): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) return false;
    step *= shape[axis]!;
  }
  return true;
}

/** Counts a negative axis from the end, as NumPy does. `what` reads like `sum: axis`. */
export function resolveAxis(what: string, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new ShapeError(
      `${what} must be an axis of a tensor of rank ${rank}, from ${-rank} to ${rank - 1}; got ${axis}`,
    );
  }
  return axis < 0 ? axis + rank : axis;
}

/** The shape to which NumPy's rules broadcast two shapes. `op` names the operation in the error. */
export function broadcastShapes(op: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const shape = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const m = a[a.length - i] ?? 1;
    const n = b[b.length - i] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new ShapeError(
        `${op}: shapes must be equal or broadcast to each other; got a ${showShape(a)}, b ${showShape(b)}`,
      );
    }
    shape[rank - i] = m === 1 ? n : m;
  }
  return shape;
}

/** What each name of a pattern stands for: `C` is one size, `...` is a list of sizes. */
export type Sizes = Map<string, Shape>;

const namesIn = (pattern: string): string[] =>
  pattern
    .slice(1, -1)
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

const patterns = new Map<string, string[]>();
function parsePattern(pattern: string): string[] {
  let names = patterns.get(pattern);
  if (names === undefined) patterns.set(pattern, (names = namesIn(pattern)));
  return names;
}

/** Binds the names of `pattern` (`"[..., T, C]"`) to `shape`. Returns undefined, or what the pattern asked for. */
export function unify(pattern: string, shape: Shape, sizes: Sizes): string | undefined {
  const names = parsePattern(pattern);
  const rest = names.indexOf("...");
  const fixed = rest < 0 ? names.length : names.length - 1;
  if (rest < 0 ? shape.length !== fixed : shape.length < fixed) return "";
  let at = 0;
  for (const name of names) {
    const take = name === "..." ? shape.length - fixed : 1;
    const got = shape.slice(at, (at += take));
    const known = sizes.get(name);
    if (known === undefined) sizes.set(name, got);
    else if (known.length !== got.length || known.some((n, i) => n !== got[i]))
      return ` with ${name} = ${known.join(", ")}`;
  }
  return undefined;
}

/** The shape that `pattern` stands for once its names are bound; a number in it stands for itself. */
export const resolvePattern = (pattern: string, sizes: Sizes): number[] =>
  parsePattern(pattern).flatMap((name) => sizes.get(name) ?? [Number(name)]);
