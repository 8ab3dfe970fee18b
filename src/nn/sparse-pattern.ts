import type { Device } from "../device.ts";
import { checkInteger } from "../errors.ts";
import { type Tensor, tensor } from "../tensor.ts";

/** Which blocks of keys the blocks of queries see: the sum of what the parts say. */
export interface SparsePattern {
  /** Positions in a block. Default 64. */
  blockSize?: number;
  /** Neighbouring blocks, this many on each side and its own (Longformer's window). Default 1. */
  windowBlocks?: number;
  /** So many of the first blocks see all and are seen by all (Longformer's global positions). Default 0. */
  globalBlocks?: number;
  /** Every so manieth block before (and behind) its own, as Sparse Transformer's strided heads. Default none. */
  strideBlocks?: number | undefined;
}

/** A pattern with nothing left to defaults. */
export type FullPattern = Required<Omit<SparsePattern, "strideBlocks">> & Pick<SparsePattern, "strideBlocks">;

/** Throws on what is no pattern; fills in what is left out. */
export function checkedPattern(pattern: SparsePattern): FullPattern {
  const { blockSize = 64, windowBlocks = 1, globalBlocks = 0, strideBlocks } = pattern;
  checkInteger("sparse: blockSize", blockSize, 1);
  checkInteger("sparse: windowBlocks", windowBlocks, 0);
  checkInteger("sparse: globalBlocks", globalBlocks, 0);
  if (strideBlocks !== undefined) checkInteger("sparse: strideBlocks", strideBlocks, 1);
  return { blockSize, windowBlocks, globalBlocks, strideBlocks };
}

/**
 * `[⌈T/n⌉, ⌈S/n⌉]` i32, n = blockSize: 1 where a block of queries sees a block of keys. The first query stands at
 * position `start`, a multiple of n unless it is the only one. Causal order within what is seen is for attention to keep.
 *
 * @see Child et al. 2019, "Generating Long Sequences with Sparse Transformers"; Beltagy et al. 2020, "Longformer"
 */
export function sparseBlocks(
  pattern: SparsePattern,
  { queries, keys, start = 0, device }: { queries: number; keys: number; start?: number; device?: Device },
): Tensor {
  const { blockSize: n, windowBlocks, globalBlocks, strideBlocks } = checkedPattern(pattern);
  const [rows, columns] = [Math.ceil(queries / n), Math.ceil(keys / n)];
  const first = Math.floor(start / n);
  const seen = Int32Array.from({ length: rows * columns }, (_, i) => {
    const [query, key] = [first + Math.floor(i / columns), i % columns];
    const distance = Math.abs(query - key);
    const isGlobal = query < globalBlocks || key < globalBlocks;
    const isStrided = strideBlocks !== undefined && distance % strideBlocks === 0;
    return Number(distance <= windowBlocks || isGlobal || isStrided);
  });
  return tensor(seen, [rows, columns], device ? { device } : {});
}
