import type { Dtype, DtypeArray } from "../dtype.ts";

/** A tensor as it lies in a file: `data` holds the product of `shape` elements, row-major; bf16 as its 16 bits. */
export interface StoredTensor {
  dtype: Dtype;
  shape: number[];
  data: DtypeArray;
}

/** A tensor whose data is made when it is first asked for, and kept. */
export function lazyTensor(dtype: Dtype, shape: number[], decode: () => DtypeArray): StoredTensor {
  let data: DtypeArray | undefined;
  return {
    dtype,
    shape,
    get data() {
      return (data ??= decode());
    },
  };
}

/** What a check calls when it fails; it puts before `problem` where that is. */
export type Fail = (problem: string) => never;

export const isSize = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The number of elements of `shape`, or NaN where it is above 2⁵³ - 1. */
export function countElements(shape: readonly number[]): number {
  return shape.reduce((count, size) => (isSize(count * size) ? count * size : NaN), 1);
}
