import { ArgumentError, checkInteger } from "../errors.ts";
import { concat, slice } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import type { MessageShape } from "./message-shapes.ts";
import type { Edit, Range } from "./types.ts";

/** A part of a message: places along some of its axes. */
export type Region = readonly { readonly axis: number; readonly start: number; readonly end: number }[];

function placesAt(name: string, at: number | Range, length: number): { start: number; end: number } {
  const place = (value: unknown, most: number) =>
    checkInteger(`edit of ${name}: at`, (value as number) < 0 ? length + (value as number) : value, 0, most);
  if (typeof at === "number") {
    const start = place(at, length - 1);
    return { start, end: start + 1 };
  }
  const [start, end] = [place(at[0], length), place(at[1], length)];
  if (start < end) return { start, end };
  throw new ArgumentError(`edit of ${name}: at must be a range that is not empty; got [${at.join(", ")}]`);
}

/** Where an edit works in a message. @throws ERR_ARGUMENT if the message has no such places */
export function regionOf({ at, head }: Pick<Edit, "at" | "head">, message: MessageShape): Region {
  const { name, shape, positions, heads } = message;
  const region: { axis: number; start: number; end: number }[] = [];
  if (at !== undefined) {
    if (positions === undefined)
      throw new ArgumentError(`edit of ${name}: at must be left out: it has no positions`);
    region.push({ axis: positions, ...placesAt(name, at, shape[positions]!) });
  }
  if (head !== undefined) {
    if (heads === undefined) {
      const instead = /(attn|cross)\.out$/.test(name) ? `; take ${name.replace(/out$/, "heads")}` : "";
      throw new ArgumentError(`edit of ${name}: head must be left out: it has no heads${instead}`);
    }
    checkInteger(`edit of ${name}: head`, head, 1, shape[heads]!);
    region.push({ axis: heads, start: head - 1, end: head });
  }
  return region;
}

/** That part of `x`, which may have the axis of the batch in front of those of `message`. */
export function partIn(x: Tensor, region: Region, message: MessageShape): Tensor {
  const before = x.rank - message.shape.length;
  return region.reduce((t, { axis, start, end }) => slice(t, axis + before, start, end), x);
}

/** `x` with what `change` makes of that part in its place. */
export function changedIn(
  x: Tensor,
  region: Region,
  message: MessageShape,
  change: (part: Tensor) => Tensor,
): Tensor {
  const [first, ...rest] = region;
  if (first === undefined) return change(x);
  const axis = first.axis + x.rank - message.shape.length;
  const length = x.shape[axis]!;
  const parts = [
    ...(first.start > 0 ? [slice(x, axis, 0, first.start)] : []),
    changedIn(slice(x, axis, first.start, first.end), rest, message, change),
    ...(first.end < length ? [slice(x, axis, first.end, length)] : []),
  ];
  return parts.length === 1 ? parts[0]! : concat(parts, axis);
}
