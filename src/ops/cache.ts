import { isRecording, record } from "../autograd.ts";
import { DtypeError, ShapeError, TrainformerError } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { checkShapes, commonDevice, contiguousCopy, runKernel } from "../op.ts";
import { isContiguous, showShape, sizeOf } from "../shape.ts";
import { Tensor } from "../tensor.ts";

const write = kernelNamed("cache_write");
const gather = kernelNamed("gather_rows");

function checkIds(op: string, name: string, ids: Tensor): void {
  if (ids.dtype !== "i32") throw new DtypeError(`${op}: ${name} must be i32; got ${ids.dtype}`);
}

const noGradient = (op: string): TrainformerError =>
  new TrainformerError(
    "ERR_GRADIENT",
    `${op} has no gradient; call it within noGrad() or detach() its inputs`,
  );

const cacheShapes = { cache: "[B, S, G, D]", x: "[B, T, G, D]", starts: "[B]" };

/**
 * Writes keys or values into a cache, in place: `cache[b, starts[b] + t] = x[b, t]`. Rows may stand at different
 * positions.
 *
 * @param cache  `[B, S, G, D]`, f32 or bf16
 * @param x      `[B, T, G, D]`, in the dtype of `cache`
 * @param starts `[B]` i32, each in [0, S − T]. One outside is reported by the next read (ERR_INDEX), and nothing of its
 *               row is written.
 * @throws ERR_GRADIENT if a gradient would have to flow into `x` or `cache`
 */
export function cacheWrite(cache: Tensor, x: Tensor, starts: Tensor): void {
  checkShapes({ name: "cacheWrite", shapes: cacheShapes }, { cache, x, starts });
  commonDevice("cacheWrite", { cache, x, starts });
  if (x.dtype !== cache.dtype || x.dtype === "i32") {
    const wanted = cache.dtype === "i32" ? "f32 or bf16" : `${cache.dtype}, as cache is`;
    throw new DtypeError(`cacheWrite: x must be ${wanted}; got ${x.dtype} (cast with .to())`);
  }
  checkIds("cacheWrite", "starts", starts);
  if (x.shape[1]! > cache.shape[1]!) {
    throw new ShapeError(
      `cacheWrite: x must have at most the positions of cache; got x ${showShape(x.shape)}, cache ${showShape(cache.shape)}`,
    );
  }
  if (isRecording([cache, x])) throw noGradient("cacheWrite");
  runKernel(write, x.dtype, { x, starts, cache });
}

/**
 * Rows along the first axis, in any order and number: `y[m] = x[ids[m]]`.
 *
 * Has no gradient (`embedding` has one).
 *
 * @param x   `[N, ...]`, f32 or bf16
 * @param ids `[M]` i32, each in [0, N). One outside is reported by the next read (ERR_INDEX); its row is NaN.
 * @returns   `[M, ...]`, in the dtype of `x`
 */
export function gatherRows(x: Tensor, ids: Tensor): Tensor {
  checkShapes({ name: "gatherRows", shapes: { x: "[N, ...]", ids: "[M]" } }, { x, ids });
  commonDevice("gatherRows", { x, ids });
  if (x.dtype === "i32") throw new DtypeError("gatherRows: x must be f32 or bf16; got i32");
  checkIds("gatherRows", "ids", ids);
  const [N, ...row] = x.shape as [number, ...number[]];
  const M = ids.shape[0]!;
  const y = Tensor.empty([M, ...row], x.dtype, x.device);
  const isDense = isContiguous(row, x.strides.slice(1));
  const dense = isDense ? x : contiguousCopy(x);
  const C = sizeOf(row);
  runKernel(gather, x.dtype, {
    x: new Tensor(dense.storage, [N, C], [isDense ? x.strides[0]! : C, 1], dense.offset),
    ids,
    y: new Tensor(y.storage, [M, C]),
  });
  if (dense !== x) dense.storage.free();
  record("gatherRows", [x], [y], {
    backward() {
      throw noGradient("gatherRows");
    },
  });
  return y;
}
