import type { Device } from "../device.ts";
import { embedding } from "../ops/embedding.ts";
import { reshape, slice } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";

/** Rows of token ids, each of its own length. */
type Rows = readonly ArrayLike<number>[];

/** `[B, T]` i32 from rows of unequal lengths, with zeros behind them, and `[B]` i32: those lengths. */
export function padded(rows: Rows, device: Device): { ids: Tensor; lengths: Tensor } {
  const T = Math.max(...rows.map((row) => row.length));
  const ids = new Int32Array(rows.length * T);
  rows.forEach((row, b) => ids.set(row, b * T));
  const lengths = Int32Array.from(rows, (row) => row.length);
  return {
    ids: tensor(ids, [rows.length, T], { device }),
    lengths: tensor(lengths, [rows.length], { device }),
  };
}

/** The state of the last token of each row: `x [B, T, C]` → `[B, 1, C]`. */
export function lastOf(x: Tensor, rows: Rows): Tensor {
  const [B, T, C] = x.shape as [number, number, number];
  if (rows.every((row) => row.length === T)) return slice(x, 1, -1);
  const ids = Int32Array.from(rows, (row, b) => b * T + row.length - 1);
  return embedding(tensor(ids, [B, 1], { device: x.device }), reshape(x, [B * T, C]));
}
