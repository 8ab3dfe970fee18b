import { ArgumentError, checkInteger } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { send } from "../messages.ts";
import { add } from "../ops/elementwise.ts";
import { embedding } from "../ops/embedding.ts";
import { sinusoidalPositions } from "../ops/positions.ts";
import { cast, reshape, slice } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { Embedding } from "./layers.ts";
import { Module } from "./module.ts";

/** The first position of a sequence that goes on, or `[B]` i32 where the rows differ (and have one token each). */
export type Position = number | Tensor;

/** @internal Throws if T positions from `start` on are more than `length`. */
export function checkLength(name: string, start: Position, T: number, length: number): void {
  const end = (typeof start === "number" ? start : 0) + T;
  if (end > length) {
    throw new ArgumentError(`${name}: the sequence must have at most ${length} positions; got ${end}`);
  }
}

const added = (x: Tensor, positions: Tensor): Tensor => add(x, send("embed.position", positions));

/** Learned positions: adds row t of a trained table to position t. `x [B, T, C]`, T at most `length`. */
export class LearnedPositions extends Module<[x: Tensor, start?: Position], Tensor> {
  table: Embedding;
  readonly offset: number;

  /** @param options.offset rows of the table before that of position 0, as BART and RoBERTa have. Default 0 */
  constructor(length: number, size: number, options: { std?: number; offset?: number } = {}) {
    super();
    this.offset = checkInteger("LearnedPositions: offset", options.offset ?? 0, 0);
    this.table = new Embedding(length + this.offset, size, options);
  }

  forward(x: Tensor, start: Position = 0): Tensor {
    const { weight } = this.table;
    const T = x.shape.at(-2)!;
    checkLength("LearnedPositions", start, T, weight.shape[0]! - this.offset);
    if (typeof start !== "number") {
      const rows = this.offset === 0 ? weight : slice(weight, 0, this.offset);
      return added(x, embedding(reshape(start, [start.size, 1]), rows, x.dtype));
    }
    const first = start + this.offset;
    const ids = tensor(
      Int32Array.from({ length: T }, (_, t) => first + t),
      [T],
      { device: x.device },
    );
    return added(x, this.table(ids, x.dtype));
  }
}

export interface SinusoidalOptions {
  /** All sines, then all cosines, as Marian has them, instead of by turns. Default false. */
  halves?: boolean;
}

/**
 * Sinusoidal positions, added to `x [B, T, C]`: see sinusoidalPositions. Nothing is trained.
 *
 * @see Vaswani et al. 2017, section 3.5
 */
export class SinusoidalPositions extends Module<[x: Tensor, start?: Position], Tensor> {
  private readonly table: Tensor;

  constructor(length: number, size: number, { halves = false }: SinusoidalOptions = {}) {
    super();
    this.table = unscoped(() => {
      const turns = sinusoidalPositions(length, size);
      if (!halves) return turns;
      const parts = reshape(turns, [length, size / 2, 2]);
      return reshape(parts.transpose(1, 2).contiguous(), [length, size]);
    });
  }

  forward(x: Tensor, start: Position = 0): Tensor {
    const T = x.shape.at(-2)!;
    checkLength("SinusoidalPositions", start, T, this.table.shape[0]!);
    if (typeof start !== "number") {
      return added(x, embedding(reshape(start, [start.size, 1]), this.table, x.dtype));
    }
    return added(x, cast(slice(this.table, 0, start, start + T), x.dtype));
  }
}
