import type { Device } from "../device.ts";
import { ArgumentError } from "../errors.ts";
import type { Rows } from "../generate/decoding.ts";
import { gatherRows } from "../ops/cache.ts";
import { reshape, slice } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";

/**
 * How many tokens each row has.
 *
 * @throws ERR_ARGUMENT, with what is expected, unless there are `count` rows and each has one at least
 */
export function lengthsOf(rows: Rows, count: number, expected: string): number[] {
  const lengths = Array.from(rows, (row) => row.length);
  if (lengths.length !== count || lengths.includes(0)) {
    const came = lengths.join(", ") || "none";
    throw new ArgumentError(`${expected}; got rows of ${came}`);
  }
  return lengths;
}

/** `[B, T]` i32 from rows of unequal lengths, with zeros behind them. */
export function padded(rows: Rows, device: Device): Tensor {
  const T = Math.max(...rows.map((row) => row.length));
  const ids = new Int32Array(rows.length * T);
  rows.forEach((row, b) => ids.set(row, b * T));
  return tensor(ids, [rows.length, T], { device });
}

/** The state of the last token of each row: `x [B, T, C]` → `[B, 1, C]`. Has no gradient. */
export function lastOf(x: Tensor, rows: Rows): Tensor {
  const [B, T, C] = x.shape as [number, number, number];
  if (rows.every((row) => row.length === T)) return slice(x, 1, -1);
  const ids = Int32Array.from(rows, (row, b) => b * T + row.length - 1);
  const last = gatherRows(reshape(x, [B * T, C]), tensor(ids, [B], { device: x.device }));
  return reshape(last, [B, 1, C]);
}

/** The elements of a tensor, which is freed. */
export async function valuesOf(t: Tensor): Promise<Float32Array> {
  const values = (await t.toTypedArray()) as Float32Array;
  t.dispose();
  return values;
}
