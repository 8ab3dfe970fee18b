import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { arange } from "../ops/creation.ts";
import { add } from "../ops/elementwise.ts";
import { rotary, sinusoidalPositions } from "../ops/positions.ts";
import { cast, slice } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { Embedding } from "./layers.ts";
import { Module } from "./module.ts";

/** Learned positions: adds row t of a trained table to position t. `x [B, T, C]`, T at most `length`. */
export class LearnedPositions extends Module {
  table: Embedding;

  constructor(length: number, size: number, options: { std?: number } = {}) {
    super();
    this.table = new Embedding(length, size, options);
  }

  forward(x: Tensor): Tensor {
    const T = checkLength("LearnedPositions", x.shape.at(-2)!, this.table.weight.shape[0]!);
    return add(x, this.table(arange(T, { device: x.device }), x.dtype));
  }
}

/** Sinusoidal positions (Vaswani et al. 2017, section 3.5), added to `x [B, T, C]`. Nothing is trained. */
export class SinusoidalPositions extends Module {
  private readonly table: Tensor;

  constructor(length: number, size: number) {
    super();
    this.table = unscoped(() => sinusoidalPositions(length, size));
  }

  forward(x: Tensor): Tensor {
    const T = checkLength("SinusoidalPositions", x.shape.at(-2)!, this.table.shape[0]!);
    return add(x, cast(slice(this.table, 0, 0, T), x.dtype));
  }
}

/** Rotary positions (Su et al. 2021) for queries and keys `[B, T, H, D]`. Nothing is trained. */
export class RotaryPositions extends Module<[x: Tensor, start?: number], Tensor> {
  private readonly cos: Tensor;
  private readonly sin: Tensor;

  /** @param base of the wavelengths, θ in the Llama configurations; position t turns pair i by t · base^(−2i/D) */
  constructor(length: number, headSize: number, options: { base?: number } = {}) {
    super();
    checkInteger("RotaryPositions: length", length, 1);
    checkInteger("RotaryPositions: headSize", headSize, 2);
    if (headSize % 2 !== 0)
      throw new ArgumentError(`RotaryPositions: headSize must be even; got ${headSize}`);
    const base = checkNumber("RotaryPositions: base", options.base ?? 10000, 1);
    const half = headSize / 2;
    const table = (f: (angle: number) => number) =>
      tensor(
        Float32Array.from({ length: length * half }, (_, n) =>
          f(Math.floor(n / half) * base ** ((-2 * (n % half)) / headSize)),
        ),
        [length, half],
      );
    this.cos = unscoped(() => table(Math.cos));
    this.sin = unscoped(() => table(Math.sin));
  }

  /** @param start position of the first row of `x`, for keys that follow a cache. Default 0 */
  forward(x: Tensor, start = 0): Tensor {
    const end = checkLength("RotaryPositions", start + x.shape[1]!, this.cos.shape[0]!);
    return rotary(x, slice(this.cos, 0, start, end), slice(this.sin, 0, start, end));
  }
}

function checkLength(name: string, T: number, length: number): number {
  if (T > length)
    throw new ArgumentError(`${name}: the sequence must have at most ${length} positions; got ${T}`);
  return T;
}
