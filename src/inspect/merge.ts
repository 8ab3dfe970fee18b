import { noGrad } from "../autograd.ts";
import { ArgumentError, ShapeError } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { add, scale } from "../ops/elementwise.ts";
import { concat } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Glob, type MessageName, matches } from "./names.ts";
import type { Trace } from "./types.ts";

/**
 * Several kept messages as one representation: one beside the other along the last axis, their mean, or their sum. The
 * last four layers of BERT, concatenated, are `merge(trace, ["layer.9.out", …, "layer.12.out"])`, n · C wide.
 *
 * @param names of messages of one shape, or what stands for several: `layer.*.out`
 * @param how   default "concat"
 * @returns     the caller's own
 * @see Devlin et al. 2019, "BERT", section 5.3; Peters et al. 2018, "Deep Contextualized Word Representations"
 */
export function merge(
  trace: Trace,
  names: readonly (MessageName | Glob)[],
  how: "concat" | "mean" | "sum" = "concat",
): Tensor {
  if (!["concat", "mean", "sum"].includes(how))
    throw new ArgumentError(`merge: how must be "concat", "mean" or "sum"; got ${String(how)}`);
  const meant = names.flatMap((pattern) => {
    if (!pattern.includes("*")) return [pattern as MessageName];
    const found = trace.names.filter((name) => matches(pattern, name));
    if (found.length > 0) return found;
    throw new ArgumentError(
      `merge: names: nothing that was kept is "${pattern}"; got ${trace.names.join(", ")}`,
    );
  });
  const [first, ...rest] = meant.map((name) => trace.get(name));
  if (first === undefined) throw new ArgumentError("merge: names must have one at least; got none");
  const odd = rest.findIndex((t) => showShape(t.shape) !== showShape(first.shape));
  if (odd >= 0) {
    throw new ShapeError(
      `merge: messages must be of one shape; got ${meant[0]} ${showShape(first.shape)}, ${meant[odd + 1]} ${showShape(rest[odd]!.shape)}`,
    );
  }
  return unscoped(() =>
    noGrad(() =>
      scope(() => {
        if (how === "concat") return concat([first, ...rest], -1);
        const sum = rest.reduce((total, t) => add(total, t), scale(first, 1));
        return how === "sum" ? sum : scale(sum, 1 / meant.length);
      }),
    ),
  );
}
