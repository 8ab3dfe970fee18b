import { type Device, isProcessor } from "../device.ts";
import type { Dtype } from "../dtype.ts";
import { unscoped } from "../memory.ts";
import { kernelNamed, multipliesBf16, settings } from "../native.ts";
import { runKernel } from "../op.ts";
import { Tensor } from "../tensor.ts";

const packWeight = kernelNamed("pack_weight");

/** Which product a weight `[N, K]` is packed for: `y = x · weightᵀ` (forward) or `dx = dy · weight` (backward). */
export type Orientation = "forward" | "backward";

/** A copy of a weight in the order and the precision in which products read it (native/gemm/pack_weight.h). */
interface Packed {
  readonly data: Tensor;
  readonly real: Dtype;
  readonly isa: string;
  /** What it was made from. */
  storage: Tensor["storage"];
  version: number;
}

type PackedPair = Partial<Record<Orientation, Packed>>;

/** By weight; the copies go with it. */
const packs = new WeakMap<Tensor, PackedPair>();

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/**
 * Words that the packed form of `b [K, N]` takes at most; see packed_words in native/gemm/blocking.h, and
 * cuda/gemm/packed.h.
 */
function packedWords(K: number, N: number, real: Dtype, device: Device): number {
  const elements = real === "bf16" && (!isProcessor(device) || multipliesBf16()) ? 2 : 1;
  return roundUp(Math.ceil(K / elements), 16) * roundUp(N, 16);
}

function isCurrent(packed: Packed, weight: Tensor): boolean {
  const { storage } = weight;
  const sameMemory = packed.storage === storage && packed.version === storage.version && !storage.isExposed;
  return sameMemory && packed.isa === settings.isa && !packed.data.storage.isFreed;
}

function pack(weight: Tensor, orientation: Orientation, real: Dtype, data: Tensor): Tensor {
  const b = orientation === "forward" ? weight.detach().transposed() : weight;
  runKernel(packWeight, real, { b, packed: data });
  return data;
}

function emptyPack(weight: Tensor, orientation: Orientation, real: Dtype): Tensor {
  const [N, K] = weight.shape as [number, number];
  const { device } = weight;
  const words = orientation === "forward" ? packedWords(K, N, real, device) : packedWords(N, K, real, device);
  return Tensor.empty([words], "f32", device);
}

/** Whether the packed copies of `weight` are kept: it stays, and nobody can write to it unseen. */
export const keepsPacked = (weight: Tensor): boolean =>
  weight.node === undefined && (weight.requiresGrad || weight.isParameter) && !weight.storage.isExposed;

/**
 * `weight [N, K]` f32 packed for products in `real`. The copy of a parameter, trained or frozen, is kept until its values change; the one of
 * anything else, or of memory that JavaScript can write to unseen, is made for this call.
 */
export function packedWeight(weight: Tensor, orientation: Orientation, real: Dtype): Tensor {
  if (!keepsPacked(weight)) return pack(weight, orientation, real, emptyPack(weight, orientation, real));
  let pair = packs.get(weight);
  if (pair === undefined) packs.set(weight, (pair = {}));
  const known = pair[orientation];
  if (known?.real === real && isCurrent(known, weight)) return known.data;
  const isAlive = known !== undefined && !known.data.storage.isFreed && known.data.device === weight.device;
  const fits = isAlive && known.real === real && known.isa === settings.isa;
  const data = fits ? known.data : unscoped(() => emptyPack(weight, orientation, real));
  pack(weight, orientation, real, data);
  const { storage } = weight;
  pair[orientation] = { data, real, isa: settings.isa, storage, version: storage.version };
  return data;
}

/** The kept copies of `weight` that are up to date, for an optimizer that writes them as it changes the weight. */
export interface CurrentPacks {
  real: Dtype;
  forward: Tensor | undefined;
  backward: Tensor | undefined;
}

export function currentPacks(weight: Tensor): CurrentPacks | undefined {
  const pair = packs.get(weight);
  if (pair === undefined) return undefined;
  const forward = pair.forward && isCurrent(pair.forward, weight) ? pair.forward : undefined;
  const backward = pair.backward && isCurrent(pair.backward, weight) ? pair.backward : undefined;
  const real = (forward ?? backward)?.real;
  if (real === undefined || (backward !== undefined && backward.real !== real)) return undefined;
  return { real, forward: forward?.data, backward: backward?.data };
}

/** Says that `written` hold the values that `weight` has now. */
export function markCurrent(weight: Tensor, written: CurrentPacks): void {
  const pair = packs.get(weight)!;
  if (written.forward) pair.forward!.version = weight.storage.version;
  if (written.backward) pair.backward!.version = weight.storage.version;
}
