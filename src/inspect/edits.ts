import { ArgumentError, checkNumber, ShapeError } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { scale as scaled, add as sum } from "../ops/elementwise.ts";
import { sum as total } from "../ops/reductions.ts";
import { cast, clone, expand, reshape, toDevice } from "../ops/views.ts";
import { broadcastShapes, showShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { type Glob, type MessageName, matches } from "./names.ts";
import type { Edit, EditContext, Trace, TraceInput } from "./types.ts";

/** Which part of a message an edit changes; see Edit. */
export type Where = Pick<Edit, "at" | "head">;
type Name = MessageName | Glob;

/** `t` where `part` is, and as it is: of its dtype and shape, to which it must broadcast. */
function fitted(t: Tensor, part: Tensor, { name }: EditContext): Tensor {
  const near = cast(toDevice(t, part.device), part.dtype);
  let shape: readonly number[] | undefined;
  try {
    shape = broadcastShapes("edit", near.shape, part.shape);
  } catch {}
  if (shape === undefined || showShape(shape) !== showShape(part.shape)) {
    throw new ShapeError(
      `edit of ${name}: what is put there must be, or broadcast to, ${showShape(part.shape)}; got ${showShape(t.shape)}`,
    );
  }
  return expand(near, part.shape);
}

/** Sends zeros: ablation. */
export const silence = (name: Name, where: Where = {}): Edit => scale(name, 0, where);

/** Sends `factor` times the message. */
export function scale(name: Name, factor: number, where: Where = {}): Edit {
  checkNumber("scale: factor", factor);
  return { name, ...where, apply: (part) => scaled(part, factor) };
}

/** Sends the message plus a vector, which broadcasts to it: steering. */
export const add = (name: Name, vector: Tensor, where: Where = {}): Edit => ({
  ...{ name, ...where },
  apply: (part, context) => sum(part, fitted(vector, part, context)),
});

/**
 * Sends what another run sent in that place, or a tensor that broadcasts to the message (or to its part): patching.
 *
 * @param other a trace that kept the message, of a text with as many tokens unless `at` says a place
 */
export const replace = (name: Name, other: Trace | Tensor, where: Where = {}): Edit => ({
  ...{ name, ...where },
  apply(part, context) {
    if (other instanceof Tensor) return fitted(other, part, context);
    return fitted(context.partOf(other.get(context.name)), part, context);
  },
});

/** Reads a message, or a part of it, as it is after the edits given before. `read` gets a copy, which is its own to keep. */
export const watch = (
  name: Name,
  read: (message: Tensor, context: EditContext) => void,
  where: Where = {},
): Edit => ({
  ...{ name, ...where },
  apply(part, context) {
    read(
      unscoped(() => clone(part.detach())),
      context,
    );
    return undefined;
  },
});

const isPairwise = (name: string): boolean => /\.(scores|weights)$/.test(name);

/**
 * Sends the mean of the message over all positions of some texts: what it says whatever is read. The texts are traced
 * before the run.
 *
 * @throws ERR_ARGUMENT for scores and weights, whose positions are no samples of one thing
 */
export function average(name: Name, overTexts: readonly TraceInput[], where: Where = {}): Edit {
  if (!Array.isArray(overTexts) || overTexts.length === 0)
    throw new ArgumentError(`average: overTexts must be an array of at least one; got ${String(overTexts)}`);
  let means = new Map<string, Tensor>();
  return {
    ...{ name, ...where },
    async prepare(traceOther) {
      const sums = new Map<string, { sum: Tensor; count: number }>();
      for (const text of overTexts) {
        await using other = await traceOther(text, [name]);
        for (const one of other.names) {
          if (!matches(name, one)) continue;
          const t = other.get(one);
          if (isPairwise(one) || t.rank < 2)
            throw new ArgumentError(`average: name must be of vectors of tokens; got ${one}`);
          const T = t.shape[0]!;
          const sofar = sums.get(one);
          const here = unscoped(() => {
            const all = total(cast(t, "f32"), 0);
            return sofar ? sum(sofar.sum, all) : all;
          });
          sums.set(one, { sum: here, count: (sofar?.count ?? 0) + T });
        }
      }
      means = new Map([...sums].map(([one, s]) => [one, unscoped(() => scaled(s.sum, 1 / s.count))]));
    },
    apply(part, context) {
      const vector = means.get(context.name)!;
      const heads = reshape(vector, [...(part.rank > vector.rank ? [1] : []), ...vector.shape]);
      const own =
        where.head === undefined || vector.rank < 2 ? heads : heads.slice(-2, where.head - 1, where.head);
      return fitted(own, part, context);
    },
  };
}
