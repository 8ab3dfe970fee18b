/**
 * What a device can do at best, measured with native/ops/ceilings.cc or cuda/ops/ceilings.cu and by copying: the measure
 * of all ops.
 *
 * Arithmetic is compared with multiply-adds in registers, on the same instruction set; on CUDA, that of products with the
 * datasheet's rate of tensor cores. Traffic is compared with reading and copying as many bytes as the op touches in all,
 * so that an op whose tensors fit into a cache is compared with the cache.
 */
import type { Device } from "../src/device.ts";
import { configure, type DeviceInfo, kernelNamed } from "../src/native.ts";
import { runKernel } from "../src/op.ts";
import { full } from "../src/ops/creation.ts";
import { Tensor } from "../src/tensor.ts";
import { type Contestant, timesOf } from "./measure.ts";

const kernels = {
  fma: kernelNamed("peak_fma"),
  read: kernelNamed("peak_read"),
  write: kernelNamed("fill32"),
  copy: kernelNamed("copy"),
};

/** A device, how the kernels that measure it divide their work, and its memory for all of them, touched once. */
export interface Site {
  readonly device: Device;
  /** Elements of peak_fma's result, and the multiply-adds for each. */
  readonly fmaPieces: number;
  readonly fmaSteps: number;
  /** The elements of peak_read's result for so many bytes. */
  readPieces(bytes: number): number;
  /** More than caches hold. */
  readonly memoryBytes: number;
  readonly pool: readonly [Tensor, Tensor];
}

function site(device: Device, sizes: Omit<Site, "device" | "pool">): Site {
  const { memoryBytes } = sizes;
  const pool = [full([memoryBytes / 4], 1, { device }), full([memoryBytes / 8], 1, { device })] as const;
  return { device, ...sizes, pool };
}

const processor = site("cpu", {
  fmaPieces: 64,
  fmaSteps: 14 * 16 * 2048, // a multiple of what any instruction set does at once
  readPieces: (bytes) => Math.ceil(bytes / 2 ** 16),
  memoryBytes: 2 ** 28,
});

/** Blocks for each multiprocessor: a multiple of all numbers that are there at once. */
const blocks = 24;

/** A CUDA device; the emulation of one only does enough to show that it works. */
export function cudaSite(device: Device, { multiprocessors = 1, emulated = false }: DeviceInfo): Site {
  return site(device, {
    fmaPieces: blocks * multiprocessors,
    fmaSteps: 2048 * (emulated ? 1 : 1024),
    // Pieces of 4 KB at least, of four floats at a time: a block reads as much at once.
    readPieces: (bytes) => Math.max(1, Math.min(blocks * multiprocessors, Math.floor(bytes / 4096))),
    memoryBytes: emulated ? 2 ** 22 : 2 ** 29,
  });
}

const flopsOfFma = ({ fmaPieces, fmaSteps }: Site): number => 2 * fmaPieces * fmaSteps;

const useIsa = (isa: string | undefined) => () => {
  if (isa !== undefined) configure("isa", isa);
};

/** Multiply-adds in registers. */
function fma(isa: string | undefined, at = processor): Contestant {
  const { device, fmaPieces, fmaSteps } = at;
  const x = full([2], 0.5, { device });
  const y = Tensor.empty([fmaPieces], "f32", device);
  const run = () => runKernel(kernels.fma, "f32", { x, y, count: fmaSteps });
  return { device, begin: useIsa(isa), run };
}

const floats = (from: Tensor, count: number): Tensor => new Tensor(from.storage, [count], [1]);

