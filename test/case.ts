import type { Shape } from "../src/shape.ts";
import { contiguousStrides, sizeOf } from "../src/shape.ts";
import type { Tensor } from "../src/tensor.ts";

/** A float64 array with a shape: what references compute with. Plain loops over `data`, or `at(i, j, …)`. */
export class Reference {
  readonly data: Float64Array;
  readonly shape: Shape;

  constructor(shape: Shape, data: Float64Array | number[] = new Float64Array(sizeOf(shape))) {
    this.shape = shape;
    this.data = Float64Array.from(data);
  }

  private index(at: readonly number[]): number {
    const strides = contiguousStrides(this.shape);
    return at.reduce((sum, i, axis) => sum + i * strides[axis]!, 0);
  }
  at(...position: number[]): number {
    return this.data[this.index(position)]!;
  }
  set(value: number, ...position: number[]): void {
    this.data[this.index(position)] = value;
  }
  add(value: number, ...position: number[]): void {
    this.data[this.index(position)]! += value;
  }
  map(f: (x: number) => number): Reference {
    return new Reference(this.shape, this.data.map(f));
  }
  /** The rows of the last axis, as parts of the same memory. */
  rows(): Float64Array[] {
    const columns = this.shape.at(-1)!;
    const count = columns === 0 ? 0 : this.data.length / columns;
    return Array.from({ length: count }, (_, n) => this.data.subarray(n * columns, (n + 1) * columns));
  }
}

/** What an input of a case holds: normal random numbers of a shape, or integers below a limit (or given ones). */
export type Input = Shape | { ids: Shape; below: number } | { ids: Shape; values: readonly number[] };

export type Inputs<T> = Record<string, T>;

/** Floating-point operations, or else bytes to read and to write. */
export interface Work {
  readonly flops?: number;
  readonly read?: number;
  readonly written?: number;
}

/** So many f32 numbers to read and to write. */
export const traffic = (read: number, written: number): Work => ({ read: 4 * read, written: 4 * written });

export interface OpCase {
  /** As shown, and as `npm run bench -- <name>` selects it. */
  readonly name: string;
  /** Odd sizes to test, by name; "model" is only timed and "large" is not compared with the numeric gradient. */
  readonly sizes: Readonly<Record<string, Inputs<Input>>>;
  run(inputs: Inputs<Tensor>): Tensor;
  /** The same in float64, by definition. Its gradient is taken numerically. */
  reference(inputs: Inputs<Reference>): Reference;
  /** Relative to the largest expected value: default 2e-6 forward, 1e-5 gradient. bf16: multiples of rounding, default 2. */
  readonly tolerance?: { forward?: number; gradient?: number; bf16Gradient?: number };
  /** Whether it multiplies matrices: CUDA may do that in f32 as sums of bf16, with a tolerance of its own. */
  readonly multiplies?: boolean;
  /** Kinks: a reference that is not differentiable there wants inputs at least this far from zero. */
  readonly awayFromZero?: number;
  readonly dtypes?: readonly ("f32" | "bf16")[];
  /** "none": it has no gradient, and runs within noGrad(). */
  readonly backward?: "none";
  /** What one call at these sizes must do at least, in f32. Without `backward`, that pass moves nothing. */
  work?(sizes: Inputs<Input>): { forward: Work; backward?: Work };
}

export const defineCase = (opCase: OpCase): OpCase => opCase;

export const shapeOf = (input: Input): Shape => ("ids" in input ? input.ids : input);
export const isIds = (input: Input): input is Exclude<Input, Shape> => "ids" in input;

/** Normal random numbers, the same in every run; `salt` tells streams apart. */
export function normals(count: number, salt: number): Float64Array {
  let state = 0x9e3779b9 ^ Math.imul(salt + 1, 0x85ebca6b);
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return Float64Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}