/** Reads, writes, or reads one half and writes the other: about `bytes` in all, at most `memoryBytes`. */
function traffic(
  kind: "read" | "write" | "copy",
  isa: string | undefined,
  bytes: number,
  { device, pool, readPieces }: Site = processor,
): Contestant {
  const begin = useIsa(isa);
  const all = floats(pool[0], Math.ceil(bytes / 4));
  if (kind === "write")
    return { device, begin, run: () => runKernel(kernels.write, "f32", { y: all, value: 1 }) };
  if (kind === "read") {
    const pieces = readPieces(bytes);
    const y = Tensor.empty([pieces], "f32", device);
    const length = device === "cpu" ? all.size : Math.ceil(all.size / pieces / 4 - 1e-9) * 4 * pieces;
    const x = floats(pool[0], Math.min(length, pool[0].size));
    return { device, begin, run: () => runKernel(kernels.read, "f32", { x, y }) };
  }
  const [x, y] = pool.map((from) => floats(from, Math.ceil(bytes / 8)));
  return { device, begin, run: () => runKernel(kernels.copy, "f32", { x, y }) };
}

/** What one call must do at least. */
export interface Amount {
  readonly flops?: number | undefined;
  readonly read?: number | undefined;
  readonly written?: number | undefined;
}

export const bytesOf = ({ read = 0, written = 0 }: Amount): number => read + written;

/** What takes turns with an op, and how its times tell the least time that the op could take. */
export interface Ceiling {
  readonly contestants: readonly Contestant[];
  leastMs(times: readonly number[]): number;
}

export function ceilingOf(amount: Amount, isa?: string, at = processor): Ceiling {
  const { flops, read = 0, written = 0 } = amount;
  if (flops !== undefined) {
    return { contestants: [fma(isa, at)], leastMs: ([ms]) => (flops / flopsOfFma(at)) * ms! };
  }
  const bytes = Math.min(read + written, at.memoryBytes);
  const reading = traffic("read", isa, bytes, at);
  const scale = (read + written) / bytes;
  if (written === 0) return { contestants: [reading], leastMs: ([ms]) => scale * ms! };
  // Copying takes the time of reading one half and of writing the other.
  return {
    contestants: [reading, traffic("copy", isa, bytes, at)],
    leastMs([readMs, copyMs]) {
      const perByteRead = readMs! / bytes;
      const perByteWritten = Math.max(0, (2 * copyMs!) / bytes - perByteRead);
      return read * perByteRead + written * perByteWritten;
    },
  };
}

export interface Peaks {
  readonly threads: number;
  /** GFLOP/s of multiply-adds, by instruction set. */
  readonly fma: Readonly<Record<string, number>>;
  /** GB/s of memory. */
  readonly read: number;
  readonly write: number;
  readonly copy: number;
}

/** Peaks for a number of threads; memory with the last of the instruction sets. */
export async function measurePeaks(
  isas: readonly string[],
  threads: number,
  budgetMs: number,
): Promise<Peaks> {
  configure("threads", threads);
  const best = isas.at(-1)!;
  const { memoryBytes } = processor;
  const contestants = [
    ...isas.map((isa) => fma(isa)),
    traffic("read", best, memoryBytes),
    traffic("write", best, memoryBytes),
    traffic("copy", best, memoryBytes),
  ];
  const times = await timesOf(contestants, budgetMs);
  const [read, write, copy] = times.slice(isas.length).map((ms) => memoryBytes / ms / 1e6);
  return {
    threads,
    fma: Object.fromEntries(isas.map((isa, i) => [isa, flopsOfFma(processor) / times[i]! / 1e6])),
    read: read!,
    write: write!,
    copy: copy!,
  };
}

/** GFLOP/s of multiply-adds in f32, and GB/s of memory. */
export async function measureCudaPeaks(
  at: Site,
  budgetMs: number,
): Promise<Record<"fma" | "read" | "write" | "copy", number>> {
  const kinds = ["read", "write", "copy"] as const;
  const memory = kinds.map((kind) => traffic(kind, undefined, at.memoryBytes, at));
  const [ofFma, ...rest] = await timesOf([fma(undefined, at), ...memory], budgetMs);
  const [read, write, copy] = rest.map((ms) => at.memoryBytes / ms / 1e6);
  return { fma: flopsOfFma(at) / ofFma! / 1e6, read: read!, write: write!, copy: copy! };
}
